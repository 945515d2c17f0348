// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Work that touches plugins happens in a child process, and the terminal belongs to the parent: it draws the
// progress line, passes on what the child prints, and
// says what became of a child that crashed or hung.
#ifndef DR_TOOL_WATCHED_H
#define DR_TOOL_WATCHED_H

#include "command.h"
#include "sync/session.h"

// What the child works with.
struct dr_watched {
  struct dr_command_call *call;
  struct dr_project *project; // NULL: none
  struct dr_session *session; // open while `work` runs; NULL without a project
  void *ctx;
};

// Opens a session on `project` in a child and runs `work`, whose return value is the exit code; without a project
// (NULL) there is no session. `sync` names the work in the progress line (NULL: no progress). Failures to open the
// session are printed. Returns the exit code.
int32_t dr_watched_run(struct dr_command_call *call, struct dr_project *project, const char *sync,
                       int32_t (*work)(struct dr_watched *watched), void *ctx);
// Prints an error of `work`: all problems of the project where there are any, the error itself otherwise. Returns
// the exit code.
int32_t dr_watched_error(struct dr_watched *watched, const struct dray_error *error);

// Opens the store of a project. Returns 0, or the exit code after a message.
int32_t dr_command_store(struct dr_command_call *call, const struct dr_project *project, struct dr_store **out);

// "541,909": into a buffer of at least 32 bytes, which is returned.
const char *dr_thousands(uint64_t number, char *out);
// "1.2 MB", "12 s", "1 min 3 s": the same.
const char *dr_bytes_text(uint64_t bytes, char *out);
const char *dr_duration_text(int64_t ms, char *out);

#endif // DR_TOOL_WATCHED_H
