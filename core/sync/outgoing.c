// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Which changes leave, and how they look: the sync's mode and the parked rows decide, then the columns are
// copied with the reserved ones beside them.
#include <stdlib.h>
#include <string.h>

#include "sync/delivery.h"

#define BEFORE_BYTES_MAX (256u << 20)

enum { FATE_SEND = 1, FATE_SILENT, FATE_IGNORE, FATE_PARKED, FATE_WAIT };

// What each mode makes of an insert, an update and a delete of the diff; 0: not sent. `remove` takes rows of the model
// away at the destination: its mirror holds what was removed, so a row that leaves the model is forgotten without a
// call.
static const struct {
  int mode;
  int insert, update, delete;
  int silent_update, silent_delete;
} fates[] = {
    {DR_MODE_UPSERT, DRAY_OP_INSERT, DRAY_OP_UPDATE, 0, 0, 0},
    {DR_MODE_MIRROR, DRAY_OP_INSERT, DRAY_OP_UPDATE, DRAY_OP_DELETE, 0, 0},
    {DR_MODE_CREATE, DRAY_OP_INSERT, 0, 0, 0, 0},
    {DR_MODE_APPEND, DRAY_OP_INSERT, 0, 0, 0, 0},
    {DR_MODE_UPDATE, DRAY_OP_UPDATE, DRAY_OP_UPDATE, 0, 0, 0},
    {DR_MODE_REMOVE, DRAY_OP_DELETE, 0, 0, 1, 1},
};
#define FATE_COUNT (sizeof(fates) / sizeof(fates[0]))

uint32_t dr_outgoing_operations(int mode) {
  for (size_t i = 0; i < FATE_COUNT; i++) {
    if (fates[i].mode == mode) return (uint32_t)(fates[i].insert | fates[i].update | fates[i].delete);
  }
  return 0;
}

static int fate_of(const struct dr_context *run, int op, int *out_op) {
  const int mode = run->sync->mode;
  // A full refresh takes away again what was taken away before.
  if (mode == DR_MODE_REMOVE && op == DRAY_OP_UPDATE && (run->options->flags & DR_RUN_FULL) != 0) op = DRAY_OP_INSERT;
  for (size_t i = 0; i < FATE_COUNT; i++) {
    if (fates[i].mode != mode) continue;
    *out_op = op == DRAY_OP_INSERT ? fates[i].insert : op == DRAY_OP_UPDATE ? fates[i].update : fates[i].delete;
    if (*out_op != 0) return FATE_SEND;
    const int silent = op == DRAY_OP_UPDATE ? fates[i].silent_update : op == DRAY_OP_DELETE && fates[i].silent_delete;
    return silent ? FATE_SILENT : FATE_IGNORE;
  }
  return FATE_IGNORE;
}

// A parked row stays parked while it is the same; one in doubt until an operator resolves it. Both are marked as met,
// since what a full read does not meet is forgotten.
static int32_t look_up(struct dr_delivery *delivery, const struct dr_changes *changes, size_t i, int *fate, int *op,
                       uint64_t *resolved, struct dray_error *error) {
  if (!delivery->has_records) return DRAY_OK;
  struct dr_context *run = delivery->run;
  struct dr_row_record row;
  int found = 0;
  uint8_t key_hash[16];
  memcpy(key_hash, &changes->key_hash[i], sizeof(key_hash));
  DRAY_TRY(dr_store_row_find(run->store, run->sync->name, key_hash, &row, &found, error));
  if (!found || row.parked == 0) return DRAY_OK;
  *resolved += row.parked == DR_ROW_APPLIED || row.parked == DR_ROW_RESEND;
  const int same = row.row_hash == changes->row_hash[i];
  if (row.parked == DR_ROW_APPLIED && same) {
    *fate = FATE_SILENT;
    return DRAY_OK;
  }
  if (row.parked == DR_ROW_APPLIED) {
    // The receiver holds the row as it was then, or (a delete) has it no more; the mirror does not know.
    const int really = row.op == DRAY_OP_DELETE ? DRAY_OP_INSERT : DRAY_OP_UPDATE;
    *fate = changes->op[i] == DRAY_OP_DELETE ? *fate : fate_of(run, really, op);
    if (*fate == FATE_IGNORE) *fate = FATE_SILENT;
    return DRAY_OK;
  }
  if (row.parked != DR_ROW_PARKED || (!same && row.code != DRAY_E_STATE_IN_DOUBT)) return DRAY_OK;
  *fate = FATE_PARKED;
  return dr_store_row_touch(run->store, run->sync->name, key_hash, run->record.id, error);
}

