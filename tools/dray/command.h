// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The frame of the command line. Every command is one row of one const table; parsing, --help, the errors with their
// nearest names, completion and the man page all derive from it.
//
// To add a command: a row in commands.c, and a function `int32_t cmd_NAME(struct dr_command_call *call)` in
// cmd_NAME.c that
// returns the exit code:
//
//   int32_t cmd_status(struct dr_command_call *call) {
//     struct dr_project *project = NULL;
//     const int32_t opened = dr_command_project(call, &project);     // prints what is wrong; 0: go on
//     if (opened != 0) return opened;
//     uint64_t runs = 10;
//     if (dr_option_number(call, "runs", 1, 1000, &runs) != 0) return DR_EXIT_USAGE;
//     ...
//     if (rc != DRAY_OK) return dr_print_error(call->output, &call->error);
//     return 0;
//   }
#ifndef DR_TOOL_COMMAND_H
#define DR_TOOL_COMMAND_H

#include "output.h"

// Exit codes (design §8). Those of errors come from errors.def by way of dr_print_error.
enum {
  DR_EXIT_DONE = 0,
  DR_EXIT_FAILED = 1,
  DR_EXIT_CHANGES = 2, // plan --detailed-exitcode; diff: the inputs differ
  DR_EXIT_PARTIAL = 3, // some rows rejected
  DR_EXIT_USAGE = 4,
  DR_EXIT_AUTH = 5,
  DR_EXIT_LOCKED = 6,
  DR_EXIT_GUARD = 7,
  DR_EXIT_PLUGIN = 8,
  DR_EXIT_INTERRUPTED = 130, // SIGINT
  DR_EXIT_TERMINATED = 143   // SIGTERM
};

// What an argument names, for completion.
enum {
  DR_COMPLETE_NOTHING,
  DR_COMPLETE_SYNC,
  DR_COMPLETE_CONNECTION,
  DR_COMPLETE_CODE,
  DR_COMPLETE_COMMAND,
  DR_COMPLETE_FILE,
  DR_COMPLETE_FOLDER,
  DR_COMPLETE_CHOICES // the command's `choices`
};

struct dr_option {
  const char *name;     // without the dashes
  char letter;          // 0: none
  const char *argument; // NULL: a flag; else its name in the help, such as "N"
  const char *help;     // one line
  int completes;        // DR_COMPLETE_*
};

struct dr_command_call;

struct dr_command {
  const char *name;
  const char *summary;   // half a line
  const char *arguments; // positionals in the usage line: "[SYNC...]"; NULL: none
  const char *details;   // a paragraph or two for the help; NULL: none
  const struct dr_option *options;
  size_t option_count;
  const struct dr_command *commands; // subcommands
  size_t command_count;
  size_t positional_min, positional_max;        // SIZE_MAX: any number
  int completes;                                // what the positionals name
  const char *const *choices;                   // NULL-terminated
  int hidden;                                   // not in help, completion and manual
  int32_t (*run)(struct dr_command_call *call); // returns the exit code; NULL: only subcommands do something
};

#define DR_GIVEN_MAX 64

// One call of a command.
struct dr_command_call {
  const struct dr_command *root, *command;
  char name[64];       // "state show"
  const char *version; // of dray
  struct dr_output *output;
  const char *project_folder; // --project; NULL: the nearest one upwards
  int verbose;                // 0, 1 or 2 times -v
  const char *const *positionals;
  size_t positional_count;
  struct dr_given {
    const struct dr_option *option;
    const char *value; // "" for a flag
  } given[DR_GIVEN_MAX];
  size_t given_count;
  struct dray_error error; // for the command's use; empty
};

// The value of an option, "" for a flag that was given, NULL when it was not. The last one counts.
const char *dr_option(const struct dr_command_call *call, const char *name);
// A number between the limits; *out is left alone when the option was not given. Returns 0, or 4 after a message.
int32_t dr_option_number(struct dr_command_call *call, const char *name, uint64_t minimum, uint64_t maximum,
                         uint64_t *out);
// Prints what is wrong with the command line and where its help is. Returns 4.
int32_t dr_usage(struct dr_command_call *call, const char *nearest, const char *format, ...) DRAY_PRINTF(3, 4);
// Loads the project of the call. Returns 0, or the exit code after the message or all the problems. The caller frees
// *out
// with dr_project_free. Without problems, everything in *out is set.
int32_t dr_command_project(struct dr_command_call *call, struct dr_project **out);
// As above, but a project with problems is handed out with them: for `check`, which adds what the plugins say.
int32_t dr_command_project_any(struct dr_command_call *call, struct dr_project **out);
// The syncs that the positionals name, each "x" or "x.stream"; "x" names all streams of x. None named: all when
// `all`,
// otherwise none. Returns 0 and indexes into project->syncs (freed with free()), or the exit code after a message.
int32_t dr_command_syncs(struct dr_command_call *call, const struct dr_project *project, int all, size_t **out,
                         size_t *out_count);

// Parses the command line and runs what it says. `version` is printed by --version. Returns the exit code.
int32_t dr_command_main(const struct dr_command *root, const char *version, int argc, const char *const *argv,
                        struct dr_output *output);

// What the table becomes. They append to `out`.
DRAY_NODISCARD int32_t dr_help_write(const struct dr_command *root, const struct dr_command *command, const char *name,
                                     struct dray_buffer *out, struct dray_error *error);
DRAY_NODISCARD int32_t dr_manual_write(const struct dr_command *root, const char *version, struct dray_buffer *out,
                                       struct dray_error *error);
DRAY_NODISCARD int32_t dr_completion_write(const struct dr_command *root, const char *shell, struct dray_buffer *out,
                                           struct dray_error *error);
const struct dr_command *dr_command_find(const struct dr_command *parent, const char *name);

extern const struct dr_command dr_root; // commands.c

// Commands, by file: cmd_NAME.c, or NAME.c for those of the frame.
int32_t cmd_check(struct dr_command_call *call);
int32_t cmd_diff(struct dr_command_call *call);
int32_t cmd_discover(struct dr_command_call *call);
int32_t cmd_plan(struct dr_command_call *call);
int32_t cmd_sync(struct dr_command_call *call);
int32_t cmd_status(struct dr_command_call *call);
int32_t cmd_rows(struct dr_command_call *call);
int32_t cmd_rows_retry(struct dr_command_call *call);
int32_t cmd_rows_resolve(struct dr_command_call *call);
int32_t cmd_state_show(struct dr_command_call *call);
int32_t cmd_state_verify(struct dr_command_call *call);
int32_t cmd_state_reset(struct dr_command_call *call);
int32_t cmd_state_baseline(struct dr_command_call *call);
int32_t cmd_state_rebuild(struct dr_command_call *call);
int32_t cmd_plugin_list(struct dr_command_call *call);
int32_t cmd_plugin_info(struct dr_command_call *call);
int32_t cmd_plugin_new(struct dr_command_call *call);
int32_t cmd_plugin_test(struct dr_command_call *call);
int32_t cmd_explain(struct dr_command_call *call);
int32_t cmd_init(struct dr_command_call *call);
int32_t cmd_completion(struct dr_command_call *call);
int32_t cmd_names(struct dr_command_call *call);
int32_t cmd_help(struct dr_command_call *call);

#endif // DR_TOOL_COMMAND_H
