// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The rows of a parcel and what the destination said of each.
#include "sync/parcel.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "dray/destination.h"

#define TEXTS_BYTES_MAX (16u << 20)
#define KEY_MARGIN 8 // so much of a key's life is left for the way, and for clocks that do not go alike

void dr_parcel_free(struct dr_parcel *parcel) {
  dr_outgoing_free(&parcel->outgoing);
  dr_changes_free(parcel->changes);
  free(parcel->receipts);
  free(parcel->answer.items);
  dr_arena_free(&parcel->texts);
  memset(parcel, 0, sizeof(*parcel));
}

int32_t dr_parcel_make(struct dr_delivery *delivery, uint64_t first, uint64_t count, uint64_t bytes_max,
                       struct dr_parcel *out, struct dray_error *error) {
  struct dr_parcel parcel;
  memset(&parcel, 0, sizeof(parcel));
  dr_arena_init(&parcel.texts, TEXTS_BYTES_MAX);
  const int with_before = delivery->before_at >= 0;
  int32_t rc = dr_changeset_next(delivery->set, first, count, bytes_max, with_before, &parcel.changes, error);
  if (rc == DRAY_OK && parcel.changes == NULL) {
    rc = dray_fail(error, DRAY_E_INTERNAL, "the change set ends before change %llu", (unsigned long long)first);
  }
  if (rc == DRAY_OK) rc = dr_outgoing_build(delivery, parcel.changes, &parcel.outgoing, error);
  if (rc == DRAY_OK) {
    const size_t rows = parcel.outgoing.count + 1;
    parcel.receipts = calloc(rows, sizeof(*parcel.receipts));
    parcel.answer.struct_size = sizeof(parcel.answer);
    parcel.answer.items = calloc(rows, sizeof(*parcel.answer.items));
    parcel.answer.capacity = rows;
    if (parcel.receipts == NULL || parcel.answer.items == NULL) {
      rc = dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for receipts");
    }
  }
  if (rc != DRAY_OK) {
    dr_parcel_free(&parcel);
    return rc;
  }
  dr_parcel_forget(&parcel, NULL);
  *out = parcel;
  return DRAY_OK;
}

// ---- receipts ----

static struct dray_receipt *receipt_of(struct dr_parcel *parcel, int64_t row) {
  size_t low = 0, high = parcel->outgoing.count; // rows ascend
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    if (parcel->outgoing.rows[middle] < row) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return &parcel->receipts[low]; // the call's wrapper has checked that every row is one of ours
}

static void learn(struct dray_receipt *receipt, const struct dray_receipt *said) {
  const struct dray_str why = receipt->text;
  const uint64_t partly = receipt->reserved.len; // an earlier call's part is there whatever this one did
  *receipt = *said;
  receipt->reserved.len |= partly;
  if (receipt->status == DRAY_RECEIPT_UNKNOWN && receipt->text.len == 0) receipt->text = why; // still
}

void dr_parcel_take(struct dr_parcel *parcel) {
  for (uint64_t i = 0; i < parcel->answer.count; i++) {
    struct dray_receipt *receipt = receipt_of(parcel, parcel->answer.items[i].row);
    if (receipt->status == DRAY_RECEIPT_UNKNOWN) learn(receipt, &parcel->answer.items[i]);
  }
}

int dr_parcel_is_partly(const struct dr_parcel *parcel, size_t i) {
  const struct dray_receipt *receipt = &parcel->receipts[i];
  const int ended = receipt->status == DRAY_RECEIPT_REJECTED || receipt->status == DRAY_RECEIPT_RETRY;
  return ended && (receipt->reserved.len & DRAY_RECEIPT_PARTLY) != 0;
}

// Whether the mirror has a row of the receipt's key.
static int replaces(const struct dr_parcel *parcel, const struct dray_receipt *receipt) {
  return parcel->changes->op[parcel->outgoing.change[receipt - parcel->receipts]] != DRAY_OP_INSERT;
}

