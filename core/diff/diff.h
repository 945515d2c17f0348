// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Rows of one side, keyed, against a mirror of what the other side holds: what must be sent. This header is all that
// the rest of dray knows of the engine; file formats and memory are inside.
//   mirror_open -> diff_begin -> diff_add * n -> diff_finish -> changeset_next * n -> mirror_ack -> mirror_commit
#ifndef DR_DIFF_DIFF_H
#define DR_DIFF_DIFF_H

#include <stdatomic.h>

#include "table/batch.h"
#include "table/encode.h"

// The texts, bytes and JSON of one row together. Whoever adds rows sees to it that none has more: such a row ends a
// pass.
#define DR_ROW_VALUES_BYTES_MAX (UINT64_C(255) << 20)

struct dr_mirror;    // the durable record of what the other side holds
struct dr_diff;      // one pass of rows against it
struct dr_changeset; // the outcome of a pass, a file: survives the process until it is removed

// What a mirror holds of a row beside its hashes. ROW: all of it: exact changed columns, before -> after, whole rows in
// deletes. COLUMNS: its key and 32 bits a column: changed columns, the key alone in deletes, nothing before. KEY: its
// key, which costs nothing when it is one integer: an update changes all columns.
enum { DR_KEEP_ROW = 0, DR_KEEP_COLUMNS = 1, DR_KEEP_KEY = 2 };
struct dr_mirror_options {
  const char *folder;       // holds the mirror's files; one process at a time (the caller holds the sync's lease)
  struct dr_schema *schema; // of the mapped rows
  const char *const *key;   // key columns, at least one
  size_t key_count;
  uint64_t seed;         // the project's secret
  uint64_t memory_bytes; // budget for mirror and pass together; beyond it they work from disk
  int create;            // 1: make an empty mirror when there is none; 0: MIRROR_MISSING
  int keep;              // DR_KEEP_*, of a mirror that is made; one that is there keeps what it keeps
  unsigned threads;      // 1: passes work in the caller's thread alone; 0 or more: beside it as well
  int scratch;           // 1: of use to this process alone: large files are neither packed nor made durable
};
// Opens and verifies what opening reads; rows are verified when they are read. A torn journal tail is cut and logged.
// Another schema with the same key is taken over: columns are compared by name, a column the mirror does not know
// counts as changed. @errors MIRROR_MISSING, MIRROR_CORRUPT, MIRROR_SCHEMA (other key columns or key types),
// STATE_VERSION (made by another dray), SCHEMA_KEY (a key column is not in the schema), IO, DISK_FULL, OUT_OF_MEMORY.
DRAY_NODISCARD int32_t dr_mirror_open(const struct dr_mirror_options *options, struct dr_mirror **out,
                                      struct dray_error *error);
void dr_mirror_close(struct dr_mirror *mirror);

struct dr_mirror_info {
  uint64_t generation;          // of the last commit
  uint64_t prepared_generation; // of a prepare whose commit was not seen; 0: none
  uint64_t rows;                // of the last commit; exact after open and compact (README.md)
  uint64_t base_bytes, journal_bytes;
  int keep; // DR_KEEP_*
};
void dr_mirror_info(const struct dr_mirror *mirror, struct dr_mirror_info *out);
// Reads all of the files in `folder` and checks every sum; changes nothing. @errors MIRROR_CORRUPT, MIRROR_MISSING.
DRAY_NODISCARD int32_t dr_mirror_verify(const char *folder, struct dr_mirror_info *out, struct dray_error *error);
// Removes the mirror durably; a crash in between is made good by the next open or reset.
DRAY_NODISCARD int32_t dr_mirror_reset(const char *folder, struct dray_error *error);
int dr_mirror_exists(const char *folder);

