// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Entering and leaving a plugin.
#include "plugin/call.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/board.h"
#include "base/cancel.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/redact.h"

void dr_call_enter(struct dr_call *call, const char *label, const char *slot, struct dray_error *error) {
  call->label = label;
  call->slot = slot;
  call->error = error;
  call->started_ms = dr_monotonic_ms();
  dray_error_init(&call->inner);
  dr_board_call("%s of %s", slot, label);
}

int32_t dr_call_begin(struct dr_call *call, const char *label, const char *slot, struct dray_error *error) {
  DRAY_TRY(dr_cancel_check(error));
  dr_call_enter(call, label, slot, error);
  return DRAY_OK;
}

void dr_call_leave(struct dr_call *call) {
  dr_board_call(NULL);
  dr_board_beat();
  if (dr_log_level() < DRAY_LOG_DEBUG) return;
  dr_log(DRAY_LOG_DEBUG, call->label, "%s took %lld ms", call->slot, (long long)(dr_monotonic_ms() - call->started_ms));
}

// ---- what came back ----

// The length of the valid UTF-8 sequence at `text`, 0 when there is none.
static size_t sequence(const char *text, size_t left) {
  for (size_t n = 1; n <= 4 && n <= left; n++) {
    if (dray_utf8_valid(text, n)) return n;
  }
  return 0;
}

void dr_clean_text(char *text, size_t len) {
  for (size_t i = 0; i < len;) {
    const unsigned char c = (unsigned char)text[i];
    const size_t n = sequence(text + i, len - i);
    if (n == 0) text[i] = '?';
    if (c < 0x20 || c == 0x7F) text[i] = ' ';
    i += n == 0 ? 1 : n;
  }
}

static void clean_member(char *text, size_t size) {
  text[size - 1] = '\0';
  dr_clean_text(text, strlen(text));
}

static int code_is_known(int32_t code) {
  return code == DRAY_E_INTERNAL || dray_error_info(code)->code != DRAY_E_INTERNAL;
}

static int class_is_known(int32_t error_class) {
  return error_class >= DRAY_CLASS_CONFIG && error_class <= DRAY_CLASS_BUG;
}

// Makes what the plugin wrote into an error the host can act upon. A code of a newer minor is kept: its class drives.
static int32_t normalise(struct dr_call *call, int32_t rc) {
  struct dray_error *inner = &call->inner;
  inner->struct_size = sizeof(*inner); // the memory is the host's, whatever was written there
  clean_member(inner->vendor_code, sizeof(inner->vendor_code));
  clean_member(inner->field, sizeof(inner->field));
  clean_member(inner->text, sizeof(inner->text));
  const int described = inner->code == rc && class_is_known(inner->error_class);
  if (!code_is_known(rc) && !(rc > 0 && described)) {
    char text[DRAY_ERROR_TEXT_MAX];
    memcpy(text, inner->text, sizeof(text));
    return dray_fail(inner, DRAY_E_PLUGIN_CONTRACT, "%s: %s returned %d, which is no error code of dray%s%.600s",
                     call->label, call->slot, rc, text[0] != '\0' ? "; it said: " : "", text);
  }
  inner->code = rc;
  if (!described) inner->error_class = dray_error_info(rc)->error_class;
  if (inner->retry_after_ms < 0) inner->retry_after_ms = 0;
  if (inner->text[0] == '\0') {
    (void)snprintf(inner->text, sizeof(inner->text), "%s: %s failed: %s", call->label, call->slot,
                   dray_error_info(rc)->what);
  }
  return rc;
}

int32_t dr_call_end(struct dr_call *call, int32_t rc) {
  dr_call_leave(call);
  if (rc == DRAY_OK) return DRAY_OK;
  rc = normalise(call, rc);
  dr_redact_error(&call->inner);
  if (call->error != NULL) *call->error = call->inner;
  return rc;
}

int32_t dr_call_broken(const struct dr_call *call, const char *format, ...) {
  char what[DRAY_ERROR_TEXT_MAX / 2];
  va_list args;
  va_start(args, format);
  const int n = vsnprintf(what, sizeof(what), format, args);
  va_end(args);
  if (n < 0) what[0] = '\0';
  dr_clean_text(what, strlen(what));
  (void)dray_fail(call->error, DRAY_E_PLUGIN_CONTRACT, "%s broke the plugin contract in %s: %s", call->label,
                  call->slot, what);
  dr_redact_error(call->error);
  return DRAY_E_PLUGIN_CONTRACT;
}
