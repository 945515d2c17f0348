// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Reports.
#include "report.h"

#include <stdlib.h>
#include <string.h>

#include "diff/diff.h"
#include "watched.h"

#define COLUMNS_SHOWN 8

int32_t dr_report_worse(int32_t a, int32_t b) {
  static const int32_t order[] = {DR_EXIT_DONE, DR_EXIT_CHANGES, DR_EXIT_PARTIAL};
  const size_t count = sizeof(order) / sizeof(order[0]);
  size_t i = 0, j = 0;
  while (i < count && order[i] != a) i++;
  while (j < count && order[j] != b) j++;
  return j > i ? b : a;
}

static void write_columns(struct dr_record *record, const struct dr_run_report *report) {
  dray_json_key(&record->json, "changed_columns");
  dray_json_begin_object(&record->json);
  for (size_t i = 0; i < report->column_count; i++) {
    if (report->columns[i].count == 0) continue;
    dray_json_key(&record->json, report->columns[i].name);
    dray_json_write_int(&record->json, (int64_t)report->columns[i].count);
  }
  dray_json_end_object(&record->json);
}

// The fields that a null leaves as they are on the other side.
static void write_kept(struct dr_record *record, const struct dr_run_report *report) {
  dray_json_key(&record->json, "nulls_keep");
  dray_json_begin_array(&record->json);
  for (size_t i = 0; i < report->column_count; i++) {
    if (report->columns[i].keeps_nulls) dray_json_write_text(&record->json, report->columns[i].name);
  }
  dray_json_end_array(&record->json);
}

static void print_kept(struct dr_output *output, const struct dr_run_report *report) {
  size_t shown = 0;
  for (size_t i = 0; i < report->column_count && shown <= COLUMNS_SHOWN; i++) {
    if (!report->columns[i].keeps_nulls) continue;
    const char *name = shown == COLUMNS_SHOWN ? "..." : report->columns[i].name;
    dr_print(output, "%s%s", shown == 0 ? "  a null keeps what is there: " : ", ", name);
    shown++;
  }
  if (shown > 0) dr_print(output, "\n");
}

// Which diff, why, and what each moves: {"used":"local","why":"...","local_rows":...}.
static void write_diff(struct dr_record *record, const struct dr_diff_cost *cost) {
  if (cost->used == 0) return;
  const struct {
    const char *name;
    uint64_t value;
  } counts[] = {{"local_rows", cost->local_rows},
                {"local_bytes", cost->local_bytes},
                {"warehouse_rows", cost->warehouse_rows},
                {"warehouse_bytes", cost->warehouse_bytes},
                {"snapshot_bytes", cost->snapshot_bytes}};
  dray_json_key(&record->json, "diff");
  dray_json_begin_object(&record->json);
  dray_json_key(&record->json, "used");
  dray_json_write_text(&record->json, cost->used == DR_DIFF_WAREHOUSE ? "warehouse" : "local");
  dray_json_key(&record->json, "why");
  dray_json_write_text(&record->json, cost->why);
  for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
    dray_json_key(&record->json, counts[i].name);
    dray_json_write_int(&record->json, (int64_t)counts[i].value);
  }
  if (cost->snapshot[0] != '\0') {
    dray_json_key(&record->json, "snapshot");
    dray_json_write_text(&record->json, cost->snapshot);
  }
  dray_json_end_object(&record->json);
}

// Kept apart from `ddl`: tables of dray's own, which are gone when the run ends.
static void write_staging(struct dr_record *record, const struct dr_run_report *report) {
  if (report->staging.count == 0) return;
  dray_json_key(&record->json, "staging");
  dray_json_begin_object(&record->json);
  dray_json_key(&record->json, "if_changed");
  dray_json_write_bool(&record->json, report->staging_if_changed);
  dray_json_key(&record->json, "statements");
  dray_json_begin_array(&record->json);
  for (size_t i = 0; i < report->staging.count; i++) dray_json_write_text(&record->json, report->staging.sql[i]);
  dray_json_end_array(&record->json);
  dray_json_end_object(&record->json);
}

