// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// `dray rows`: the rows that were not taken, with their reasons, and what to do about them.
#include <stdlib.h>
#include <string.h>

#include "config/project.h"
#include "store/store.h"
#include "watched.h"

#define LIMIT_DEFAULT 50
#define LIMIT_MAX 100000

static void write_row(struct dr_output *output, const char *sync, const struct dr_row_record *row) {
  struct dr_record record;
  dr_record_begin(&record, output, "row");
  dr_record_text(&record, "sync", sync);
  dr_record_text(&record, "key", row->key);
  dr_record_text(&record, "error", dray_error_info(row->code)->name);
  dr_record_text(&record, "column", row->column[0] != '\0' ? row->column : NULL);
  dr_record_text(&record, "text", row->text);
  dr_record_count(&record, "attempts", row->attempts);
  dr_record_bool(&record, "parked", row->parked == DR_ROW_PARKED);
  dr_record_int(&record, "run", row->run);
  dr_record_int(&record, "seen_us", row->seen_us);
  dr_record_end(&record);
}

static const char *state_of(const struct dr_row_record *row) {
  switch (row->parked) {
  case DR_ROW_PARKED:
    return "parked";
  case DR_ROW_APPLIED:
    return "applied, you say";
  case DR_ROW_RESEND:
    return "to be sent";
  default:
    return row->code == DRAY_E_STATE_IN_DOUBT ? "in doubt" : "";
  }
}

static void print_rows(struct dr_output *output, const struct dr_row_record *rows, size_t count) {
  static const struct dr_table_column columns[] = {{"KEY", 0},   {"ERROR", 0}, {"COLUMN", 0},
                                                   {"TRIES", 1}, {"STATE", 0}, {"REASON", 0}};
  struct dr_table *table = dr_table_new(output, columns, sizeof(columns) / sizeof(columns[0]));
  for (size_t i = 0; i < count; i++) {
    dr_table_cell(table, "%s", rows[i].key);
    dr_table_cell(table, "%s", dray_error_info(rows[i].code)->name);
    dr_table_cell(table, "%s", rows[i].column);
    dr_table_cell(table, "%u", rows[i].attempts);
    dr_table_cell(table, "%s", state_of(&rows[i]));
    dr_table_cell(table, "%s", rows[i].text);
  }
  dr_table_print(table);
}

// Opens project and store and finds the one sync that the positional names.
static int32_t open_sync(struct dr_command_call *call, struct dr_project **project, struct dr_store **store,
                         const char **sync) {
  int32_t code = dr_command_project(call, project);
  if (code != 0) return code;
  size_t *chosen = NULL;
  size_t count = 0;
  code = dr_command_syncs(call, *project, 0, &chosen, &count);
  if (code == 0 && count != 1) code = dr_usage(call, NULL, "name one sync; one with several streams as SYNC.STREAM");
  if (code == 0) *sync = (*project)->syncs[chosen[0]].name;
  free(chosen);
  if (code == 0) code = dr_command_store(call, *project, store);
  if (code != 0) dr_project_free(*project);
  return code;
}

int32_t cmd_rows(struct dr_command_call *call) {
  uint64_t limit = LIMIT_DEFAULT, offset = 0, rejected = 0, parked = 0;
  if (dr_option_number(call, "limit", 1, LIMIT_MAX, &limit) != 0) return DR_EXIT_USAGE;
  if (dr_option_number(call, "offset", 0, UINT64_MAX / 2, &offset) != 0) return DR_EXIT_USAGE;
  struct dr_project *project = NULL;
  struct dr_store *store = NULL;
  const char *sync = NULL;
  int32_t code = open_sync(call, &project, &store, &sync);
  if (code != 0) return code;
  struct dr_row_record *rows = NULL;
  size_t count = 0;
  int32_t rc = dr_store_rows_count(store, sync, &rejected, &parked, &call->error);
  if (rc == DRAY_OK) rc = dr_store_rows(store, sync, (size_t)offset, (size_t)limit, &rows, &count, &call->error);
  if (rc != DRAY_OK) {
    code = dr_print_error(call->output, &call->error);
  } else if (call->output->json) {
    for (size_t i = 0; i < count; i++) write_row(call->output, sync, &rows[i]);
  } else {
    char a[32], b[32], c[32];
    print_rows(call->output, rows, count);
    dr_note(call->output, "%s of %s rows that were not taken, %s of them parked\n", dr_thousands(count, a),
            dr_thousands(rejected, b), dr_thousands(parked, c));
  }
  free(rows);
  dr_store_close(store);
  dr_project_free(project);
  return code;
}

// What `retry` and `resolve` share: one statement of the store and one line.
static int32_t change(struct dr_command_call *call,
                      int32_t (*work)(struct dr_store *, const char *, uint64_t *, struct dray_error *),
                      const char *said) {
  struct dr_project *project = NULL;
  struct dr_store *store = NULL;
  const char *sync = NULL;
  uint64_t count = 0;
  int32_t code = open_sync(call, &project, &store, &sync);
  if (code != 0) return code;
  if (work(store, sync, &count, &call->error) != DRAY_OK) {
    code = dr_print_error(call->output, &call->error);
  } else if (call->output->json) {
    struct dr_record record;
    dr_record_begin(&record, call->output, "rows");
    dr_record_text(&record, "sync", sync);
    dr_record_count(&record, "rows", count);
    dr_record_end(&record);
  } else {
    char number[32];
    dr_print(call->output, "%s rows %s\n", dr_thousands(count, number), said);
  }
  dr_store_close(store);
  dr_project_free(project);
  return code;
}

static int32_t resolve_applied(struct dr_store *store, const char *sync, uint64_t *count, struct dray_error *error) {
  return dr_store_rows_resolve(store, sync, 1, count, error);
}

static int32_t resolve_resend(struct dr_store *store, const char *sync, uint64_t *count, struct dray_error *error) {
  return dr_store_rows_resolve(store, sync, 0, count, error);
}

int32_t cmd_rows_retry(struct dr_command_call *call) {
  return change(call, dr_store_rows_unpark, "are no longer parked; the next run sends them again");
}

int32_t cmd_rows_resolve(struct dr_command_call *call) {
  const int applied = dr_option(call, "applied") != NULL;
  const int resend = dr_option(call, "resend") != NULL;
  if (applied == resend) return dr_usage(call, NULL, "say --applied or --resend: what became of the rows in doubt?");
  return applied ? change(call, resolve_applied, "count as applied; the next run does not send them")
                 : change(call, resolve_resend, "are sent again by the next run");
}
