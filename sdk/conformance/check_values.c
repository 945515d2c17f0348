// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Checks of a destination and of a warehouse: receipts, caps, values that survive, a second sync that writes nothing.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conformance/subject.h"
#include "diff/diff.h"
#include "warehouse/warehouse.h"

#define KIT_TABLE "dray_kit_values"

// ---- destination ----

// Caps that do not come are for the check of caps to judge.
static int skip_or_fail(struct subject *subject, const struct delivery *delivery, const char *doing,
                        const struct dray_error *error) {
  if (!delivery->has_caps && delivery->destination.self != NULL) return kit_skip(subject, "caps did not come");
  return kit_fail_error(subject, doing, error);
}

int check_receipts(struct subject *subject) {
  struct delivery delivery;
  struct dray_error error;
  dray_error_init(&error);
  if (!subject_has(subject, DR_ROLE_DESTINATION)) return kit_skip(subject, "no destination");
  int32_t rc = delivery_open(subject, 0, &delivery, &error);
  int verdict = rc == DRAY_OK ? DR_KIT_PASS : skip_or_fail(subject, &delivery, "begin", &error);
  if (rc == DRAY_OK) { // the wrapper holds the plugin to one receipt a row
    rc = delivery_write(&delivery, &delivery.caps, &error);
    if (rc == DRAY_OK) rc = delivery_await(&delivery, &error);
    if (rc == DRAY_E_PLUGIN_CONTRACT)
      verdict = kit_fail(subject, "%s", error.text);
    else if (rc != DRAY_OK && error.error_class != DRAY_CLASS_DATA)
      verdict = kit_fail_error(subject, "write", &error);
  }
  const int32_t ended = delivery_close(&delivery, rc, &error);
  if (verdict == DR_KIT_PASS && rc == DRAY_OK && ended != DRAY_OK) return kit_fail_error(subject, "end", &error);
  return verdict;
}

static int judge_caps(struct subject *subject, const struct dray_caps *caps) {
  if (caps->operations == 0 || caps->operations > (DRAY_OP_INSERT | DRAY_OP_UPDATE | DRAY_OP_DELETE))
    return kit_fail(subject, "caps name no operation, or one that there is not");
  if (caps->doubt < DRAY_DOUBT_RESEND || caps->doubt > DRAY_DOUBT_NONE)
    return kit_fail(subject, "caps do not say how doubt is resolved");
  if (caps->parallel_max == 0 || caps->batch_rows_max == 0 || caps->batch_bytes_max == 0)
    return kit_fail(subject, "a limit of caps is 0");
  return DR_KIT_PASS;
}

int check_caps(struct subject *subject) {
  struct delivery delivery;
  struct dray_error error;
  dray_error_init(&error);
  if (!subject_has(subject, DR_ROLE_DESTINATION)) return kit_skip(subject, "no destination");
  int32_t rc = delivery_open(subject, 0, &delivery, &error);
  int verdict = delivery.has_caps ? judge_caps(subject, &delivery.caps) : kit_fail_error(subject, "caps", &error);
  if (verdict == DR_KIT_PASS && rc != DRAY_OK) verdict = kit_fail_error(subject, "begin", &error);
  if (verdict == DR_KIT_PASS && delivery.edge.row_count > 1) {
    struct dray_caps tight = delivery.caps;
    tight.batch_rows_max = delivery.edge.row_count - 1; // the host keeps a batch over the caps from the plugin
    rc = delivery_write(&delivery, &tight, &error);
    if (rc != DRAY_E_LIMIT) verdict = kit_fail(subject, "a batch over the caps was not refused");
  }
  (void)delivery_close(&delivery, rc, &error);
  return verdict;
}

