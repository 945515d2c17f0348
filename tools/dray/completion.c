// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// `dray completion bash|zsh|fish`, written from the table of commands. The three scripts work alike: walk the words
// to
// find the command that stands there (its place, such as "dray state show"), then offer what the table has for it.
// Names
// of syncs and connections are asked of `dray completion names`, which reads the project.
#include "command.h"
#include "config/project.h"

struct writer {
  const struct dr_command *root;
  struct dray_buffer *out;
  struct dray_error *error;
};

typedef int32_t visit_fn(struct writer *w, const struct dr_command *command, const char *place);

// Calls `visit` for a command and every one below it, with its place.
static int32_t walk(struct writer *w, const struct dr_command *command, const char *place, visit_fn *visit) {
  DRAY_TRY(visit(w, command, place));
  for (size_t i = 0; i < command->command_count; i++) {
    char below[256];
    if (command->commands[i].hidden) continue;
    (void)snprintf(below, sizeof(below), "%s %s", place, command->commands[i].name);
    DRAY_TRY(walk(w, &command->commands[i], below, visit));
  }
  return DRAY_OK;
}

static int32_t put(struct writer *w, const char *text) {
  return dray_buffer_append_str(w->out, text, w->error);
}

// Within single quotes of a shell; `escape` is how the shell writes a quote there.
static int32_t put_quoted(struct writer *w, const char *text, const char *escape) {
  for (; *text != '\0'; text++)
    DRAY_TRY(*text == '\'' ? put(w, escape) : dray_buffer_append_char(w->out, *text, w->error));
  return DRAY_OK;
}

// The way from the words to the place: one arm of a `case` for every subcommand.
static int32_t put_arm(struct writer *w, const struct dr_command *command, const char *place) {
  if (command == w->root) return DRAY_OK;
  return dray_buffer_printf(w->out, w->error, "      \"%s\") place=\"%s\" ;;\n", place, place);
}

static const char *names_kind(int completes) {
  return completes == DR_COMPLETE_SYNC         ? "syncs"
         : completes == DR_COMPLETE_CONNECTION ? "connections"
         : completes == DR_COMPLETE_CODE       ? "codes"
                                               : NULL;
}

static int32_t put_words(struct writer *w, const struct dr_command *command) {
  const char *blank = "";
  for (size_t i = 0; i < command->command_count; i++) {
    if (command->commands[i].hidden) continue;
    DRAY_TRY(dray_buffer_printf(w->out, w->error, "%s%s", blank, command->commands[i].name));
    blank = " ";
  }
  for (size_t i = 0; command->choices != NULL && command->choices[i] != NULL; i++) {
    DRAY_TRY(dray_buffer_printf(w->out, w->error, "%s%s", blank, command->choices[i]));
    blank = " ";
  }
  return DRAY_OK;
}

// The arm for "the word before is this option": the global ones count at every place.
static int32_t put_pattern(struct writer *w, const struct dr_command *command, const char *place,
                           const struct dr_option *option) {
  const int anywhere = command == w->root;
  DRAY_TRY(dray_buffer_printf(w->out, w->error, "    %s\"%s:--%s\"", anywhere ? "*" : "", anywhere ? "" : place,
                              option->name));
  if (option->letter != 0)
    DRAY_TRY(dray_buffer_printf(w->out, w->error, " | %s\"%s:-%c\"", anywhere ? "*" : "", anywhere ? "" : place,
                                option->letter));
  return put(w, ") ");
}

// ---- bash ----

static int32_t bash_offer(struct writer *w, int completes) {
  const char *kind = names_kind(completes);
  if (kind != NULL)
    return dray_buffer_printf(
        w->out, w->error, "COMPREPLY=($(compgen -W \"$(dray completion names %s 2>/dev/null)\" -- \"$cur\"))", kind);
  if (completes == DR_COMPLETE_FOLDER) return put(w, "compopt -o filenames; COMPREPLY=($(compgen -d -- \"$cur\"))");
  return put(w, completes == DR_COMPLETE_FILE ? "compopt -o filenames; COMPREPLY=($(compgen -f -- \"$cur\"))" : ":");
}

static int32_t bash_values(struct writer *w, const struct dr_command *command, const char *place) {
  for (size_t i = 0; i < command->option_count; i++) {
    const struct dr_option *option = &command->options[i];
    if (option->argument == NULL) continue;
    DRAY_TRY(put_pattern(w, command, place, option));
    DRAY_TRY(bash_offer(w, option->completes));
    DRAY_TRY(put(w, "; return ;;\n"));
  }
  return DRAY_OK;
}

