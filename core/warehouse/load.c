// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// From a batch of rows to the batch that the plugin loads: the written columns, borrowed where they can be and widened
// where the table's column is wider, and dray's own columns beside them. Called by the writer only.
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "dray/destination.h"
#include "warehouse/writer.h"

#define ARENA_BYTES_MAX (1u << 30)
#define OWN_COLUMNS_MAX 4 // beside the masks
#define DAY_US INT64_C(86400000000)

// ---- the schema of what is loaded ----

static int32_t make_schema(struct dr_table_writer *writer, struct dray_column_def *defs, char (*mask_names)[32],
                           struct dray_error *error) {
  const struct dray_type int64 = {DRAY_TYPE_INT64, 0, 0}, timestamp = {DRAY_TYPE_TIMESTAMP, 0, 0};
  const struct dray_type boolean = {DRAY_TYPE_BOOL, 0, 0};
  const int keyed = writer->options->mode == DR_WRITE_UPSERT || writer->options->mode == DR_WRITE_HISTORY;
  size_t n = 0;
  for (; n < writer->column_count; n++) {
    const struct dr_table_column *column = &writer->columns[n];
    defs[n] = (struct dray_column_def){column->name, column->stored, !(keyed && column->key)};
  }
  if (writer->direct) {
    defs[n++] = (struct dray_column_def){DR_COLUMN_SYNCED_AT, timestamp, 0};
    if (writer->options->mode == DR_WRITE_HISTORY) {
      defs[n++] = (struct dray_column_def){DR_COLUMN_VALID_FROM, timestamp, 0};
      defs[n++] = (struct dray_column_def){DR_COLUMN_CURRENT, boolean, 0};
    }
  } else {
    defs[n++] = (struct dray_column_def){DR_COLUMN_STAGED_OP, int64, 0};
    for (size_t i = 0; i < writer->mask_count; i++) {
      (void)snprintf(mask_names[i], sizeof mask_names[i], DR_COLUMN_STAGED_MASK "%zu", i);
      defs[n++] = (struct dray_column_def){mask_names[i], int64, 0};
    }
    if (writer->timed) {
      defs[n++] = (struct dray_column_def){DR_COLUMN_STAGED_ORDER, int64, 0};
      defs[n++] = (struct dray_column_def){DR_COLUMN_VALID_FROM, timestamp, 1};
    }
  }
  return dray_schema_make(defs, n, &writer->load_schema, error);
}

int32_t dr_load_init(struct dr_table_writer *writer, struct dray_error *error) {
  const size_t most = writer->column_count + writer->mask_count + OWN_COLUMNS_MAX;
  struct dray_column_def *defs = calloc(most, sizeof *defs);
  char(*mask_names)[32] = calloc(writer->mask_count + 1, sizeof *mask_names);
  writer->source_index = calloc(writer->column_count + 1, sizeof *writer->source_index);
  writer->absent_seen = calloc(writer->column_count + 1, 1);
  dr_arena_init(&writer->arena, ARENA_BYTES_MAX);
  int32_t code = DRAY_OK;
  if (defs == NULL || mask_names == NULL || writer->source_index == NULL || writer->absent_seen == NULL) {
    code = dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for %zu columns", writer->column_count);
  } else {
    code = make_schema(writer, defs, mask_names, error);
  }
  free(defs);
  free(mask_names);
  return code;
}

void dr_load_free(struct dr_table_writer *writer) {
  dray_schema_release(&writer->load_schema);
  dr_schema_unref(writer->seen_schema);
  dr_arena_free(&writer->arena);
  free(writer->source_index);
  free(writer->absent_seen);
}

// Where the written columns are in batches of this schema, by name: a change set's order of columns is its own.
static int32_t learn_schema(struct dr_table_writer *writer, struct dr_schema *schema, struct dray_error *error) {
  if (schema == writer->seen_schema) return DRAY_OK;
  for (size_t i = 0; i < writer->column_count; i++) {
    const struct dr_field *field = &writer->options->schema->fields[writer->columns[i].field];
    const ptrdiff_t at = dr_schema_find(schema, dray_str_of(field->name));
    if (at < 0 || !dr_type_equal(schema->fields[at].type, field->type)) {
      return dray_fail(error, DRAY_E_INTERNAL, "a batch for table %s comes without column '%s' of the planned type",
                       writer->table.table, field->name);
    }
    writer->source_index[i] = (size_t)at;
  }
  dr_schema_unref(writer->seen_schema);
  writer->seen_schema = dr_schema_ref(schema);
  return DRAY_OK;
}

// ---- the columns of one batch ----

struct loading {
  struct dr_table_writer *writer;
  const struct dr_batch *batch;
  uint64_t start, count;
  struct ArrowArray *slots; // the children, in the arena
  struct ArrowArray **children;
  size_t child_count;
  struct ArrowArray *owned; // arrays to release afterwards: converted columns
  size_t owned_count;
  struct dray_error *error;
};

// Borrowed arrays are never released through the copy; Arrow only wants to see that they are alive.
static void release_borrowed(struct ArrowArray *array) {
  array->release = NULL;
}

