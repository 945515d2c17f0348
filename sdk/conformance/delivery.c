// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Writing the kit's rows to a destination, as a run does: caps, begin, write, end. Used by every check that writes.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cancel.h"
#include "conformance/subject.h"

#define RECEIPTS_MAX 64
#define AWAIT_MS 100
#define AWAIT_ROUNDS 300
#define EDGE_BYTES 80000 // what the edge rows take, for the host's check of caps

static int32_t begin(struct delivery *delivery, struct dray_error *error) {
  struct subject *subject = delivery->subject;
  struct dray_str keys[EDGE_KEYS_MAX] = {{"id", 2}};
  const size_t key_count = edge_is_given(subject) ? edge_match_keys(subject, keys) : 1;
  struct dray_buffer options;
  dray_buffer_init(&options, 1u << 20);
  const struct dray_write_plan plan = {
      .struct_size = sizeof(plan),
      .operations = DRAY_OP_INSERT,
      .object = dray_str_of(subject_object(subject)),
      .schema = &delivery->edge.schema,
      .match_keys = keys,
      .match_key_count = key_count,
      .options_json = subject_options(subject, &options),
      .sync = dray_str_of("kit"),
      .run = dray_str_of("1"),
      .insert_count = delivery->edge.row_count,
  };
  const int32_t rc = dr_destination_begin(&delivery->destination, &plan, error);
  delivery->begun = rc == DRAY_OK;
  dray_buffer_free(&options);
  return rc;
}

int32_t delivery_open(struct subject *subject, size_t row_limit, struct delivery *out, struct dray_error *error) {
  struct dray_buffer options;
  memset(out, 0, sizeof(*out));
  out->subject = subject;
  out->caps.struct_size = sizeof(out->caps);
  out->answer.struct_size = sizeof(out->answer);
  out->answer.capacity = RECEIPTS_MAX;
  DRAY_TRY(subject_destination(subject, &out->destination, error));
  dray_buffer_init(&options, 1u << 20);
  int32_t rc = dr_destination_caps(&out->destination, dray_str_of(subject_object(subject)),
                                   subject_options(subject, &options), &out->caps, error);
  dray_buffer_free(&options);
  if (rc != DRAY_OK) return rc;
  out->has_caps = 1;
  if (row_limit == 0 || out->caps.batch_rows_max < row_limit)
    row_limit = out->caps.batch_rows_max < RECEIPTS_MAX ? (size_t)out->caps.batch_rows_max : row_limit;
  DRAY_TRY(edge_is_given(subject) ? edge_take(subject, row_limit, &out->edge, error)
                                  : edge_make(1, row_limit, &out->edge, error));
  out->answer.items = calloc(RECEIPTS_MAX, sizeof(*out->answer.items));
  if (out->answer.items == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for receipts");
  return begin(out, error);
}

int32_t delivery_write(struct delivery *delivery, const struct dray_caps *caps, struct dray_error *error) {
  char key[48]; // one of its own for each batch: a destination that remembers keys must not take it for a repetition
  const uint64_t batch = ++delivery->subject->writes;
  (void)snprintf(key, sizeof(key), "dray-kit-%llu-%llu", (unsigned long long)getpid(), (unsigned long long)batch);
  const struct dray_batch_info info = {
      .struct_size = sizeof(info), .attempt = 1, .batch = batch, .idempotency_key = dray_str_of(key)};
  delivery->answer.count = 0;
  return dr_destination_write(&delivery->destination, caps, &delivery->edge.array, EDGE_BYTES, delivery->edge.rows,
                              delivery->edge.row_count, &info, &delivery->answer, error);
}

// The rows that are in a job; returns how many.
static size_t pending_rows(const struct dray_receipt *items, uint64_t count, int64_t *out) {
  size_t pending = 0;
  for (uint64_t i = 0; i < count; i++) {
    if (items[i].status == DRAY_RECEIPT_PENDING) out[pending++] = items[i].row;
  }
  return pending;
}

static void learn(struct dray_receipt *items, uint64_t count, const struct dray_receipts *answer) {
  for (uint64_t i = 0; i < answer->count; i++) {
    for (uint64_t k = 0; k < count; k++) {
      if (items[k].row != answer->items[i].row) continue;
      items[k].status = answer->items[i].status;
      items[k].code = answer->items[i].code;
    }
  }
}

int32_t delivery_await(struct delivery *delivery, struct dray_error *error) {
  struct dray_receipt items[RECEIPTS_MAX];
  int64_t rows[RECEIPTS_MAX];
  char handle[DRAY_HANDLE_BYTES_MAX];
  struct dray_receipts *answer = &delivery->answer;
  const uint64_t count = answer->count;
  size_t pending = pending_rows(answer->items, count, rows);
  if (pending == 0) return DRAY_OK;
  memcpy(items, answer->items, (size_t)count * sizeof(*items));
  for (uint64_t i = 0; i < count; i++) items[i].text = dray_str_make(NULL, 0);
  const struct dray_str name = dray_str_make(handle, answer->handle.len);
  memcpy(handle, answer->handle.data, (size_t)answer->handle.len); // the host has checked its length
  for (int round = 0; pending > 0; round++) {
    if (round == AWAIT_ROUNDS) {
      return dray_fail(error, DRAY_E_TIMEOUT, "%zu rows are still in a job after %d s", pending,
                       AWAIT_ROUNDS * AWAIT_MS / 1000);
    }
    DRAY_TRY(dr_cancel_sleep(AWAIT_MS, error));
    answer->count = 0;
    DRAY_TRY(dr_destination_poll(&delivery->destination, name, rows, pending, answer, error));
    learn(items, count, answer);
    pending = pending_rows(items, count, rows);
  }
  memcpy(answer->items, items, (size_t)count * sizeof(*items));
  answer->count = count;
  return DRAY_OK;
}

int32_t delivery_close(struct delivery *delivery, int32_t rc, struct dray_error *error) {
  if (delivery->begun && rc == DRAY_OK) {
    rc = dr_destination_end(&delivery->destination, error);
    if (rc != DRAY_OK) dr_destination_abort(&delivery->destination);
  } else if (delivery->begun) {
    dr_destination_abort(&delivery->destination);
  }
  edge_free(&delivery->edge);
  free(delivery->answer.items);
  dr_destination_destroy(&delivery->destination);
  delivery->begun = 0;
  return rc;
}