// Every edge row must be taken: a destination that is told the truth of types must not choke on their ends.
static int values_destination(struct subject *subject) {
  struct delivery delivery;
  struct dray_error error;
  dray_error_init(&error);
  int32_t rc = delivery_open(subject, 0, &delivery, &error);
  int verdict = rc == DRAY_OK ? DR_KIT_PASS : skip_or_fail(subject, &delivery, "begin", &error);
  if (rc == DRAY_OK) {
    rc = delivery_write(&delivery, &delivery.caps, &error);
    if (rc == DRAY_OK) rc = delivery_await(&delivery, &error);
    if (rc != DRAY_OK && rc != DRAY_E_PLUGIN_CONTRACT) verdict = kit_fail_error(subject, "writing edge values", &error);
  }
  for (uint64_t i = 0; rc == DRAY_OK && verdict == DR_KIT_PASS && i < delivery.answer.count; i++) {
    const struct dray_receipt *receipt = &delivery.answer.items[i];
    if (receipt->status == DRAY_RECEIPT_APPLIED || receipt->status == DRAY_RECEIPT_UNCHANGED) continue;
    verdict = kit_fail(subject, "row %lld of edge values was not taken: %.*s", (long long)receipt->row,
                       DRAY_STR_ARG(receipt->text));
  }
  (void)delivery_close(&delivery, rc, &error);
  return verdict;
}

// ---- warehouse: what is written is read back, exactly ----

struct table {
  struct dr_warehouse_instance instance;
  struct dr_warehouse warehouse;
  struct dr_schema *schema;
  struct dr_mirror *mirror;
  struct dr_table_options options;
  char mirror_folder[300], changes_path[300];
};

static const char *const table_key[] = {"id"};

static int32_t open_table(struct subject *subject, struct table *table, const struct edge *edge,
                          struct dray_error *error) {
  memset(table, 0, sizeof(*table));
  DRAY_TRY(subject_warehouse(subject, &table->instance, error));
  DRAY_TRY(dr_warehouse_open(&table->instance, error));
  table->warehouse = (struct dr_warehouse){
      .vtable = &subject->plugin->warehouse, .self = table->instance.self, .label = table->instance.label};
  DRAY_TRY(dr_warehouse_bind(&table->warehouse, error));
  DRAY_TRY(dr_schema_from_arrow(&edge->schema, &table->schema, error));
  (void)snprintf(table->mirror_folder, sizeof(table->mirror_folder), "%s/mirror", subject->scratch);
  (void)snprintf(table->changes_path, sizeof(table->changes_path), "%s/changes", subject->scratch);
  table->options = (struct dr_table_options){.name = {NULL, KIT_TABLE},
                                             .schema = table->schema,
                                             .key = table_key,
                                             .key_count = 1,
                                             .mode = DR_WRITE_UPSERT,
                                             .drift = {1, 1, 1},
                                             .sync = "kit"};
  const struct dr_mirror_options options = {.folder = table->mirror_folder,
                                            .schema = table->schema,
                                            .key = table_key,
                                            .key_count = 1,
                                            .seed = 1,
                                            .memory_bytes = 1u << 24,
                                            .create = 1};
  return dr_mirror_open(&options, &table->mirror, error);
}

static void close_table(struct table *table) {
  dr_mirror_close(table->mirror);
  dr_schema_unref(table->schema);
  dr_warehouse_destroy(&table->instance);
}

