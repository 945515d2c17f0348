// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What dray remembers between runs, besides the mirrors: runs, the batch ledger, rejected rows, checkpoints, the
// plugins' private state, leases. SQLite in rollback-journal mode: see README.md of this folder.
#ifndef DR_STORE_STORE_H
#define DR_STORE_STORE_H

#include "dray/sdk/error.h"
#include "dray/sdk/text.h"

struct dr_store; // one thread at a time; must not cross a fork

// Opens (makes) FOLDER/state.db. @errors STATE_CORRUPT, STATE_VERSION, IO, DISK_FULL, BUSY after 30 s.
DRAY_NODISCARD int32_t dr_store_open(const char *folder, struct dr_store **out, struct dray_error *error);
void dr_store_close(struct dr_store *store);
uint64_t dr_store_seed(const struct dr_store *store); // random, made once per project

// ---- runs ----
enum {
  DR_RUN_PLANNED = 1,
  DR_RUN_READING,
  DR_RUN_APPLYING,
  DR_RUN_COMMITTING,
  DR_RUN_DONE,
  DR_RUN_FAILED,
  DR_RUN_CRASHED
};
const char *dr_run_state_name(int state);

struct dr_run_record {
  int64_t id;
  char sync[256];
  int state;
  int32_t exit_code;
  int64_t started_us, ended_us; // ended 0: not yet
  int32_t pid;
  uint64_t rows_read, inserts, updates, deletes, unchanged, applied, rejected, in_doubt;
  int32_t code;                   // DRAY_E_*, 0: none
  char text[DRAY_ERROR_TEXT_MAX]; // masked when stored
};
// Of each sync the newest 10,000 runs are kept, and those that batches refer to.
DRAY_NODISCARD int32_t dr_store_run_begin(struct dr_store *store, const char *sync, int32_t pid, int64_t *out_id,
                                          struct dray_error *error);
DRAY_NODISCARD int32_t dr_store_run_update(struct dr_store *store, const struct dr_run_record *run,
                                           struct dray_error *error); // all but sync, started, pid
// The newest runs first, of one sync or (NULL) of all. The caller frees *out with free().
DRAY_NODISCARD int32_t dr_store_runs(struct dr_store *store, const char *sync, size_t count_max,
                                     struct dr_run_record **out, size_t *out_count, struct dray_error *error);

// ---- the batch ledger ----
enum { DR_BATCH_PLANNED = 1, DR_BATCH_SENDING, DR_BATCH_ACKED, DR_BATCH_PENDING, DR_BATCH_IN_DOUBT };
const char *dr_batch_state_name(int state);

struct dr_batch_record {
  int64_t id;
  int64_t run;
  int state;
  uint64_t first_seq, count; // the changes' numbers in the change set
  char changeset[512];       // its path, relative to the project's state folder
  char idempotency_key[64];
  char handle[4096];     // of a job that is pending: text, at most DRAY_HANDLE_BYTES_MAX
  uint64_t mirror_frame; // generation that the acknowledgement gave the mirror; 0: none yet
  int64_t sent_us;       // when it was about to be sent under this key for the first time
};
// Durable when they return. `batch_plan` writes *out_id.
DRAY_NODISCARD int32_t dr_store_batch_sending(struct dr_store *store, const char *sync, struct dr_batch_record *batch,
                                              struct dray_error *error); // inserts, sets id, state, a sent_us of 0
DRAY_NODISCARD int32_t dr_store_batch_update(struct dr_store *store, const struct dr_batch_record *batch,
                                             struct dray_error *error);
// Batches of a sync that are not ACKED, oldest first. The caller frees *out.
DRAY_NODISCARD int32_t dr_store_batches_open(struct dr_store *store, const char *sync, struct dr_batch_record **out,
                                             size_t *out_count, struct dray_error *error);
// Removes ACKED batches of all but the newest keep_runs runs of the sync.
DRAY_NODISCARD int32_t dr_store_batches_trim(struct dr_store *store, const char *sync, size_t keep_runs,
                                             struct dray_error *error);

// ---- rows that were not taken ----
enum { DR_ROW_PARKED = 1, DR_ROW_APPLIED = 2, DR_ROW_RESEND = 3 }; // dr_row_record.parked; 0: comes again by itself

struct dr_row_record {
  uint8_t key_hash[16];
  uint64_t row_hash;
  int op; // DRAY_OP_*, 0 where the row never became a change
  int32_t code;
  uint32_t attempts;
  int parked;
  int64_t run;
  int64_t seen_us;
  char key[512]; // the key as JSON, cut when longer
  char column[128];
  char text[DRAY_ERROR_TEXT_MAX];
};
// Inserts or updates by (sync, key_hash); attempts grow by one when row_hash is the same and start at 1 otherwise;
// parked is set when attempts reach attempts_max (0: never). Writes attempts, parked and seen_us back into `row`.
// Key, column and text are masked.
DRAY_NODISCARD int32_t dr_store_row_reject(struct dr_store *store, const char *sync, struct dr_row_record *row,
                                           uint32_t attempts_max, struct dray_error *error);
