// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Checking receipts.
#include "plugin/receipts.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/redact.h"

#define TEXT_BYTES_MAX 1024         // of one receipt; the rest is cut
#define TEXTS_BYTES_MAX (64u << 20) // of one batch

static int compare_rows(const void *a, const void *b) {
  const int64_t x = *(const int64_t *)a;
  const int64_t y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

static int is_ascending(const int64_t *rows, uint64_t row_count) {
  for (uint64_t i = 1; i < row_count; i++) {
    if (rows[i - 1] >= rows[i]) return 0;
  }
  return 1;
}

int32_t dr_receipt_check_init(struct dr_receipt_check *check, const int64_t *rows, uint64_t row_count,
                              struct dray_receipts *out, struct dray_error *error) {
  assert(row_count > 0 && out->capacity >= row_count && out->items != NULL);
  *check = (struct dr_receipt_check){rows, row_count, NULL, calloc(row_count, 1), out->items};
  if (check->seen != NULL && !is_ascending(rows, row_count)) {
    check->sorted = calloc(row_count, sizeof(*check->sorted));
    if (check->sorted != NULL) {
      memcpy(check->sorted, rows, row_count * sizeof(*rows));
      qsort(check->sorted, row_count, sizeof(*rows), compare_rows);
      assert(is_ascending(check->sorted, row_count)); // two rows of one number are the caller's bug
    }
    check->rows = check->sorted;
  }
  if (check->seen == NULL || check->rows == NULL) {
    dr_receipt_check_free(check);
    return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for the receipts of %llu rows",
                     (unsigned long long)row_count);
  }
  memset(out->items, 0, row_count * sizeof(*out->items));
  out->struct_size = sizeof(*out);
  out->count = 0;
  out->handle = (struct dray_str){NULL, 0};
  return DRAY_OK;
}

void dr_receipt_check_free(struct dr_receipt_check *check) {
  free(check->sorted);
  free(check->seen);
  memset(check, 0, sizeof(*check));
}

// ---- statuses and codes ----

static const char *const status_names[] = {"", "APPLIED", "UNCHANGED", "REJECTED", "RETRY", "PENDING", "UNKNOWN"};

static int status_is_allowed(int32_t status, int pending) {
  if (status < DRAY_RECEIPT_APPLIED || status > DRAY_RECEIPT_UNKNOWN) return 0;
  if (pending == DR_READ_BACK_ONLY) {
    return status == DRAY_RECEIPT_APPLIED || status == DRAY_RECEIPT_RETRY || status == DRAY_RECEIPT_UNKNOWN;
  }
  return status != DRAY_RECEIPT_PENDING || pending != DR_PENDING_REFUSED;
}

// What a receipt without a code of its own means.
static int32_t code_of(const struct dray_receipt *receipt) {
  const int known = receipt->code > 0 && dray_error_info(receipt->code)->code == receipt->code;
  switch (receipt->status) {
  case DRAY_RECEIPT_REJECTED:
    return known ? receipt->code : DRAY_E_DATA_REJECTED;
  case DRAY_RECEIPT_RETRY:
    return known ? receipt->code : receipt->retry_after_ms > 0 ? DRAY_E_THROTTLED : DRAY_E_BUSY;
  case DRAY_RECEIPT_UNKNOWN:
    return known ? receipt->code : DRAY_E_NET_CLOSED;
  default:
    return DRAY_OK;
  }
}

