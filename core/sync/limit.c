// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Limits of the destination: rows that are as good as before, and that it does not take now. They are never refused
// rows. A vendor that takes ten rows a minute is waited for as long as it takes some; one that takes none is waited for
// half an hour, and the rest is left to the next run.
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/backoff.h"
#include "base/clock.h"
#include "base/log.h"
#include "sync/parcel.h"

#define LIMIT_MS_MAX (30 * 60 * 1000)
#define FIRST_CAPACITY 16
#define TRIES_MAX 3 // rows that are left one by one when patience is over, before all of the batch is

// How long in all, while no row is taken.
static int64_t limit_ms_max(void) {
  return dr_test_ms("DRAY_LIMIT_MS", LIMIT_MS_MAX);
}

int dr_limit_is(const struct dray_receipt *receipt) {
  return receipt->status == DRAY_RECEIPT_RETRY && dray_error_info(receipt->code)->error_class == DRAY_CLASS_THROTTLED;
}

size_t dr_limit_count(const struct dr_parcel *parcel) {
  size_t count = 0;
  for (size_t i = 0; i < parcel->outgoing.count; i++) count += dr_limit_is(&parcel->receipts[i]) ? 1 : 0;
  return count;
}

void dr_limit_look(struct dr_delivery *delivery, const struct dr_parcel *parcel) {
  for (size_t i = 0; i < parcel->outgoing.count; i++) {
    const int32_t status = parcel->receipts[i].status;
    if (status == DRAY_RECEIPT_UNKNOWN || status == DRAY_RECEIPT_PENDING || dr_limit_is(&parcel->receipts[i])) continue;
    delivery->run->limit_passes++;
    return;
  }
}

// Whatever lane a row of was taken, all have patience again.
static void begin_anew(struct dr_delivery *delivery) {
  if (delivery->limit_passes == delivery->run->limit_passes) return;
  delivery->limit_passes = delivery->run->limit_passes;
  delivery->limit_ms = 0;
  delivery->limit_waits = 0;
  delivery->limit_over = 0;
  delivery->limit_tries = 0;
  delivery->limit_try = 0;
}

int32_t dr_limit_wait(struct dr_delivery *delivery, int64_t asked_ms, const char *said, struct dray_error *error) {
  begin_anew(delivery);
  const int64_t pause = asked_ms > 0 ? asked_ms : dr_backoff_ms(++delivery->limit_waits);
  if (pause > limit_ms_max() - delivery->limit_ms) {
    return dray_fail(error, DRAY_E_THROTTLED, "the destination has taken no row for %lld s and asks to wait%s%s",
                     (long long)(delivery->limit_ms / 1000), said[0] != '\0' ? ": " : "", said);
  }
  delivery->limit_ms += pause;
  return dr_send_wait(delivery, pause, said[0] != '\0' ? said : "a limit of the destination", error);
}

// ---- rows that are put by ----