// The folded key of a field, in a change set: a mirror that keeps keys alone holds no other spelling for a removal.
static ptrdiff_t stand_in(const struct dr_mapping *mapping, ptrdiff_t field, const struct dr_schema *schema) {
  const ptrdiff_t folded = field >= 0 ? dr_mapping_folded(mapping, (size_t)field) : -1;
  return folded >= 0 ? dr_schema_find(schema, dray_str_of(mapping->schema->fields[folded].name)) : -1;
}

int32_t dr_outgoing_schema(struct dr_delivery *delivery, struct dray_error *error) {
  const struct dr_schema *schema = dr_changeset_schema(delivery->set);
  const struct dr_mapping *mapping = &delivery->run->mapping;
  struct dray_column_def *defs = calloc(schema->field_count + 5, sizeof(*defs));
  delivery->columns = calloc(schema->field_count + 1, sizeof(*delivery->columns));
  delivery->stand_ins = calloc(schema->field_count + 1, sizeof(*delivery->stand_ins));
  delivery->is_key = calloc(schema->field_count + 1, 1);
  int32_t rc = DRAY_OK;
  if (defs == NULL || delivery->columns == NULL || delivery->stand_ins == NULL || delivery->is_key == NULL) {
    rc = dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a schema");
    goto done;
  }
  size_t count = 0;
  for (size_t i = 0; i < schema->field_count; i++) {
    const ptrdiff_t mapped = dr_schema_find(mapping->schema, dray_str_of(schema->fields[i].name));
    if (mapped >= 0 && mapping->hidden[mapped]) continue;
    delivery->columns[count] = i;
    delivery->stand_ins[count] = stand_in(mapping, mapped, schema);
    delivery->is_key[count] = (uint8_t)dr_mapping_is_key(mapping, schema->fields[i].name);
    defs[count++] = (struct dray_column_def){schema->fields[i].name, schema->fields[i].type, 1};
  }
  delivery->column_count = count;
  delivery->absent_at = count;
  delivery->row_at = count + 1;
  delivery->op_at = count + 2;
  delivery->changed_at = count + 3;
  defs[count] = (struct dray_column_def){DRAY_COLUMN_ABSENT, {DRAY_TYPE_BYTES, 0, 0}, 1};
  defs[count + 1] = (struct dray_column_def){DRAY_COLUMN_ROW, {DRAY_TYPE_INT64, 0, 0}, 0};
  defs[count + 2] = (struct dray_column_def){DRAY_COLUMN_OP, {DRAY_TYPE_INT64, 0, 0}, 0};
  defs[count + 3] = (struct dray_column_def){DRAY_COLUMN_CHANGED, {DRAY_TYPE_BYTES, 0, 0}, 1};
  delivery->before_at = -1;
  size_t reserved = 4;
  if ((delivery->caps.flags & DRAY_CAPS_UPDATE_NEEDS_BEFORE) != 0) {
    delivery->before_at = (ptrdiff_t)(count + reserved);
    defs[count + reserved++] = (struct dray_column_def){DRAY_COLUMN_BEFORE, {DRAY_TYPE_JSON, 0, 0}, 1};
  }
  rc = dray_schema_make(defs, count + reserved, &delivery->schema, error);
done:
  free(defs);
  return rc;
}

static int32_t copy_value(struct dray_builder *builder, size_t to, const struct dray_column_view *view, size_t row,
                          struct dray_error *error) {
  if (dray_column_is_null(view, row)) return dray_builder_null(builder, to, error);
  switch (view->type.id) {
  case DRAY_TYPE_BOOL:
    return dray_builder_bool(builder, to, dray_column_bool(view, row), error);
  case DRAY_TYPE_INT64:
    return dray_builder_int64(builder, to, dray_column_int64(view, row), error);
  case DRAY_TYPE_FLOAT64:
    return dray_builder_float64(builder, to, dray_column_float64(view, row), error);
  case DRAY_TYPE_DECIMAL:
    return dray_builder_decimal(builder, to, dray_column_decimal(view, row), error);
  case DRAY_TYPE_DATE:
    return dray_builder_date(builder, to, dray_column_date(view, row), error);
  case DRAY_TYPE_TIMESTAMP:
    return dray_builder_timestamp(builder, to, dray_column_int64(view, row), error);
  default:
    return dray_builder_bytes(builder, to, dray_column_bytes(view, row), error);
  }
}