static int32_t check_one(struct dr_receipt_check *check, const struct dr_call *call, int pending,
                         struct dray_receipt *receipt, const struct dray_str *handle) {
  const int64_t *at = bsearch(&receipt->row, check->rows, check->row_count, sizeof(*check->rows), compare_rows);
  if (at == NULL) {
    return dr_call_broken(call, "a receipt names the row %lld, which is not in the batch", (long long)receipt->row);
  }
  uint8_t *seen = &check->seen[at - check->rows];
  if (*seen) return dr_call_broken(call, "the row %lld has two receipts", (long long)receipt->row);
  *seen = 1;
  if (!status_is_allowed(receipt->status, pending)) {
    const int named = receipt->status >= DRAY_RECEIPT_APPLIED && receipt->status <= DRAY_RECEIPT_UNKNOWN;
    return dr_call_broken(call, "the receipt of row %lld has the status %d%s%s, which is not possible here",
                          (long long)receipt->row, receipt->status, named ? " " : "",
                          named ? status_names[receipt->status] : "");
  }
  if (receipt->status == DRAY_RECEIPT_PENDING && pending == DR_PENDING_WITH_HANDLE && handle->len == 0) {
    return dr_call_broken(call, "row %lld is PENDING, but no job handle was given", (long long)receipt->row);
  }
  if (receipt->text.len > 0 && receipt->text.data == NULL) {
    return dr_call_broken(call, "the text of the receipt of row %lld points nowhere", (long long)receipt->row);
  }
  if (receipt->retry_after_ms < 0) receipt->retry_after_ms = 0;
  const int open = receipt->status == DRAY_RECEIPT_REJECTED || receipt->status == DRAY_RECEIPT_RETRY ||
                   receipt->status == DRAY_RECEIPT_UNKNOWN;
  receipt->reserved = dray_str_make(NULL, open ? receipt->reserved.len & DRAY_RECEIPT_PARTLY : 0);
  receipt->code = code_of(receipt);
  return DRAY_OK;
}

// ---- texts ----

static uint64_t shown_bytes(const struct dray_receipt *receipt) {
  return receipt->text.len < TEXT_BYTES_MAX ? receipt->text.len : TEXT_BYTES_MAX;
}

// A destination quotes what it was sent, secrets included. Texts are a courtesy: without memory for copies they are
// dropped, the receipts stand.
static void mask_texts(struct dray_receipts *out, struct dray_buffer *texts) {
  size_t total = 0;
  for (uint64_t i = 0; i < out->count; i++) total += (size_t)shown_bytes(&out->items[i]);
  char *to = NULL;
  texts->max = TEXTS_BYTES_MAX;
  dray_buffer_clear(texts);
  const int have = total > 0 && dray_buffer_reserve(texts, total, &to, NULL) == DRAY_OK;
  for (uint64_t i = 0; i < out->count; i++) {
    struct dray_receipt *receipt = &out->items[i];
    size_t len = have ? (size_t)shown_bytes(receipt) : 0;
    if (len > 0) memcpy(to, receipt->text.data, len);
    if (len > 0) len = dr_redact(to, len);
    if (len > 0) dr_clean_text(to, len);
    receipt->text = dray_str_make(len > 0 ? to : NULL, len);
    if (len > 0) to += len;
  }
}

int32_t dr_receipt_check_run(struct dr_receipt_check *check, const struct dr_call *call, int pending,
                             struct dray_receipts *out, struct dray_buffer *texts) {
  if (out->items != check->items) return dr_call_broken(call, "it replaced the array of receipts by its own");
  if (out->count != check->row_count) {
    return dr_call_broken(call, "%llu receipts came back for %llu rows", (unsigned long long)out->count,
                          (unsigned long long)check->row_count);
  }
  if (out->handle.len > DRAY_HANDLE_BYTES_MAX || (out->handle.len > 0 && out->handle.data == NULL)) {
    return dr_call_broken(call, "a job handle has %llu bytes; at most %d are allowed",
                          (unsigned long long)out->handle.len, DRAY_HANDLE_BYTES_MAX);
  }
  if (!dray_utf8_valid(out->handle.data, out->handle.len) ||
      (out->handle.len > 0 && memchr(out->handle.data, '\0', out->handle.len) != NULL)) {
    return dr_call_broken(call, "a job handle is not UTF-8 text, or holds a NUL");
  }
  for (uint64_t i = 0; i < out->count; i++) {
    DRAY_TRY(check_one(check, call, pending, &out->items[i], &out->handle));
  }
  mask_texts(out, texts);
  return DRAY_OK;
}
