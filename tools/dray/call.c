// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What a command asks of its call: options, the project, the syncs that were named.
#include <stdarg.h>
#include <stdlib.h>

#include "command.h"
#include "config/project.h"
#include "dray/sdk/config.h"
#include "dray/sdk/value.h"

const char *dr_option(const struct dr_command_call *call, const char *name) {
  for (size_t i = call->given_count; i > 0; i--) {
    if (strcmp(call->given[i - 1].option->name, name) == 0) return call->given[i - 1].value;
  }
  return NULL;
}

int32_t dr_usage(struct dr_command_call *call, const char *nearest, const char *format, ...) {
  char text[512], fix[128];
  struct dray_error error;
  va_list args;
  va_start(args, format);
  (void)vsnprintf(text, sizeof(text), format, args);
  va_end(args);
  dray_error_init(&error);
  (void)dray_fail(&error, DRAY_E_USAGE, "%s", text);
  (void)snprintf(fix, sizeof(fix), "`%s --help` shows what it takes", call->name);
  return dr_print_error_hint(call->output, &error, nearest, fix);
}

int32_t dr_option_number(struct dr_command_call *call, const char *name, uint64_t minimum, uint64_t maximum,
                         uint64_t *out) {
  const char *text = dr_option(call, name);
  int64_t value = 0;
  if (text == NULL) return 0;
  if (dray_parse_int64(dray_str_of(text), &value, NULL) != DRAY_OK || value < 0 || (uint64_t)value < minimum ||
      (uint64_t)value > maximum)
    return dr_usage(call, NULL, "--%s is a number from %llu to %llu, not \"%s\"", name, (unsigned long long)minimum,
                    (unsigned long long)maximum, text);
  *out = (uint64_t)value;
  return 0;
}

int32_t dr_command_project_any(struct dr_command_call *call, struct dr_project **out) {
  const int32_t rc = dr_project_load(call->project_folder, out, &call->error);
  return rc == DRAY_OK ? 0 : dr_print_error(call->output, &call->error);
}

int32_t dr_command_project(struct dr_command_call *call, struct dr_project **out) {
  struct dr_project *project = NULL;
  int32_t code = dr_command_project_any(call, &project);
  if (code != 0) return code;
  code = dr_print_problems(call->output, project);
  if (code != 0) {
    dr_project_free(project);
    return code;
  }
  *out = project;
  return 0;
}

static int is_named(const char *sync, const char *name) {
  const size_t len = strlen(name);
  return strncmp(sync, name, len) == 0 && (sync[len] == '\0' || sync[len] == '.');
}

static int32_t unknown_sync(struct dr_command_call *call, const struct dr_project *project, const char *name) {
  struct dray_nearest nearest;
  dray_nearest_init(&nearest, dray_str_of(name));
  for (size_t i = 0; i < project->sync_count; i++) dray_nearest_offer(&nearest, project->syncs[i].name);
  (void)dray_fail(&call->error, DRAY_E_CONFIG_REFERENCE, "the project has no sync \"%s\"", name);
  return dr_print_error_hint(
      call->output, &call->error, nearest.best,
      nearest.best != NULL ? NULL : "define it under `syncs:`; `dray check` lists those that there are");
}

int32_t dr_command_syncs(struct dr_command_call *call, const struct dr_project *project, int all, size_t **out,
                         size_t *out_count) {
  size_t count = 0;
  size_t *found = calloc(project->sync_count + 1, sizeof(*found));
  if (found == NULL) {
    (void)dray_fail(&call->error, DRAY_E_OUT_OF_MEMORY, "no memory to choose the syncs");
    return dr_print_error(call->output, &call->error);
  }
  for (size_t p = 0; p < call->positional_count; p++) {
    int known = 0;
    for (size_t i = 0; i < project->sync_count; i++) known |= is_named(project->syncs[i].name, call->positionals[p]);
    if (known) continue;
    free(found);
    return unknown_sync(call, project, call->positionals[p]);
  }
  for (size_t i = 0; i < project->sync_count; i++) { // in the config's order, each once
    int wanted = call->positional_count == 0 && all;
    for (size_t p = 0; p < call->positional_count; p++)
      wanted |= is_named(project->syncs[i].name, call->positionals[p]);
    if (wanted) found[count++] = i;
  }
  *out = found;
  *out_count = count;
  return 0;
}