// About what a value weighs in a request: enough to keep a batch under its bound.
static uint64_t weigh(const struct dray_column_view *view, size_t row) {
  if (dray_column_is_null(view, row)) return 4;
  switch (view->type.id) {
  case DRAY_TYPE_STRING:
  case DRAY_TYPE_BYTES:
  case DRAY_TYPE_JSON:
    return dray_column_bytes(view, row).len + 2;
  default:
    return 16;
  }
}

// What an update replaces, as the mirror holds it: {"tags": "a b"}.
static int32_t append_before(struct dr_delivery *delivery, const struct dr_changes *changes, size_t i,
                             struct dr_outgoing *out, struct dray_error *error) {
  const struct dr_batch *before = changes->before;
  const uint8_t *bits = changes->changed + i * changes->changed_stride;
  struct dray_json_writer writer;
  struct dray_buffer text;
  struct dr_mirror_info info;
  dr_mirror_info(delivery->run->mirror, &info);
  if (before == NULL || changes->op[i] != DRAY_OP_UPDATE || info.keep != DR_KEEP_ROW) {
    return dray_builder_null(delivery->builder, (size_t)delivery->before_at, error);
  }
  dray_buffer_init(&text, BEFORE_BYTES_MAX);
  dray_json_writer_init(&writer, &text, error);
  dray_json_begin_object(&writer);
  for (size_t c = 0; c < delivery->column_count; c++) {
    const size_t from = delivery->columns[c];
    const int has_changed = !delivery->is_key[c] && ((bits[from >> 3] >> (from & 7)) & 1) != 0;
    if (!has_changed || dr_batch_is_absent(before, from, i)) continue;
    dray_json_key(&writer, before->schema->fields[from].name);
    dray_json_write_column(&writer, &before->view.columns[from], i);
  }
  dray_json_end_object(&writer);
  int32_t rc = dray_json_writer_finish(&writer);
  if (rc == DRAY_OK) {
    rc = dray_builder_bytes(delivery->builder, (size_t)delivery->before_at, dray_buffer_view(&text), error);
  }
  out->bytes += text.len;
  dray_buffer_free(&text);
  return rc;
}

static int32_t append_row(struct dr_delivery *delivery, const struct dr_changes *changes, size_t i, int op,
                          struct dr_outgoing *out, struct dray_error *error) {
  struct dray_builder *builder = delivery->builder;
  const struct dr_batch *rows = changes->rows;
  uint8_t changed[512] = {0};
  const size_t changed_bytes = (delivery->column_count + 7) / 8;
  if (changed_bytes > sizeof(changed))
    return dray_fail(error, DRAY_E_LIMIT, "more than %zu columns", sizeof(changed) * 8);
  for (size_t c = 0; c < delivery->column_count; c++) {
    size_t from = delivery->columns[c];
    const uint8_t *bits = changes->changed + i * changes->changed_stride;
    // A mirror that keeps the key alone says of every column that it has changed.
    const int has_changed = !delivery->is_key[c] && ((bits[from >> 3] >> (from & 7)) & 1) != 0;
    if (has_changed) changed[c >> 3] = (uint8_t)(changed[c >> 3] | 1u << (c & 7));
    if (delivery->stand_ins[c] >= 0 && dray_column_is_null(&rows->view.columns[from], i)) {
      from = (size_t)delivery->stand_ins[c];
    }
    if (dr_batch_is_absent(rows, from, i)) continue; // no append: absent
    DRAY_TRY(copy_value(builder, c, &rows->view.columns[from], i, error));
    out->bytes += weigh(&rows->view.columns[from], i) + strlen(rows->schema->fields[from].name) + 4;
  }
  const int64_t number = (int64_t)(changes->first_seq + i);
  DRAY_TRY(dray_builder_int64(builder, delivery->row_at, number, error));
  DRAY_TRY(dray_builder_int64(builder, delivery->op_at, op, error));
  DRAY_TRY(
      dray_builder_bytes(builder, delivery->changed_at, dray_str_make((const char *)changed, changed_bytes), error));
  if (delivery->before_at >= 0) DRAY_TRY(append_before(delivery, changes, i, out, error));
  int32_t full = 0;
  DRAY_TRY(dray_builder_end_row(builder, &full, error));
  out->rows[out->count] = number;
  out->change[out->count++] = i;
  return DRAY_OK;
}