DRAY_NODISCARD int32_t dr_store_row_find(struct dr_store *store, const char *sync, const uint8_t key_hash[16],
                                         struct dr_row_record *out, int *out_found, struct dray_error *error);
DRAY_NODISCARD int32_t dr_store_row_clear(struct dr_store *store, const char *sync, const uint8_t key_hash[16],
                                          struct dray_error *error);
// Says that the row was met again in `run`, unchanged: a parked row is skipped, not forgotten.
DRAY_NODISCARD int32_t dr_store_row_touch(struct dr_store *store, const char *sync, const uint8_t key_hash[16],
                                          int64_t run, struct dray_error *error);
// What an operator says of the rows in doubt: the receiver holds them (parked becomes DR_ROW_APPLIED: the next run
// acknowledges them without sending), or they are to be sent again (DR_ROW_RESEND).
DRAY_NODISCARD int32_t dr_store_rows_resolve(struct dr_store *store, const char *sync, int applied, uint64_t *out_count,
                                             struct dray_error *error);
// Removes rows last seen before `run`: they are no longer in the input, or were taken.
DRAY_NODISCARD int32_t dr_store_rows_clear_before(struct dr_store *store, const char *sync, int64_t run,
                                                  struct dray_error *error);
// Unparked rows get all their attempts again.
DRAY_NODISCARD int32_t dr_store_rows_unpark(struct dr_store *store, const char *sync, uint64_t *out_count,
                                            struct dray_error *error);
DRAY_NODISCARD int32_t dr_store_rows_count(struct dr_store *store, const char *sync, uint64_t *out_rejected,
                                           uint64_t *out_parked, struct dray_error *error);
// Gives the keys of the sync's records that have one (none of DATA_KEY_NULL), at most `most` of them in any order.
DRAY_NODISCARD int32_t dr_store_row_keys(struct dr_store *store, const char *sync, size_t most,
                                         void (*take)(void *ctx, const uint8_t key_hash[16], struct dray_str key),
                                         void *ctx, struct dray_error *error);
// One page, ordered by (code, key). The caller frees *out.
DRAY_NODISCARD int32_t dr_store_rows(struct dr_store *store, const char *sync, size_t offset, size_t count_max,
                                     struct dr_row_record **out, size_t *out_count, struct dray_error *error);

// ---- what a sync has reached ----
#define DR_CHECKPOINT_BYTES_MAX (16 << 20) // beyond: LIMIT
#define DR_IDENTITY_BYTES 1024
struct dr_sync_state {
  uint64_t generation;           // of its mirror when last committed; 0: never ran
  struct dray_buffer checkpoint; // of the source (activate: unused); opaque bytes
  char identity
      [DR_IDENTITY_BYTES]; // plugin and place of the other side: a sync pointed elsewhere is noticed. No secrets
};
// An unknown sync gives generation 0. The caller frees checkpoint.
DRAY_NODISCARD int32_t dr_store_sync_get(struct dr_store *store, const char *sync, struct dr_sync_state *out,
                                         struct dray_error *error);
DRAY_NODISCARD int32_t dr_store_sync_put(struct dr_store *store, const char *sync, const struct dr_sync_state *state,
                                         struct dray_error *error);
DRAY_NODISCARD int32_t dr_store_sync_forget(struct dr_store *store, const char *sync,
                                            struct dray_error *error); // state, ledger, rejected rows

// ---- a plugin's own state: an empty value is none; limits as in dray/host.h; connection "": of all connections ----
DRAY_NODISCARD int32_t dr_store_plugin_get(struct dr_store *store, const char *connection, struct dray_str key,
                                           struct dray_buffer *out, struct dray_error *error);
DRAY_NODISCARD int32_t dr_store_plugin_put(struct dr_store *store, const char *connection, struct dray_str key,
                                           struct dray_str value, struct dray_error *error);

// Several changes as one: begin ... commit around the calls above. Nesting is an assertion. After a call in between
// has failed the others fail with its code, and so does commit; a commit that fails has undone everything. Rollback
// without begin does nothing.
DRAY_NODISCARD int32_t dr_store_begin(struct dr_store *store, struct dray_error *error);
DRAY_NODISCARD int32_t dr_store_commit(struct dr_store *store, struct dray_error *error);
void dr_store_rollback(struct dr_store *store);

#endif // DR_STORE_STORE_H
