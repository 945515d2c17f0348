// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Members looked up one by one, several requests at once. Nothing else of the instance is under way meanwhile: whoever
// holds a connection and waits for another one is let through beyond the limit.
#include "writing.h"

#include <openssl/evp.h>
#include <stdio.h>

// Small letters that Unicode folds with another small one. Folding them too makes one key of two spellings, as the host
// wishes; their digest is that of the address in small letters, and these are small already.
static const char *const small_letters[] = {"\xC2\xB5", "\xC5\xBF", "\xCF\x82", "\xCF\x90", "\xCF\x91",    "\xCF\x95",
                                            "\xCF\x96", "\xCF\xB0", "\xCF\xB1", "\xCF\xB5", "\xE1\xBA\x9B"};

static size_t small_letter(const char *text, size_t len) {
  for (size_t i = 0; i < sizeof(small_letters) / sizeof(small_letters[0]); i++) {
    const size_t bytes = strlen(small_letters[i]);
    if (bytes <= len && memcmp(text, small_letters[i], bytes) == 0) return bytes;
  }
  return 0;
}

// The address in small letters, one for one.
static size_t lower_email(struct dray_str email, char out[MC_FOLDED_BYTES]) {
  const size_t len = (size_t)email.len;
  size_t written = 0, begun = 0;
  if (len > MC_EMAIL_BYTES_MAX) return 0;
  for (size_t i = 0; i < len;) {
    const size_t bytes = small_letter(email.data + i, len - i);
    if (bytes > 0) {
      written += dray_fold_text(email.data + begun, i - begun, out + written);
      memcpy(out + written, email.data + i, bytes);
      written += bytes;
      begun = i + bytes;
    }
    i += bytes > 0 ? bytes : 1;
  }
  return written + dray_fold_text(email.data + begun, len - begun, out + written);
}

int mc_member_hash(struct dray_str email, char out[33]) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int bytes = 0;
  char small[MC_FOLDED_BYTES];
  const size_t len = lower_email(email, small);
  if (len == 0) return 0;
  if (EVP_Digest(small, len, digest, &bytes, EVP_md5(), NULL) != 1 || bytes != 16) return 0;
  for (unsigned int i = 0; i < 16; i++) (void)snprintf(out + (size_t)2 * i, 3, "%02x", digest[i]);
  return 1;
}

#define PATH_BYTES 200

static int32_t path_of(const struct mc_writing *writing, uint64_t row, const char *fields, char out[PATH_BYTES],
                       struct dray_error *error) {
  char hash[33];
  if (!mc_member_hash(mc_email(writing, row), hash)) {
    return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a digest");
  }
  (void)snprintf(out, PATH_BYTES, "/lists/%s/members/%s?fields=%s", writing->options->list_id, hash, fields);
  return DRAY_OK;
}

static int32_t finish(struct mc_writing *writing, const struct mc_look_up *look_up, uint64_t row,
                      struct dray_api_pending *pending, struct dray_error *error) {
  struct dray_json *root = NULL;
  char path[PATH_BYTES];
  int32_t status = 0;
  int32_t rc = path_of(writing, row, look_up->fields, path, error);
  if (rc != DRAY_OK) {
    dray_api_drop(pending);
    return rc;
  }
  rc = mc_get_finish(writing->client, path, pending, &root, &status, error);
  if (rc != DRAY_OK && status != 404) return rc;
  look_up->take(writing, row, root, look_up->ctx);
  dray_json_free(root);
  return DRAY_OK;
}

int32_t mc_look_up(struct mc_writing *writing, const struct mc_look_up *look_up, struct dray_error *error) {
  struct dray_api_pending *ahead[MC_CONNECTIONS_MAX] = {NULL};
  const uint64_t ahead_max = (uint64_t)writing->client->settings->max_connections;
  uint64_t started = 0;
  int32_t rc = DRAY_OK;
  for (uint64_t i = 0; rc == DRAY_OK && i < look_up->row_count; i++) {
    struct dray_error why;
    dray_error_init(&why);
    int32_t failed = DRAY_OK;
    for (; failed == DRAY_OK && started < look_up->row_count && started < i + ahead_max; started++) {
      char path[PATH_BYTES];
      failed = path_of(writing, look_up->rows[started], look_up->fields, path, &why);
      if (failed == DRAY_OK) failed = mc_get_start(writing->client, path, &ahead[started % ahead_max], &why);
    }
    struct dray_api_pending *pending = ahead[i % ahead_max];
    ahead[i % ahead_max] = NULL;
    if (failed == DRAY_OK) {
      failed = finish(writing, look_up, look_up->rows[i], pending, &why);
    } else {
      dray_api_drop(pending);
    }
    // What fails for one fails for those behind it as well: they are not asked for any more.
    if (failed != DRAY_OK) {
      rc = mc_settle_failed(writing, look_up->rows + i, look_up->row_count - i, &why, error);
      break;
    }
  }
  for (uint64_t i = 0; i < ahead_max; i++) dray_api_drop(ahead[i]);
  return rc;
}
