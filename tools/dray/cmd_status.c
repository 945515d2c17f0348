// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// `dray status`: the runs of the past, from the store. Touches no plugin.
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/file.h"
#include "command.h"
#include "config/project.h"
#include "store/store.h"
#include "watched.h"

#define RUNS_DEFAULT 10
#define RUNS_MAX 1000

static const char *when(int64_t us, char *out, size_t out_bytes) {
  const time_t seconds = (time_t)(us / 1000000);
  struct tm parts;
  (void)gmtime_r(&seconds, &parts);
  (void)strftime(out, out_bytes, "%Y-%m-%d %H:%M:%SZ", &parts);
  return out;
}

static void write_run(struct dr_output *output, const struct dr_run_record *run) {
  struct dr_record record;
  dr_record_begin(&record, output, "run");
  dr_record_int(&record, "run", run->id);
  dr_record_text(&record, "sync", run->sync);
  dr_record_text(&record, "state", dr_run_state_name(run->state));
  dr_record_int(&record, "started_us", run->started_us);
  dr_record_int(&record, "ended_us", run->ended_us);
  dr_record_int(&record, "pid", run->pid);
  dr_record_int(&record, "exit_code", run->exit_code);
  dr_record_count(&record, "rows_read", run->rows_read);
  dr_record_count(&record, "inserts", run->inserts);
  dr_record_count(&record, "updates", run->updates);
  dr_record_count(&record, "deletes", run->deletes);
  dr_record_count(&record, "unchanged", run->unchanged);
  dr_record_count(&record, "applied", run->applied);
  dr_record_count(&record, "rejected", run->rejected);
  dr_record_count(&record, "in_doubt", run->in_doubt);
  dr_record_text(&record, "error", run->code != DRAY_OK ? dray_error_info(run->code)->name : NULL);
  dr_record_text(&record, "text", run->code != DRAY_OK ? run->text : NULL);
  dr_record_end(&record);
}

// A run that nobody ended and whose process is gone; the next run of its sync records the end.
static int is_dead(const struct dr_run_record *run) {
  return run->ended_us == 0 && kill((pid_t)run->pid, 0) != 0 && errno == ESRCH;
}

static void print_runs(struct dr_output *output, const struct dr_run_record *runs, size_t count) {
  static const struct dr_table_column columns[] = {{"RUN", 1},     {"SYNC", 0},    {"STATE", 0},    {"STARTED", 0},
                                                   {"TOOK", 1},    {"READ", 1},    {"ADDED", 1},    {"CHANGED", 1},
                                                   {"REMOVED", 1}, {"APPLIED", 1}, {"REJECTED", 1}, {"ERROR", 0}};
  struct dr_table *table = dr_table_new(output, columns, sizeof(columns) / sizeof(columns[0]));
  for (size_t i = 0; i < count; i++) {
    const struct dr_run_record *run = &runs[i];
    char started[40], took[32], number[32];
    dr_table_cell(table, "%lld", (long long)run->id);
    dr_table_cell(table, "%s", run->sync);
    dr_table_cell(table, "%s", is_dead(run) ? "killed" : dr_run_state_name(run->state));
    dr_table_cell(table, "%s", when(run->started_us, started, sizeof(started)));
    const int64_t end = run->ended_us != 0 ? run->ended_us : dr_now_us();
    dr_table_cell(table, "%s", is_dead(run) ? "" : dr_duration_text((end - run->started_us) / 1000, took));
    dr_table_cell(table, "%s", dr_thousands(run->rows_read, number));
    dr_table_cell(table, "%s", dr_thousands(run->inserts, number));
    dr_table_cell(table, "%s", dr_thousands(run->updates, number));
    dr_table_cell(table, "%s", dr_thousands(run->deletes, number));
    dr_table_cell(table, "%s", dr_thousands(run->applied, number));
    dr_table_cell(table, "%s", dr_thousands(run->rejected, number));
    dr_table_cell(table, "%s", run->code != DRAY_OK ? dray_error_info(run->code)->name : "");
  }
  dr_table_print(table);
}

int32_t dr_command_store(struct dr_command_call *call, const struct dr_project *project, struct dr_store **out) {
  char *folder = dr_path_join(project->folder, ".dray");
  int32_t rc = folder == NULL ? dray_fail(&call->error, DRAY_E_OUT_OF_MEMORY, "no memory for a path")
                              : dr_folder_make(folder, &call->error);
  if (rc == DRAY_OK) rc = dr_store_open(folder, out, &call->error);
  free(folder);
  return rc == DRAY_OK ? 0 : dr_print_error(call->output, &call->error);
}

int32_t cmd_status(struct dr_command_call *call) {
  uint64_t count_max = RUNS_DEFAULT;
  if (dr_option_number(call, "runs", 1, RUNS_MAX, &count_max) != 0) return DR_EXIT_USAGE;
  struct dr_project *project = NULL;
  struct dr_store *store = NULL;
  struct dr_run_record *runs = NULL;
  size_t count = 0;
  int32_t code = dr_command_project(call, &project);
  if (code != 0) return code;
  const char *sync = call->positional_count > 0 ? call->positionals[0] : NULL;
  size_t *chosen = NULL;
  size_t chosen_count = 0;
  if (sync != NULL)
    code = dr_command_syncs(call, project, 0, &chosen, &chosen_count); // a name that is not there is said
  free(chosen);
  if (code == 0) code = dr_command_store(call, project, &store);
  if (code == 0 && dr_store_runs(store, sync, (size_t)count_max, &runs, &count, &call->error) != DRAY_OK) {
    code = dr_print_error(call->output, &call->error);
  }
  if (code == 0 && call->output->json) {
    for (size_t i = 0; i < count; i++) write_run(call->output, &runs[i]);
  } else if (code == 0 && count == 0) {
    dr_note(call->output, "no run yet: `dray sync`\n");
  } else if (code == 0) {
    print_runs(call->output, runs, count);
    if (runs[0].code != DRAY_OK) dr_print(call->output, "\nlast error: %s\n", runs[0].text);
  }
  free(runs);
  dr_store_close(store);
  dr_project_free(project);
  return code;
}
