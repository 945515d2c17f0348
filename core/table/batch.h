// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// A canonical batch: rows in typed columns, immutable, owned by one or shared by several. Everything between the
// border casts and the writers works on these.
#ifndef DR_TABLE_BATCH_H
#define DR_TABLE_BATCH_H

#include <stdatomic.h>

#include "table/schema.h"

#define DR_BATCH_BYTES_DEFAULT (1u << 20)
#define DR_BATCH_ROWS_DEFAULT 16384u

// `absent` and its bitmaps, and `deleted`, are heap blocks of their own, freed with the batch. A value that is absent
// is null in its column as well, so that whoever does not care for the difference need not ask.
struct dr_batch {
  struct dr_schema *schema; // one reference
  struct ArrowArray array;  // owned; children are the schema's fields in order
  struct dray_view view;    // over array, columns in schema order
  uint8_t **absent;         // per column: bitmap (LSB first) of absent values, or NULL; the array itself is NULL when
                            // nothing is absent
  uint8_t *deleted;         // bitmap of tombstones from _dray_deleted, or NULL
  uint64_t first_row;       // number of the first row in its stream, from 0
  uint64_t bytes;           // about what it occupies
  _Atomic uint32_t others;  // holders beside the first
};

// One holder more, on any thread: what several hold is not changed any more. Returns `batch`.
struct dr_batch *dr_batch_ref(struct dr_batch *batch);
// One holder less; the last one frees it. NULL allowed.
void dr_batch_free(struct dr_batch *batch);
static inline uint64_t dr_batch_rows(const struct dr_batch *batch) {
  return batch->view.row_count;
}
static inline int dr_batch_is_absent(const struct dr_batch *batch, size_t column, uint64_t row) {
  return batch->absent != NULL && batch->absent[column] != NULL && ((batch->absent[column][row >> 3] >> (row & 7)) & 1);
}
static inline int dr_batch_is_deleted(const struct dr_batch *batch, uint64_t row) {
  return batch->deleted != NULL && ((batch->deleted[row >> 3] >> (row & 7)) & 1);
}
// Wraps a canonical array (moved: array->release becomes NULL) of exactly this schema; takes a reference of the schema.
// One child more is allowed when it is _dray_absent, the last: it becomes the absent bitmaps. An array without release
// is a batch without rows. On failure the array stays the caller's. @errors PLUGIN_CONTRACT for a malformed array,
// OUT_OF_MEMORY. What the values are is not looked at: casts do that at the border (cast.h).
DRAY_NODISCARD int32_t dr_batch_wrap(struct dr_schema *schema, struct ArrowArray *array, struct dr_batch **out,
                                     struct dray_error *error);
// Marks one value as absent; it must be null. @errors OUT_OF_MEMORY.
DRAY_NODISCARD int32_t dr_batch_set_absent(struct dr_batch *batch, size_t column, uint64_t row,
                                           struct dray_error *error);
// A new batch of these rows in this order, copied, with their absent and deleted marks. first_row stays the batch's.
// @errors OUT_OF_MEMORY, DATA_TOO_LARGE when a text column would pass 2 GiB.
DRAY_NODISCARD int32_t dr_batch_gather(const struct dr_batch *batch, const uint32_t *rows, size_t row_count,
                                       struct dr_batch **out, struct dray_error *error);

// Appends a row's values of these columns, "id=17850 day=2024-05-01", a null as null; names without a column are left
// out. *out_whole (NULL allowed) = 1 when all are there and not null. @errors LIMIT, OUT_OF_MEMORY.
DRAY_NODISCARD int32_t dr_batch_key(const struct dr_batch *batch, const char *const *names, size_t name_count,
                                    uint64_t row, struct dray_buffer *out, int *out_whole, struct dray_error *error);

#endif // DR_TABLE_BATCH_H
