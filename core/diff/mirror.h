// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The inside of a mirror: base, journal, and what of the journal is held in memory (the overlay). Inside core/diff
// only.
#ifndef DR_DIFF_MIRROR_H
#define DR_DIFF_MIRROR_H

#include "diff/basefile.h"
#include "diff/diff.h"
#include "diff/head.h"
#include "diff/journal.h"
#include "diff/payload.h"
#include "diff/rows.h"

#define DR_MEMORY_DEFAULT (256u << 20)
#define DR_ROW_HASH_UNKNOWN 0u // of a row that was never seen whole under this schema: equal to none
// Of a row of which the other side may hold something else by now: every column of what comes differs (ack.c).
#define DR_ROW_HASH_DISTRUSTED 1u
#define DR_MEMORY_MIN (64u << 10)

// A change of the journal. Five 64-bit words, sorted by the first three: of several changes of one key the last one,
// which lies furthest in the journal, is true.
struct dr_item {
  uint64_t high, low; // the key's hash
  uint64_t place;     // of the payload in the journal
  uint64_t row_hash;
  uint32_t bytes;  // of the payload
  uint16_t schema; // number in dr_mirror.schemas
  uint8_t op;      // DRAY_OP_*
  uint8_t in_base; // DR_IN_BASE_*, known once the item is settled
};
enum { DR_IN_BASE_NO = 0, DR_IN_BASE_YES = 1, DR_IN_BASE_UNKNOWN = 2 };
#define DR_ITEM_WORDS (sizeof(struct dr_item) / sizeof(uint64_t))

struct dr_journal_schema {
  uint32_t id;
  uint64_t frame_end; // of the frame that brought it
  struct dr_rows_map map;
  struct dr_payload payload;
};

// The next base, written beside what it will be made of: see dr_mirror_gather.
struct dr_merge;
struct dr_ahead {
  int wanted;             // what is acknowledged goes into `merge` as well, from where a merge is due
  int made;               // of all that is acknowledged: it holds what the mirror does once that is committed
  struct dr_head head;    // that will name it
  struct dr_merge *merge; // owned; NULL: none is due yet, or it was written
};

struct dr_mirror {
  char *folder; // owned
  uint64_t seed, memory_bytes;
  unsigned threads;         // as in the options
  int scratch;              // likewise
  struct dr_file_info info; // of files to be written: schema, key, seed, what is kept
  struct dr_slots slots;    // of the current schema
  struct dr_encoder keys;
  struct dr_head head;
  struct dr_base *base;
  struct dr_rows_map base_map;
  struct dr_payload base_payload;
  struct dr_journal *journal;
  struct dr_journal_schema *schemas; // owned
  size_t schema_count, schema_capacity;

  // items[0 .. settled) are sorted, one a key; [settled .. committed) are as they came; [committed .. count) are only
  // acknowledged.
  struct dr_item *items; // owned
  size_t item_count, item_capacity, committed, settled;
  int overflow;                 // there are committed changes that `items` has no room for: merge before the next pass
  int pending_overflow;         // the same of changes that are only acknowledged
  int64_t delta, pending_delta; // rows more than in the base

  uint64_t generation, prepared;
  uint64_t committed_end,
      committed_next; // of the journal: where the last commit ends, the number of the frame behind it
  int pending;        // changes were acknowledged since
  int inherited;      // they were prepared by an earlier process and wait for commit or rollback
  int busy;           // a pass is open
  int read_only;      // nothing is cut or written
  struct dr_ahead ahead;
  int32_t broken; // DRAY_E_*: a write or sync failed; nothing more is done with this object
  char broken_text[256];
  struct dray_buffer held;  // the last change read from the journal
  struct dray_buffer row;   // the last row made of a payload
  struct dray_buffer frame; // the ack frame being made
};

static inline uint64_t dr_share(const struct dr_mirror *mirror, unsigned part) {
  return mirror->memory_bytes / part;
}
static inline size_t dr_items_max(const struct dr_mirror *mirror) {
  return (size_t)(dr_share(mirror, 4) / sizeof(struct dr_item));
}

// ---- loading (mirror_load.c) ----

// Opens what the head names. Frames behind the last commit or prepare are cut.
DRAY_NODISCARD int32_t dr_mirror_load(struct dr_mirror *mirror, struct dray_error *error);
void dr_mirror_unload(struct dr_mirror *mirror);
// Forgets the journal's schemas that lie behind `end`.
void dr_mirror_drop_schemas(struct dr_mirror *mirror, uint64_t end);
DRAY_NODISCARD int32_t dr_mirror_add_schema(struct dr_mirror *mirror, uint32_t id, struct dr_schema *schema,
                                            uint64_t frame_end, struct dray_error *error);
