// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Limits of the destination: rows that are as good as before, and that it does not take now. They are never refused
// rows. A vendor that takes ten rows a minute is waited for as long as it takes some; one that takes none is waited for
// half an hour, and the rest is left to the next run.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/backoff.h"
#include "base/log.h"
#include "sync/parcel.h"

#define LIMIT_MS_MAX (30 * 60 * 1000)
#define FIRST_CAPACITY 16

// How long in all, while no row is taken.
static int64_t limit_ms_max(void) {
  const char *test = getenv("DRAY_TEST");
  const char *text = test != NULL && strcmp(test, "1") == 0 ? getenv("DRAY_LIMIT_MS") : NULL;
  return text != NULL ? strtol(text, NULL, 10) : LIMIT_MS_MAX;
}

int dr_limit_is(const struct dray_receipt *receipt) {
  return receipt->status == DRAY_RECEIPT_RETRY && dray_error_info(receipt->code)->error_class == DRAY_CLASS_THROTTLED;
}

size_t dr_limit_count(const struct dr_parcel *parcel) {
  size_t count = 0;
  for (size_t i = 0; i < parcel->outgoing.count; i++) count += dr_limit_is(&parcel->receipts[i]) ? 1 : 0;
  return count;
}

void dr_limit_passed(struct dr_delivery *delivery) {
  delivery->limit_ms = 0;
  delivery->limit_waits = 0;
  delivery->limit_over = 0;
}

int32_t dr_limit_wait(struct dr_delivery *delivery, int64_t asked_ms, const char *said, struct dray_error *error) {
  const int64_t pause = asked_ms > 0 ? asked_ms : dr_backoff_ms(++delivery->limit_waits);
  if (delivery->limit_ms + pause > limit_ms_max()) {
    return dray_fail(error, DRAY_E_THROTTLED, "the destination has taken no row for %lld s and asks to wait%s%s",
                     (long long)(delivery->limit_ms / 1000), said[0] != '\0' ? ": " : "", said);
  }
  delivery->limit_ms += pause;
  return dr_send_wait(delivery, pause, said[0] != '\0' ? said : "a limit of the destination", error);
}

int32_t dr_limit_hold(struct dr_delivery *delivery, const struct dr_held *held, const struct dray_receipt *receipts,
                      struct dray_error *error) {
  if (delivery->held_count == delivery->held_capacity) {
    const size_t capacity = delivery->held_capacity > 0 ? delivery->held_capacity * 2 : FIRST_CAPACITY;
    struct dr_held *grown = realloc(delivery->held, capacity * sizeof(*grown));
    if (grown == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for rows that were kept back");
    delivery->held = grown;
    delivery->held_capacity = capacity;
  }
  delivery->held[delivery->held_count++] = *held;
  for (uint64_t i = 0; i < held->count; i++) {
    if (receipts[i].retry_after_ms > delivery->held_pause_ms) delivery->held_pause_ms = receipts[i].retry_after_ms;
  }
  (void)snprintf(delivery->held_said, sizeof(delivery->held_said), "%.*s", DRAY_STR_ARG(receipts[0].text));
  return DRAY_OK;
}

// Those that were put by up to now. What is put by meanwhile stays.
static int32_t send_due(struct dr_delivery *delivery, struct dray_error *error) {
  const size_t due = delivery->held_count;
  int32_t rc = DRAY_OK;
  size_t sent = 0;
  delivery->held_pause_ms = 0;
  delivery->counted++; // as sent already
  for (; rc == DRAY_OK && sent < due; sent++) {
    const struct dr_held held = delivery->held[sent]; // the list may move
    rc = dr_send_range(delivery, held.first, held.count, held.round, error);
  }
  delivery->counted--;
  // Of the range that failed nothing is known to have been taken.
  if (rc != DRAY_OK) sent--;
  delivery->held_count -= sent;
  memmove(delivery->held, delivery->held + sent, delivery->held_count * sizeof(*delivery->held));
  return rc;
}

// The run goes on with other rows: the limit may be of these alone. When nothing of those is taken either, it ends.
static int32_t leave(struct dr_delivery *delivery, const struct dray_error *why, struct dray_error *error) {
  uint64_t rows = 0;
  for (size_t i = 0; i < delivery->held_count; i++) rows += delivery->held[i].count;
  delivery->held_count = 0;
  delivery->run->report->kept_back += rows;
  dr_log(DRAY_LOG_WARN, delivery->run->sync->name, "%llu rows are left to the next run: %s", (unsigned long long)rows,
         why->text);
  if (delivery->limit_over) {
    if (error != NULL) *error = *why;
    return why->code;
  }
  delivery->limit_over = 1;
  return DRAY_OK;
}

int32_t dr_limit_send(struct dr_delivery *delivery, struct dray_error *error) {
  if (delivery->sending_held) return DRAY_OK;
  int32_t rc = DRAY_OK;
  delivery->sending_held = 1;
  while (rc == DRAY_OK && delivery->held_count > 0) {
    struct dray_error why;
    dray_error_init(&why);
    rc = dr_limit_wait(delivery, delivery->held_pause_ms, delivery->held_said, &why);
    if (rc == DRAY_OK) rc = send_due(delivery, &why);
    if (rc == DRAY_E_THROTTLED) {
      rc = leave(delivery, &why, error);
    } else if (rc != DRAY_OK && error != NULL) {
      *error = why;
    }
  }
  delivery->sending_held = 0;
  return rc;
}
