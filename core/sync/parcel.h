// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// A parcel: one batch between `sending` and its settlement. Private to the files of delivery: parcel.c has its rows and
// receipts, settle.c writes down what became of it, delivery.c sends, limit.c waits for the destination's limits,
// jobs.c counts the jobs it is given, earlier.c takes up what earlier runs left open.
#ifndef DR_SYNC_PARCEL_H
#define DR_SYNC_PARCEL_H

#include "sync/delivery.h"

#define DR_SEND_ATTEMPTS_MAX 5

struct dr_parcel {
  struct dr_changes *changes;
  struct dr_outgoing outgoing;
  struct dr_batch_record batch;
  struct dray_receipt *receipts; // per row of outgoing, in its order
  struct dray_receipts answer;
  uint32_t attempt, failures; // calls of write; those that failed for a passing reason
  struct dr_arena texts;      // of receipts that outlive their call
  int doubtful;  // an earlier call may have arrived: that this one failed, or put a row off, proves nothing
  int forgotten; // the destination may have forgotten its key: nothing is sent under it any more
  int has_place; // among the jobs that the destination takes (jobs.c)
  int may_join;  // its receipts may be written with the next batch: whoever made it does not look at it again
};

// ---- parcel.c ----

// Changes from number `first` on, at most `count` and about bytes_max, ready to be written; every row is UNKNOWN.
DRAY_NODISCARD int32_t dr_parcel_make(struct dr_delivery *delivery, uint64_t first, uint64_t count, uint64_t bytes_max,
                                      struct dr_parcel *out, struct dray_error *error);
void dr_parcel_free(struct dr_parcel *parcel);
// Learns from parcel->answer what became of rows: of the batch's first call, of a job, of looking there. What was known
// of a row stays: only what was unknown is learnt.
void dr_parcel_take(struct dr_parcel *parcel);
// The same of a call that brought rows there once more. What an earlier call applied stays applied. Of all others it
// holds what this one says, since it may have applied them; but that it put a row in doubt off proves nothing of the
// calls before it. `repeats`: the other side does not know one call from the next, so a row in doubt that this one
// refuses may be there by an earlier one, in the place of what the mirror says.
void dr_parcel_take_again(struct dr_parcel *parcel, int repeats);
// Rows that were put off or refused are in doubt as well: the batch will be sent again as it was.
void dr_parcel_join_doubt(struct dr_parcel *parcel);
// Whether row i of outgoing was not taken, but something of it may be there.
int dr_parcel_is_partly(const struct dr_parcel *parcel, size_t i);
// Copies the receipts' texts before another call takes them away.
void dr_parcel_keep_texts(struct dr_parcel *parcel);
void dr_parcel_forget(struct dr_parcel *parcel, const char *why); // every row is UNKNOWN; NULL: no reason is known
size_t dr_parcel_count(const struct dr_parcel *parcel, int32_t status);
// Whether rows in doubt may be sent again under the batch's key. Where it is too old for that, it is so from now on.
int dr_parcel_key_holds(const struct dr_delivery *delivery, struct dr_parcel *parcel);
// How rows in doubt are resolved: as the destination declares, and not at all where it may have forgotten the key.
uint32_t dr_parcel_doubt(const struct dr_delivery *delivery, const struct dr_parcel *parcel);
// Rows that the mirror has already are not in doubt.
DRAY_NODISCARD int32_t dr_parcel_leave_held(struct dr_delivery *delivery, struct dr_parcel *parcel,
                                            struct dray_error *error);

// ---- settle.c ----

// Acknowledges in the mirror what was applied, and distrusts it of what was applied in part.
DRAY_NODISCARD int32_t dr_settle_mirror(struct dr_delivery *delivery, struct dr_parcel *parcel,
                                        struct dray_error *error);
// Writes down what became of every row; the batch goes to `state`.
DRAY_NODISCARD int32_t dr_settle(struct dr_delivery *delivery, struct dr_parcel *parcel, int state,
                                 struct dray_error *error);
// Writes `sending` of the parcel into the ledger, and in the same transaction the receipts of the batch before it where
// these wait for that.
DRAY_NODISCARD int32_t dr_settle_sending(struct dr_delivery *delivery, struct dr_parcel *parcel,
                                         struct dray_error *error);
// Writes the receipts that wait: no batch follows.
DRAY_NODISCARD int32_t dr_settle_last(struct dr_delivery *delivery, struct dray_error *error);
// As its receipts say: rows in a job and rows in doubt stay open, as batches of their own where they must.
DRAY_NODISCARD int32_t dr_settle_known(struct dr_delivery *delivery, struct dr_parcel *parcel,
                                       struct dray_error *error);
DRAY_NODISCARD int32_t dr_settle_in_doubt(struct dr_delivery *delivery, struct dr_parcel *parcel,
                                          struct dray_error *error);
