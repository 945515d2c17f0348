// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The inside of one pass. While rows come (batch.c) those that the filter knows are taken as unchanged; any other waits
// until many are looked up in one sweep over the base (wait.c), and is then written to the change set when it differs
// (rest.c), and a sighting of its key is kept. At the end (finish.c) the
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

enum {
  DR_REST_NULL_KEY = 1u,
  DR_REST_TOMBSTONE = 2u,
  DR_REST_HAS_ORDER = 4u, // the order column has a value, its bits in `order`
  DR_REST_KEPT = 8u       // which is not told by its bits alone
};
// A row that the filter did not take, from its look-up to its record.
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

// Words of a row that was taken while a row that may be of the same key waits for its look-up: the base's row, its
// place as WAIT_PLACE; ORDER only where there is an order column. Should it be of the same key, it is taken back.
enum { NOTE_NUMBER, NOTE_PLACE, NOTE_ORDER, NOTE_WORDS };

// Words of a row that waits for its look-up: its number in the input and DR_REST_*, its hashes; LOW only where keys are
// not mixed or there is an order column, ORDER only where there is one.
enum { WAIT_PLACE, WAIT_HIGH, WAIT_ROW_HASH, WAIT_LOW, WAIT_ORDER, WAIT_WORDS };
#define WAIT_FLAGS_BITS 4 // WAIT_PLACE: the flags are its low bits
#define WAIT_FLAGS_MASK ((UINT64_C(1) << WAIT_FLAGS_BITS) - 1)
// Its key while it is looked up, and what was found when it has been: in the order of the keys first, then in that of
// the indexes, which is that of the input.
enum { ASK_HIGH, ASK_LOW, ASK_INDEX, ASK_WORDS };
enum { ANSWER_INDEX, ANSWER_NUMBER, ANSWER_ROW_HASH };

// Rows of the base that did not come, in its order: noted by the sweep of the last round, for a further one costs more.
struct dr_unseen {
  uint64_t *items; // owned: UNSEEN_WORDS each
  size_t count, capacity, max;
  int whole; // all are there
};
enum { UNSEEN_NUMBER, UNSEEN_HIGH, UNSEEN_LOW, UNSEEN_ROW_HASH, UNSEEN_WORDS };

struct dr_wait {
  struct dr_sorter rows;
  uint64_t *asks; // owned; ASK_WORDS each
  size_t ask_count, ask_capacity, ask_max;
  uint64_t *notes; // owned; note_words each
  size_t note_words, note_count, note_capacity, note_max;
  struct dr_rest *backs; // owned; a heap of rows that were taken back, the first of the input at its top
  size_t back_count, back_capacity;
  uint8_t *marks; // owned; bits of the key hashes that wait: another row of one of these keys shows
  uint64_t mark_mask;
  int spills; // rather than to end a round when the rows in memory are many
};

// A batch and its hashes.
struct dr_hashed {
  struct dr_batch *batch; // borrowed, or owned by whoever passes it on
  size_t capacity;        // rows; of all below, which are owned
  struct dr_hash128 *keys;
  uint64_t *rows;
  uint8_t *null_keys;
  uint64_t nulls;
};

struct dr_worker; // worker.h
struct dr_beside; // beside.h
struct dr_diff {
  struct dr_mirror *mirror; // borrowed
  struct dr_worker *worker; // NULL: the caller works. While there is one, the caller hashes, and has only `worker`,
                            // `full` and `finished`
  struct dr_beside *writer; // NULL: who takes batches writes the records. While it has a window, all that records are
                            // made of is its own: see rest.c
  int full, resync, known;
  int distrusted;        // the row at hand stands beside one that is not believed: every column differs
  const uint8_t *unsaid; // borrowed; NULL: none
  int passing;           // the set is not made durable
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
  uint8_t *items_seen;     // bitmaps over the overlay's items: came; came and has no sighting; only beside a filter
  uint8_t *items_plain;

  // of one batch
  struct dr_hashed hashed; // without a worker
  size_t capacity;
  uint8_t *skip;
  uint32_t *taken, *rest; // rows of the rest: neither null keys nor taken by the filter are looked up
  size_t rest_count;

  struct dr_wait wait;        // rows that wait for their look-up
  struct dr_unseen unseen[2]; // of either half of the base

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

// ---- batch.c ----

// Hashes hashed->batch; does not change the mirror.
DRAY_NODISCARD int32_t dr_hashed_make(struct dr_hashed *hashed, const struct dr_mirror *mirror,
                                      struct dray_error *error);
void dr_hashed_free(struct dr_hashed *hashed); // not the batch
// All that becomes of a batch while rows come.
DRAY_NODISCARD int32_t dr_diff_work(struct dr_diff *diff, const struct dr_hashed *hashed, struct dray_error *error);

// ---- wait.c ----

// Does not allocate. memory_bytes: of all that waits for a look-up.
void dr_wait_init(struct dr_diff *diff, uint64_t memory_bytes);
void dr_wait_free(struct dr_wait *wait);
// A row begins to wait for its look-up, or is handed on at once where the mirror holds nothing; words: WAIT_WORDS.
DRAY_NODISCARD int32_t dr_wait_add(struct dr_diff *diff, const uint64_t *words, struct dray_str row,
                                   struct dray_error *error);
// Whether a row of this key may wait.
static inline int dr_wait_may_hold(const struct dr_wait *wait, uint64_t high) {
  const uint64_t bit = high & wait->mark_mask;
  return (wait->marks[bit >> 3] >> (bit & 7)) & 1;
}
// A row was taken that may be of the key of one that waits; words: NOTE_WORDS.
DRAY_NODISCARD int32_t dr_wait_note(struct dr_diff *diff, const uint64_t *words, struct dray_error *error);
int dr_wait_is_full(const struct dr_wait *wait);
// Looks up all that waits and hands it on (rest.c). last: nothing comes any more, and the filter's sums are proven in
// the same sweep.
DRAY_NODISCARD int32_t dr_wait_flush(struct dr_diff *diff, int last, struct dray_error *error);

// ---- rest.c ----

// A row that was looked up begins to wait for its record, with its encoding; `at` to `has_old` of `rest` are filled
// here.
DRAY_NODISCARD int32_t dr_rest_add(struct dr_diff *diff, const struct dr_rest *rest, struct dray_str row,
                                   struct dray_error *error);
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