static int32_t put_by(struct dr_delivery *delivery, struct dr_held held, struct dray_error *error) {
  if (delivery->held_count == delivery->held_capacity) {
    const size_t capacity = delivery->held_capacity > 0 ? delivery->held_capacity * 2 : FIRST_CAPACITY;
    struct dr_held *grown = realloc(delivery->held, capacity * sizeof(*grown));
    if (grown == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for rows that were kept back");
    delivery->held = grown;
    delivery->held_capacity = capacity;
  }
  delivery->held[delivery->held_count++] = held;
  return DRAY_OK;
}

int32_t dr_limit_hold(struct dr_delivery *delivery, uint64_t first, uint64_t count, uint32_t round, int for_job,
                      struct dray_error *error) {
  return count > 0 ? put_by(delivery, (struct dr_held){first, count, count, round, for_job}, error) : DRAY_OK;
}

int32_t dr_limit_hold_rows(struct dr_delivery *delivery, const struct dr_parcel *parcel, size_t from, size_t end,
                           uint32_t round, struct dray_error *error) {
  const uint64_t first = (uint64_t)parcel->outgoing.rows[from], last = (uint64_t)parcel->outgoing.rows[end - 1];
  DRAY_TRY(put_by(delivery, (struct dr_held){first, last - first + 1, end - from, round, 0}, error));
  for (size_t i = from; i < end; i++) {
    const int64_t asked_ms = parcel->receipts[i].retry_after_ms;
    if (asked_ms > delivery->held_pause_ms) delivery->held_pause_ms = asked_ms;
  }
  (void)snprintf(delivery->held_said, sizeof(delivery->held_said), "%.*s", DRAY_STR_ARG(parcel->receipts[from].text));
  return DRAY_OK;
}

void dr_limit_take_over(struct dr_delivery *delivery, struct dr_delivery *from) {
  while (from->held_count > 0 && put_by(delivery, from->held[from->held_count - 1], NULL) == DRAY_OK)
    from->held_count--;
}

static void count_left(struct dr_delivery *delivery, const struct dr_held *held, uint64_t rows) {
  struct dr_run_report *report = delivery->run->report;
  *(held->for_job ? &report->unsent : &report->kept_back) += rows;
}

uint64_t dr_limit_leave(struct dr_delivery *delivery) {
  uint64_t rows = 0;
  for (size_t i = 0; i < delivery->held_count; i++) {
    count_left(delivery, &delivery->held[i], delivery->held[i].rows);
    rows += delivery->held[i].rows;
  }
  delivery->held_count = 0;
  return rows;
}

// ---- sending them ----

// What waits for a job alone is sent as soon as there is room.
static int32_t wait_for_limit(struct dr_delivery *delivery, struct dray_error *error) {
  for (size_t i = 0; i < delivery->held_count; i++) {
    if (!delivery->held[i].for_job) {
      return dr_limit_wait(delivery, delivery->held_pause_ms, delivery->held_said, error);
    }
  }
  return DRAY_OK;
}

// Those that were put by up to now, as far as there is room. What is put by meanwhile, of these too, stays.
static int32_t send_due(struct dr_delivery *delivery, struct dray_error *error) {
  size_t due = delivery->held_count;
  int room = 1;
  int32_t rc = DRAY_OK;
  delivery->held_pause_ms = 0;
  delivery->counted++; // as sent already
  for (; rc == DRAY_OK && due > 0; due--) {
    rc = dr_jobs_room(delivery, &room, error);
    if (rc != DRAY_OK || !room) break;
    const struct dr_held held = delivery->held[0];
    memmove(delivery->held, delivery->held + 1, --delivery->held_count * sizeof(*delivery->held));
    delivery->limit_try = 0;
    rc = dr_send_range(delivery, held.first, held.count, held.round, error);
  }
  delivery->counted--;
  return rc;
}

// Up to which change the first row of what is put by goes. Not every change of it is sent.
static int32_t first_row(struct dr_delivery *delivery, const struct dr_held *held, uint64_t *out_changes,
                         struct dray_error *error) {
  struct dr_parcel parcel;
  *out_changes = 1;
  if (held->rows == held->count) return DRAY_OK;
  DRAY_TRY(dr_parcel_make(delivery, held->first, held->count, UINT64_MAX, &parcel, error));
  *out_changes = parcel.outgoing.count > 0 ? (uint64_t)parcel.outgoing.rows[0] - held->first + 1 : held->count;
  dr_parcel_free(&parcel);
  return DRAY_OK;
}

// The first row that a limit keeps back is the next run's.
static int32_t leave_first(struct dr_delivery *delivery, struct dray_error *error) {
  size_t i = 0;
  uint64_t changes = 0;
  assert(delivery->held_count > 0); // what was refused has been put by
  while (i + 1 < delivery->held_count && delivery->held[i].for_job) i++;
  struct dr_held *held = &delivery->held[i];
  DRAY_TRY(first_row(delivery, held, &changes, error));
  count_left(delivery, held, 1);
  held->first += changes;
  held->count -= changes;
  held->rows--;
  if (held->rows > 0 && held->count > 0) return DRAY_OK;
  memmove(held, held + 1, (--delivery->held_count - i) * sizeof(*held));
  return DRAY_OK;
}

// Patience is over. It may be the first row alone that the destination does not get beyond: that is left to the next
// run, and what is behind it is tried. When nothing of that is taken after some such rows, the run goes on with other
// batches; when nothing of those is taken either, it ends.
static int32_t give_up(struct dr_delivery *delivery, const struct dray_error *why, struct dray_error *error) {
  const int last = delivery->limit_tries == TRIES_MAX;
  uint64_t rows = 1;
  if (last) {
    rows = dr_limit_leave(delivery);
  } else {
    delivery->limit_tries++;
    DRAY_TRY(leave_first(delivery, error));
  }
  dr_log(DRAY_LOG_WARN, delivery->run->sync->name, "%llu rows are left to the next run: %s", (unsigned long long)rows,
         why->text);
  if (delivery->held_count > 0) {
    delivery->limit_try = 1;
    return dr_send_wait(delivery, dr_backoff_ms(delivery->limit_tries), why->text, error);
  }
  if (delivery->limit_over++ == 0) return DRAY_OK;
  dr_limit_refused(delivery->run, why);
  if (!last) return DRAY_OK;
  if (error != NULL) *error = *why;
  return why->code;
}

int32_t dr_limit_send(struct dr_delivery *delivery, struct dray_error *error) {
  if (delivery->sending_held) return DRAY_OK;
  int32_t rc = DRAY_OK;
  delivery->sending_held = 1;
  while (rc == DRAY_OK && delivery->held_count > 0) {
    struct dray_error why;
    int room = 0;
    dray_error_init(&why);
    rc = dr_jobs_room(delivery, &room, &why);
    if (rc == DRAY_OK && !room) break;
    if (rc == DRAY_OK && !delivery->limit_try) rc = wait_for_limit(delivery, &why);
    if (rc == DRAY_OK) rc = send_due(delivery, &why);
    if (rc == DRAY_E_THROTTLED) {
      rc = give_up(delivery, &why, error);
    } else if (rc != DRAY_OK && error != NULL) {
      *error = why;
    }
  }
  delivery->sending_held = 0;
  return rc;
}

int32_t dr_limit_after(struct dr_delivery *delivery, int32_t rc, const struct dray_error *why,
                       struct dray_error *error) {
  if (rc == DRAY_E_THROTTLED && !delivery->sending_held && delivery->held_count > 0) {
    dr_limit_refused(delivery->run, why);
    DRAY_TRY(give_up(delivery, why, error));
  } else if (rc != DRAY_OK) {
    if (error != NULL) *error = *why;
    return rc;
  }
  return dr_limit_send(delivery, error);
}

// ---- the run's end ----

void dr_limit_refused(struct dr_context *run, const struct dray_error *why) {
  run->limit_refused = run->limit_passes;
  run->limit_why = *why;
}

static int is_refused(const struct dr_context *run) {
  return run->limit_why.code != DRAY_OK && run->limit_refused == run->limit_passes;
}

int64_t dr_limit_waited(const struct dr_context *run) {
  return is_refused(run) ? limit_ms_max() : 0;
}

int32_t dr_limit_end(const struct dr_context *run, struct dray_error *error) {
  if (!is_refused(run)) return DRAY_OK;
  if (error != NULL) *error = run->limit_why;
  return run->limit_why.code;
}
