// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The inside of one pass. While rows come (batch.c) those that the filter knows are taken as unchanged; any other is
// looked up and written to the change set when it differs, and a sighting of its key is kept. At the end (finish.c) the
// filter is proven; the sightings, sorted by key, tell what came more than once; what that changes of the records
// already written are exceptions. Inside core/diff only.
#ifndef DR_DIFF_PASS_H
#define DR_DIFF_PASS_H

#include "diff/changeset.h"
#include "diff/filter.h"
#include "diff/mirror.h"
#include "diff/sorter.h"

// Words of a sighting. Sorted by key; within a key tombstones come first, so that it is known at once how several
// sightings of it are to be settled.
enum { SIGHT_HIGH, SIGHT_LOW, SIGHT_PLACE, SIGHT_REF, SIGHT_ORDER, SIGHT_WORDS };
#define SIGHT_CLASS_SHIFT 62 // SIGHT_PLACE: class, then the row's number in the input
enum { SIGHT_TOMBSTONE = 0, SIGHT_TOMBSTONE_ORDERED = 1, SIGHT_ROW = 2 };
#define SIGHT_PLACE_MASK ((UINT64_C(1) << SIGHT_CLASS_SHIFT) - 1)
// SIGHT_REF: the record of the row; of a row without one (equal to the mirror, most tombstones) the next record's
// number.
#define SIGHT_UNCHANGED (UINT64_C(1) << 63)
#define SIGHT_HAS_ORDER (UINT64_C(1) << 62) // the order column has a value, in SIGHT_ORDER
// A row of this key was taken as unchanged before any other came, and has no sighting. So says every sighting of a key,
// or none.
#define SIGHT_AFTER_PLAIN (UINT64_C(1) << 61)
// The record at REF is a note of an unchanged row, to be dropped.
#define SIGHT_NOTED (UINT64_C(1) << 60)
#define SIGHT_REF_MASK ((UINT64_C(1) << 60) - 1)

// Words of an exception: before or at record POSITION, in the order of SUB: twice the row's number in the input, one
// more for a row in its own place; deletes: their record's number.
enum { EXCEPT_POSITION, EXCEPT_SUB, EXCEPT_WHAT, EXCEPT_WORDS };
// WHAT: leave out record POSITION; make it a reject; else the number of a record to put here.
#define EXCEPT_DROP UINT64_MAX
#define EXCEPT_REJECT (UINT64_MAX - 1)
#define EXCEPT_AT_END UINT64_MAX // POSITION of deletes

// A row that the filter did not take, from its look-up to its record.
enum {
  DR_REST_NULL_KEY = 1u,
  DR_REST_TOMBSTONE = 2u,
  DR_REST_HAS_ORDER = 4u, // the order column has a value, its bits in `order`
  DR_REST_KEPT = 8u       // which is not told by its bits alone
};
struct dr_rest {
  uint64_t ordinal; // in the input
  uint64_t high, low, row_hash, order;
  uint64_t before; // SIGHT_AFTER_PLAIN or 0
  struct dr_found found;
  uint64_t at, bytes;         // the row as encoded, in its window; 0 bytes where it is not needed
  uint64_t old_at, old_bytes; // the mirror's, in dr_diff.old
  int has_old;
  uint32_t flags; // DR_REST_*
};

// Rows that wait for their records, in the order of the input.
struct dr_window {
  struct dr_rest *items; // owned
  size_t count, capacity;
  struct dray_buffer rows;
};

struct dr_worker; // worker.h
struct dr_writer; // writer.h
struct dr_diff {
  struct dr_mirror *mirror; // borrowed
  struct dr_worker *worker; // NULL: the caller works. While there is one, only `worker`, `full` and `finished` are the
                            // caller's
  struct dr_writer *writer; // NULL: who takes batches writes the records. While it has a window, all that records are
                            // made of is its own: see rest.c
  int full, resync;
  int duplicates;
  ptrdiff_t order_column; // -1: none
  char *path, *temporary; // owned
  int fd;
  int created;  // `temporary` exists
  int finished; // or failed: nothing more can be added
  struct dr_out out;
  struct dr_rows_out records;
  struct dr_sorter sightings, exceptions;
  uint64_t rejected_or_moved; // exceptions that make an index necessary
  struct dr_diff_counts counts;

