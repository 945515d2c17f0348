// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Batches for the tests.
#include "batch.h"

enum { ID, NAME, AMOUNT, TAGS, ABSENT, ROW, OP, CHANGED, COLUMN_COUNT };

static void must(int32_t rc, const struct dray_error *error) {
  if (rc != DRAY_OK) fail_msg("%s: %s", dray_error_info(rc)->name, error->text);
}

void rows_open(struct rows *rows) {
  static const struct dray_column_def columns[COLUMN_COUNT] = {
      {"id", {DRAY_TYPE_INT64, 0, 0}, 1},
      {"name", {DRAY_TYPE_STRING, 0, 0}, 1},
      {"amount", {DRAY_TYPE_DECIMAL, 12, 2}, 1},
      {"tags", {DRAY_TYPE_JSON, 0, 0}, 1},
      {DRAY_COLUMN_ABSENT, {DRAY_TYPE_BYTES, 0, 0}, 1},
      {DRAY_COLUMN_ROW, {DRAY_TYPE_INT64, 0, 0}, 0},
      {DRAY_COLUMN_OP, {DRAY_TYPE_INT64, 0, 0}, 0},
      {DRAY_COLUMN_CHANGED, {DRAY_TYPE_BYTES, 0, 0}, 1},
  };
  struct dray_error error;
  dray_error_init(&error);
  memset(rows, 0, sizeof(*rows));
  rows->next_row = 100; // not the place in the batch
  must(dray_schema_make(columns, COLUMN_COUNT, &rows->schema, &error), &error);
  must(dray_builder_new(&rows->schema, 0, 0, &rows->builder, &error), &error);
}

void rows_close(struct rows *rows) {
  dray_builder_free(rows->builder);
  dray_schema_release(&rows->schema);
}

void rows_add(struct rows *rows, int op, int64_t id, const char *name, int64_t cents, const char *changed) {
  struct dray_builder *to = rows->builder;
  struct dray_error error;
  int32_t full = 0;
  dray_error_init(&error);
  must(dray_builder_int64(to, ID, id, &error), &error);
  if (name == NULL) must(dray_builder_null(to, NAME, &error), &error);
  if (name != NULL && strcmp(name, "-") != 0) must(dray_builder_bytes(to, NAME, dray_str_of(name), &error), &error);
  if (cents >= 0) must(dray_builder_decimal(to, AMOUNT, dray_decimal_of_int64(cents), &error), &error);
  if (op == DRAY_OP_INSERT) must(dray_builder_bytes(to, TAGS, dray_str_of("[1,\"x\"]"), &error), &error);
  must(dray_builder_int64(to, ROW, rows->next_row++, &error), &error);
  must(dray_builder_int64(to, OP, op, &error), &error);
  uint8_t bits = 0;
  if (strchr(changed, 'n') != NULL) bits = (uint8_t)(bits | 1u << NAME);
  if (strchr(changed, 'a') != NULL) bits = (uint8_t)(bits | 1u << AMOUNT);
  must(dray_builder_bytes(to, CHANGED, dray_str_make((const char *)&bits, 1), &error), &error);
  must(dray_builder_end_row(to, &full, &error), &error);
}

struct ArrowArray rows_finish(struct rows *rows) {
  struct ArrowArray batch = {0};
  struct dray_error error;
  dray_error_init(&error);
  must(dray_builder_finish(rows->builder, &batch, &error), &error);
  return batch;
}

struct dray_write_plan rows_plan(const struct rows *rows, const char *options_json) {
  static const struct dray_str keys[] = {{"id", 2}};
  const struct dray_write_plan plan = {.struct_size = sizeof(plan),
                                       .operations = DRAY_OP_INSERT | DRAY_OP_UPDATE | DRAY_OP_DELETE,
                                       .object = dray_str_of("customers"),
                                       .schema = &rows->schema,
                                       .match_keys = keys,
                                       .match_key_count = 1,
                                       .options_json = dray_str_of(options_json),
                                       .sync = dray_str_of("vip"),
                                       .run = dray_str_of("7")};
  return plan;
}
