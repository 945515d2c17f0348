// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Paths into JSON, as settings and field lists spell them: a.b[2].c, ["a.b"], items[*].
#include "dray/sdk/json.h"
#include "json_text.h"

static int32_t refuse(const char *path, const char *at, const char *why, struct dray_error *error) {
  return dray_fail(error, DRAY_E_CONFIG_VALUE, "the path '%.200s' cannot be read at its byte %td: %s", path,
                   at - path + 1, why);
}

static int32_t next_quoted(const char *path, const char **at, struct dray_json_step *out, struct dray_error *error) {
  const char *begin = *at + 2;
  const char *p = begin;
  while (*p != '\0' && *p != '"') p += *p == '\\' && p[1] != '\0' ? 2 : 1;
  if (p[0] != '"' || p[1] != ']') return refuse(path, p, "a name that begins with [\" ends with \"]", error);
  *out = (struct dray_json_step){
      .kind = DRAY_JSON_STEP_NAME, .escaped = 1, .name = dray_str_make(begin, (uint64_t)(p - begin))};
  *at = p + 2;
  return DRAY_OK;
}

static int32_t next_bracket(const char *path, const char **at, struct dray_json_step *out, struct dray_error *error) {
  if ((*at)[1] == '"') return next_quoted(path, at, out, error);
  if ((*at)[1] == '*' && (*at)[2] == ']') {
    *out = (struct dray_json_step){.kind = DRAY_JSON_STEP_ALL};
    *at += 3;
    return DRAY_OK;
  }
  const char *p = *at + 1;
  uint64_t index = 0;
  while (*p >= '0' && *p <= '9' && index < UINT32_MAX) index = index * 10 + (uint64_t)(*p++ - '0');
  if (p == *at + 1 || *p != ']')
    return refuse(path, p, "expected a number, * or a name in double quotes, then ]", error);
  *out = (struct dray_json_step){.kind = DRAY_JSON_STEP_INDEX, .index = index};
  *at = p + 1;
  return DRAY_OK;
}

int32_t dray_json_step_next(const char *path, const char **at, struct dray_json_step *out, struct dray_error *error) {
  const char *p = *at;
  if (*p == '\0') {
    *out = (struct dray_json_step){.kind = DRAY_JSON_STEP_END};
    return DRAY_OK;
  }
  if (*p == '[') return next_bracket(path, at, out, error);
  if (p != path) {
    if (*p != '.') return refuse(path, p, "expected . or [", error);
    p++;
  }
  const size_t len = strcspn(p, ".[]");
  if (len == 0) return refuse(path, p, "expected a name", error);
  *out = (struct dray_json_step){.kind = DRAY_JSON_STEP_NAME, .name = dray_str_make(p, len)};
  *at = p + len;
  return DRAY_OK;
}

size_t dray_json_step_name(const struct dray_json_step *step, char *out) {
  size_t len = 0;
  for (uint64_t i = 0; i < step->name.len; i++) {
    if (step->escaped && step->name.data[i] == '\\' && i + 1 < step->name.len) i++;
    out[len++] = step->name.data[i];
  }
  return len;
}

int dray_json_step_is(const struct dray_json_step *step, struct dray_str name) {
  if (!step->escaped) return dray_str_equal(step->name, name);
  uint64_t n = 0;
  for (uint64_t i = 0; i < step->name.len; i++, n++) {
    if (step->name.data[i] == '\\' && i + 1 < step->name.len) i++;
    if (n >= name.len || name.data[n] != step->name.data[i]) return 0;
  }
  return n == name.len;
}

int32_t dray_json_path_member(struct dray_buffer *path, struct dray_str name, struct dray_error *error) {
  const size_t before = path->len;
  int plain = name.len > 0;
  for (uint64_t i = 0; i < name.len; i++) plain = plain && memchr(".[]", name.data[i], 3) == NULL;
  int32_t rc = DRAY_OK;
  if (plain) {
    if (before > 0) rc = dray_buffer_append_char(path, '.', error);
    if (rc == DRAY_OK) rc = dray_buffer_append(path, name.data, (size_t)name.len, error);
  } else {
    rc = dray_buffer_append_str(path, "[\"", error);
    for (uint64_t i = 0; rc == DRAY_OK && i < name.len; i++) {
      if (name.data[i] == '"' || name.data[i] == '\\') rc = dray_buffer_append_char(path, '\\', error);
      if (rc == DRAY_OK) rc = dray_buffer_append_char(path, name.data[i], error);
    }
    if (rc == DRAY_OK) rc = dray_buffer_append_str(path, "\"]", error);
  }
  if (rc != DRAY_OK && path->data != NULL) {
    path->len = before;
    path->data[before] = '\0';
  }
  return rc;
}