// ---- the pass ----
enum {
  DR_DIFF_FULL = 1u,    // the input is all there is: keys of the mirror that do not come are deletes
  DR_DIFF_RESYNC = 2u,  // every row is a change, equal to the mirror or not
  DR_DIFF_PASSING = 4u, // the change set is of use to this process alone: it is not made durable
  // The other side is what is read, to see whether it is as the mirror says: where the mirror knows nothing of a value
  // (the column came after the row) a null there is no change. Of a row of which it knows no more than the key
  // (DR_KEEP_KEY, after another schema) it says nothing at all: such rows are counted as `unknown` beside `unchanged`.
  DR_DIFF_KNOWN = 8u
};
enum { DR_DUPLICATES_REJECT = 1, DR_DUPLICATES_FIRST = 2, DR_DUPLICATES_LAST = 3 };
struct dr_diff_options {
  uint32_t flags;             // DR_DIFF_*
  int duplicates;             // DR_DUPLICATES_*: what happens to several rows with one key in one pass
  const char *order_column;   // FIRST and LAST by its value, rows without one lose; NULL: by place
  const char *changeset_path; // written here, durable when dr_diff_finish returns, unless PASSING
  // KNOWN, NULL allowed, borrowed during the pass: a byte for each field, 1 where the other side may have any value of
  // its own while the mirror knows none, since nothing was ever said to it.
  const uint8_t *unsaid;
};

struct dr_diff_counts {
  uint64_t rows; // given to dr_diff_add
  uint64_t inserts, updates, deletes, unchanged;
  uint64_t null_keys;      // rows rejected for a null key
  uint64_t duplicate_keys; // keys that came more than once
  uint64_t duplicate_rows; // rows withheld for that
  uint64_t deferred;       // rows left for the next pass: what became of them was not certain (README.md, "The filter")
  uint64_t unknown;        // of those unchanged: with DR_DIFF_KNOWN
  uint64_t spilled_bytes;
  uint64_t *column_updates; // per schema field: updates that change it; owned by the diff
};

// One pass at a time per mirror; nothing may be acknowledged and not yet committed or rolled back. Until finish or free
// the mirror takes no other call but info. @errors SCHEMA_COLUMN (order_column), MIRROR_CORRUPT, DISK_FULL, IO.
DRAY_NODISCARD int32_t dr_diff_begin(struct dr_mirror *mirror, const struct dr_diff_options *options,
                                     struct dr_diff **out, struct dray_error *error);
// Takes `batch`, also when it fails; an error may come with a later call; then the pass can only be freed. Rows marked
// deleted are tombstones: deletes of what the mirror has; copies of a key with one among them are settled as LAST.
DRAY_NODISCARD int32_t dr_diff_add(struct dr_diff *diff, struct dr_batch *batch, struct dray_error *error);
// The input is not all there is after all (rows were refused on the way here): takes DR_DIFF_FULL back.
void dr_diff_not_full(struct dr_diff *diff);
DRAY_NODISCARD int32_t dr_diff_finish(struct dr_diff *diff, struct dr_diff_counts *out, struct dray_error *error);
void dr_diff_free(struct dr_diff *diff); // the change set stays; before the mirror is closed

// ---- its outcome ----
#define DR_OP_REJECT 128 // a row withheld by the pass: null key or duplicate
// A run of changes in columns. Inserts, updates and rejects in input order first, deletes last: as every
// upsert-then-remove tool sends them.
struct dr_changes {
  size_t count;
  uint64_t first_seq;      // the first change's number in the set; the others follow without a gap
  struct dr_batch *rows;   // as they came, absent values absent (the mirror keeps its own there); for deletes: as the
                           // other side holds them now
  struct dr_batch *before; // for updates the mirror's row as far as it holds it, else nulls; NULL unless asked for
  uint8_t *op;             // DRAY_OP_* or DR_OP_REJECT
  int32_t *code;           // for rejects: DRAY_E_DATA_KEY_NULL or DRAY_E_DATA_KEY_DUPLICATE
  uint8_t *changed;        // changed_stride bytes per change: bit i set when an update changes field i (never an absent
                           // one); all set for inserts, none for deletes and rejects
  size_t changed_stride;
  struct dr_hash128 *key_hash;
  uint64_t *row_hash;
  uint64_t *place; // of the row in the input, from 0 (of several copies: about); UINT64_MAX: a key that did not come
  void *held;      // the engine's
};
void dr_changes_free(struct dr_changes *changes);

