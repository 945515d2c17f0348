// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// `dray explain [CODE]`: an error of errors.def by name or number, or all of them.
#include <stdlib.h>

#include "command.h"
#include "dray/sdk/config.h"
#include "dray/sdk/value.h"

struct class_words {
  int32_t error_class;
  const char *does;
};
static const struct class_words class_words[] = {
    {DRAY_CLASS_CONFIG, "the run stops and shows what to correct"},
    {DRAY_CLASS_AUTH, "the credentials are refreshed once, then the run stops"},
    {DRAY_CLASS_TRANSIENT, "dray backs off and tries again before it reports this"},
    {DRAY_CLASS_THROTTLED, "dray waits for as long as the other side asks"},
    {DRAY_CLASS_DATA, "the row is left out and reported; the others go on"},
    {DRAY_CLASS_SCHEMA, "the drift policy of the sync decides"},
    {DRAY_CLASS_STATE, "the run stops; going on needs your consent"},
    {DRAY_CLASS_CANCELLED, "the run ends; the next one goes on from the checkpoint"},
    {DRAY_CLASS_BUG, "the run stops and keeps the evidence"},
};

static const char *what_dray_does(int32_t error_class) {
  for (size_t i = 0; i < sizeof(class_words) / sizeof(class_words[0]); i++) {
    if (class_words[i].error_class == error_class) return class_words[i].does;
  }
  return "";
}

static void print_json(struct dr_output *output, const struct dray_error_info *info) {
  struct dr_record record;
  dr_record_begin(&record, output, "explanation");
  dr_record_int(&record, "code", info->code);
  dr_record_text(&record, "name", info->name);
  dr_record_text(&record, "class", dray_class_name(info->error_class));
  dr_record_int(&record, "exit_code", info->exit_code);
  dr_record_text(&record, "what", info->what);
  dr_record_text(&record, "dray", what_dray_does(info->error_class));
  dr_record_text(&record, "fix", info->fix);
  dr_record_end(&record);
}

static void print_one(struct dr_output *output, const struct dray_error_info *info) {
  dr_print(output, "%s%s%s (%d)\n\n", dr_style(output, DR_STYLE_BOLD), info->name, dr_style(output, DR_STYLE_RESET),
           info->code);
  dr_print(output, "  what it means   %s\n", info->what);
  dr_print(output, "  what dray does  %s (class %s)\n", what_dray_does(info->error_class),
           dray_class_name(info->error_class));
  dr_print(output, "  what to do      %s\n", info->fix);
  dr_print(output, "  exit code       %d\n", info->exit_code);
}

static int32_t print_all(struct dr_output *output) {
  static const struct dr_table_column columns[] = {{"CODE", 1}, {"NAME", 0}, {"EXIT", 1}, {"MEANING", 0}};
  size_t count = 0;
  const struct dray_error_info *infos = dray_error_table(&count);
  struct dr_table *table = output->json ? NULL : dr_table_new(output, columns, 4);
  for (size_t i = 0; i < count; i++) {
    if (output->json) {
      print_json(output, &infos[i]);
      continue;
    }
    dr_table_cell(table, "%d", infos[i].code);
    dr_table_cell(table, "%s", infos[i].name);
    dr_table_cell(table, "%d", infos[i].exit_code);
    dr_table_cell(table, "%s", infos[i].what);
  }
  dr_table_print(table);
  return 0;
}

// "config_type", "CONFIG_TYPE", "error[config_type]", "104"
static const struct dray_error_info *look_up(const char *text, struct dray_nearest *nearest, char *name,
                                             size_t name_bytes) {
  size_t count = 0, len = 0;
  int64_t number = 0;
  const struct dray_error_info *infos = dray_error_table(&count);
  const char *from = strncmp(text, "error[", 6) == 0 ? text + 6 : text;
  for (; *from != '\0' && *from != ']' && len + 1 < name_bytes; from++) {
    const char c = *from == '-' ? '_' : *from;
    name[len++] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
  }
  name[len] = '\0';
  const int numeric = dray_parse_int64(dray_str_make(name, len), &number, NULL) == DRAY_OK;
  dray_nearest_init(nearest, dray_str_make(name, len));
  for (size_t i = 0; i < count; i++) {
    if (numeric ? infos[i].code == number : strcmp(infos[i].name, name) == 0) return &infos[i];
    if (!numeric) dray_nearest_offer(nearest, infos[i].name);
  }
  return NULL;
}

int32_t cmd_explain(struct dr_command_call *call) {
  char name[80];
  struct dray_nearest nearest;
  if (call->positional_count == 0) return print_all(call->output);
  const struct dray_error_info *info = look_up(call->positionals[0], &nearest, name, sizeof(name));
  if (info == NULL) return dr_usage(call, nearest.best, "there is no error \"%s\"", call->positionals[0]);
  if (call->output->json) {
    print_json(call->output, info);
  } else {
    print_one(call->output, info);
  }
  return 0;
}
