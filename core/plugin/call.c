// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Entering and leaving a plugin.
#include "plugin/call.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/board.h"
#include "base/cancel.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/redact.h"

#define ACTIVE_MAX 16      // calls at a time that the board can know of
#define BOARD_TEXT_MAX 128 // of struct dr_board

static const struct dr_call *active[ACTIVE_MAX]; // oldest first
static size_t active_count;
static pthread_mutex_t active_lock = PTHREAD_MUTEX_INITIALIZER;

// Puts all active calls on the board, "A; B". Under the lock.
static void show_active(void) {
  char text[BOARD_TEXT_MAX] = "";
  size_t at = 0;
  for (size_t i = 0; i < active_count && at < sizeof(text); i++) {
    const struct dr_call *call = active[i];
    const int n = snprintf(text + at, sizeof(text) - at, "%s%s%s%s", i > 0 ? "; " : "",
                           call->slot != NULL ? call->slot : "", call->slot != NULL ? " of " : "", call->label);
    at += n > 0 ? (size_t)n : 0;
  }
  if (active_count == 0) {
    dr_board_call(NULL);
  } else {
    dr_board_call("%s", text);
  }
}

void dr_call_enter(struct dr_call *call, const char *label, const char *slot, struct dray_error *error) {
  call->label = label;
  call->slot = slot;
  call->error = error;
  call->started_ms = dr_monotonic_ms();
  dray_error_init(&call->inner);
  (void)pthread_mutex_lock(&active_lock);
  if (active_count < ACTIVE_MAX) active[active_count++] = call;
  show_active();
  (void)pthread_mutex_unlock(&active_lock);
}

int32_t dr_call_begin(struct dr_call *call, const char *label, const char *slot, struct dray_error *error) {
  DRAY_TRY(dr_cancel_check(error));
  dr_call_enter(call, label, slot, error);
  return DRAY_OK;
}

void dr_call_leave(struct dr_call *call) {
  (void)pthread_mutex_lock(&active_lock);
  size_t at = 0;
  while (at < active_count && active[at] != call) at++;
  if (at < active_count) {
    active_count--;
    memmove(&active[at], &active[at + 1], (active_count - at) * sizeof(active[0]));
  }
  show_active();
  (void)pthread_mutex_unlock(&active_lock);
  if (dr_log_level() < DRAY_LOG_DEBUG || call->slot == NULL) return;
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