// Remembers an acknowledged change, or that there was no room to.
DRAY_NODISCARD int32_t dr_mirror_remember(struct dr_mirror *mirror, const struct dr_change *change, uint64_t place,
                                          size_t schema, struct dray_error *error);
// Makes durable what was found (secure.c), before anyone is told of it.
DRAY_NODISCARD int32_t dr_mirror_secure(struct dr_mirror *mirror, struct dray_error *error);
// What was acknowledged is committed, or void.
void dr_mirror_settle_pending(struct dr_mirror *mirror, int commit);

// ---- looking up (lookup.c) ----

// Sorts the committed items, one a key, and counts the rows exactly.
DRAY_NODISCARD int32_t dr_mirror_settle(struct dr_mirror *mirror, struct dray_error *error);

// The mirror as a pass or a look-up needs it: nothing open, the overlay in order and not too long.
DRAY_NODISCARD int32_t dr_mirror_ready(struct dr_mirror *mirror, struct dray_error *error);

struct dr_found {
  int found;
  int in_journal; // `number` is an item, else a row of the base
  uint64_t number;
  uint64_t row_hash;
  uint64_t high; // of the key's hash
};
// Only after dr_mirror_settle. Cheap when the keys come in order.
DRAY_NODISCARD int32_t dr_mirror_find(struct dr_mirror *mirror, uint64_t high, uint64_t low, struct dr_found *out,
                                      struct dray_error *error);
// The overlay's part of it: whether the overlay speaks for the key.
int dr_mirror_find_item(const struct dr_mirror *mirror, uint64_t high, uint64_t low, struct dr_found *out);
// The row as far as it is held, absent where it is not, valid until the next call, and what maps it to the current
// schema. (held.c)
DRAY_NODISCARD int32_t dr_mirror_row(struct dr_mirror *mirror, const struct dr_found *found, struct dray_str *out_row,
                                     struct dr_rows_map **out_map, struct dray_error *error);
// DR_KEEP_COLUMNS: the 32 bits of each slot of the current schema, 0 for a column that is not known. Those of a row:
// dr_payload_column_hash of its slices with mirror->seed. (held.c)
DRAY_NODISCARD int32_t dr_mirror_columns(struct dr_mirror *mirror, const struct dr_found *found, uint32_t *out,
                                         struct dray_error *error);
static inline int dr_mirror_keep(const struct dr_mirror *mirror) {
  return mirror->info.keep;
}
static inline struct dr_rows_map *dr_mirror_map(struct dr_mirror *mirror, const struct dr_found *found) {
  return found->in_journal ? &mirror->schemas[mirror->items[found->number].schema].map : &mirror->base_map;
}

// All rows in the order of their key hashes.
struct dr_cursor {
  uint64_t base, item; // the next of each
};
// out->found = 0 at the end.
DRAY_NODISCARD int32_t dr_cursor_next(struct dr_mirror *mirror, struct dr_cursor *cursor, struct dr_found *out,
                                      uint64_t *out_high, uint64_t *out_low, struct dray_error *error);

// ---- rewriting (compact.c) ----

// Makes a new base of base and committed journal, under the current schema, or takes the one that was written ahead.
// Nothing may be pending.
DRAY_NODISCARD int32_t dr_mirror_rewrite(struct dr_mirror *mirror, struct dray_error *error);
// Begins the base that is written ahead, with what the journal holds before `end`. What fails from here on ends it, and
// nothing else: the merge that comes later meets it again.
void dr_ahead_begin(struct dr_mirror *mirror, uint64_t end);
// One more change of the journal; `place`: of its payload there. Nothing where none was begun.
void dr_ahead_add(struct dr_mirror *mirror, const struct dr_change *change, uint64_t place, size_t schema);
// What was gathered or written is not what will be committed.
void dr_ahead_drop(struct dr_mirror *mirror);
// Whether the base that was written ahead is what base and journal are now.
static inline int dr_mirror_is_ahead(const struct dr_mirror *mirror) {
  return mirror->ahead.made && !mirror->pending;
}
// The very first base, empty.
DRAY_NODISCARD int32_t dr_mirror_create(struct dr_mirror *mirror, struct dray_error *error);
// Removes what no head names. Only ever a hindrance to nobody: failures are ignored.
void dr_mirror_sweep(const char *folder, uint64_t keep);

// ---- state of the object (mirror.c) ----

// The error that made the object unusable, or INTERNAL when a pass is open.
DRAY_NODISCARD int32_t dr_mirror_usable(const struct dr_mirror *mirror, struct dray_error *error);
// Remembers why nothing more may be written; returns `code`.
int32_t dr_mirror_break(struct dr_mirror *mirror, int32_t code, const struct dray_error *error);

#endif // DR_DIFF_MIRROR_H