static void write_record(struct dr_output *output, const struct dr_run_report *report, const char *type) {
  struct dr_record record;
  dr_record_begin(&record, output, type);
  dr_record_text(&record, "sync", report->sync);
  if (report->run != 0) dr_record_int(&record, "run", report->run);
  const struct {
    const char *name;
    uint64_t value;
  } counts[] = {
      {"rows_read", report->rows_read},
      {"inserts", report->inserts},
      {"updates", report->updates},
      {"deletes", report->deletes},
      {"unchanged", report->unchanged},
      {"sent", report->sent},
      {"applied", report->applied},
      {"rejected", report->rejected_rows},
      {"unreadable", report->unreadable_rows},
      {"null_keys", report->null_keys},
      {"duplicate_keys", report->duplicate_keys},
      {"duplicate_rows", report->duplicate_rows},
      {"refused", report->refused},
      {"parked", report->parked},
      {"pending", report->pending},
      {"in_doubt", report->in_doubt},
      {"deletes_withheld", report->deletes_withheld},
      {"deferred", report->deferred},
      {"unsent", report->unsent},
      {"kept_back", report->kept_back},
      {"ignored", report->ignored},
      {"recovered_batches", report->recovered},
      {"mirror_rows", report->mirror_rows},
      {"generation", report->generation},
      {"spilled_bytes", report->spilled_bytes},
  };
  for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
    dr_record_count(&record, counts[i].name, counts[i].value);
  }
  write_columns(&record, report);
  write_kept(&record, report);
  dr_record_bool(&record, "rebuilt", report->rebuilt);
  dr_record_text(&record, "unknown", report->unknown);
  write_diff(&record, &report->diff);
  dray_json_key(&record.json, "ddl");
  dray_json_begin_array(&record.json);
  for (size_t i = 0; i < report->ddl_count; i++) dray_json_write_text(&record.json, report->ddl[i]);
  dray_json_end_array(&record.json);
  if (report->own_ddl != NULL) dr_record_text(&record, "own_ddl", report->own_ddl);
  write_staging(&record, report);
  dr_record_int(&record, "read_ms", report->read_ms);
  dr_record_int(&record, "apply_ms", report->apply_ms);
  dr_record_int(&record, "total_ms", report->total_ms);
  dr_record_int(&record, "exit_code", report->exit_code);
  dr_record_text(&record, "error", report->error.code != DRAY_OK ? dray_error_info(report->error.code)->name : NULL);
  dr_record_text(&record, "text", report->error.code != DRAY_OK ? report->error.text : NULL);
  dr_record_end(&record);
}

// What the run makes for itself and drops again: beside what it does to the tables, not among it.
static void print_staging(struct dr_output *output, const struct dr_run_report *report) {
  if (report->staging.count == 0) return;
  dr_print(output, "  staging, dray's own, made for the run and dropped at its end%s:\n",
           report->staging_if_changed ? ", if rows changed" : "");
  for (size_t i = 0; i < report->staging.count; i++) dr_print(output, "    %s\n", report->staging.sql[i]);
}

static void print_diff(struct dr_output *output, const struct dr_diff_cost *cost) {
  char rows[32], bytes[32];
  if (cost->used == 0) return;
  const int in_warehouse = cost->used == DR_DIFF_WAREHOUSE;
  dr_print(output, "  diff: %s, since %s\n", in_warehouse ? "warehouse" : "local", cost->why);
  dr_print(output, "    local: %s%s rows, %s moved; needs to read\n", in_warehouse ? "about " : "",
           dr_thousands(cost->local_rows, rows), dr_bytes_text(cost->local_bytes, bytes));
  dr_print(output, "    warehouse: %s%s rows, %s moved", in_warehouse ? "" : "about ",
           dr_thousands(cost->warehouse_rows, rows), dr_bytes_text(cost->warehouse_bytes, bytes));
  dr_print(output, ", about %s kept in %s; needs to create tables there\n", dr_bytes_text(cost->snapshot_bytes, bytes),
           cost->snapshot[0] != '\0' ? cost->snapshot : "a schema `dray`");
}

