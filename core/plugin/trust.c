// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Who may write a plugin's files, and whether the library is the one its manifest was made for.
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "plugin/trust.h"

#define READ_STEP_BYTES 65536

// ---- permissions ----

static int32_t check_owner(const char *path, const struct stat *info, struct dray_error *error) {
  if (info->st_uid == 0 || info->st_uid == geteuid()) return DRAY_OK;
  return dray_fail(error, DRAY_E_PLUGIN_UNTRUSTED,
                   "%s belongs to user %u, who could replace it; it must belong to root or to user %u: chown it, or "
                   "install the plugin again as the user who runs dray",
                   path, (unsigned)info->st_uid, (unsigned)geteuid());
}

static int32_t check_path(const char *path, int folder, struct dray_error *error) {
  struct stat info;
  if (stat(path, &info) != 0) {
    const int number = errno;
    if (number == ENOENT) return dray_fail(error, DRAY_E_PLUGIN_MISSING, "%s is not there", path);
    return dr_fail_errno(error, "look at", path);
  }
  if (!folder && !S_ISREG(info.st_mode)) {
    return dray_fail(error, DRAY_E_PLUGIN_UNTRUSTED, "%s is not a regular file", path);
  }
  DRAY_TRY(check_owner(path, &info, error));
  if ((info.st_mode & (S_IWGRP | S_IWOTH)) == 0) return DRAY_OK;
  if (folder && (info.st_mode & S_ISVTX) != 0 && info.st_uid == 0) return DRAY_OK;
  return dray_fail(error, DRAY_E_PLUGIN_UNTRUSTED, "%s is writable by %s (mode %04o): chmod go-w %s", path,
                   (info.st_mode & S_IWOTH) != 0 ? "everybody" : "its group", (unsigned)(info.st_mode & 07777), path);
}

static int32_t check_folder_of(const char *path, struct dray_error *error) {
  char *folder = dray_str_dup(dray_str_of(path));
  if (folder == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a path");
  char *slash = strrchr(folder, '/');
  if (slash != NULL) slash[slash == folder] = '\0';
  const int32_t rc = check_path(slash != NULL ? folder : ".", 1, error);
  free(folder);
  return rc;
}

int32_t dr_trust_permissions(const struct dr_manifest *manifest, struct dray_error *error) {
  char at[sizeof(manifest->folder) + 16];
  (void)snprintf(at, sizeof(at), "%s/manifest.json", manifest->folder);
  DRAY_TRY(check_path(manifest->folder, 1, error));
  DRAY_TRY(check_path(at, 0, error));
  DRAY_TRY(check_path(manifest->library, 0, error));
  // A link may lead elsewhere: what is loaded is what counts, so the folder it really lies in is looked at as well.
  char *real = realpath(manifest->library, NULL);
  if (real == NULL) return dr_fail_errno(error, "resolve", manifest->library);
  const int32_t rc = check_folder_of(real, error);
  free(real);
  return rc;
}

// ---- digest ----

static int32_t digest_fd(int fd, const char *path, EVP_MD_CTX *context, unsigned char out[EVP_MAX_MD_SIZE],
                         struct dray_error *error) {
  unsigned char *block = malloc(READ_STEP_BYTES);
  if (block == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to read %s", path);
  int32_t rc = DRAY_OK;
  int good = EVP_DigestInit_ex(context, EVP_sha256(), NULL);
  while (good) {
    const ssize_t n = read(fd, block, READ_STEP_BYTES);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) rc = dr_fail_errno(error, "read", path);
    if (n <= 0) break;
    good = EVP_DigestUpdate(context, block, (size_t)n);
  }
  if (rc == DRAY_OK && !(good && EVP_DigestFinal_ex(context, out, NULL))) {
    rc = dray_fail(error, DRAY_E_INTERNAL, "OpenSSL could not compute the SHA-256 of %s", path);
  }
  free(block);
  return rc;
}

static int32_t digest_file(const char *path, char out_hex[65], struct dray_error *error) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return dr_fail_errno(error, "open", path);
  EVP_MD_CTX *context = EVP_MD_CTX_new();
  int32_t rc = context != NULL ? digest_fd(fd, path, context, digest, error)
                               : dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for the SHA-256 of %s", path);
  EVP_MD_CTX_free(context);
  (void)close(fd);
  for (int i = 0; rc == DRAY_OK && i < 32; i++) (void)snprintf(out_hex + 2 * i, 3, "%02x", digest[i]);
  return rc;
}

int32_t dr_trust_digest(const struct dr_manifest *manifest, struct dray_error *error) {
  char hex[65];
  DRAY_TRY(digest_file(manifest->library, hex, error));
  if (strcmp(hex, manifest->sha256) == 0) return DRAY_OK;
  return dray_fail_field(error, DRAY_E_PLUGIN_DIGEST, "sha256",
                         "%s has the SHA-256 %s, but its manifest says %s: the file was changed or belongs to another "
                         "version; install the plugin %s %s again",
                         manifest->library, hex, manifest->sha256, manifest->name, manifest->version);
}
