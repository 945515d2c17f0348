// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Change sets: their records, and reading them back as columns. A set can be read without the mirror it came from.
#include "diff/changeset.h"

#include <stdlib.h>

#include "dray/destination.h"

#define BYTES_MAX (256u << 20) // of one batch, however much is asked for

struct dr_changeset {
  char *path; // owned
  struct dr_in in;
  struct dr_file_info info;
  struct dr_footer footer;
  struct dr_rows_in records;
  struct dr_block index;
  struct ArrowSchema arrow;
  struct dray_str *slices;
  struct dr_encoder encoder;
  size_t stride;
  uint8_t *not_key; // stride bytes: the fields that are not of the key
};

// ---- records ----

int32_t dr_record_put(struct dr_rows_out *rows, const struct dr_record *record, struct dray_error *error) {
  uint8_t front[DR_RECORD_BYTES] = {record->op, record->flags};
  dr_put_u32(front + 4, (uint32_t)record->code);
  dr_put_u64(front + 8, record->ordinal);
  dr_put_u64(front + 16, record->high);
  dr_put_u64(front + 24, record->low);
  dr_put_u64(front + 32, record->row_hash);
  dr_put_u32(front + 40, (uint32_t)record->row.len);
  dr_put_u32(front + 44, (uint32_t)record->before.len);
  const struct dray_str pieces[] = {dray_str_make((const char *)front, sizeof front), record->changed, record->absent,
                                    record->row, record->before};
  return dr_rows_out_add(rows, pieces, sizeof pieces / sizeof pieces[0], error);
}

int dr_record_parse(struct dray_str bytes, size_t stride, struct dr_record *out) {
  if (bytes.len < DR_RECORD_BYTES) return 0;
  const char *at = bytes.data;
  const uint8_t op = (uint8_t)at[0], flags = (uint8_t)at[1];
  const uint64_t row = dr_get_u32(at + 40), before = dr_get_u32(at + 44);
  const uint64_t absent = (flags & DR_RECORD_ABSENT) != 0 ? stride : 0;
  if (bytes.len != DR_RECORD_BYTES + stride + absent + row + before) return 0;
  if (op != DRAY_OP_INSERT && op != DRAY_OP_UPDATE && op != DRAY_OP_DELETE && op != DR_OP_REJECT) return 0;
  const char *rest = at + DR_RECORD_BYTES;
  *out = (struct dr_record){.op = op,
                            .flags = flags,
                            .code = (int32_t)dr_get_u32(at + 4),
                            .ordinal = dr_get_u64(at + 8),
                            .high = dr_get_u64(at + 16),
                            .low = dr_get_u64(at + 24),
                            .row_hash = dr_get_u64(at + 32),
                            .changed = dray_str_make(rest, stride),
                            .absent = dray_str_make(rest + stride, absent),
                            .row = dray_str_make(rest + stride + absent, row),
                            .before = dray_str_make(rest + stride + absent + row, before)};
  return 1;
}

uint64_t dr_key_print(const struct dr_file_info *info) {
  uint64_t print = info->key_count;
  for (size_t i = 0; i < info->key_count; i++) print = dr_sum(info->key[i], strlen(info->key[i]), print);
  return print;
}

// ---- opening ----

void dr_changeset_close(struct dr_changeset *set) {
  if (set == NULL) return;
  dr_rows_in_close(&set->records);
  dr_block_free(&set->index);
  dr_encoder_free(&set->encoder);
  dr_file_info_free(&set->info);
  dray_schema_release(&set->arrow);
  dr_in_close(&set->in);
  free(set->slices);
  free(set->not_key);
  free(set->path);
  free(set);
}

static int32_t open_parts(struct dr_changeset *set, struct dray_error *error) {
  DRAY_TRY(dr_in_open(&set->in, set->path, error));
  DRAY_TRY(dr_in_header(&set->in, DR_MAGIC_CHANGES, &set->info, error));
  DRAY_TRY(dr_in_footer(&set->in, &set->footer, error));
  DRAY_TRY(dr_rows_in_open(&set->records, &set->in, &set->footer, error));
  if (set->footer.index_offset == 0 ? set->footer.changes != set->footer.records
                                    : set->footer.changes != set->footer.index_count) {
    return dr_corrupt(error, set->path, set->in.bytes - DR_FOOTER_BYTES, "the footer's counts contradict each other");
  }
  DRAY_TRY(dr_schema_to_arrow(set->info.schema, 0, &set->arrow, error));
  DRAY_TRY(dr_encoder_init(&set->encoder, set->info.schema, NULL, 0, 0, error));
  set->stride = dr_changed_stride(set->info.schema->field_count);
  set->slices = calloc(set->info.schema->field_count + 1, sizeof *set->slices);
  set->not_key = malloc(set->stride + 1);
  if (set->slices == NULL || set->not_key == NULL) {
    return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to open %s", set->path);
  }
  memset(set->not_key, 255, set->stride + 1);
  for (size_t i = 0; i < set->info.key_count; i++) {
    const ptrdiff_t field = dr_schema_find(set->info.schema, dray_str_of(set->info.key[i]));
    if (field < 0) return dr_corrupt(error, set->path, 0, "its key column %s is not in its schema", set->info.key[i]);
    set->not_key[field >> 3] = (uint8_t)(set->not_key[field >> 3] & ~(1u << (field & 7)));
  }
  return DRAY_OK;
}