  struct dr_filter filter; // where there is none every row has a sighting
  uint8_t *items_seen;     // bitmaps over the overlay's items, as the filter's marks; only beside a filter
  uint8_t *items_plain;

  // of one batch
  size_t capacity;
  struct dr_hash128 *key_hashes;
  uint64_t *row_hashes;
  uint8_t *null_keys, *skip;
  uint32_t *taken, *rest; // rows of the rest: neither null keys nor taken by the filter are looked up
  size_t rest_count;
  struct dr_found *found; // of the rest, by row
  uint64_t *order;        // high, low, row

  struct dr_window windows[2]; // one fills while the other is written
  struct dr_window *filling;
  uint64_t waiting_max; // bytes of a window, as of the mirror's rows

  // of the window that is written, and of one row of it
  uint64_t rest_unchanged; // of all windows, not yet in counts
  struct dray_buffer old;
  size_t stride;
  uint8_t *changed, *absent;
  struct dray_str *slices, *old_slices;
  uint32_t *columns; // 32 bits a slot of the mirror's row, where it keeps columns
  struct dray_buffer encoded, merged, before;
};

static inline int dr_has_bit(const uint8_t *bits, uint64_t i) {
  return (bits[i >> 3] >> (i & 7)) & 1;
}
static inline void dr_set_bit(uint8_t *bits, uint64_t i) {
  bits[i >> 3] |= (uint8_t)(1u << (i & 7));
}
static inline int dr_is_filtered(const struct dr_diff *diff) {
  return diff->filter.print_bytes != 0;
}

// All that becomes of a batch while rows come. (batch.c)
DRAY_NODISCARD int32_t dr_diff_work(struct dr_diff *diff, const struct dr_batch *batch, struct dray_error *error);

// ---- rest.c ----

// Row `row` of the batch begins to wait; `at` to `has_old` of `rest` are filled here.
DRAY_NODISCARD int32_t dr_rest_add(struct dr_diff *diff, const struct dr_rest *rest, const struct dr_batch *batch,
                                   uint64_t row, struct dray_error *error);
int dr_rest_is_full(const struct dr_diff *diff);
// Writes the records and sightings of the rows that wait, or has them written.
DRAY_NODISCARD int32_t dr_rest_flush(struct dr_diff *diff, struct dray_error *error);
// The work itself; the window is empty afterwards.
DRAY_NODISCARD int32_t dr_rest_write(struct dr_diff *diff, struct dr_window *window, struct dray_error *error);
// Whether a row is known to equal the mirror's without looking at either.
int dr_rest_equals(struct dr_diff *diff, const struct dr_found *found, uint64_t row_hash);

// The first 64 bits of the value, in its order. Values with different bits compare as these do; equal bits of a decimal
// or a text may still differ.
static inline int dr_order_is_exact(struct dray_type type) {
  return type.id != DRAY_TYPE_DECIMAL && type.id != DRAY_TYPE_STRING && type.id != DRAY_TYPE_BYTES &&
         type.id != DRAY_TYPE_JSON;
}
uint64_t dr_order_bits(const struct dray_column_view *column, uint64_t row);
// The same of an encoded value.
DRAY_NODISCARD int32_t dr_order_bits_of(struct dr_schema *schema, size_t column, struct dray_str value, uint64_t *out,
                                        struct dray_error *error);
// <0, 0, >0 as the encoded value `a` stands before, with or behind `b`. Both are values of the order column.
DRAY_NODISCARD int32_t dr_order_compare(struct dr_schema *schema, size_t column, struct dray_str a, struct dray_str b,
                                        int *out, struct dray_error *error);
// Proves what the filter took: needs no records, and reads the base's entries alone. (finish.c)
DRAY_NODISCARD int32_t dr_diff_prove(struct dr_diff *diff, struct dray_error *error);
// Decides on what was sighted: duplicates, deletes; writes the records and the index that follow from it. (finish.c)
DRAY_NODISCARD int32_t dr_diff_settle(struct dr_diff *diff, struct dr_footer *footer, struct dray_error *error);
// Adds a record for a row of the mirror, in the current schema.
DRAY_NODISCARD int32_t dr_diff_put_held(struct dr_diff *diff, const struct dr_found *found, uint8_t op, int32_t code,
                                        uint64_t ordinal, uint64_t high, uint64_t low, struct dray_error *error);

#endif // DR_DIFF_PASS_H
