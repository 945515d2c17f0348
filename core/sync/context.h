// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What the parts of a run share. Private to core/sync.
#ifndef DR_SYNC_CONTEXT_H
#define DR_SYNC_CONTEXT_H

#include "store/lease.h"
#include "sync/mapping.h"
#include "sync/reader.h"
#include "sync/run.h"

struct dr_context {
  struct dr_session *session;
  struct dr_store *store;
  const struct dr_sync *sync;
  const struct dr_run_options *options;
  struct dr_run_report *report;
  struct dr_run_record record; // the run in the store; id 0 while nothing is recorded
  char *folder;                // of the sync
  char *mirror_folder;
  struct dr_lease lease;
  struct dr_sync_state state; // what the store knows of the sync
  struct dr_arena arena;      // names that live as long as the run
  struct dr_mirror *mirror;
  uint32_t pass_count; // passes begun in this run
  uint64_t rows_known; // what the mirror held before the first of them
  int adopted;         // ingest: the table was there before the sync
  int aside;           // a plan: `mirror_folder` is not the sync's, and goes with the run
  struct dr_mapping mapping;
  const uint8_t *refused_columns;      // per mapped field: 1 = a row with a value there is refused (drift policy
                                       // discard_row); NULL: none
  const struct dr_value_limit *limits; // ingest: values that the table does not take; in the arena
  size_t limit_count;
  int absent_seen; // a value was absent, in this pass, that a new row must have
  struct dr_reader *reader;
  struct dr_prefilter *prefilter;     // NULL: the reader shows all there is; see prefilter.h
  struct dr_loading *loading;         // NULL: what is read is not loaded meanwhile; see loading.h
  struct dr_recorded *recorded;       // NULL: no records of rows are looked after; see recorded.h
  uint64_t window_mark, window_first; // see dr_rows_window
  int promised;                       // a checkpoint of this run's was sent to be committed; see dr_reader_abandon
  int held_back;                      // rows were deferred: checkpoint and records of rows stay
  int claim_stands;                   // of a frame that was not written: no lane acknowledges any more
  uint64_t limit_passes;              // batches of which a destination that sets limits took rows, or said why not
  uint64_t limit_refused;             // as limit_passes was when patience with a call refused as a whole was over
  struct dray_error limit_why;        // what was said then; code 0: that was never so
  size_t jobs_begun;                  // batches on their way to a destination that may make jobs of them
};

static inline int dr_planning(const struct dr_context *run) {
  return (run->options->flags & DR_RUN_PLAN) != 0;
}
// Writes the run's state and counts to the store; nothing while planning.
DRAY_NODISCARD int32_t dr_context_state(struct dr_context *run, int state, const char *phase, struct dray_error *error);
// Opens the reader and decides the mapping. `full` and `follow` as in dr_reader_options; `object` NULL for a warehouse.
DRAY_NODISCARD int32_t dr_context_read(struct dr_context *run, struct dray_str checkpoint, int full, int follow,
                                       const struct dr_object_facts *object, struct dray_error *error);
// Goes on with another query over the model's columns; the mapping stays.
DRAY_NODISCARD int32_t dr_context_reread(struct dr_context *run, struct dray_str query, struct dray_error *error);
// Decides the mapping anew, without these fields of it.
DRAY_NODISCARD int32_t dr_context_leave_out(struct dr_context *run, const char *const *fields, size_t count,
                                            struct dray_error *error);
// Opens (or with `create` makes) the sync's mirror for the mapped schema.
DRAY_NODISCARD int32_t dr_context_mirror(struct dr_context *run, int create, struct dray_error *error);

// ---- pass.c: reader -> mapping -> diff -> change set ----

struct dr_pass {
  struct dr_changeset *set; // NULL when nothing was compared
  char *path;
  int ended; // the reader has no more rows
  uint64_t rows;
  uint64_t withheld;   // deletes at the end of the set that must not be applied
  uint64_t unreadable; // rows that could not be read or cast: what is missing is not known then
  char *state;         // the source's state after the last row of the pass; NULL: none
  size_t state_bytes;
  uint64_t inserts, updates, deletes, unchanged;
  uint64_t lacking; // new rows that do not say what the table must have: not among `inserts`, see dr_rows_lacking
  int plain;        // every row that was read and has a key is an insert, of a key of its own
  struct dray_error broken; // code 0: none; else the reading broke off behind a safe place: what was read before counts
};
// Where a pass may end before the reader does.
struct dr_pass_bounds {
  uint64_t rows_max;
  int64_t duration_ms;
};
// Reads until a bound is met and the source is at a safe place (`bounds` NULL: to the end). `diff_flags`: DR_DIFF_*.
DRAY_NODISCARD int32_t dr_pass_run(struct dr_context *run, uint32_t diff_flags, const struct dr_pass_bounds *bounds,
                                   struct dr_pass *out, struct dray_error *error);