static int32_t bash_options(struct writer *w, const struct dr_command *command, const char *place) {
  if (command == w->root || command->option_count == 0) return DRAY_OK;
  DRAY_TRY(dray_buffer_printf(w->out, w->error, "      \"%s\") options=\"", place));
  for (size_t i = 0; i < command->option_count; i++)
    DRAY_TRY(dray_buffer_printf(w->out, w->error, "%s--%s", i > 0 ? " " : "", command->options[i].name));
  return put(w, "\" ;;\n");
}

static int32_t bash_positionals(struct writer *w, const struct dr_command *command, const char *place) {
  DRAY_TRY(dray_buffer_printf(w->out, w->error, "    \"%s\") ", place));
  const char *kind = names_kind(command->completes);
  if (kind != NULL) {
    DRAY_TRY(put(w, "COMPREPLY=($(compgen -W \""));
    DRAY_TRY(put_words(w, command));
    DRAY_TRY(dray_buffer_printf(w->out, w->error, " $(dray completion names %s 2>/dev/null)\" -- \"$cur\"))", kind));
  } else if (command->completes == DR_COMPLETE_FILE || command->completes == DR_COMPLETE_FOLDER) {
    DRAY_TRY(bash_offer(w, command->completes));
  } else {
    DRAY_TRY(put(w, "COMPREPLY=($(compgen -W \""));
    DRAY_TRY(put_words(w, command->completes == DR_COMPLETE_COMMAND ? w->root : command));
    DRAY_TRY(put(w, "\" -- \"$cur\"))"));
  }
  return put(w, " ;;\n");
}

static int32_t write_bash(struct writer *w) {
  DRAY_TRY(put(w,
               "# bash completion for dray; load it with: source <(dray completion bash)\n"
               "_dray() {\n"
               "  local cur=\"${COMP_WORDS[COMP_CWORD]}\" prev=\"${COMP_WORDS[COMP_CWORD-1]}\" place=dray options= i\n"
               "  COMPREPLY=()\n"
               "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
               "    case \"$place ${COMP_WORDS[i]}\" in\n"));
  DRAY_TRY(walk(w, w->root, w->root->name, put_arm));
  DRAY_TRY(put(w, "    esac\n  done\n  case \"$place:$prev\" in\n"));
  DRAY_TRY(walk(w, w->root, w->root->name, bash_values));
  DRAY_TRY(put(w, "  esac\n  if [[ \"$cur\" == -* ]]; then\n    case \"$place\" in\n"));
  DRAY_TRY(walk(w, w->root, w->root->name, bash_options));
  DRAY_TRY(put(w, "    esac\n    COMPREPLY=($(compgen -W \"$options"));
  for (size_t i = 0; i < w->root->option_count; i++)
    DRAY_TRY(dray_buffer_printf(w->out, w->error, " --%s", w->root->options[i].name));
  DRAY_TRY(put(w, "\" -- \"$cur\"))\n    return\n  fi\n  case \"$place\" in\n"));
  DRAY_TRY(walk(w, w->root, w->root->name, bash_positionals));
  return put(w, "  esac\n}\ncomplete -F _dray dray\n");
}

// ---- zsh ----

static int32_t zsh_item(struct writer *w, const char *dashes, const char *name, const char *help) {
  DRAY_TRY(dray_buffer_printf(w->out, w->error, " '%s%s:", dashes, name));
  DRAY_TRY(put_quoted(w, help, "'\\''"));
  return put(w, "'");
}

static int32_t zsh_offer(struct writer *w, int completes) {
  const char *kind = names_kind(completes);
  if (kind != NULL)
    return dray_buffer_printf(w->out, w->error, "compadd -- ${(f)\"$(dray completion names %s 2>/dev/null)\"}", kind);
  if (completes == DR_COMPLETE_FOLDER) return put(w, "_files -/");
  return put(w, completes == DR_COMPLETE_FILE ? "_files" : ":");
}

static int32_t zsh_values(struct writer *w, const struct dr_command *command, const char *place) {
  for (size_t i = 0; i < command->option_count; i++) {
    const struct dr_option *option = &command->options[i];
    if (option->argument == NULL) continue;
    DRAY_TRY(put_pattern(w, command, place, option));
    DRAY_TRY(zsh_offer(w, option->completes));
    DRAY_TRY(put(w, "; return ;;\n"));
  }
  return DRAY_OK;
}

