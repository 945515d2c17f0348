// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// `dray help`, `dray COMMAND --help`, `dray help --man`.
#include "command.h"

#define WIDTH 80

// Breaks text into lines of WIDTH at blanks; every line begins with `indent` blanks, the first is there already when
// `at` is not 0.
static int32_t append_wrapped(struct dray_buffer *out, const char *text, size_t indent, size_t at,
                              struct dray_error *error) {
  while (*text != '\0') {
    const size_t word = strcspn(text, " \n");
    if (at > indent && at + 1 + word > WIDTH) {
      DRAY_TRY(dray_buffer_append_char(out, '\n', error));
      at = 0;
    }
    if (at == 0) {
      DRAY_TRY(dray_buffer_printf(out, error, "%*s", (int)indent, ""));
      at = indent;
    } else if (at > indent) {
      DRAY_TRY(dray_buffer_append_char(out, ' ', error));
      at++;
    }
    DRAY_TRY(dray_buffer_append(out, text, word, error));
    at += word;
    text += word;
    if (*text == '\n') { // a break that the text asks for
      DRAY_TRY(dray_buffer_append_char(out, '\n', error));
      at = 0;
    }
    if (*text != '\0') text++;
  }
  return dray_buffer_append_char(out, '\n', error);
}

static void spell_option(const struct dr_option *option, char *out, size_t out_bytes) {
  char letter[8] = "    ";
  if (option->letter != 0) (void)snprintf(letter, sizeof(letter), "-%c, ", option->letter);
  (void)snprintf(out, out_bytes, "%s--%s%s%s", letter, option->name, option->argument != NULL ? " " : "",
                 option->argument != NULL ? option->argument : "");
}

static int32_t append_entry(struct dray_buffer *out, const char *name, const char *text, size_t width,
                            struct dray_error *error) {
  DRAY_TRY(dray_buffer_printf(out, error, "  %-*s  ", (int)width, name));
  return append_wrapped(out, text, width + 4, width + 4, error);
}

static int32_t append_options(const struct dr_command *command, const char *title, struct dray_buffer *out,
                              struct dray_error *error) {
  char spelt[64];
  size_t width = 0;
  if (command->option_count == 0) return DRAY_OK;
  DRAY_TRY(dray_buffer_printf(out, error, "\n%s:\n", title));
  for (size_t i = 0; i < command->option_count; i++) {
    spell_option(&command->options[i], spelt, sizeof(spelt));
    if (strlen(spelt) > width) width = strlen(spelt);
  }
  for (size_t i = 0; i < command->option_count; i++) {
    spell_option(&command->options[i], spelt, sizeof(spelt));
    DRAY_TRY(append_entry(out, spelt, command->options[i].help, width, error));
  }
  return DRAY_OK;
}

static int32_t append_commands(const struct dr_command *command, struct dray_buffer *out, struct dray_error *error) {
  size_t width = 0;
  if (command->command_count == 0) return DRAY_OK;
  DRAY_TRY(dray_buffer_append_str(out, "\nCommands:\n", error));
  for (size_t i = 0; i < command->command_count; i++) {
    if (strlen(command->commands[i].name) > width) width = strlen(command->commands[i].name);
  }
  for (size_t i = 0; i < command->command_count; i++) {
    if (command->commands[i].hidden) continue;
    DRAY_TRY(append_entry(out, command->commands[i].name, command->commands[i].summary, width, error));
  }
  return DRAY_OK;
}

static int32_t append_usage(const struct dr_command *root, const struct dr_command *command, const char *name,
                            struct dray_buffer *out, struct dray_error *error) {
  const char *options = command->option_count > 0 && command != root ? " [OPTION...]" : "";
  DRAY_TRY(dray_buffer_append_str(out, "Usage: ", error));
  if (command->run != NULL)
    DRAY_TRY(dray_buffer_printf(out, error, "%s%s%s%s\n", name, options, command->arguments != NULL ? " " : "",
                                command->arguments != NULL ? command->arguments : ""));
  if (command->command_count > 0)
    DRAY_TRY(dray_buffer_printf(out, error, "%s%s COMMAND [...]\n", command->run != NULL ? "       " : "", name));
  return DRAY_OK;
}

int32_t dr_help_write(const struct dr_command *root, const struct dr_command *command, const char *name,
                      struct dray_buffer *out, struct dray_error *error) {
  DRAY_TRY(append_usage(root, command, name, out, error));
  DRAY_TRY(dray_buffer_append_char(out, '\n', error));
  DRAY_TRY(append_wrapped(out, command->details != NULL ? command->details : command->summary, 0, 0, error));
  DRAY_TRY(append_commands(command, out, error));
  if (command != root) DRAY_TRY(append_options(command, "Options", out, error));
  return append_options(root, "Global options", out, error);
}

static int32_t print_text(struct dr_command_call *call, int32_t rc, struct dray_buffer *text) {
  if (rc == DRAY_OK) dr_print_str(call->output, dray_buffer_view(text));
  dray_buffer_free(text);
  return rc == DRAY_OK ? 0 : dr_print_error(call->output, &call->error);
}

int32_t cmd_help(struct dr_command_call *call) {
  struct dray_buffer text;
  dray_buffer_init(&text, 1024 * 1024);
  if (dr_option(call, "man") != NULL)
    return print_text(call, dr_manual_write(call->root, call->version, &text, &call->error), &text);
  const struct dr_command *command = call->root;
  char name[64];
  (void)snprintf(name, sizeof(name), "%s", call->root->name);
  for (size_t i = 0; i < call->positional_count; i++) {
    const struct dr_command *sub = dr_command_find(command, call->positionals[i]);
    if (sub == NULL) return dr_usage(call, NULL, "`%s` has no command \"%s\"", name, call->positionals[i]);
    const size_t len = strlen(name);
    (void)snprintf(name + len, sizeof(name) - len, " %s", sub->name);
    command = sub;
  }
  return print_text(call, dr_help_write(call->root, command, name, &text, &call->error), &text);
}