// Closes the set; `remove` deletes its file.
void dr_pass_close(struct dr_pass *pass, int remove);
// Removes the change sets of earlier runs that no open batch refers to: a run that was killed leaves its own.
DRAY_NODISCARD int32_t dr_pass_sweep(struct dr_context *run, struct dray_error *error);

// ---- rows.c: what happened to rows that were not taken ----

// Says from which checkpoint the rows that follow are read: it tells apart the records of rows without a key, such as
// "the third row", of different incremental reads. The same read done again meets its own records.
void dr_rows_window(struct dr_context *run, struct dray_str checkpoint);
// Takes the rows out of *batch that have a value in a refused column or one that the table does not take, and with
// `keyed` those whose key is not whole; they go to `rejects`.
DRAY_NODISCARD int32_t dr_rows_refuse(struct dr_context *run, int keyed, struct dr_batch **batch,
                                      struct dr_rejects *rejects, struct dray_error *error);
// Records rows that could not be read or cast. Durable when it returns.
DRAY_NODISCARD int32_t dr_rows_unreadable(struct dr_context *run, const struct dr_rejects *rejects,
                                          struct dray_error *error);
// Records the rows of a change set that the pass itself withheld (null keys, duplicates).
DRAY_NODISCARD int32_t dr_rows_withheld(struct dr_context *run, struct dr_changeset *set, struct dray_error *error);
// Inserts from which a value is absent that the table's column must have: records them, and takes them out of the
// pass's counts. Its change set still has them; dr_rows_skip_lacking makes rejects of them, and says how many.
DRAY_NODISCARD int32_t dr_rows_lacking(struct dr_context *run, struct dr_pass *pass, struct dray_error *error);
size_t dr_rows_skip_lacking(const struct dr_context *run, struct dr_changes *changes);
// Records that the receiver refused change `i`; *out_parked = 1 when that was the last of attempts_max.
DRAY_NODISCARD int32_t dr_rows_refused(struct dr_context *run, const struct dr_changes *changes, size_t i, int32_t code,
                                       struct dray_str text, uint32_t attempts_max, int *out_parked,
                                       struct dray_error *error);
// Records that the receiver put change `i` off until the run gave up: it comes again, and is never parked for this.
DRAY_NODISCARD int32_t dr_rows_put_off(struct dr_context *run, const struct dr_changes *changes, size_t i, int32_t code,
                                       struct dray_str text, struct dray_error *error);
// Parks change `i` until an operator says what became of it.
DRAY_NODISCARD int32_t dr_rows_doubtful(struct dr_context *run, const struct dr_changes *changes, size_t i,
                                        struct dray_str text, struct dray_error *error);
// Rows in doubt stay on record until an operator resolves them, met by this run or not.
DRAY_NODISCARD int32_t dr_rows_keep_doubtful(struct dr_context *run, struct dray_error *error);
// The key of change `i` as text, e.g. customer_id=17850.
DRAY_NODISCARD int32_t dr_rows_key(const struct dr_context *run, const struct dr_batch *rows, size_t i,
                                   struct dray_buffer *out, struct dray_error *error);

// ---- unknown.c ----

// The table that a sync writes into a warehouse.
const char *dr_context_table(const struct dr_project *project, const struct dr_sync *sync);
// The run's model was refused as `why` says: is that because it names tables that are not there and that other syncs
// will make? Then *out says which, owned by the caller; else it is NULL.
DRAY_NODISCARD int32_t dr_context_unknown(struct dr_context *run, const struct dray_error *why, char **out,
                                          struct dray_error *error);

// ---- guard.c ----

// Judges what all passes of the run up to this one change, against what the mirror held before them: cut into windows a
// run may do no more than at once. @errors GUARD, with what the run would have done.
DRAY_NODISCARD int32_t dr_guard_check(const struct dr_context *run, const struct dr_pass *pass,
                                      struct dray_error *error);

// ---- samples.c ----

// A few changes of each kind, for the report of a plan.
DRAY_NODISCARD int32_t dr_samples_take(struct dr_context *run, const struct dr_pass *pass, struct dray_error *error);
// The guard, and for a plan the samples: also of what the guard would stop, since that is what is to be looked at.
DRAY_NODISCARD int32_t dr_guard_and_samples(struct dr_context *run, const struct dr_pass *pass,
                                            struct dray_error *error);

// ---- the two directions ----

DRAY_NODISCARD int32_t dr_ingest(struct dr_context *run, struct dray_error *error);
DRAY_NODISCARD int32_t dr_activate(struct dr_context *run, struct dray_error *error);

#endif // DR_SYNC_CONTEXT_H