void dr_parcel_take_again(struct dr_parcel *parcel, int repeats) {
  for (uint64_t i = 0; i < parcel->answer.count; i++) {
    struct dray_receipt said = parcel->answer.items[i];
    struct dray_receipt *receipt = receipt_of(parcel, said.row);
    const int put_off = said.status == DRAY_RECEIPT_RETRY;
    switch (receipt->status) {
    case DRAY_RECEIPT_UNKNOWN:
      if (said.status == DRAY_RECEIPT_REJECTED && repeats && replaces(parcel, receipt)) {
        said.reserved.len |= DRAY_RECEIPT_PARTLY;
      }
      if (put_off) said.status = DRAY_RECEIPT_UNKNOWN; // this call did not bring it there; the one before may have
      learn(receipt, &said);
      break;
    case DRAY_RECEIPT_RETRY:
      learn(receipt, &said);
      break;
    case DRAY_RECEIPT_REJECTED:
      if (!put_off) learn(receipt, &said);
      break;
    default: // it is there
      break;
    }
  }
}

void dr_parcel_join_doubt(struct dr_parcel *parcel) {
  for (size_t i = 0; i < parcel->outgoing.count; i++) {
    struct dray_receipt *receipt = &parcel->receipts[i];
    if (receipt->status == DRAY_RECEIPT_RETRY || receipt->status == DRAY_RECEIPT_REJECTED) {
      receipt->status = DRAY_RECEIPT_UNKNOWN;
    }
  }
}

void dr_parcel_keep_texts(struct dr_parcel *parcel) {
  for (size_t i = 0; i < parcel->outgoing.count; i++) {
    struct dray_str *text = &parcel->receipts[i].text;
    const char *copy = text->len > 0 ? dr_arena_str(&parcel->texts, *text) : NULL;
    *text = dray_str_make(copy, copy != NULL ? text->len : 0); // without memory the reason is lost, the row is not
  }
}

void dr_parcel_forget(struct dr_parcel *parcel, const char *why) {
  const struct dray_str text = dray_str_of(why);
  const char *copy = text.len > 0 ? dr_arena_str(&parcel->texts, text) : NULL;
  for (size_t i = 0; i < parcel->outgoing.count; i++) {
    parcel->receipts[i] = (struct dray_receipt){.row = parcel->outgoing.rows[i],
                                                .status = DRAY_RECEIPT_UNKNOWN,
                                                .text = dray_str_make(copy, copy != NULL ? text.len : 0)};
  }
}

size_t dr_parcel_count(const struct dr_parcel *parcel, int32_t status) {
  size_t count = 0;
  for (size_t i = 0; i < parcel->outgoing.count; i++) count += parcel->receipts[i].status == status;
  return count;
}

// ---- the key ----

// A clock that was set back since says nothing of the age.
int dr_parcel_key_holds(const struct dr_delivery *delivery, struct dr_parcel *parcel) {
  const int64_t life_us = (int64_t)delivery->caps.key_life_s * 1000000, margin_us = life_us / KEY_MARGIN;
  if (delivery->caps.doubt != DRAY_DOUBT_IDEMPOTENCY_KEY || life_us == 0) return 1;
  const int64_t age_us = dr_now_us() - parcel->batch.sent_us;
  parcel->forgotten |= age_us >= life_us - margin_us || age_us < -margin_us;
  return !parcel->forgotten;
}

uint32_t dr_parcel_doubt(const struct dr_delivery *delivery, const struct dr_parcel *parcel) {
  return parcel->forgotten ? DRAY_DOUBT_NONE : delivery->caps.doubt;
}

int32_t dr_parcel_leave_held(struct dr_delivery *delivery, struct dr_parcel *parcel, struct dray_error *error) {
  uint8_t *holds = malloc(parcel->changes->count + 1);
  if (holds == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for receipts");
  const int32_t rc = dr_mirror_holds(delivery->run->mirror, parcel->changes, holds, error);
  for (size_t i = 0; rc == DRAY_OK && i < parcel->outgoing.count; i++) {
    if (holds[parcel->outgoing.change[i]]) parcel->receipts[i].status = 0;
  }
  free(holds);
  return rc;
}
