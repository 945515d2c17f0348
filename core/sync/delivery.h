// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Delivery: changes of a change set to a destination, batch by batch, through the ledger. `sending` is durable
// before the first byte leaves; mirror and receipts are durable after it; what happened to every row is known or said
// to be unknown.
#ifndef DR_SYNC_DELIVERY_H
#define DR_SYNC_DELIVERY_H

#include <pthread.h>

#include "sync/context.h"

// Keys of rows in batches that are still open: until it is known what became of them, nothing newer may be sent.
// (waiting.c)
struct dr_waiting {
  struct dr_hash128 *keys; // sorted, owned
  size_t count, capacity;
};
// Those of all open batches of the sync.
DRAY_NODISCARD int32_t dr_waiting_load(struct dr_context *run, struct dr_waiting *out, struct dray_error *error);
int dr_waiting_has(const struct dr_waiting *waiting, struct dr_hash128 key);
void dr_waiting_free(struct dr_waiting *waiting);

struct dr_parcel;

// Rows that are put by: a limit of the destination keeps them back, or it is at work on as many jobs as it takes. They
// are sent when that has been waited for, or by the next run. (limit.c)
struct dr_held {
  uint64_t first, count; // changes
  uint64_t rows;         // that are sent of them
  uint32_t round;        // that they are sent in
  int for_job;           // there was no room for another job, and no limit in the way
};

struct dr_delivery {
  struct dr_context *run;
  pthread_mutex_t *lock; // of the run, held but for calls and waits, when several lanes deliver; NULL: this one alone
  struct dr_destination_instance *destination;
  int goes_on;                // another batch follows most batches at once
  struct dr_parcel *answered; // in the mirror already; its receipts are written together with the next `sending`
  struct dray_caps caps;
  struct dr_changeset *set;  // borrowed
  char changeset[512];       // its file's name in the sync's folder
  struct ArrowSchema schema; // of outgoing batches
  size_t *columns;           // fields of the set's schema that are sent
  size_t column_count;
  uint8_t *is_key;      // per column that is sent: it is the key's, by which the row was found, and has not changed
  ptrdiff_t *stand_ins; // per column that is sent: the folded key that is sent where the mirror does not hold it, or -1
  size_t absent_at, row_at, op_at, changed_at; // the reserved columns' places
  ptrdiff_t before_at;                         // that of what updates replace; -1: the destination does not need it
  struct dray_builder *builder;
  int has_records; // the store holds rejected or parked rows of this sync
  int begun;
  int counted;             // > 0: the report has these rows already
  uint64_t pending_before; // rows pending when this was opened
  struct dr_waiting waiting;
  const struct dr_batch_record *others; // borrowed while a batch is resolved: open as well, and younger
  size_t other_count;
  struct dr_held *held; // owned
  size_t held_count, held_capacity;
  int64_t held_pause_ms; // the longest time that one of them was asked to wait; 0: none was said
  char held_said[200];   // what the destination said of one of them
  uint64_t limit_passes; // run->limit_passes when what follows began
  int64_t limit_ms;      // waited for the destination's limit since
  uint32_t limit_waits;  // so often
  uint32_t limit_over;   // batches that were given up since the patience with it is over
  uint32_t limit_tries;  // so often since then a row in front was left, and what is behind it tried
  int limit_try;         // that is due, without a wait for the limit
  int sending_held;
  char run_name[32];
};

// What is to be written, as the destination sees it at begin.
struct dr_delivery_plan {
  const char *object;
  struct dray_str options_json;
  const char **match_keys; // field names
  size_t match_key_count;
  uint64_t inserts, updates, deletes;
};

// `lock` becomes the delivery's.
DRAY_NODISCARD int32_t dr_delivery_open(struct dr_context *run, struct dr_destination_instance *destination,
                                        const struct dray_caps *caps, struct dr_changeset *set, const char *path,
                                        const struct dr_delivery_plan *plan, pthread_mutex_t *lock,
                                        struct dr_delivery *out, struct dray_error *error);
