// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The man page dray(1), as roff, from the table of commands. The build writes it: `dray help --man > dray.1`.
#include "command.h"

// Text for roff: backslashes, hyphens and leading dots are its own. `code` becomes bold.
static int32_t append_text(struct dray_buffer *out, const char *text, struct dray_error *error) {
  int code = 0, start = 1;
  for (; *text != '\0'; text++) {
    if (*text == '`') {
      code = !code;
      DRAY_TRY(dray_buffer_append_str(out, code ? "\\fB" : "\\fR", error));
      start = 0;
      continue;
    }
    if (start && (*text == '.' || *text == '\'')) DRAY_TRY(dray_buffer_append_str(out, "\\&", error));
    if (*text == '\\') {
      DRAY_TRY(dray_buffer_append_str(out, "\\e", error));
    } else if (*text == '-') {
      DRAY_TRY(dray_buffer_append_str(out, "\\-", error));
    } else if (*text == '\n') { // an empty line begins a paragraph
      const int paragraph = text[1] == '\n';
      DRAY_TRY(dray_buffer_append_str(out, paragraph ? "\n.sp\n" : "\n.br\n", error));
      text += paragraph;
    } else {
      DRAY_TRY(dray_buffer_append_char(out, *text, error));
    }
    start = *text == '\n';
  }
  return dray_buffer_append_char(out, '\n', error);
}

static int32_t append_option(struct dray_buffer *out, const struct dr_option *option, struct dray_error *error) {
  DRAY_TRY(dray_buffer_append_str(out, ".TP\n", error));
  if (option->letter != 0) DRAY_TRY(dray_buffer_printf(out, error, "\\fB\\-%c\\fR, ", option->letter));
  DRAY_TRY(dray_buffer_append_str(out, "\\fB\\-\\-", error));
  for (const char *p = option->name; *p != '\0'; p++)
    DRAY_TRY(*p == '-' ? dray_buffer_append_str(out, "\\-", error) : dray_buffer_append_char(out, *p, error));
  DRAY_TRY(dray_buffer_append_str(out, "\\fR", error));
  if (option->argument != NULL) DRAY_TRY(dray_buffer_printf(out, error, " \\fI%s\\fR", option->argument));
  DRAY_TRY(dray_buffer_append_char(out, '\n', error));
  return append_text(out, option->help, error);
}

static int32_t append_command(struct dray_buffer *out, const struct dr_command *command, const char *parent,
                              struct dray_error *error) {
  char name[64];
  if (command->hidden) return DRAY_OK;
  (void)snprintf(name, sizeof(name), "%s %s", parent, command->name);
  if (command->run != NULL) {
    DRAY_TRY(dray_buffer_printf(out, error, ".SS \\fB%s\\fR%s%s%s\n", name,
                                command->option_count > 0 ? " [OPTION...]" : "", command->arguments != NULL ? " " : "",
                                command->arguments != NULL ? command->arguments : ""));
    DRAY_TRY(append_text(out, command->details != NULL ? command->details : command->summary, error));
    for (size_t i = 0; i < command->option_count; i++) DRAY_TRY(append_option(out, &command->options[i], error));
  }
  for (size_t i = 0; i < command->command_count; i++) DRAY_TRY(append_command(out, &command->commands[i], name, error));
  return DRAY_OK;
}

struct exit_code {
  int code;
  const char *meaning;
};
static const struct exit_code exit_codes[] = {
    {0, "done"},
    {1, "failed"},
    {2, "the plan has changes (with `--detailed-exitcode`)"},
    {3, "partial: some rows were not taken, or not yet; the report says how many and why"},
    {4, "usage or config"},
    {5, "the other side refused the credentials"},
    {6, "locked: another run of the sync is going on"},
    {7, "the guard stopped the run before anything was sent"},
    {8, "a plugin is missing, untrusted or incompatible"},
    {130, "interrupted (SIGINT); 143 for SIGTERM"},
};

static int32_t append_codes(struct dray_buffer *out, struct dray_error *error) {
  DRAY_TRY(dray_buffer_append_str(out, ".SH EXIT STATUS\n", error));
  for (size_t i = 0; i < sizeof(exit_codes) / sizeof(exit_codes[0]); i++) {
    DRAY_TRY(dray_buffer_printf(out, error, ".TP\n.B %d\n", exit_codes[i].code));
    DRAY_TRY(append_text(out, exit_codes[i].meaning, error));
  }
  DRAY_TRY(append_text(out, "`dray explain` lists every error with its exit code.", error));
  return DRAY_OK;
}

static const char *const surroundings =
    ".SH ENVIRONMENT\n"
    ".TP\n.B NO_COLOR\nWhen set and not empty, no colour is used.\n"
    ".TP\n.B DRAY_PLUGIN_PATH\nFolders of plugins, separated by colons, searched before dray's own.\n"
    ".TP\n.B HTTPS_PROXY, NO_PROXY\nA proxy for requests to vendors; hosts that are asked without it.\n"
    ".TP\n.B SSL_CERT_FILE, SSL_CERT_DIR\nThe authorities whose certificates are trusted instead of the system's, a "
    "company's own say. Connections to this machine are not verified.\n"
    ".SH FILES\n"
    ".TP\n.B dray.yaml\nThe project's config; its folder is the project.\n"
    ".TP\n.B connections/*.yaml, syncs/*.yaml, models/*.sql\nMore of the config, when the project grows.\n"
    ".TP\n.B .dray/\nLocal state: runs, mirrors, checkpoints. Not to be committed, not to be lost.\n";

int32_t dr_manual_write(const struct dr_command *root, const char *version, struct dray_buffer *out,
                        struct dray_error *error) {
  DRAY_TRY(dray_buffer_printf(out, error, ".TH DRAY 1 \"\" \"dray %s\" \"User Commands\"\n", version));
  DRAY_TRY(dray_buffer_append_str(out, ".SH NAME\ndray \\- ", error));
  DRAY_TRY(append_text(out, root->summary, error));
  DRAY_TRY(dray_buffer_append_str(out, ".SH SYNOPSIS\n.B dray\n.I COMMAND\n[OPTION...] [ARGUMENT...]\n", error));
  DRAY_TRY(dray_buffer_append_str(out, ".SH DESCRIPTION\n", error));
  DRAY_TRY(append_text(out, root->details != NULL ? root->details : root->summary, error));
  DRAY_TRY(dray_buffer_append_str(out, ".SH COMMANDS\n", error));
  for (size_t i = 0; i < root->command_count; i++) DRAY_TRY(append_command(out, &root->commands[i], root->name, error));
  DRAY_TRY(dray_buffer_append_str(out, ".SH GLOBAL OPTIONS\n", error));
  for (size_t i = 0; i < root->option_count; i++) DRAY_TRY(append_option(out, &root->options[i], error));
  DRAY_TRY(append_codes(out, error));
  return dray_buffer_append_str(out, surroundings, error);
}
