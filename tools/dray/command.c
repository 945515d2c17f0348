// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Parsing the command line by the table, and calling what it names. Options stand anywhere after the command they
// belong
// to; the global ones stand anywhere; "--" ends them.
#include "command.h"

#include <assert.h>
#include <stdlib.h>

#include "base/log.h"
#include "config/project.h"
#include "dray/sdk/config.h"

#define POSITIONALS_MAX 4096

struct parser {
  struct dr_command_call *call;
  int argc;
  const char *const *argv;
  int at;
  const char **positionals;
  int ended;    // "--" was seen
  int32_t exit; // set when parsing is over early; -1: go on
};

const struct dr_command *dr_command_find(const struct dr_command *parent, const char *name) {
  for (size_t i = 0; i < parent->command_count; i++) {
    if (strcmp(parent->commands[i].name, name) == 0) return &parent->commands[i];
  }
  return NULL;
}

static const struct dr_option *find_option(const struct dr_command *command, struct dray_str name) {
  for (size_t i = 0; i < command->option_count; i++) {
    if (dray_str_is(name, command->options[i].name)) return &command->options[i];
  }
  return NULL;
}

static const struct dr_option *find_letter(const struct dr_command *command, char letter) {
  for (size_t i = 0; i < command->option_count; i++) {
    if (command->options[i].letter == letter) return &command->options[i];
  }
  return NULL;
}

static int32_t unknown_option(struct dr_command_call *call, struct dray_str name) {
  struct dray_nearest nearest;
  char spelt[80];
  dray_nearest_init(&nearest, name);
  for (size_t i = 0; i < call->command->option_count; i++) dray_nearest_offer(&nearest, call->command->options[i].name);
  for (size_t i = 0; i < call->root->option_count; i++) dray_nearest_offer(&nearest, call->root->options[i].name);
  (void)snprintf(spelt, sizeof(spelt), "--%s", nearest.best != NULL ? nearest.best : "");
  return dr_usage(call, nearest.best != NULL ? spelt : NULL, "`%s` has no option --%.*s", call->name,
                  DRAY_STR_ARG(name));
}

static int32_t unknown_command(struct dr_command_call *call, const char *name) {
  struct dray_nearest nearest;
  dray_nearest_init(&nearest, dray_str_of(name));
  for (size_t i = 0; i < call->command->command_count; i++) {
    if (!call->command->commands[i].hidden) dray_nearest_offer(&nearest, call->command->commands[i].name);
  }
  return dr_usage(call, nearest.best, "`%s` has no command \"%s\"", call->name, name);
}

static void give(struct parser *p, const struct dr_option *option, const char *value) {
  struct dr_command_call *call = p->call;
  if (call->given_count == DR_GIVEN_MAX) {
    p->exit = dr_usage(call, NULL, "more than %d options were given", DR_GIVEN_MAX);
    return;
  }
  call->given[call->given_count++] = (struct dr_given){option, value};
}

// --name, --name=value, --name value
static void parse_long(struct parser *p, const char *argument) {
  const char *equals = strchr(argument, '=');
  const struct dray_str name =
      dray_str_make(argument, equals != NULL ? (uint64_t)(equals - argument) : (uint64_t)strlen(argument));
  const struct dr_option *option = find_option(p->call->command, name);
  if (option == NULL) option = find_option(p->call->root, name);
  if (option == NULL) {
    p->exit = unknown_option(p->call, name);
  } else if (option->argument == NULL && equals != NULL) {
    p->exit = dr_usage(p->call, NULL, "--%s takes no value", option->name);
  } else if (option->argument == NULL) {
    give(p, option, "");
  } else if (equals != NULL) {
    give(p, option, equals + 1);
  } else if (p->at + 1 < p->argc) {
    give(p, option, p->argv[++p->at]);
  } else {
    p->exit = dr_usage(p->call, NULL, "--%s needs a value: --%s %s", option->name, option->name, option->argument);
  }
}

// -v, -qv, -C DIR, -CDIR
static void parse_letters(struct parser *p, const char *letters) {
  for (; *letters != '\0' && p->exit < 0; letters++) {
    const struct dr_option *option = find_letter(p->call->command, *letters);
    if (option == NULL) option = find_letter(p->call->root, *letters);
    if (option == NULL) {
      p->exit = dr_usage(p->call, NULL, "`%s` has no option -%c", p->call->name, *letters);
    } else if (option->argument == NULL) {
      give(p, option, "");
    } else if (letters[1] != '\0') {
      give(p, option, letters + 1);
      return;
    } else if (p->at + 1 < p->argc) {
      give(p, option, p->argv[++p->at]);
    } else {
      p->exit = dr_usage(p->call, NULL, "-%c needs a value: -%c %s", *letters, *letters, option->argument);
    }
  }
}

static void parse_word(struct parser *p, const char *word) {
  struct dr_command_call *call = p->call;
  const struct dr_command *sub = !p->ended && call->positional_count == 0 ? dr_command_find(call->command, word) : NULL;
  if (sub != NULL) {
    const size_t len = strlen(call->name);
    (void)snprintf(call->name + len, sizeof(call->name) - len, " %s", sub->name);
    call->command = sub;
  } else if (call->command->run == NULL) {
    p->exit = unknown_command(call, word);
  } else if (call->positional_count == POSITIONALS_MAX) {
    p->exit = dr_usage(call, NULL, "more than %d arguments were given", POSITIONALS_MAX);
  } else {
    p->positionals[call->positional_count++] = word;
  }
}