// Tells the destination that all is said (`end`), or that the run gives up (`abort`).
DRAY_NODISCARD int32_t dr_delivery_end(struct dr_delivery *delivery, struct dray_error *error);
void dr_delivery_close(struct dr_delivery *delivery);

// ---- lanes.c ----

// Sends changes [0, count), over as many instances of the destination at once as its caps allow and there are batches
// for: `delivery` and others beside it, which are begun and ended here. Where the destination works in jobs and has as
// many as it takes, waits up to job_wait_ms for one to end; what is left then is counted as unsent. Returns an error
// when the run cannot go on; rows that were refused are recorded and are no error.
DRAY_NODISCARD int32_t dr_lanes_send(struct dr_delivery *delivery, const char *path,
                                     const struct dr_delivery_plan *plan, uint64_t count, int64_t job_wait_ms,
                                     struct dray_error *error);

// ---- earlier.c ----

// Resolves a batch in doubt that an earlier run left; its state is written back. Pending ones are left to the poll.
// Where it is to be sent again and the destination takes no further job within wait_ms, it stays in doubt.
DRAY_NODISCARD int32_t dr_delivery_resolve(struct dr_delivery *delivery, struct dr_batch_record *batch, int64_t wait_ms,
                                           struct dray_error *error);
// Asks for the receipts of pending batches of this set until at most `most` of them are not final, or wait_ms is over,
// and sends what is put by where that makes room. *out_left (NULL allowed): how many are not, those that came of
// others' answers among them.
DRAY_NODISCARD int32_t dr_delivery_poll(struct dr_delivery *delivery, size_t most, int64_t wait_ms, size_t *out_left,
                                        struct dray_error *error);
// Says in the report how many rows of this set are in jobs.
DRAY_NODISCARD int32_t dr_delivery_tell(struct dr_delivery *delivery, struct dray_error *error);

// ---- limit.c ----

// A run ends with the limit when a call was refused as a whole for it, and nothing was taken since. @errors THROTTLED.
DRAY_NODISCARD int32_t dr_limit_end(const struct dr_context *run, struct dray_error *error);
// How long the limit has been waited for when a delivery begins: all of the half hour, where another one has.
int64_t dr_limit_waited(const struct dr_context *run);

// ---- jobs.c ----

// How many batches of the sync are in jobs, of this set and of those of earlier runs; and how many the destination
// takes.
DRAY_NODISCARD int32_t dr_jobs_count(struct dr_delivery *delivery, size_t *out_own, size_t *out_earlier,
                                     struct dray_error *error);
size_t dr_jobs_max(const struct dr_delivery *delivery);
// Whether the batch is in a job, and of this set.
int dr_jobs_is_own(const struct dr_delivery *delivery, const struct dr_batch_record *batch);
// Whether the destination takes one more, with those that are on their way by any lane. One without jobs always does.
DRAY_NODISCARD int32_t dr_jobs_room(struct dr_delivery *delivery, int *out_room, struct dray_error *error);

// ---- outgoing.c ----

// A batch on its way: the changes that are sent (and those that are only acknowledged).
struct dr_outgoing {
  struct ArrowArray array; // released with the struct
  int64_t *rows;           // `_dray_row` of each row
  size_t *change;          // index into the changes of each row
  size_t count;
  uint64_t bytes;  // about
  uint8_t *silent; // per change: 1 = acknowledged without being sent (mode remove)
  size_t silent_count;
  size_t wait_first, wait_end; // the first changes in a row that wait, by index; end 0: none does
  uint64_t ignored, parked;
  uint64_t resolved; // rows of which an operator has said what became of them
};
DRAY_NODISCARD int32_t dr_outgoing_schema(struct dr_delivery *delivery, struct dray_error *error);
DRAY_NODISCARD int32_t dr_outgoing_build(struct dr_delivery *delivery, const struct dr_changes *changes,
                                         struct dr_outgoing *out, struct dray_error *error);
void dr_outgoing_free(struct dr_outgoing *outgoing);
// The operations that a sync's mode can send: set of DRAY_OP_*.
uint32_t dr_outgoing_operations(int mode);

#endif // DR_SYNC_DELIVERY_H