// A change set is self-contained: it is read without the mirror. @errors IO, MIRROR_CORRUPT.
DRAY_NODISCARD int32_t dr_changeset_open(const char *path, struct dr_changeset **out, struct dray_error *error);
void dr_changeset_close(struct dr_changeset *set);
uint64_t dr_changeset_count(const struct dr_changeset *set);           // changes and rejects; numbers run from 0
struct dr_schema *dr_changeset_schema(const struct dr_changeset *set); // borrowed
// Reads changes from number `seq` on, bounded; *out = NULL at the end. A batch never mixes rejects with changes, nor
// deletes with others. bytes_max is honoured but for a single larger row.
DRAY_NODISCARD int32_t dr_changeset_next(struct dr_changeset *set, uint64_t seq, uint64_t rows_max, uint64_t bytes_max,
                                         int with_before, struct dr_changes **out, struct dray_error *error);

// ---- acknowledging ----
// After a write or sync that failed (IO, DISK_FULL) in ack, prepare, commit or rollback the journal is in an unknown
// state: every later call fails with the same code until the mirror is closed and opened again. Misuse is INTERNAL.

// Adds the changes whose `acked[i]` is 1 to the journal, in one frame. Not durable, and not seen by a new pass, before
// commit. `changes` may come from a set that an earlier process made. @errors MIRROR_SCHEMA: made for another key.
DRAY_NODISCARD int32_t dr_mirror_ack(struct dr_mirror *mirror, const struct dr_changes *changes, const uint8_t *acked,
                                     struct dray_error *error);
// Of the changes whose `which[i]` is 1 nobody knows what the other side holds by now: something of them may be there.
// The row that the mirror has of such a key stays, for what is removed or replaced, but is equal to none: what comes
// next of the key is an update of every column, or a delete. A key that the mirror does not have stays unknown to it.
// Before dr_mirror_ack; counts with the same commit. @errors as dr_mirror_ack.
DRAY_NODISCARD int32_t dr_mirror_distrust(struct dr_mirror *mirror, const struct dr_changes *changes,
                                          const uint8_t *which, struct dray_error *error);
// The first `count` changes of the set but for rejects, in bounded frames.
DRAY_NODISCARD int32_t dr_mirror_ack_all(struct dr_mirror *mirror, struct dr_changeset *set, uint64_t count,
                                         struct dray_error *error);
// Makes what was acknowledged durable as a proposal for `generation` (not 0): the other side commits next, then
// dr_mirror_commit. A prepare that is found at open must be committed (as the same generation) or rolled back first.
DRAY_NODISCARD int32_t dr_mirror_prepare(struct dr_mirror *mirror, uint64_t generation, struct dray_error *error);
// What was acknowledged (and perhaps prepared, perhaps by an earlier process) is now true, as `generation`. One fsync;
// none when nothing was acknowledged and the generation is the same.
DRAY_NODISCARD int32_t dr_mirror_commit(struct dr_mirror *mirror, uint64_t generation, struct dray_error *error);
// Forgets what was acknowledged or prepared since the last commit.
DRAY_NODISCARD int32_t dr_mirror_rollback(struct dr_mirror *mirror, struct dray_error *error);
// out[i] = 1 where the mirror as last committed holds what change i says (a delete: no such row); 0 for rejects and for
// rows of unknown hash. Not before a commit of what was acknowledged, nor during a pass. @errors INTERNAL, IO.
DRAY_NODISCARD int32_t dr_mirror_holds(struct dr_mirror *mirror, const struct dr_changes *changes, uint8_t *out,
                                       struct dray_error *error);
// Merges journal and base when the journal has grown past its share, or rows are held under an older schema; for the
// end of a run. Nothing while changes are acknowledged and not committed.
DRAY_NODISCARD int32_t dr_mirror_compact(struct dr_mirror *mirror, struct dray_error *error);
// The work of that merge before the commit, while the other side is still at work, in two steps. From the first on what
// is acknowledged is sorted as well, as soon as a merge will be due.
void dr_mirror_gather(struct dr_mirror *mirror);
// The second writes the base of it. It may run in a thread of its own beside dr_mirror_prepare, dr_mirror_commit and
// dr_mirror_info; all else waits for its end, which comes early when *stop (NULL allowed) becomes other than 0. What it
// writes counts for nothing until dr_mirror_compact, when all was committed and nothing acknowledged or taken back in
// between; else it is thrown away.
void dr_mirror_write_ahead(struct dr_mirror *mirror, const atomic_int *stop);

#endif // DR_DIFF_DIFF_H