// Parked rows are marked as met, all of a batch in one transaction of the store.
static int32_t end_marking(struct dr_delivery *delivery, int marking, int32_t rc, struct dray_error *error) {
  if (!marking) return rc;
  if (rc == DRAY_OK) return dr_store_commit(delivery->run->store, error);
  dr_store_rollback(delivery->run->store);
  return rc;
}

// Whether another batch that is open has the row: the one that is resolved was split, or its rows were sent again.
static int is_in_another(const struct dr_delivery *delivery, uint64_t seq) {
  for (size_t i = 0; i < delivery->other_count; i++) {
    const struct dr_batch_record *other = &delivery->others[i];
    if (seq >= other->first_seq && seq - other->first_seq < other->count) return 1;
  }
  return 0;
}

// Acknowledged without a call is as good as sent: it must not overtake the batch it waits for either.
static int waits(const struct dr_delivery *delivery, const struct dr_changes *changes, size_t i, int fate) {
  if (fate != FATE_SEND && fate != FATE_SILENT) return 0;
  return dr_waiting_has(&delivery->waiting, changes->key_hash[i]) || is_in_another(delivery, changes->first_seq + i);
}

// The first changes in a row that wait.
static void note_wait(struct dr_outgoing *batch, size_t i) {
  if (batch->wait_end != 0 && batch->wait_end != i) return;
  if (batch->wait_end == 0) batch->wait_first = i;
  batch->wait_end = i + 1;
}

int32_t dr_outgoing_build(struct dr_delivery *delivery, const struct dr_changes *changes, struct dr_outgoing *out,
                          struct dray_error *error) {
  struct dr_outgoing batch;
  memset(&batch, 0, sizeof(batch));
  batch.rows = calloc(changes->count + 1, sizeof(*batch.rows));
  batch.change = calloc(changes->count + 1, sizeof(*batch.change));
  batch.silent = calloc(changes->count + 1, 1);
  int32_t rc = DRAY_OK;
  if (batch.rows == NULL || batch.change == NULL || batch.silent == NULL) {
    rc = dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a batch");
  }
  int marking = 0;
  if (rc == DRAY_OK && delivery->has_records) {
    rc = dr_store_begin(delivery->run->store, error);
    marking = rc == DRAY_OK;
  }
  for (size_t i = 0; rc == DRAY_OK && i < changes->count; i++) {
    int op = 0;
    int fate = changes->op[i] == DR_OP_REJECT ? 0 : fate_of(delivery->run, changes->op[i], &op);
    if (waits(delivery, changes, i, fate)) {
      fate = FATE_WAIT;
      note_wait(&batch, i);
    }
    if (fate == FATE_SEND) rc = look_up(delivery, changes, i, &fate, &op, &batch.resolved, error);
    if (rc != DRAY_OK) break;
    if (fate == FATE_SEND) rc = append_row(delivery, changes, i, op, &batch, error);
    batch.silent[i] = fate == FATE_SILENT;
    batch.silent_count += fate == FATE_SILENT;
    batch.ignored += fate == FATE_IGNORE;
    batch.parked += fate == FATE_PARKED;
  }
  rc = end_marking(delivery, marking, rc, error);
  if (rc == DRAY_OK) rc = dray_builder_finish(delivery->builder, &batch.array, error);
  if (rc != DRAY_OK) {
    dray_builder_abandon_row(delivery->builder);
    struct ArrowArray partial = {.release = NULL};
    if (dray_builder_finish(delivery->builder, &partial, NULL) == DRAY_OK) dray_array_release(&partial);
    dr_outgoing_free(&batch);
    return rc;
  }
  *out = batch;
  return DRAY_OK;
}

void dr_outgoing_free(struct dr_outgoing *outgoing) {
  dray_array_release(&outgoing->array);
  free(outgoing->rows);
  free(outgoing->change);
  free(outgoing->silent);
  memset(outgoing, 0, sizeof(*outgoing));
}
