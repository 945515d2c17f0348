// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Reading a manifest: everything the host wants to know of a plugin before any of its code runs. Every member is
// checked, and every refusal names the file and the member.
#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "dray/sdk/config.h"
#include "dray/sdk/json.h"
#include "plugin/plugin.h"

#define MANIFEST_NAME "manifest.json"
#define MANIFEST_BYTES_MAX 65536
#define READ_SLACK_BYTES (128 * 1024) // dr_file_read reserves a step beyond the limit before it notices it

// The manifest being read.
struct reading {
  const char *path;
  struct dr_manifest *out;
  struct dray_error *error;
};

static int32_t refuse(const struct reading *reading, const char *member, const char *why) {
  return dray_fail_field(reading->error, DRAY_E_PLUGIN_MANIFEST, member, "%s: \"%s\" %s", reading->path, member, why);
}

// ---- text members ----

static int is_plain(struct dray_str text) {
  for (uint64_t i = 0; i < text.len; i++) {
    const unsigned char c = (unsigned char)text.data[i];
    if (c < 0x20 || c == 0x7F) return 0;
  }
  return 1;
}

static int is_plugin_name(struct dray_str text) {
  if (text.len == 0 || text.data[0] < 'a' || text.data[0] > 'z') return 0;
  for (uint64_t i = 0; i < text.len; i++) {
    const char c = text.data[i];
    if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-')) return 0;
  }
  return 1;
}

static int is_digit(char c) {
  return c >= '0' && c <= '9';
}