static void print_rejects(struct dr_output *output, const struct dr_run_report *report) {
  char a[32], b[32];
  if (report->unreadable_rows > 0) {
    dr_print(output, "  %s rows could not be read as declared\n", dr_thousands(report->unreadable_rows, a));
  }
  if (report->null_keys > 0) dr_print(output, "  %s rows have no key\n", dr_thousands(report->null_keys, a));
  if (report->duplicate_keys > 0) {
    dr_print(output, "  %s keys came more than once: %s rows withheld\n", dr_thousands(report->duplicate_keys, a),
             dr_thousands(report->duplicate_rows, b));
  }
  if (report->refused > 0) dr_print(output, "  %s rows were refused\n", dr_thousands(report->refused, a));
  if (report->parked > 0) dr_print(output, "  %s rows are parked\n", dr_thousands(report->parked, a));
  if (report->pending > 0) {
    dr_print(output, "  %s rows are still being worked on; the next run asks again\n",
             dr_thousands(report->pending, a));
  }
  if (report->unsent > 0) {
    const int limited = report->error.code == DRAY_E_THROTTLED;
    dr_print(output, "  %s changes were not sent: %s; the next run sends them\n", dr_thousands(report->unsent, a),
             limited ? "the destination asks to slow down" : "the destination is at work on as many jobs as it takes");
  }
  if (report->kept_back > 0) {
    dr_print(output,
             "  %s rows were kept back by a limit of the destination and are not refused: run again later, and it "
             "sends them\n",
             dr_thousands(report->kept_back, a));
  }
  if (report->in_doubt > report->doubt_waits) {
    dr_print(output, "  of %s rows it is not known yet whether they arrived: the next run finds out\n",
             dr_thousands(report->in_doubt - report->doubt_waits, a));
  }
  if (report->doubt_waits > 0) {
    dr_print(output, "  %s rows are in doubt until you say what became of them: `dray explain state_in_doubt`\n",
             dr_thousands(report->doubt_waits, a));
  }
  if (report->deletes_withheld > 0) {
    dr_print(output, "  %s deletes were withheld, since some rows could not be read\n",
             dr_thousands(report->deletes_withheld, a));
  }
  if (report->deferred > 0) {
    dr_print(
        output,
        "  %s rows wait for the next run: whether they changed was not certain; with more `memory` that is rarer\n",
        dr_thousands(report->deferred, a));
  }
  const int any = report->rejected_rows + report->parked + report->in_doubt > 0;
  if (any && report->run != 0) dr_print(output, "  see `dray rows %s`\n", report->sync);
}

void dr_report_run(struct dr_output *output, const struct dr_run_report *report) {
  if (output->json) {
    write_record(output, report, "run");
    return;
  }
  char read[32], inserts[32], updates[32], deletes[32], unchanged[32], time[32];
  const uint64_t planned = report->inserts + report->updates + report->deletes;
  if (report->error.code == DRAY_OK && !report->ingest && report->applied < planned) {
    dr_print(output, "%s: %s read, %s of %s changes applied, %s unchanged (%s)\n", report->sync,
             dr_thousands(report->rows_read, read), dr_thousands(report->applied, inserts),
             dr_thousands(planned, updates), dr_thousands(report->unchanged, unchanged),
             dr_duration_text(report->total_ms, time));
  } else if (report->error.code == DRAY_OK) {
    dr_print(output, "%s: %s read, %s inserted, %s updated, %s deleted, %s unchanged (%s)\n", report->sync,
             dr_thousands(report->rows_read, read), dr_thousands(report->inserts, inserts),
             dr_thousands(report->updates, updates), dr_thousands(report->deletes, deletes),
             dr_thousands(report->unchanged, unchanged), dr_duration_text(report->total_ms, time));
  }
  if (report->recovered > 0) {
    dr_print(output, "  %s batches of an earlier run were in doubt and are settled\n",
             dr_thousands(report->recovered, read));
  }
  if (report->rebuilt) dr_print(output, "  the mirror was rebuilt from the table\n");
  print_rejects(output, report);
  if (report->error.code != DRAY_OK) {
    struct dray_error error = report->error;
    (void)dray_error_prefix(&error, "%s", report->sync);
    (void)dr_print_error(output, &error);
  }
}

void dr_report_columns(struct dr_output *output, const struct dr_report_column *columns, size_t column_count) {
  uint64_t above = UINT64_MAX; // count and place of the one printed last: the next is the largest below it
  size_t last = 0, shown = 0;
  while (shown <= COLUMNS_SHOWN) {
    size_t best = column_count;
    for (size_t i = 0; i < column_count; i++) {
      const uint64_t count = columns[i].count;
      const int comes_after = count < above || (count == above && i > last && shown > 0);
      if (count == 0 || !comes_after) continue;
      if (best == column_count || count > columns[best].count) best = i;
    }
    if (best == column_count) break;
    char number[32];
    if (shown == 0) dr_print(output, "      columns:");
    if (shown < COLUMNS_SHOWN) {
      dr_print(output, "%s %s %s", shown > 0 ? "," : "", columns[best].name, dr_thousands(columns[best].count, number));
    }
    above = columns[best].count;
    last = best;
    shown++;
  }
  if (shown > 0) dr_print(output, "%s\n", shown > COLUMNS_SHOWN ? ", ..." : "");
}