static void parse_all(struct parser *p) {
  for (p->at = 1; p->at < p->argc && p->exit < 0; p->at++) {
    const char *argument = p->argv[p->at];
    if (p->ended || argument[0] != '-' || argument[1] == '\0') {
      parse_word(p, argument);
    } else if (strcmp(argument, "--") == 0) {
      p->ended = 1;
    } else if (argument[1] == '-') {
      parse_long(p, argument + 2);
    } else {
      parse_letters(p, argument + 1);
    }
  }
}

static int given(const struct dr_command_call *call, const char *name) {
  return dr_option(call, name) != NULL;
}

static void apply_globals(struct dr_command_call *call) {
  call->project_folder = dr_option(call, "project");
  call->output->json = given(call, "json");
  call->output->quiet = given(call, "quiet");
  if (given(call, "no-color") || call->output->json) dr_output_no_colour(call->output);
  for (size_t i = 0; i < call->given_count; i++) call->verbose += strcmp(call->given[i].option->name, "verbose") == 0;
  const struct dr_log_options log = {.level = call->output->quiet  ? DRAY_LOG_ERROR
                                              : call->verbose == 0 ? DRAY_LOG_WARN
                                              : call->verbose == 1 ? DRAY_LOG_INFO
                                                                   : DRAY_LOG_DEBUG,
                                     .json = call->output->json,
                                     .colour = call->output->colour_messages};
  dr_log_setup(&log);
}

// An option of a command on the way down ("rows --limit 5 retry") does not belong to the one below it.
static int32_t check_options(struct dr_command_call *call) {
  for (size_t i = 0; i < call->given_count; i++) {
    const struct dray_str name = dray_str_of(call->given[i].option->name);
    if (find_option(call->command, name) == NULL && find_option(call->root, name) == NULL)
      return unknown_option(call, name);
  }
  return 0;
}

static int32_t check_positionals(struct dr_command_call *call) {
  const struct dr_command *command = call->command;
  if (command->run == NULL) return dr_usage(call, NULL, "`%s` needs a command", call->name);
  if (call->positional_count < command->positional_min)
    return dr_usage(call, NULL, "`%s` needs %s", call->name, command->arguments);
  if (call->positional_count > command->positional_max && command->positional_max == 0)
    return dr_usage(call, NULL, "`%s` takes no argument: \"%s\"", call->name, call->positionals[0]);
  if (call->positional_count > command->positional_max)
    return dr_usage(call, NULL, "`%s` takes %s and no further \"%s\"", call->name, command->arguments,
                    call->positionals[command->positional_max]);
  return 0;
}

static int32_t print_help(struct dr_command_call *call) {
  struct dray_buffer text;
  dray_buffer_init(&text, 1024 * 1024);
  const int32_t rc = dr_help_write(call->root, call->command, call->name, &text, &call->error);
  if (rc == DRAY_OK) dr_print_str(call->output, dray_buffer_view(&text));
  dray_buffer_free(&text);
  return rc == DRAY_OK ? 0 : dr_print_error(call->output, &call->error);
}

static int32_t print_version(struct dr_command_call *call) {
  if (!call->output->json) {
    dr_print(call->output, "dray %s (plugin ABI %d.%d)\n", call->version, DRAY_ABI_MAJOR, DRAY_ABI_MINOR);
    return 0;
  }
  struct dr_record record;
  dr_record_begin(&record, call->output, "version");
  dr_record_text(&record, "version", call->version);
  dr_record_int(&record, "abi_major", DRAY_ABI_MAJOR);
  dr_record_int(&record, "abi_minor", DRAY_ABI_MINOR);
  dr_record_end(&record);
  return 0;
}

static int32_t run(struct parser *p) {
  struct dr_command_call *call = p->call;
  parse_all(p);
  call->positionals = p->positionals;
  if (p->exit >= 0) return p->exit;
  apply_globals(call);
  if (given(call, "help")) return print_help(call);
  if (given(call, "version")) return print_version(call);
  int32_t code = check_options(call);
  if (code == 0) code = check_positionals(call);
  return code == 0 ? call->command->run(call) : code;
}

// --json must already hold for the message about a bad option that stands before it.
static void look_ahead(struct dr_output *output, int argc, const char *const *argv) {
  for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
    if (strcmp(argv[i], "--json") == 0) output->json = 1;
    if (strcmp(argv[i], "--no-color") == 0) dr_output_no_colour(output);
  }
}

int32_t dr_command_main(const struct dr_command *root, const char *version, int argc, const char *const *argv,
                        struct dr_output *output) {
  struct dr_command_call call = {.root = root, .command = root, .version = version, .output = output};
  const size_t room = (size_t)(argc < POSITIONALS_MAX ? argc : POSITIONALS_MAX) + 1;
  struct parser parser = {.call = &call, .argc = argc, .argv = argv, .exit = -1};
  dray_error_init(&call.error);
  (void)snprintf(call.name, sizeof(call.name), "%s", root->name);
  look_ahead(output, argc, argv);
  parser.positionals = calloc(room, sizeof(*parser.positionals));
  if (parser.positionals == NULL) {
    (void)dray_fail(&call.error, DRAY_E_OUT_OF_MEMORY, "no memory for the command line");
    return dr_output_finish(output, dr_print_error(output, &call.error));
  }
  const int32_t code = run(&parser);
  free(parser.positionals);
  return dr_output_finish(output, code);
}
