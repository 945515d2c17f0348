// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
#include "dray/sdk/start.h"

#include <assert.h>

#include "dray/sdk/json.h"
#include "dray/sdk/value.h"

#define MEMBER "start_date"

// 0: it remembers none.
static int read_start(const struct dray_json *root, int64_t *out) {
  const struct dray_json *value = root != NULL && root->kind == DRAY_JSON_OBJECT ? dray_json_get(root, MEMBER) : NULL;
  if (value == NULL) return 0;
  *out = DRAY_START_NONE;
  if (value->kind == DRAY_JSON_NULL) return 1;
  return value->kind == DRAY_JSON_STRING && dray_parse_timestamp(value->text, out, NULL) == DRAY_OK;
}

int32_t dray_start_resume(const struct dray_services *services, const char *stream, int64_t *start_us,
                          struct dray_str *state, struct dray_error *error) {
  struct dray_json *root = NULL;
  int64_t begun_us = *start_us;
  if (state->len == 0) return DRAY_OK;
  const int32_t rc = dray_json_parse(*state, state->len, &root, NULL);
  if (rc == DRAY_E_OUT_OF_MEMORY) return dray_fail(error, rc, "no memory for a state");
  const int known = rc == DRAY_OK && read_start(root, &begun_us);
  dray_json_free(root);
  if (!known || begun_us == *start_us) return DRAY_OK;
  if (*start_us > begun_us) {
    *start_us = begun_us;
    return DRAY_OK;
  }
  char now[DRAY_FORMAT_BYTES_MAX] = "the beginning of all", then[DRAY_FORMAT_BYTES_MAX];
  (void)dray_format_timestamp(begun_us, then);
  if (*start_us != DRAY_START_NONE) (void)dray_format_timestamp(*start_us, now);
  dray_log_printf(services, DRAY_LOG_WARN,
                  "%s: it was read from %s on and start_date is earlier now: it is read again from %s", stream, then,
                  now);
  *state = dray_str_make(NULL, 0);
  return DRAY_OK;
}

int32_t dray_start_remember(int64_t start_us, struct dray_buffer *state, struct dray_error *error) {
  char text[DRAY_FORMAT_BYTES_MAX] = "null";
  assert(state->len > 2 && state->data[state->len - 1] == '}');
  const char *quote = start_us != DRAY_START_NONE ? "\"" : "";
  if (start_us != DRAY_START_NONE) (void)dray_format_timestamp(start_us, text);
  state->len--;
  const int32_t rc = dray_buffer_printf(state, error, ",\"" MEMBER "\":%s%s%s}", quote, text, quote);
  if (rc != DRAY_OK) state->data[state->len++] = '}';
  return rc;
}