static void print_columns(struct dr_output *output, const struct dr_run_report *report) {
  struct dr_report_column *columns = calloc(report->column_count + 1, sizeof(*columns));
  for (size_t i = 0; columns != NULL && i < report->column_count; i++) {
    columns[i] = (struct dr_report_column){report->columns[i].name, report->columns[i].count};
  }
  if (columns != NULL) dr_report_columns(output, columns, report->column_count);
  free(columns);
}

static const struct {
  int op;
  char sign;
  int style;
  const char *name;
} kinds[] = {{DRAY_OP_INSERT, '+', DR_STYLE_GREEN, "insert"},
             {DRAY_OP_UPDATE, '~', DR_STYLE_YELLOW, "update"},
             {DRAY_OP_DELETE, '-', DR_STYLE_RED, "delete"},
             {DR_OP_REJECT, '!', DR_STYLE_RED, "reject"}};
#define KIND_COUNT (sizeof(kinds) / sizeof(kinds[0]))

const char *dr_report_op(int op) {
  for (size_t k = 0; k < KIND_COUNT; k++) {
    if (kinds[k].op == op) return kinds[k].name;
  }
  return "";
}

void dr_report_change(struct dr_output *output, int op, const char *key, int32_t code, const char *text) {
  for (size_t k = 0; k < KIND_COUNT; k++) {
    if (kinds[k].op != op) continue;
    const char *name = code != 0 ? dray_error_info(code)->name : "";
    dr_print(output, "    %s%c %s%s%s%s%s%s\n", dr_style(output, kinds[k].style), kinds[k].sign, key,
             dr_style(output, DR_STYLE_RESET), name[0] != '\0' || text[0] != '\0' ? "  " : "", name,
             code != 0 ? ": " : "", text);
  }
}

static void print_samples(struct dr_output *output, const struct dr_run_report *report) {
  for (size_t k = 0; k < KIND_COUNT; k++) {
    for (size_t i = 0; i < report->sample_count; i++) {
      const struct dr_sample *sample = &report->samples[i];
      if (sample->op == kinds[k].op) dr_report_change(output, sample->op, sample->key, sample->code, sample->text);
    }
  }
}

static void write_samples(struct dr_output *output, const struct dr_run_report *report) {
  for (size_t i = 0; i < report->sample_count; i++) {
    const struct dr_sample *sample = &report->samples[i];
    struct dr_record record;
    dr_record_begin(&record, output, "sample");
    dr_record_text(&record, "sync", report->sync);
    dr_record_text(&record, "op", dr_report_op(sample->op));
    dr_record_text(&record, "key", sample->key);
    dr_record_text(&record, "text", sample->text);
    dr_record_text(&record, "error", sample->code != 0 ? dray_error_info(sample->code)->name : NULL);
    dr_record_end(&record);
  }
}

void dr_report_plan(struct dr_output *output, const struct dr_run_report *report, size_t samples_max) {
  if (output->json) {
    write_record(output, report, "plan");
    write_samples(output, report);
    return;
  }
  if (report->error.code != DRAY_OK && report->error.code != DRAY_E_GUARD) { // nothing was planned
    struct dray_error error = report->error;
    (void)dray_error_prefix(&error, "%s", report->sync);
    (void)dr_print_error(output, &error);
    return;
  }
  char number[32], second[32];
  dr_print(output, "%s%s%s\n", dr_style(output, DR_STYLE_BOLD), report->sync, dr_style(output, DR_STYLE_RESET));
  if (report->unknown != NULL) {
    dr_print(output, "  ? not known yet: %s\n", report->unknown);
    return;
  }
  for (size_t i = 0; i < report->ddl_count; i++) dr_print(output, "  ddl %s\n", report->ddl[i]);
  if (report->own_ddl != NULL) dr_print(output, "  ddl, dray's own: %s\n", report->own_ddl);
  dr_print(output, "  + %s to add\n", dr_thousands(report->inserts, number));
  dr_print(output, "  ~ %s to change\n", dr_thousands(report->updates, number));
  print_columns(output, report);
  dr_print(output, "  - %s to remove\n", dr_thousands(report->deletes, number));
  dr_print(output, "  = %s unchanged\n", dr_thousands(report->unchanged, number));
  print_kept(output, report);
  print_rejects(output, report);
  print_diff(output, &report->diff);
  dr_print(output, "  cost: %s rows read in %s", dr_thousands(report->rows_read, number),
           dr_duration_text(report->total_ms, second));
  dr_print(output, ", %s spilled\n", dr_bytes_text(report->spilled_bytes, number));
  if (samples_max > 0) print_samples(output, report);
  print_staging(output, report);
  if (report->error.code != DRAY_OK) (void)dr_print_error(output, &report->error);
}