int32_t dr_changeset_open(const char *path, struct dr_changeset **out, struct dray_error *error) {
  struct dr_changeset *set = calloc(1, sizeof *set);
  if (set == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to open a change set");
  set->in.fd = -1;
  dr_block_init(&set->index);
  set->path = dray_str_dup(dray_str_of(path));
  const int32_t rc = set->path != NULL ? open_parts(set, error)
                                       : dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to open a change set");
  if (rc != DRAY_OK) {
    dr_changeset_close(set);
    return rc;
  }
  *out = set;
  return DRAY_OK;
}

uint64_t dr_changeset_count(const struct dr_changeset *set) {
  return set->footer.changes;
}
struct dr_schema *dr_changeset_schema(const struct dr_changeset *set) {
  return set->info.schema;
}

const struct dr_file_info *dr_changeset_info(const struct dr_changeset *set) {
  return &set->info;
}

// ---- one change ----

// The record of change `seq`, and whether the pass made it a reject in the end.
static int32_t record_number(struct dr_changeset *set, uint64_t seq, uint64_t *out, int *out_reject,
                             struct dray_error *error) {
  *out = seq;
  *out_reject = 0;
  if (set->footer.index_offset == 0) return DRAY_OK;
  const uint64_t step = DR_BLOCK_HEADER_BYTES + DR_INDEX_PER_BLOCK * 8 + DR_BLOCK_SUM_BYTES;
  const uint64_t offset = set->footer.index_offset + seq / DR_INDEX_PER_BLOCK * step;
  const uint64_t slot = seq % DR_INDEX_PER_BLOCK;
  DRAY_TRY(dr_in_block(&set->in, offset, DR_BLOCK_INDEX, &set->index, error));
  if (set->index.first != seq - slot || slot >= set->index.count || set->index.raw.len != set->index.count * 8u) {
    return dr_corrupt(error, set->path, offset, "a block of the index does not hold change %llu",
                      (unsigned long long)seq);
  }
  const uint64_t item = dr_get_u64(set->index.raw.data + slot * 8);
  *out = item & ~DR_INDEX_REJECT;
  *out_reject = (item & DR_INDEX_REJECT) != 0;
  return DRAY_OK;
}

int32_t dr_changeset_record(struct dr_changeset *set, uint64_t seq, struct dr_record *out, struct dray_error *error) {
  struct dray_str bytes;
  uint64_t number = 0;
  int reject = 0;
  DRAY_TRY(record_number(set, seq, &number, &reject, error));
  DRAY_TRY(dr_rows_in_get(&set->records, number, &bytes, error));
  if (!dr_record_parse(bytes, set->stride, out)) {
    return dr_corrupt(error, set->path, set->records.block.offset, "record %llu does not parse",
                      (unsigned long long)number);
  }
  if (reject) {
    out->op = DR_OP_REJECT;
    out->code = DRAY_E_DATA_KEY_DUPLICATE;
  }
  return DRAY_OK;
}

// ---- batches ----

// A batch being put together.
struct gather {
  struct dr_changeset *set;
  struct dr_changes *changes;
  struct dr_held *held;
  struct dray_builder *rows, *before;            // before: NULL when not asked for
  struct dray_buffer rows_absent, before_absent; // stride bytes a row
  int any_absent;
};

void dr_changes_free(struct dr_changes *changes) {
  if (changes == NULL) return;
  struct dr_held *held = changes->held;
  if (held != NULL) {
    dr_schema_unref(held->schema);
    dray_buffer_free(&held->rows);
    free(held->ends);
    free(held->columns_bytes);
    free(held->op);
    free(held);
  }
  dr_batch_free(changes->rows);
  dr_batch_free(changes->before);
  free(changes->op);
  free(changes->code);
  free(changes->changed);
  free(changes->key_hash);
  free(changes->row_hash);
  free(changes->place);
  free(changes);
}

// Appends one encoded row to a builder; `absent` (or NULL) marks fields that count as absent whatever the row says.
static int32_t build_row(struct gather *gather, struct dray_builder *builder, struct dray_buffer *absent_out,
                         struct dray_str row, struct dray_str absent, struct dray_error *error) {
  struct dr_changeset *set = gather->set;
  const size_t fields = set->info.schema->field_count;
  char *bits = NULL;
  DRAY_TRY(dray_buffer_reserve(absent_out, set->stride, &bits, error));
  memset(bits, 0, set->stride);
  if (row.len > 0 || fields == 0) DRAY_TRY(dr_decode_slices(row, fields, set->slices, error));
  for (size_t slot = 0; slot < fields; slot++) {
    const uint32_t field = set->encoder.columns[slot];
    const int said = absent.len == 0 || ((uint8_t)absent.data[field >> 3] >> (field & 7) & 1) == 0;
    if (row.len == 0) {
      DRAY_TRY(dray_builder_null(builder, field, error));
    } else if (!said || dr_slice_state(set->slices[slot]) == DR_SLOT_ABSENT) {
      bits[field >> 3] = (char)((uint8_t)bits[field >> 3] | 1u << (field & 7));
      gather->any_absent = 1;
      DRAY_TRY(dray_builder_null(builder, field, error));
    } else {
      DRAY_TRY(dr_decode_value(set->slices[slot], builder, field, error));
    }
  }
  absent_out->len += set->stride;
  return dray_builder_end_row(builder, NULL, error);
}

static int32_t make_batch(struct gather *gather, struct dray_builder *builder, const struct dray_buffer *absent,
                          struct dr_batch **out, struct dray_error *error) {
  struct ArrowArray array = {0};
  struct dr_batch *batch = NULL;
  const size_t stride = gather->set->stride, fields = gather->set->info.schema->field_count;
  int32_t rc = dray_builder_finish(builder, &array, error);
  if (rc == DRAY_OK) rc = dr_batch_wrap(gather->set->info.schema, &array, &batch, error);
  dray_array_release(&array);
  DRAY_TRY(rc);
  *out = batch; // freed with the changes
  for (uint64_t row = 0; gather->any_absent && row < dr_batch_rows(batch); row++) {
    const uint8_t *bits = (const uint8_t *)absent->data + row * stride;
    for (size_t field = 0; field < fields; field++) {
      if ((bits[field >> 3] >> (field & 7) & 1) == 0) continue;
      DRAY_TRY(dr_batch_set_absent(batch, field, row, error));
    }
  }
  return DRAY_OK;
}

static int32_t grow(void **array, size_t count, size_t size, struct dray_error *error) {
  void *larger = realloc(*array, count * size);
  if (larger == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for %zu changes", count);
  *array = larger;
  return DRAY_OK;
}

// Room for one more change; `count` is a power of two or 0 when there is none.
static int32_t change_room(struct gather *gather, struct dray_error *error) {
  struct dr_changes *changes = gather->changes;
  const size_t count = changes->count, room = count == 0 ? 16 : count * 2;
  if (count != 0 && (count < 16 || (count & (count - 1)) != 0)) return DRAY_OK;
  DRAY_TRY(grow((void **)&changes->op, room, sizeof *changes->op, error));
  DRAY_TRY(grow((void **)&changes->code, room, sizeof *changes->code, error));
  DRAY_TRY(grow((void **)&changes->changed, room, changes->changed_stride + 1, error));
  DRAY_TRY(grow((void **)&changes->key_hash, room, sizeof *changes->key_hash, error));
  DRAY_TRY(grow((void **)&changes->row_hash, room, sizeof *changes->row_hash, error));
  DRAY_TRY(grow((void **)&changes->place, room, sizeof *changes->place, error));
  DRAY_TRY(grow((void **)&gather->held->op, room, sizeof *gather->held->op, error));
  DRAY_TRY(grow((void **)&gather->held->columns_bytes, room, sizeof *gather->held->columns_bytes, error));
  return grow((void **)&gather->held->ends, room, sizeof *gather->held->ends, error);
}

// The mirror's row before an update, as far as it is held: at least the key.
static int32_t add_before(struct gather *gather, const struct dr_record *record, struct dray_error *error) {
  const struct dray_str none = dray_str_make(NULL, 0);
  const struct dray_str not_key = dray_str_make((const char *)gather->set->not_key, gather->set->stride);
  if (gather->before == NULL) return DRAY_OK;
  if (record->op != DRAY_OP_UPDATE) return build_row(gather, gather->before, &gather->before_absent, none, none, error);
  if ((record->flags & DR_RECORD_BEFORE) != 0) {
    return build_row(gather, gather->before, &gather->before_absent, record->before, none, error);
  }
  return build_row(gather, gather->before, &gather->before_absent, record->row, not_key, error);
}

static int32_t add_change(struct gather *gather, const struct dr_record *record, struct dray_error *error) {
  struct dr_changes *changes = gather->changes;
  struct dr_held *held = gather->held;
  const struct dray_str none = dray_str_make(NULL, 0);
  const struct dray_str columns = (record->flags & DR_RECORD_COLUMNS) != 0 ? record->before : none;
  DRAY_TRY(change_room(gather, error));
  const size_t i = changes->count, stride = changes->changed_stride;
  DRAY_TRY(dray_buffer_append(&held->rows, record->row.data, (size_t)record->row.len, error));
  DRAY_TRY(dray_buffer_append(&held->rows, columns.data, (size_t)columns.len, error));
  DRAY_TRY(build_row(gather, gather->rows, &gather->rows_absent, record->row, record->absent, error));
  DRAY_TRY(add_before(gather, record, error));
  held->op[i] = changes->op[i] = record->op;
  held->ends[i] = held->rows.len;
  held->columns_bytes[i] = (uint32_t)columns.len;
  changes->code[i] = record->code;
  changes->key_hash[i] = (struct dr_hash128){.low = record->low, .high = record->high};
  changes->row_hash[i] = record->row_hash;
  changes->place[i] = record->ordinal;
  memset(changes->changed + i * stride, 0, stride);
  if (record->op != DR_OP_REJECT) memcpy(changes->changed + i * stride, record->changed.data, stride);
  changes->count++;
  return DRAY_OK;
}

// Changes that may share a batch.
static int class_of(uint8_t op) {
  return op == DR_OP_REJECT ? 1 : op == DRAY_OP_DELETE ? 2 : 0;
}

static int32_t fill(struct gather *gather, uint64_t seq, uint64_t rows_max, uint64_t bytes_max,
                    struct dray_error *error) {
  struct dr_changes *changes = gather->changes;
  const uint64_t left = dr_changeset_count(gather->set) - seq;
  uint64_t bytes = 0;
  if (rows_max > left) rows_max = left;
  while (changes->count < rows_max) {
    struct dr_record record;
    DRAY_TRY(dr_changeset_record(gather->set, seq + changes->count, &record, error));
    const uint64_t more = record.row.len + (gather->before != NULL ? record.before.len : 0);
    if (changes->count > 0 && (bytes + more > bytes_max || class_of(record.op) != class_of(changes->op[0]))) break;
    DRAY_TRY(add_change(gather, &record, error));
    bytes += more;
  }
  DRAY_TRY(make_batch(gather, gather->rows, &gather->rows_absent, &changes->rows, error));
  if (gather->before == NULL) return DRAY_OK;
  return make_batch(gather, gather->before, &gather->before_absent, &changes->before, error);
}

static int32_t start(struct gather *gather, uint64_t seq, int with_before, struct dray_error *error) {
  struct dr_changeset *set = gather->set;
  gather->changes = calloc(1, sizeof *gather->changes);
  gather->held = calloc(1, sizeof *gather->held);
  dray_buffer_init(&gather->rows_absent, SIZE_MAX / 4);
  dray_buffer_init(&gather->before_absent, SIZE_MAX / 4);
  if (gather->changes == NULL || gather->held == NULL) {
    free(gather->held);
    gather->held = NULL;
    return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for changes");
  }
  gather->changes->held = gather->held;
  gather->changes->first_seq = seq;
  gather->changes->changed_stride = set->stride;
  gather->held->seed_id = set->info.seed_id;
  gather->held->key_print = dr_key_print(&set->info);
  gather->held->schema = dr_schema_ref(set->info.schema);
  dray_buffer_init(&gather->held->rows, SIZE_MAX / 4);
  DRAY_TRY(dray_builder_new(&set->arrow, UINT64_MAX, UINT64_MAX, &gather->rows, error));
  return with_before ? dray_builder_new(&set->arrow, UINT64_MAX, UINT64_MAX, &gather->before, error) : DRAY_OK;
}

int32_t dr_changeset_next(struct dr_changeset *set, uint64_t seq, uint64_t rows_max, uint64_t bytes_max,
                          int with_before, struct dr_changes **out, struct dray_error *error) {
  struct gather gather = {.set = set};
  if (seq >= dr_changeset_count(set)) {
    *out = NULL;
    return DRAY_OK;
  }
  if (rows_max == 0) rows_max = 1;
  if (bytes_max > BYTES_MAX) bytes_max = BYTES_MAX;
  int32_t rc = start(&gather, seq, with_before, error);
  if (rc == DRAY_OK) rc = fill(&gather, seq, rows_max, bytes_max, error);
  dray_builder_free(gather.rows);
  dray_builder_free(gather.before);
  dray_buffer_free(&gather.rows_absent);
  dray_buffer_free(&gather.before_absent);
  if (rc != DRAY_OK) {
    dr_changes_free(gather.changes);
    return rc;
  }
  *out = gather.changes;
  return DRAY_OK;
}