// Semantic Versioning 2.0.0: three numbers without leading zeros, then -pre.release and +build of [0-9A-Za-z.-].
static int is_version(struct dray_str text) {
  uint64_t at = 0;
  for (int part = 0; part < 3; part++) {
    const uint64_t from = at;
    while (at < text.len && is_digit(text.data[at])) at++;
    if (at == from || (text.data[from] == '0' && at > from + 1)) return 0;
    if (part < 2 && (at == text.len || text.data[at++] != '.')) return 0;
  }
  if (at == text.len) return 1;
  if (text.data[at] != '-' && text.data[at] != '+') return 0;
  for (uint64_t i = at + 1; i < text.len; i++) {
    const char c = text.data[i];
    if (!(is_digit(c) || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-' || c == '.' || c == '+'))
      return 0;
  }
  return at + 1 < text.len;
}

static int is_file_name(struct dray_str text) {
  return text.len > 0 && text.data[0] != '.' && memchr(text.data, '/', text.len) == NULL;
}

static int is_sha256(struct dray_str text) {
  if (text.len != 64) return 0;
  for (uint64_t i = 0; i < text.len; i++) {
    if (!is_digit(text.data[i]) && (text.data[i] < 'a' || text.data[i] > 'f')) return 0;
  }
  return 1;
}

static int is_homepage(struct dray_str text) {
  return text.len > 8 && (memcmp(text.data, "https://", 8) == 0 || memcmp(text.data, "http://", 7) == 0);
}

struct text_rule {
  const char *name;
  int required;
  size_t offset; // of the char array in struct dr_manifest
  size_t size;
  int (*valid)(struct dray_str text);
  const char *why; // what it must be
};

#define IN(member) offsetof(struct dr_manifest, member), sizeof(((struct dr_manifest *)NULL)->member)
static const struct text_rule text_rules[] = {
    {"name", 1, IN(name), is_plugin_name, "must be a letter a-z, then a-z, 0-9, _ or -"},
    {"version", 1, IN(version), is_version, "must be a semantic version such as 1.2.3"},
    {"library", 1, IN(library), is_file_name, "must be the name of a file beside the manifest, without a folder"},
    {"sha256", 1, IN(sha256), is_sha256, "must be the library's SHA-256 as 64 lower-case hexadecimal digits"},
    {"summary", 0, IN(summary), is_plain, "must be text without control characters"},
    {"license", 0, IN(license), is_plain, "must be text without control characters"},
    {"homepage", 0, IN(homepage), is_homepage, "must be an http or https address"},
};
#define TEXT_RULE_COUNT (sizeof(text_rules) / sizeof(text_rules[0]))

static int32_t read_text(const struct reading *reading, const struct dray_json *root, const struct text_rule *rule) {
  const struct dray_json *member = dray_json_get(root, rule->name);
  if (member == NULL) return rule->required ? refuse(reading, rule->name, "is missing") : DRAY_OK;
  if (member->kind != DRAY_JSON_STRING) return refuse(reading, rule->name, "must be a string");
  if (member->text.len >= rule->size) {
    char why[64];
    (void)snprintf(why, sizeof(why), "must be at most %zu bytes long", rule->size - 1);
    return refuse(reading, rule->name, why);
  }
  if (!is_plain(member->text) || !rule->valid(member->text)) return refuse(reading, rule->name, rule->why);
  char *to = (char *)reading->out + rule->offset;
  memcpy(to, member->text.data, member->text.len);
  to[member->text.len] = '\0';
  return DRAY_OK;
}

// ---- abi, roles, unknown members ----

static int32_t read_number(const struct reading *reading, const struct dray_json *abi, const char *name,
                           const char *shown, uint32_t *out) {
  const struct dray_json *member = dray_json_get(abi, name);
  int64_t number = 0;
  if (member == NULL) return refuse(reading, shown, "is missing");
  if (member->kind != DRAY_JSON_NUMBER || dray_parse_int64(member->text, &number, NULL) != DRAY_OK || number < 0 ||
      number > 65535) {
    return refuse(reading, shown, "must be a whole number from 0 to 65535");
  }
  *out = (uint32_t)number;
  return DRAY_OK;
}

static int32_t read_abi(const struct reading *reading, const struct dray_json *root) {
  const struct dray_json *abi = dray_json_get(root, "abi");
  if (abi == NULL) return refuse(reading, "abi", "is missing");
  if (abi->kind != DRAY_JSON_OBJECT) return refuse(reading, "abi", "must be an object with major and minor");
  DRAY_TRY(read_number(reading, abi, "major", "abi.major", &reading->out->abi_major));
  return read_number(reading, abi, "minor", "abi.minor", &reading->out->abi_minor);
}

static int32_t read_roles(const struct reading *reading, const struct dray_json *root) {
  const struct dray_json *roles = dray_json_get(root, "roles");
  if (roles == NULL) return refuse(reading, "roles", "is missing");
  if (roles->kind != DRAY_JSON_ARRAY || roles->child_count == 0) {
    return refuse(reading, "roles", "must be a list of source, destination or warehouse");
  }
  for (const struct dray_json *role = roles->child; role != NULL; role = role->next) {
    const struct dray_str name = dray_json_string(role, "");
    int *has = dray_str_is(name, "source")        ? &reading->out->has_source
               : dray_str_is(name, "destination") ? &reading->out->has_destination
               : dray_str_is(name, "warehouse")   ? &reading->out->has_warehouse
                                                  : NULL;
    if (has == NULL) return refuse(reading, "roles", "must be a list of source, destination or warehouse");
    if (*has) return refuse(reading, "roles", "names a role twice");
    *has = 1;
  }
  return DRAY_OK;
}

static int32_t refuse_unknown(const struct reading *reading, const struct dray_json *root) {
  if (reading->out->abi_major != DRAY_ABI_MAJOR || reading->out->abi_minor > DRAY_ABI_MINOR) return DRAY_OK;
  for (const struct dray_json *member = root->child; member != NULL; member = member->next) {
    const struct dray_str name = member->name;
    if ((name.len > 0 && name.data[0] == '$') || (name.len > 2 && memcmp(name.data, "x-", 2) == 0)) continue;
    struct dray_nearest nearest;
    dray_nearest_init(&nearest, name);
    int known = dray_str_is(name, "abi") || dray_str_is(name, "roles");
    dray_nearest_offer(&nearest, "abi");
    dray_nearest_offer(&nearest, "roles");
    for (size_t i = 0; i < TEXT_RULE_COUNT; i++) {
      known = known || dray_str_is(name, text_rules[i].name);
      dray_nearest_offer(&nearest, text_rules[i].name);
    }
    if (known) continue;
    char shown[64];
    char why[128];
    (void)snprintf(shown, sizeof(shown), "%.*s", DRAY_STR_ARG(name));
    (void)snprintf(why, sizeof(why), "is not a member of a manifest%s", dray_nearest_hint(&nearest));
    return refuse(reading, shown, why);
  }
  return DRAY_OK;
}

static int32_t read_members(const struct reading *reading, const struct dray_json *root) {
  if (root->kind != DRAY_JSON_OBJECT) {
    return dray_fail(reading->error, DRAY_E_PLUGIN_MANIFEST, "%s is not a JSON object", reading->path);
  }
  for (size_t i = 0; i < TEXT_RULE_COUNT; i++) DRAY_TRY(read_text(reading, root, &text_rules[i]));
  DRAY_TRY(read_abi(reading, root));
  DRAY_TRY(read_roles(reading, root));
  return refuse_unknown(reading, root);
}

// ---- the file ----

// Turns what reading or parsing a file said into PLUGIN_MANIFEST, except for what the machine lacks.
static int32_t as_manifest_error(const char *path, int32_t rc, struct dray_error *error) {
  if (rc == DRAY_OK || rc == DRAY_E_OUT_OF_MEMORY) return rc;
  if (error == NULL) return DRAY_E_PLUGIN_MANIFEST;
  char why[DRAY_ERROR_TEXT_MAX];
  memcpy(why, error->text, sizeof(why));
  const int named = strstr(why, path) != NULL; // dr_file_read says the path itself
  return dray_fail(error, DRAY_E_PLUGIN_MANIFEST, "%.500s%s%.400s", named ? "" : path, named ? "" : ": ", why);
}

static int32_t read_file(const char *path, struct dr_manifest *out, struct dray_error *error) {
  struct dray_buffer text;
  struct dray_json *root = NULL;
  dray_buffer_init(&text, MANIFEST_BYTES_MAX + READ_SLACK_BYTES);
  int32_t rc = as_manifest_error(path, dr_file_read(path, MANIFEST_BYTES_MAX, &text, error), error);
  if (rc == DRAY_OK) {
    rc = dray_json_parse(dray_buffer_view(&text), MANIFEST_BYTES_MAX, &root, error);
    rc = as_manifest_error(path, rc, error);
  }
  if (rc == DRAY_OK) {
    const struct reading reading = {path, out, error};
    rc = read_members(&reading, root);
  }
  dray_json_free(root);
  dray_buffer_free(&text);
  return rc;
}

// Splits `path` into the folder and the file's name; a folder gives itself and "".
static int32_t locate(const char *path, char *folder, size_t folder_bytes, const char **out_file,
                      struct dray_error *error) {
  struct stat info;
  if (stat(path, &info) != 0) return dray_fail(error, DRAY_E_PLUGIN_MISSING, "there is no plugin at %s", path);
  const char *slash = strrchr(path, '/');
  int n;
  if (S_ISDIR(info.st_mode)) {
    n = snprintf(folder, folder_bytes, "%s", path);
    *out_file = "";
  } else if (slash == NULL) {
    n = snprintf(folder, folder_bytes, ".");
    *out_file = path;
  } else {
    n = snprintf(folder, folder_bytes, "%.*s", slash == path ? 1 : (int)(slash - path), path);
    *out_file = slash + 1;
  }
  if (n < 0 || (size_t)n >= folder_bytes) {
    return dray_fail(error, DRAY_E_PLUGIN_MANIFEST, "the path %.300s is longer than %zu bytes", path, folder_bytes - 1);
  }
  for (size_t len = (size_t)n; len > 1 && folder[len - 1] == '/'; len--) folder[len - 1] = '\0';
  return DRAY_OK;
}

// The library's file name in the manifest becomes its full path.
static int32_t place_library(struct dr_manifest *manifest, const char *path, struct dray_error *error) {
  char name[sizeof(manifest->library)];
  memcpy(name, manifest->library, sizeof(name));
  const int n = snprintf(manifest->library, sizeof(manifest->library), "%s/%s", manifest->folder, name);
  if (n < 0 || (size_t)n >= sizeof(manifest->library)) {
    return dray_fail(error, DRAY_E_PLUGIN_MANIFEST, "%s: the path of the library is longer than %zu bytes", path,
                     sizeof(manifest->library) - 1);
  }
  return DRAY_OK;
}

int32_t dr_manifest_read(const char *path, struct dr_manifest *out, struct dray_error *error) {
  struct dr_manifest manifest;
  memset(&manifest, 0, sizeof(manifest));
  const char *file = NULL;
  DRAY_TRY(locate(path, manifest.folder, sizeof(manifest.folder), &file, error));
  char at[sizeof(manifest.folder) + sizeof(MANIFEST_NAME) + 1];
  (void)snprintf(at, sizeof(at), "%s/%s", manifest.folder, MANIFEST_NAME);
  if (!dr_file_exists(at)) {
    return dray_fail(error, DRAY_E_PLUGIN_MANIFEST, "there is no %s in %s", MANIFEST_NAME, manifest.folder);
  }
  DRAY_TRY(read_file(at, &manifest, error));
  if (file[0] != '\0' && strcmp(file, MANIFEST_NAME) != 0 && strcmp(file, manifest.library) != 0) {
    return dray_fail(error, DRAY_E_PLUGIN_MANIFEST, "%s describes the library %s, not %s", at, manifest.library, file);
  }
  DRAY_TRY(place_library(&manifest, at, error));
  *out = manifest;
  return DRAY_OK;
}