static int32_t no_memory(struct loading *loading) {
  return dray_fail(loading->error, DRAY_E_OUT_OF_MEMORY, "no memory to load %llu rows into table %s",
                   (unsigned long long)loading->count, loading->writer->table.table);
}

static void *take_memory(struct loading *loading, uint64_t bytes) {
  return dr_arena_alloc(&loading->writer->arena, (size_t)bytes);
}

static int bit(const uint8_t *bitmap, uint64_t i) {
  return (bitmap[i >> 3] >> (i & 7)) & 1;
}

static int any_absent(const struct loading *loading, size_t field) {
  if (loading->batch->absent == NULL || loading->batch->absent[field] == NULL) return 0;
  for (uint64_t row = loading->start; row < loading->start + loading->count; row++) {
    if (bit(loading->batch->absent[field], row)) return 1;
  }
  return 0;
}

// The column as it is, shifted to the rows wanted. Absent values are nulls in it; the mask says which of the nulls they
// are.
static void borrow_column(const struct loading *loading, size_t field, struct ArrowArray *slot) {
  const struct ArrowArray *parent = &loading->batch->array;
  *slot = *parent->children[field];
  slot->offset += parent->offset + (int64_t)loading->start;
  slot->length = (int64_t)loading->count;
  slot->null_count = -1;
  slot->release = release_borrowed;
}

static int32_t convert_value(struct loading *loading, const struct dray_column_view *from, uint64_t row,
                             const struct dr_table_column *column, struct dray_builder *builder) {
  struct dray_error *error = loading->error;
  struct dray_buffer *text = &loading->writer->text;
  if (column->stored.id == DRAY_TYPE_DECIMAL) {
    const struct dray_decimal value = from->type.id == DRAY_TYPE_INT64
                                          ? dray_decimal_of_int64(dray_column_int64(from, row))
                                          : dray_column_decimal(from, row);
    struct dray_decimal wide;
    DRAY_TRY(
        dray_decimal_rescale(value, from->type.scale, column->stored.precision, column->stored.scale, &wide, error));
    return dray_builder_decimal(builder, 0, wide, error);
  }
  assert(column->stored.id == DRAY_TYPE_STRING);
  dray_buffer_clear(text);
  DRAY_TRY(dray_column_text(from, row, text, error));
  return dray_builder_bytes(builder, 0, dray_buffer_view(text), error);
}

// The table's column is wider than the field: an int64 into a decimal, anything into a string.
static int32_t convert_column(struct loading *loading, size_t field, const struct dr_table_column *column,
                              struct ArrowArray *slot) {
  const struct dray_column_view *from = &loading->batch->view.columns[field];
  const struct dray_column_def def = {column->name, column->stored, 1};
  struct ArrowSchema schema = {.release = NULL};
  struct dray_builder *builder = NULL;
  int32_t full = 0;
  DRAY_TRY(dray_schema_make(&def, 1, &schema, loading->error));
  int32_t code = dray_builder_new(&schema, loading->count, UINT32_MAX, &builder, loading->error);
  for (uint64_t i = 0; i < loading->count && code == DRAY_OK; i++) {
    const uint64_t row = loading->start + i;
    if (dray_column_is_null(from, row)) {
      code = dray_builder_null(builder, 0, loading->error);
    } else {
      code = convert_value(loading, from, row, column, builder);
    }
    if (code == DRAY_OK) code = dray_builder_end_row(builder, &full, loading->error);
  }
  if (code == DRAY_OK) code = dray_builder_finish(builder, &loading->owned[loading->owned_count], loading->error);
  if (code == DRAY_OK) {
    *slot = *loading->owned[loading->owned_count++].children[0];
    slot->release = release_borrowed;
  }
  dray_builder_free(builder);
  dray_schema_release(&schema);
  return code;
}

static int32_t put_column(struct loading *loading, size_t index) {
  struct dr_table_writer *writer = loading->writer;
  const struct dr_table_column *column = &writer->columns[index];
  const size_t field = writer->source_index[index];
  struct ArrowArray *slot = loading->children[loading->child_count++];
  if (any_absent(loading, field)) writer->absent_seen[index] = 1;
  if (!dr_type_equal(column->type, column->stored)) {
    return convert_column(loading, field, column, slot);
  }
  borrow_column(loading, field, slot);
  return DRAY_OK;
}

// A column of 64-bit values of our own (or of bits, of which `values` then has enough). `valid` NULL: none is null.
static int32_t put_nullable(struct loading *loading, const void *values, const uint8_t *valid) {
  const void **buffers = take_memory(loading, 2 * sizeof *buffers);
  if (buffers == NULL || values == NULL) return no_memory(loading);
  buffers[0] = valid;
  buffers[1] = values;
  *loading->children[loading->child_count++] = (struct ArrowArray){.length = (int64_t)loading->count,
                                                                   .null_count = valid != NULL ? -1 : 0,
                                                                   .n_buffers = 2,
                                                                   .buffers = buffers,
                                                                   .release = release_borrowed};
  return DRAY_OK;
}

static int32_t put_values(struct loading *loading, const void *values) {
  return put_nullable(loading, values, NULL);
}