static int32_t zsh_options(struct writer *w, const struct dr_command *command, const char *place) {
  if (command == w->root || command->option_count == 0) return DRAY_OK;
  DRAY_TRY(dray_buffer_printf(w->out, w->error, "      \"%s\") items+=(", place));
  for (size_t i = 0; i < command->option_count; i++)
    DRAY_TRY(zsh_item(w, "--", command->options[i].name, command->options[i].help));
  return put(w, ") ;;\n");
}

static int32_t zsh_positionals(struct writer *w, const struct dr_command *command, const char *place) {
  const struct dr_command *listed = command->completes == DR_COMPLETE_COMMAND ? w->root : command;
  DRAY_TRY(dray_buffer_printf(w->out, w->error, "    \"%s\")", place));
  if (listed->command_count > 0) {
    DRAY_TRY(put(w, " items=("));
    for (size_t i = 0; i < listed->command_count; i++) {
      if (!listed->commands[i].hidden) DRAY_TRY(zsh_item(w, "", listed->commands[i].name, listed->commands[i].summary));
    }
    DRAY_TRY(put(w, "); _describe command items;"));
  }
  if (command->choices != NULL) {
    DRAY_TRY(put(w, " compadd -- "));
    DRAY_TRY(put_words(w, command));
    DRAY_TRY(put(w, ";"));
  }
  if (names_kind(command->completes) != NULL || command->completes == DR_COMPLETE_FILE ||
      command->completes == DR_COMPLETE_FOLDER) {
    DRAY_TRY(put(w, " "));
    DRAY_TRY(zsh_offer(w, command->completes));
  }
  return put(w, " ;;\n");
}

static int32_t write_zsh(struct writer *w) {
  DRAY_TRY(put(w, "#compdef dray\n"
                  "# zsh completion for dray; load it with: source <(dray completion zsh)\n"
                  "_dray() {\n"
                  "  local place=dray i\n"
                  "  local -a items\n"
                  "  for ((i = 2; i < CURRENT; i++)); do\n"
                  "    case \"$place ${words[i]}\" in\n"));
  DRAY_TRY(walk(w, w->root, w->root->name, put_arm));
  DRAY_TRY(put(w, "    esac\n  done\n  case \"$place:${words[CURRENT-1]}\" in\n"));
  DRAY_TRY(walk(w, w->root, w->root->name, zsh_values));
  DRAY_TRY(put(w, "  esac\n  if [[ \"${words[CURRENT]}\" == -* ]]; then\n    case \"$place\" in\n"));
  DRAY_TRY(walk(w, w->root, w->root->name, zsh_options));
  DRAY_TRY(put(w, "    esac\n    items+=("));
  for (size_t i = 0; i < w->root->option_count; i++)
    DRAY_TRY(zsh_item(w, "--", w->root->options[i].name, w->root->options[i].help));
  DRAY_TRY(put(w, ")\n    _describe option items\n    return\n  fi\n  case \"$place\" in\n"));
  DRAY_TRY(walk(w, w->root, w->root->name, zsh_positionals));
  return put(w, "  esac\n}\n"
                "if [[ \"${funcstack[1]}\" == _dray ]]; then _dray \"$@\"; else compdef _dray dray; fi\n");
}

// ---- fish ----

static int32_t fish_begin(struct writer *w, const char *place, int anywhere) {
  return anywhere ? put(w, "complete -c dray")
                  : dray_buffer_printf(w->out, w->error, "complete -c dray -n 'test (__dray_place) = \"%s\"'", place);
}

static int32_t fish_names(struct writer *w, int completes) {
  const char *kind = names_kind(completes);
  if (kind != NULL) return dray_buffer_printf(w->out, w->error, " -a '(dray completion names %s 2>/dev/null)'", kind);
  if (completes == DR_COMPLETE_FOLDER) return put(w, " -a '(__fish_complete_directories)'");
  return completes == DR_COMPLETE_FILE ? put(w, " -F") : DRAY_OK;
}