// Nothing was applied: the rows stay different and come again. Of a batch that an earlier call may have brought there,
// this call's failure says nothing: it stays in doubt.
DRAY_NODISCARD int32_t dr_settle_release(struct dr_delivery *delivery, struct dr_parcel *parcel,
                                         struct dray_error *error);

// ---- delivery.c ----

// What is shared is left to other lanes while this one is in a call or waits.
void dr_lane_leave(struct dr_delivery *delivery);
void dr_lane_enter(struct dr_delivery *delivery);
// Waits where the dashboard can see it. @errors CANCELLED.
DRAY_NODISCARD int32_t dr_send_wait(struct dr_delivery *delivery, int64_t duration_ms, const char *why,
                                    struct dray_error *error);
// Sends the next batch of changes [*first, end); *first is behind it before it leaves.
DRAY_NODISCARD int32_t dr_send_next(struct dr_delivery *delivery, uint64_t *first, uint64_t end, uint32_t round,
                                    struct dray_error *error);
// Sends changes [first, first + count); `round` counts how often they were put off.
DRAY_NODISCARD int32_t dr_send_range(struct dr_delivery *delivery, uint64_t first, uint64_t count, uint32_t round,
                                     struct dray_error *error);
// Sends a parcel until it is settled one way or another.
DRAY_NODISCARD int32_t dr_send_parcel(struct dr_delivery *delivery, struct dr_parcel *parcel, uint32_t round,
                                      struct dray_error *error);
// Settles a parcel by its receipts: asks after what is in doubt, sends again what was put off.
DRAY_NODISCARD int32_t dr_send_answer(struct dr_delivery *delivery, struct dr_parcel *parcel, uint32_t round,
                                      struct dray_error *error);

// ---- jobs.c ----

// The parcel takes a place among the jobs that the destination takes, after dr_jobs_room; and gives it back, in the
// ledger by then where it has become one. Taken or given back before: nothing happens.
void dr_jobs_take(struct dr_delivery *delivery, struct dr_parcel *parcel);
void dr_jobs_give(struct dr_delivery *delivery, struct dr_parcel *parcel);

// ---- limit.c ----

// Whether the row was not taken because of a limit of the destination (429 and its like).
int dr_limit_is(const struct dray_receipt *receipt);
size_t dr_limit_count(const struct dr_parcel *parcel);
// Waits as long as was asked, or the backoff where nothing was said. In all it waits for half an hour while no row is
// taken, by this lane or another. @errors THROTTLED (with what was said), CANCELLED.
DRAY_NODISCARD int32_t dr_limit_wait(struct dr_delivery *delivery, int64_t asked_ms, const char *said,
                                     struct dray_error *error);
// Where the destination has taken rows of the parcel, or said why not, the half hour begins anew. That it has taken
// them into a job says nothing yet.
void dr_limit_look(struct dr_delivery *delivery, const struct dr_parcel *parcel);
// Puts rows by; `for_job`: until there is room for another job.
DRAY_NODISCARD int32_t dr_limit_hold(struct dr_delivery *delivery, uint64_t first, uint64_t count, uint32_t round,
                                     int for_job, struct dray_error *error);
// The same of rows [from, end) of the parcel, with what their receipts say of the wait.
DRAY_NODISCARD int32_t dr_limit_hold_rows(struct dr_delivery *delivery, const struct dr_parcel *parcel, size_t from,
                                          size_t end, uint32_t round, struct dray_error *error);
// Sends what was put by, and what is put by meanwhile, after each wait; where the destination has as many jobs as it
// takes, the rest stays put by. When the half hour is over rows that the limit still keeps back are left to the next
// run and counted, they are not refused: first some in front, while what is behind them is tried. Inside of itself it
// does nothing. @errors THROTTLED when nothing else was taken either since rows were left.
DRAY_NODISCARD int32_t dr_limit_send(struct dr_delivery *delivery, struct dray_error *error);
// What follows a batch that ended with `rc`, and where that is THROTTLED has been put by: the half hour is over then.
DRAY_NODISCARD int32_t dr_limit_after(struct dr_delivery *delivery, int32_t rc, const struct dray_error *why,
                                      struct dray_error *error);
// Remembers that the patience with a call is over that was refused as a whole.
void dr_limit_refused(struct dr_context *run, const struct dray_error *why);
// What another lane has put by becomes this one's; what cannot, for want of memory, stays there.
void dr_limit_take_over(struct dr_delivery *delivery, struct dr_delivery *from);
// Counts what is still put by as kept back or unsent, and forgets it. Returns how many rows that were.
uint64_t dr_limit_leave(struct dr_delivery *delivery);

#endif // DR_SYNC_PARCEL_H