static int32_t copy_batch(const struct dr_batch *batch, struct dr_batch **out, struct dray_error *error) {
  const size_t count = (size_t)dr_batch_rows(batch);
  uint32_t *rows = calloc(count + 1, sizeof(*rows));
  if (rows == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for %zu rows", count);
  for (size_t i = 0; i < count; i++) rows[i] = (uint32_t)i;
  const int32_t rc = dr_batch_gather(batch, rows, count, out, error);
  free(rows);
  return rc;
}

// Compares a batch with the mirror; the change set is left at changes_path.
static int32_t compare(struct table *table, const struct dr_batch *batch, struct dr_diff_counts *counts,
                       struct dray_error *error) {
  struct dr_diff *diff = NULL;
  const struct dr_diff_options options = {
      .flags = DR_DIFF_FULL, .duplicates = DR_DUPLICATES_REJECT, .changeset_path = table->changes_path};
  struct dr_batch *copy = NULL;
  DRAY_TRY(dr_diff_begin(table->mirror, &options, &diff, error));
  int32_t rc = copy_batch(batch, &copy, error);
  if (rc == DRAY_OK) rc = dr_diff_add(diff, copy, error);
  if (rc == DRAY_OK) rc = dr_diff_finish(diff, counts, error);
  counts->column_updates = NULL;
  dr_diff_free(diff);
  return rc;
}

static int32_t write_changes(struct table *table, uint64_t generation, struct dray_error *error) {
  struct dr_table_plan plan;
  struct dr_table_writer *writer = NULL;
  struct dr_changeset *set = NULL;
  uint64_t written = 0, seq = 0;
  memset(&plan, 0, sizeof(plan));
  DRAY_TRY(dr_table_plan(&table->warehouse, &table->options, &plan, error));
  int32_t rc = dr_table_writer_begin(&table->warehouse, &table->options, &plan, generation - 1, &writer, error);
  if (rc == DRAY_OK) rc = dr_changeset_open(table->changes_path, &set, error);
  while (rc == DRAY_OK) {
    struct dr_changes *changes = NULL;
    uint8_t acked[64];
    memset(acked, 1, sizeof(acked));
    rc = dr_changeset_next(set, seq, 64, 1u << 22, 0, &changes, error);
    if (rc != DRAY_OK || changes == NULL) break;
    seq = changes->first_seq + changes->count;
    rc = dr_table_writer_changes(writer, changes, error);
    if (rc == DRAY_OK) rc = dr_mirror_ack(table->mirror, changes, acked, error);
    dr_changes_free(changes);
  }
  if (rc == DRAY_OK) rc = dr_table_writer_merge(writer, generation, dray_str_of("state"), &written, error);
  if (rc == DRAY_OK) rc = dr_table_writer_commit(writer, error);
  if (rc == DRAY_OK) rc = dr_mirror_commit(table->mirror, generation, error);
  dr_table_writer_free(writer);
  dr_changeset_close(set);
  dr_table_plan_free(&plan);
  return rc;
}

static int32_t edge_batch(const struct edge *edge, struct dr_schema *schema, struct dr_batch **out,
                          struct dray_error *error) {
  struct dr_caster *caster = NULL;
  struct dr_rejects rejects = {NULL, 0, 0};
  struct ArrowArray array = edge->array; // moved: the edge is not used again
  DRAY_TRY(dr_caster_new(&edge->schema, schema, NULL, DR_CAST_REJECT_ROW, &caster, error));
  const int32_t rc = dr_caster_run(caster, &array, 0, out, &rejects, error);
  dr_caster_free(caster);
  dr_rejects_free(&rejects);
  return rc;
}

// Reads the table back and compares it with the mirror. *out_apart: rows that are not as they were written.
static int32_t read_back(struct table *table, uint64_t *out_apart, struct dray_error *error) {
  struct dray_buffer sql;
  struct dray_stream stream;
  struct ArrowSchema schema = {.release = NULL};
  struct dr_caster *caster = NULL;
  struct dr_rejects rejects = {NULL, 0, 0};
  dray_buffer_init(&sql, 1u << 16);
  int32_t rc = dr_sql_select(&table->warehouse.dialect, &table->options, &sql, error);
  if (rc == DRAY_OK) rc = dr_warehouse_query(&table->instance, dray_buffer_view(&sql), 1u << 24, 1000, &stream, error);
  const int open = rc == DRAY_OK;
  if (rc == DRAY_OK) rc = dr_stream_schema(&stream, table->instance.label, &schema, error);
  if (rc == DRAY_OK) rc = dr_caster_new(&schema, table->schema, NULL, DR_CAST_REJECT_ROW, &caster, error);
  struct ArrowArray array = {.release = NULL};
  int64_t rows = 0;
  struct dr_batch *batch = NULL;
  if (rc == DRAY_OK) rc = dr_stream_next(&stream, table->instance.label, &schema, &array, &rows, error);
  if (rc == DRAY_OK) rc = dr_caster_run(caster, &array, 0, &batch, &rejects, error);
  if (open) dr_stream_close(&stream, table->instance.label);
  struct dr_diff_counts counts;
  if (rc == DRAY_OK) rc = compare(table, batch, &counts, error);
  if (rc == DRAY_OK) *out_apart = counts.inserts + counts.updates + counts.deletes + rejects.count;
  dr_batch_free(batch);
  dr_caster_free(caster);
  dr_rejects_free(&rejects);
  dray_schema_release(&schema);
  dray_buffer_free(&sql);
  return rc;
}

static int values_warehouse(struct subject *subject) {
  struct edge edge;
  struct table table;
  struct dr_batch *batch = NULL;
  struct dr_diff_counts counts;
  struct dray_error error;
  uint64_t apart = 0;
  dray_error_init(&error);
  if (edge_make(0, 0, &edge, &error) != DRAY_OK) return kit_fail_error(subject, "the kit's own rows", &error);
  int32_t rc = open_table(subject, &table, &edge, &error);
  if (rc == DRAY_OK) rc = edge_batch(&edge, table.schema, &batch, &error);
  edge.array.release = NULL; // moved into the batch
  if (rc == DRAY_OK) rc = compare(&table, batch, &counts, &error);
  if (rc == DRAY_OK) rc = write_changes(&table, 1, &error);
  if (rc == DRAY_OK) rc = read_back(&table, &apart, &error);
  int verdict = rc == DRAY_OK ? DR_KIT_PASS : kit_fail_error(subject, "writing and reading edge values", &error);
  if (verdict == DR_KIT_PASS && apart > 0)
    verdict = kit_fail(subject, "%llu rows of edge values came back changed", (unsigned long long)apart);
  dr_batch_free(batch);
  close_table(&table);
  edge_free(&edge);
  return verdict;
}

int check_second_warehouse(struct subject *subject);
int check_second_warehouse(struct subject *subject) {
  struct edge edge;
  struct table table;
  struct dr_batch *batch = NULL;
  struct dr_diff_counts counts;
  struct dray_error error;
  dray_error_init(&error);
  if (edge_make(0, 0, &edge, &error) != DRAY_OK) return kit_fail_error(subject, "the kit's own rows", &error);
  int32_t rc = open_table(subject, &table, &edge, &error);
  if (rc == DRAY_OK) rc = edge_batch(&edge, table.schema, &batch, &error);
  edge.array.release = NULL;
  if (rc == DRAY_OK) rc = compare(&table, batch, &counts, &error);
  if (rc == DRAY_OK) rc = write_changes(&table, 1, &error);
  if (rc == DRAY_OK) rc = compare(&table, batch, &counts, &error);
  struct dr_table_state state = {0, {NULL, 0, 0, 1u << 20}};
  if (rc == DRAY_OK) rc = dr_table_state_read(&table.warehouse, &table.options, &state, &error);
  int verdict = rc == DRAY_OK ? DR_KIT_PASS : kit_fail_error(subject, "a first sync", &error);
  if (verdict == DR_KIT_PASS && counts.inserts + counts.updates + counts.deletes > 0)
    verdict = kit_fail(subject, "a second sync of the same rows would write");
  if (verdict == DR_KIT_PASS && state.generation != 1)
    verdict = kit_fail(subject, "the generation that was committed is not there");
  dray_buffer_free(&state.checkpoint);
  dr_batch_free(batch);
  close_table(&table);
  edge_free(&edge);
  return verdict;
}

// ---- source: the rows that the config expects ----

// {} stands for absent, null for null, everything else is the value's text.
static int same_value(const struct dray_json *wanted, const struct dr_batch *batch, size_t index, uint64_t row) {
  const struct dray_column_view *column = &batch->view.columns[index];
  const int absent = dr_batch_is_absent(batch, index, row);
  if (wanted->kind == DRAY_JSON_OBJECT) return absent;
  if (wanted->kind == DRAY_JSON_NULL) return !absent && dray_column_is_null(column, row);
  if (absent || dray_column_is_null(column, row)) return 0;
  struct dray_buffer text;
  struct dray_error error;
  dray_buffer_init(&text, 1u << 26);
  const int32_t rc = dray_column_text(column, row, &text, &error);
  const int same = rc == DRAY_OK && dray_str_equal(wanted->text, dray_buffer_view(&text));
  dray_buffer_free(&text);
  return same;
}

static int compare_rows(struct subject *subject, const struct dray_json *rows, const struct dr_batch *batch) {
  uint64_t row = 0;
  for (const struct dray_json *wanted = rows->child; wanted != NULL; wanted = wanted->next, row++) {
    if (row >= dr_batch_rows(batch)) return kit_fail(subject, "only %llu rows came", (unsigned long long)row);
    size_t column = 0;
    for (const struct dray_json *value = wanted->child; value != NULL; value = value->next, column++) {
      if (column < batch->view.column_count && same_value(value, batch, column, row)) continue;
      return kit_fail(subject, "row %llu, column %zu (%s) is not the expected %s", (unsigned long long)row + 1,
                      column + 1, column < batch->view.column_count ? batch->view.columns[column].name : "missing",
                      value->kind == DRAY_JSON_OBJECT ? "nothing"
                      : value->kind == DRAY_JSON_NULL ? "null"
                                                      : value->text.data);
    }
  }
  if (row == dr_batch_rows(batch)) return DR_KIT_PASS;
  return kit_fail(subject, "%llu rows came, %llu are expected", (unsigned long long)dr_batch_rows(batch),
                  (unsigned long long)row);
}

// One member of `expect`: a stream, and its rows in their order, which must fit into one batch.
static int expect_stream(struct subject *subject, const struct dray_json *expect) {
  struct dr_source_instance source;
  struct dray_stream stream;
  struct dray_error error;
  dray_error_init(&error);
  const struct dray_json *rows = dray_json_get(expect, "rows");
  if (rows == NULL || rows->kind != DRAY_JSON_ARRAY) return kit_fail(subject, "expect names no rows");
  if (subject_source(subject, &source, &error) != DRAY_OK) return kit_fail_error(subject, "create", &error);
  const struct dray_read_request request = {.struct_size = sizeof(request),
                                            .mode = DRAY_READ_FULL,
                                            .stream = dray_json_string(dray_json_get(expect, "stream"), ""),
                                            .batch_bytes_max = 1u << 24,
                                            .batch_rows_max = 10000};
  struct ArrowSchema schema = {.release = NULL};
  struct ArrowArray array = {.release = NULL};
  struct dr_schema *canonical = NULL;
  struct dr_caster *caster = NULL;
  struct dr_batch *batch = NULL;
  struct dr_rejects rejects = {NULL, 0, 0};
  int64_t count = 0;
  int32_t rc = dr_source_open(&source, &request, &stream, &error);
  const int open = rc == DRAY_OK;
  if (rc == DRAY_OK) rc = dr_stream_schema(&stream, source.label, &schema, &error);
  if (rc == DRAY_OK) rc = dr_schema_from_arrow(&schema, &canonical, &error);
  if (rc == DRAY_OK) rc = dr_caster_new(&schema, canonical, NULL, DR_CAST_REJECT_ROW, &caster, &error);
  if (rc == DRAY_OK) rc = dr_stream_next(&stream, source.label, &schema, &array, &count, &error);
  if (rc == DRAY_OK && count == 0) rc = dray_fail(&error, DRAY_E_DATA_SHAPE, "the stream is empty");
  if (rc == DRAY_OK) rc = dr_caster_run(caster, &array, 0, &batch, &rejects, &error);
  int verdict =
      rc == DRAY_OK ? compare_rows(subject, rows, batch) : kit_fail_error(subject, "reading edge values", &error);
  if (open) dr_stream_close(&stream, source.label);
  dr_batch_free(batch);
  dr_caster_free(caster);
  dr_schema_unref(canonical);
  dr_rejects_free(&rejects);
  dray_schema_release(&schema);
  dr_source_destroy(&source);
  return verdict;
}

static int values_source(struct subject *subject) {
  const struct dray_json *expect = dray_json_get(subject->config, "expect");
  if (expect == NULL) return kit_skip(subject, "the kit's config expects no rows");
  if (expect->kind == DRAY_JSON_OBJECT) return expect_stream(subject, expect);
  int verdict = expect->child != NULL ? DR_KIT_PASS : kit_skip(subject, "the kit's config expects no rows");
  for (const struct dray_json *one = expect->child; verdict == DR_KIT_PASS && one != NULL; one = one->next)
    verdict = expect_stream(subject, one);
  return verdict;
}

int check_values(struct subject *subject) {
  int verdict = DR_KIT_SKIP;
  static const struct {
    int role;
    int (*check)(struct subject *subject);
  } checks[] = {{DR_ROLE_WAREHOUSE, values_warehouse},
                {DR_ROLE_DESTINATION, values_destination},
                {DR_ROLE_SOURCE, values_source}};
  for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
    if (!subject_has(subject, checks[i].role)) continue;
    const int one = checks[i].check(subject);
    if (one == DR_KIT_FAIL) return one;
    if (one == DR_KIT_PASS) verdict = one;
  }
  return verdict;
}