static int32_t fish_command(struct writer *w, const struct dr_command *command, const char *place) {
  for (size_t i = 0; i < command->option_count; i++) {
    const struct dr_option *option = &command->options[i];
    DRAY_TRY(fish_begin(w, place, command == w->root));
    DRAY_TRY(dray_buffer_printf(w->out, w->error, " -l %s", option->name));
    if (option->letter != 0) DRAY_TRY(dray_buffer_printf(w->out, w->error, " -s %c", option->letter));
    if (option->argument != NULL) DRAY_TRY(put(w, option->completes == DR_COMPLETE_FILE ? " -r" : " -x"));
    if (option->argument != NULL) DRAY_TRY(fish_names(w, option->completes));
    DRAY_TRY(put(w, " -d '"));
    DRAY_TRY(put_quoted(w, option->help, "\\'"));
    DRAY_TRY(put(w, "'\n"));
  }
  const struct dr_command *listed = command->completes == DR_COMPLETE_COMMAND ? w->root : command;
  for (size_t i = 0; i < listed->command_count; i++) {
    if (listed->commands[i].hidden) continue;
    DRAY_TRY(fish_begin(w, place, 0));
    DRAY_TRY(dray_buffer_printf(w->out, w->error, " -a %s -d '", listed->commands[i].name));
    DRAY_TRY(put_quoted(w, listed->commands[i].summary, "\\'"));
    DRAY_TRY(put(w, "'\n"));
  }
  if (command->completes == DR_COMPLETE_NOTHING || command->completes == DR_COMPLETE_COMMAND) return DRAY_OK;
  DRAY_TRY(fish_begin(w, place, 0));
  if (command->choices != NULL) {
    DRAY_TRY(put(w, " -a '"));
    DRAY_TRY(put_words(w, command));
    DRAY_TRY(put(w, "'"));
  }
  DRAY_TRY(fish_names(w, command->completes));
  return put(w, "\n");
}

static int32_t write_fish(struct writer *w) {
  DRAY_TRY(put(w, "# fish completion for dray; load it with: dray completion fish | source\n"
                  "function __dray_place\n"
                  "  set -l place dray\n"
                  "  for word in (commandline -opc)[2..-1]\n"
                  "    switch \"$place $word\"\n"
                  "      case "));
  DRAY_TRY(put(w, "'dray'"));
  for (size_t i = 0; i < w->root->command_count; i++) {
    const struct dr_command *command = &w->root->commands[i];
    if (command->hidden) continue;
    DRAY_TRY(dray_buffer_printf(w->out, w->error, " '%s %s'", w->root->name, command->name));
    for (size_t k = 0; k < command->command_count; k++) {
      if (!command->commands[k].hidden)
        DRAY_TRY(dray_buffer_printf(w->out, w->error, " '%s %s %s'", w->root->name, command->name,
                                    command->commands[k].name));
    }
  }
  DRAY_TRY(put(w, "\n        set place \"$place $word\"\n    end\n  end\n  echo $place\nend\ncomplete -c dray -f\n"));
  return walk(w, w->root, w->root->name, fish_command);
}

// ---- the commands ----

int32_t dr_completion_write(const struct dr_command *root, const char *shell, struct dray_buffer *out,
                            struct dray_error *error) {
  struct writer w = {root, out, error};
  if (strcmp(shell, "bash") == 0) return write_bash(&w);
  if (strcmp(shell, "zsh") == 0) return write_zsh(&w);
  if (strcmp(shell, "fish") == 0) return write_fish(&w);
  return dray_fail(error, DRAY_E_USAGE, "completion is for bash, zsh or fish, not for \"%s\"", shell);
}

int32_t cmd_completion(struct dr_command_call *call) {
  struct dray_buffer text;
  dray_buffer_init(&text, 1024 * 1024);
  const int32_t rc = dr_completion_write(call->root, call->positionals[0], &text, &call->error);
  if (rc == DRAY_OK) dr_print_str(call->output, dray_buffer_view(&text));
  dray_buffer_free(&text);
  return rc == DRAY_OK ? 0 : dr_print_error(call->output, &call->error);
}

// Names for the scripts, one a line. Whatever goes wrong, there is nothing to say: a person is typing.
int32_t cmd_names(struct dr_command_call *call) {
  const char *kind = call->positionals[0];
  struct dr_project *project = NULL;
  if (strcmp(kind, "codes") == 0) {
    size_t count = 0;
    const struct dray_error_info *infos = dray_error_table(&count);
    for (size_t i = 0; i < count; i++) dr_print(call->output, "%s\n", infos[i].name);
    return 0;
  }
  if (dr_project_load(call->project_folder, &project, &call->error) != DRAY_OK) return 0;
  for (size_t i = 0; strcmp(kind, "syncs") == 0 && i < project->sync_count; i++)
    dr_print(call->output, "%s\n", project->syncs[i].name);
  for (size_t i = 0; strcmp(kind, "connections") == 0 && i < project->connection_count; i++)
    dr_print(call->output, "%s\n", project->connections[i].name);
  dr_project_free(project);
  return 0;
}
