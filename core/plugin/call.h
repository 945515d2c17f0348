// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// One call across the plugin line: the board says who is being called, the error that comes back is checked and masked.
// Every wrapper of calls_*.c and the loader go through here. Several threads may be inside plugins at a time: the board
// names them all, so that a crash is never blamed on the wrong one and a hang is never hidden by another's return.
#ifndef DR_PLUGIN_CALL_H
#define DR_PLUGIN_CALL_H

#include "plugin/plugin.h"

// On the stack of a wrapper. The plugin writes into `inner`, never into the caller's error.
struct dr_call {
  const char *label;
  const char *slot; // "source.open"
  int64_t started_ms;
  struct dray_error *error; // the caller's; may be NULL
  struct dray_error inner;
};

// Enters the plugin. @errors CANCELLED when the run was asked to end: then the plugin must not be called.
DRAY_NODISCARD int32_t dr_call_begin(struct dr_call *call, const char *label, const char *slot,
                                     struct dray_error *error);
// The same for calls that must be made even when the run was asked to end (destroy, close, abort, rollback, state).
void dr_call_enter(struct dr_call *call, const char *label, const char *slot, struct dray_error *error);
// Leaves the plugin. An error becomes one that the host can rely on: a code that exists, a class, terminated UTF-8
// text without
// secrets. Returns `rc`, or PLUGIN_CONTRACT when that is no error code.
DRAY_NODISCARD int32_t dr_call_end(struct dr_call *call, int32_t rc);
void dr_call_leave(struct dr_call *call); // for slots without a result
// Reports a broken rule as PLUGIN_CONTRACT, naming the instance and the slot. After dr_call_end.
DRAY_NODISCARD int32_t dr_call_broken(const struct dr_call *call, const char *format, ...) DRAY_PRINTF(2, 3);

// Replaces what is not UTF-8 and control characters by '?' and ' ', in place.
void dr_clean_text(char *text, size_t len);

#endif // DR_PLUGIN_CALL_H