static int64_t *same_values(struct loading *loading, int64_t value) {
  int64_t *values = take_memory(loading, loading->count * sizeof *values);
  for (uint64_t i = 0; values != NULL && i < loading->count; i++) values[i] = value;
  return values;
}

static int32_t put_mask(struct loading *loading, size_t mask) {
  const struct dr_table_writer *writer = loading->writer;
  const size_t first = mask * DR_MASK_BITS;
  int64_t *values = same_values(loading, 0);
  if (values == NULL) return no_memory(loading);
  for (size_t i = first; i < first + DR_MASK_BITS && i < writer->column_count; i++) {
    const uint8_t *absent = loading->batch->absent != NULL ? loading->batch->absent[writer->source_index[i]] : NULL;
    for (uint64_t row = 0; absent != NULL && row < loading->count; row++) {
      if (bit(absent, loading->start + row)) values[row] |= INT64_C(1) << (i - first);
    }
  }
  return put_values(loading, values);
}

static int32_t put_order(struct loading *loading) {
  int64_t *values = take_memory(loading, loading->count * sizeof *values);
  for (uint64_t i = 0; values != NULL && i < loading->count; i++) {
    values[i] = (int64_t)loading->writer->staged_count++;
  }
  return put_values(loading, values);
}

// Since when each row is as it is. A row that does not say is as it is now; a key that is gone without a time has none.
static int32_t put_time(struct loading *loading, int op) {
  const struct dr_table_writer *writer = loading->writer;
  const size_t field = writer->source_index[writer->time_column];
  const struct dray_column_view *column = &loading->batch->view.columns[field];
  int64_t *values = take_memory(loading, loading->count * sizeof *values);
  uint8_t *valid = take_memory(loading, loading->count / 8 + 1);
  if (values == NULL || valid == NULL) return no_memory(loading);
  memset(valid, 0, (size_t)(loading->count / 8 + 1));
  for (uint64_t i = 0; i < loading->count; i++) {
    const uint64_t row = loading->start + i;
    const int says = !dray_column_is_null(column, row) && (op != DRAY_OP_DELETE || writer->own_time);
    values[i] = writer->now_us;
    if (says && column->type.id == DRAY_TYPE_DATE) values[i] = dray_column_date(column, row) * DAY_US;
    if (says && column->type.id != DRAY_TYPE_DATE) values[i] = dray_column_int64(column, row);
    if (says || op != DRAY_OP_DELETE) valid[i >> 3] |= (uint8_t)(1u << (i & 7));
  }
  return put_nullable(loading, values, valid);
}

static int32_t put_own_columns(struct loading *loading, int op) {
  const struct dr_table_writer *writer = loading->writer;
  if (!writer->direct) {
    DRAY_TRY(put_values(loading, same_values(loading, op)));
    for (size_t i = 0; i < writer->mask_count; i++) DRAY_TRY(put_mask(loading, i));
    if (!writer->timed) return DRAY_OK;
    DRAY_TRY(put_order(loading));
    return put_time(loading, op);
  }
  DRAY_TRY(put_values(loading, same_values(loading, writer->now_us)));
  if (writer->options->mode != DR_WRITE_HISTORY) return DRAY_OK;
  DRAY_TRY(put_values(loading, same_values(loading, writer->now_us)));
  return put_values(loading, same_values(loading, -1)); // bits, all set: current
}

static int32_t load(struct loading *loading, int op) {
  struct dr_table_writer *writer = loading->writer;
  const size_t count = (size_t)writer->load_schema.n_children;
  const void *no_validity[1] = {NULL};
  loading->slots = take_memory(loading, count * sizeof *loading->slots);
  loading->children = take_memory(loading, count * sizeof *loading->children);
  loading->owned = take_memory(loading, count * sizeof *loading->owned);
  if (loading->slots == NULL || loading->children == NULL || loading->owned == NULL) return no_memory(loading);
  for (size_t i = 0; i < count; i++) loading->children[i] = &loading->slots[i];
  for (size_t i = 0; i < writer->column_count; i++) DRAY_TRY(put_column(loading, i));
  DRAY_TRY(put_own_columns(loading, op));
  assert(loading->child_count == count);
  const struct ArrowArray array = {.length = (int64_t)loading->count,
                                   .n_buffers = 1,
                                   .buffers = no_validity,
                                   .n_children = (int64_t)count,
                                   .children = loading->children,
                                   .release = release_borrowed};
  return dr_engine_load(writer->warehouse, writer->direct ? &writer->table : &writer->staging, &writer->load_schema,
                        &array, loading->error);
}

int32_t dr_load_rows(struct dr_table_writer *writer, const struct dr_batch *batch, uint64_t start, uint64_t count,
                     int op, struct dray_error *error) {
  struct loading loading = {.writer = writer, .batch = batch, .start = start, .count = count, .error = error};
  if (count == 0) return DRAY_OK;
  DRAY_TRY(learn_schema(writer, batch->schema, error));
  const int32_t code = load(&loading, op);
  for (size_t i = 0; i < loading.owned_count; i++) dray_array_release(&loading.owned[i]);
  dr_arena_clear(&writer->arena);
  return code;
}
