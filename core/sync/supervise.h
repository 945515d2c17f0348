// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Work in a child process, watched: a plugin that crashes or hangs ends its child and nothing else. The parent loads
// no plugin.
#ifndef DR_SYNC_SUPERVISE_H
#define DR_SYNC_SUPERVISE_H

#include "base/board.h"
#include "dray/sdk/error.h"

struct dr_supervise_options {
  int64_t stall_timeout_ms; // a call into a plugin without any progress for so long is a hang; 0: never
  int64_t grace_ms;         // between a cancel, or the end of what is awaited after it, and the kill; 0: 10,000
  const char *sync;         // shown in progress; NULL: none
  // Called about ten times a second while the child works, with 1 when it is about to print (progress must leave the
  // line). NULL: no progress; the child then
  // writes to our stdout and stderr itself.
  void (*progress)(void *ctx, const struct dr_board_view *view, int leave);
  void *ctx;
};

struct dr_supervise_result {
  int exit_code; // the child's, or that of `error`
  int32_t pid;
  struct dray_error error; // code 0, or PLUGIN_CRASHED, PLUGIN_HUNG, CANCELLED, KILLED
};

// Runs `work(ctx)` in a child; its return value is the exit code. SIGINT and SIGTERM are passed on as a cancel; the
// second one kills. Must be called from a
// process with one thread and no open store. @errors OUT_OF_MEMORY, IO when no child could be made.
DRAY_NODISCARD int32_t dr_supervise(int (*work)(void *ctx), void *ctx, const struct dr_supervise_options *options,
                                    struct dr_supervise_result *out, struct dray_error *error);

#endif // DR_SYNC_SUPERVISE_H
