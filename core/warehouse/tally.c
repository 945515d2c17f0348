// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Rows counted, each by two hashes, so that two bags of them can be told apart without keeping either. By this a table
// that holds already what was read is left alone: a staging table to compare in is something that an engine writes.
// Called by core/sync before a writer is made; only ever reads.
#include <stdlib.h>

#include "base/board.h"
#include "base/cancel.h"
#include "table/encode.h"
#include "warehouse/table.h"

#define SUM_COUNT 2
#define COLUMN_COUNTED "rows_there"

struct bag {
  uint64_t rows, sums[SUM_COUNT]; // sums of hashes: the order of rows does not matter, how often each comes does
};

struct dr_table_tally {
  struct dr_warehouse *warehouse;
  const struct dr_table_options *options;
  struct dr_encoder encoders[SUM_COUNT];
  uint64_t *hashes; // of one batch, owned
  uint64_t hashes_room;
  struct bag given, there;
};

int32_t dr_table_tally_new(struct dr_warehouse *warehouse, const struct dr_table_options *options, uint64_t seed,
                           struct dr_table_tally **out, struct dray_error *error) {
  struct dr_table_tally *tally = calloc(1, sizeof *tally);
  if (tally == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to count rows");
  tally->warehouse = warehouse;
  tally->options = options;
  int32_t code = dr_encoder_init(&tally->encoders[0], options->schema, NULL, 0, seed, error);
  if (code == DRAY_OK) code = dr_encoder_init(&tally->encoders[1], options->schema, NULL, 0, ~seed, error);
  if (code != DRAY_OK) {
    dr_table_tally_free(tally);
    return code;
  }
  *out = tally;
  return DRAY_OK;
}

void dr_table_tally_free(struct dr_table_tally *tally) {
  if (tally == NULL) return;
  for (size_t i = 0; i < SUM_COUNT; i++) dr_encoder_free(&tally->encoders[i]);
  free(tally->hashes);
  free(tally);
}

static int32_t count(struct dr_table_tally *tally, const struct dr_batch *batch, struct bag *bag,
                     struct dray_error *error) {
  const uint64_t rows = dr_batch_rows(batch);
  if (rows > tally->hashes_room) {
    uint64_t *grown = realloc(tally->hashes, (size_t)rows * sizeof *grown);
    if (grown == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to count rows");
    tally->hashes = grown;
    tally->hashes_room = rows;
  }
  for (size_t s = 0; s < SUM_COUNT && rows > 0; s++) {
    DRAY_TRY(dr_row_hashes(&tally->encoders[s], batch, tally->hashes, error));
    for (uint64_t i = 0; i < rows; i++) bag->sums[s] += tally->hashes[i];
  }
  bag->rows += rows;
  return DRAY_OK;
}

int32_t dr_table_tally_rows(struct dr_table_tally *tally, const struct dr_batch *batch, struct dray_error *error) {
  return count(tally, batch, &tally->given, error);
}

// ---- the table ----

static int32_t take_count(void *ctx, const struct dr_batch *batch, struct dray_error *error) {
  (void)error;
  if (dr_batch_rows(batch) > 0) *(int64_t *)ctx = dray_column_int64(&batch->view.columns[0], 0);
  return DRAY_OK;
}

// As many rows there as were given, or none of them needs to be read.
static int32_t ask_count(struct dr_table_tally *tally, int64_t *out, struct dray_error *error) {
  const struct dray_column_def def = {COLUMN_COUNTED, {DRAY_TYPE_INT64, 0, 0}, 1};
  const struct dray_dialect *dialect = &tally->warehouse->dialect;
  struct dr_schema *schema = NULL;
  struct dray_buffer text;
  struct dr_sql sql;
  DRAY_TRY(dr_schema_new(&def, 1, &schema, error));
  dray_buffer_init(&text, DR_SQL_BYTES_MAX);
  dr_sql_begin(&sql, dialect, &text, error);
  dr_sql_text(&sql, "SELECT COUNT(*) AS ");
  dr_sql_name(&sql, def.name);
  dr_sql_text(&sql, " FROM ");
  int32_t code = sql.code;
  if (code == DRAY_OK) code = dr_sql_table(dialect, &tally->options->name, &text, error);
  if (code == DRAY_OK) {
    code = dr_engine_query(tally->warehouse, dray_buffer_view(&text), schema, take_count, out, error);
  }
  dray_buffer_free(&text);
  dr_schema_unref(schema);
  return code;
}

// Whether each value of the table reads as what was written, and each row of it counts: a column that is wider than the
// field holds more than the field's values, and rows that are marked as deleted are to go.
static int32_t is_comparable(struct dr_table_tally *tally, int *out_comparable, struct dray_error *error) {
  const struct dr_schema *schema = tally->options->schema;
  struct dr_place place;
  struct dr_shape shape;
  DRAY_TRY(dr_place_make(&tally->warehouse->dialect, tally->options->name.schema, tally->options->name.table, &place,
                         error));
  const int32_t code = dr_shape_read(tally->warehouse, &place, &shape, error);
  dr_place_free(&place);
  if (code != DRAY_OK) return code;
  int comparable = shape.found && dr_shape_find(&shape, DR_COLUMN_DELETED_AT) == NULL;
  for (size_t i = 0; comparable && i < schema->field_count; i++) {
    const struct dr_shape_column *column = dr_shape_find(&shape, schema->fields[i].name);
    comparable = column != NULL && dr_type_equal(column->type, schema->fields[i].type);
  }
  dr_shape_free(&shape);
  *out_comparable = comparable;
  return DRAY_OK;
}

static int32_t take_rows(void *ctx, const struct dr_batch *batch, struct dray_error *error) {
  struct dr_table_tally *tally = ctx;
  dr_board_beat();
  DRAY_TRY(dr_cancel_check(error));
  return count(tally, batch, &tally->there, error);
}

// A row that cannot be read as the fields' types is none that was given: then the bags differ.
static int32_t read_table(struct dr_table_tally *tally, struct dray_error *error) {
  struct dray_buffer text;
  int found = 0;
  tally->there = (struct bag){.rows = 0};
  dray_buffer_init(&text, DR_SQL_BYTES_MAX);
  int32_t code = dr_table_select(tally->warehouse, tally->options, &text, &found, error);
  if (code == DRAY_OK && found) {
    code = dr_engine_query(tally->warehouse, dray_buffer_view(&text), tally->options->schema, take_rows, tally, error);
    if (code != DRAY_OK && dray_error_info(code)->error_class == DRAY_CLASS_DATA) {
      dray_error_init(error);
      tally->there.rows = UINT64_MAX;
      code = DRAY_OK;
    }
  }
  dray_buffer_free(&text);
  return code;
}

int32_t dr_table_tally_same(struct dr_table_tally *tally, uint64_t generation, int *out_same,
                            struct dray_error *error) {
  struct dr_state_row row = {.checkpoint = NULL};
  int comparable = 0;
  int64_t there = -1;
  *out_same = 0;
  DRAY_TRY(is_comparable(tally, &comparable, error));
  if (!comparable) return DRAY_OK;
  DRAY_TRY(ask_count(tally, &there, error));
  if (there < 0 || (uint64_t)there != tally->given.rows) return DRAY_OK;
  DRAY_TRY(read_table(tally, error));
  if (memcmp(&tally->given, &tally->there, sizeof tally->given) != 0) return DRAY_OK;
  DRAY_TRY(dr_state_get(tally->warehouse, tally->options, &row, error)); // last: who wrote meanwhile is noticed
  *out_same = row.generation == generation;
  return DRAY_OK;
}
