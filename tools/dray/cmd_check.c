// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// `dray check`: the config, every plugin it names, and the named checks of every connection.
#include <stdlib.h>
#include <string.h>

#include "sync/inspect.h"
#include "watched.h"

struct request {
  ptrdiff_t only; // index of a connection; -1: all
};

static void print_item(struct dr_output *output, const struct dr_check_item *item) {
  if (output->json) {
    struct dr_record record;
    dr_record_begin(&record, output, "check");
    dr_record_text(&record, "connection", item->connection);
    dr_record_text(&record, "role", item->role);
    dr_record_text(&record, "name", item->name);
    dr_record_bool(&record, "ok", item->ok);
    dr_record_bool(&record, "used", !item->unused);
    dr_record_text(&record, "text", item->text);
    dr_record_text(&record, "fix", item->ok ? NULL : item->fix);
    dr_record_text(&record, "error", item->code != DRAY_OK ? dray_error_info(item->code)->name : NULL);
    dr_record_end(&record);
    return;
  }
  if (!item->ok && item->unused) {
    dr_print(output, "note  %s (%s) %s: %s; no sync uses it\n", item->connection, item->role, item->name, item->text);
    return;
  }
  dr_print(output, "%s%s%s  %s (%s) %s: %s\n", dr_style(output, item->ok ? DR_STYLE_GREEN : DR_STYLE_RED),
           item->ok ? "ok  " : "FAIL", dr_style(output, DR_STYLE_RESET), item->connection, item->role, item->name,
           item->text);
  if (!item->ok && item->fix[0] != '\0') dr_print(output, "      fix: %s\n", item->fix);
}

// As a run would end for it.
static int32_t exit_of(const struct dr_check_item *item) {
  if (item->ok || item->unused) return DR_EXIT_DONE;
  return item->code != DRAY_OK ? dray_error_info(item->code)->exit_code : DR_EXIT_FAILED;
}

// One connection: of several steps that failed the first says how it ends, since others may follow from it. Problems
// with its settings are collected in the project and printed at the end.
static int32_t check_one(struct dr_watched *watched, size_t connection) {
  struct dr_check_item *items = NULL;
  size_t count = 0;
  struct dray_error error;
  dray_error_init(&error);
  const size_t before = watched->project->problems.count;
  if (dr_inspect_check(watched->session, connection, &items, &count, &error) != DRAY_OK) {
    if (watched->project->problems.count > before) return DR_EXIT_USAGE;
    (void)dray_error_prefix(&error, "connection %s", watched->project->connections[connection].name);
    return dr_print_error(watched->call->output, &error);
  }
  int32_t code = DR_EXIT_DONE;
  for (size_t i = 0; i < count; i++) {
    print_item(watched->call->output, &items[i]);
    if (code == DR_EXIT_DONE) code = exit_of(&items[i]);
  }
  free(items);
  return code;
}

static int32_t check_sync(struct dr_watched *watched, const struct dr_sync *sync) {
  struct dr_check_item item;
  struct dray_error error;
  dray_error_init(&error);
  if (dr_inspect_sync(watched->session, sync, &item, &error) != DRAY_OK) {
    return dr_print_error(watched->call->output, &error);
  }
  print_item(watched->call->output, &item);
  return exit_of(&item);
}

static int32_t check_all(struct dr_watched *watched) {
  const struct request *request = watched->ctx;
  int32_t code = DR_EXIT_DONE, failed = DR_EXIT_DONE;
  for (size_t i = 0; i < watched->project->connection_count; i++) {
    if (request->only >= 0 && (size_t)request->only != i) continue;
    const int32_t one = check_one(watched, i);
    if (code == DR_EXIT_DONE) code = one;
  }
  // What a sync opens is looked at where all connections are well: their failures would only be said twice.
  for (size_t i = 0; code == DR_EXIT_DONE && request->only < 0 && i < watched->project->sync_count; i++) {
    const int32_t one = check_sync(watched, &watched->project->syncs[i]);
    if (failed == DR_EXIT_DONE) failed = one;
  }
  if (code == DR_EXIT_DONE) code = failed;
  const int32_t problems = dr_print_problems(watched->call->output, watched->project);
  if (problems != 0) return problems;
  if (code == DR_EXIT_DONE && !watched->call->output->json) dr_print(watched->call->output, "all is well\n");
  return code;
}

int32_t cmd_check(struct dr_command_call *call) {
  struct dr_project *project = NULL;
  int32_t code = dr_command_project_any(call, &project);
  if (code != 0) return code;
  struct request request = {-1};
  const char *wanted = dr_option(call, "connection");
  for (size_t i = 0; wanted != NULL && i < project->connection_count; i++) {
    if (strcmp(project->connections[i].name, wanted) == 0) request.only = (ptrdiff_t)i;
  }
  if (wanted != NULL && request.only < 0) {
    code = dr_usage(call, NULL, "there is no connection \"%s\"", wanted);
  } else {
    code = dr_watched_run(call, project, NULL, check_all, &request);
  }
  dr_project_free(project);
  return code;
}
