// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Receipts, and calls that concern several rows.
#include "writing.h"

#include <stdlib.h>

#define TREE_BYTES_MAX (64u << 20)

struct dray_str mc_email(const struct mc_writing *writing, uint64_t row) {
  const struct dray_column_view *column = &writing->changes->view.columns[writing->email];
  if (dray_column_is_null(column, row)) return dray_str_make(NULL, 0);
  struct dray_str text = dray_column_bytes(column, row);
  while (text.len > 0 && strchr(" \t\r\n", text.data[0]) != NULL) text = dray_str_make(text.data + 1, text.len - 1);
  while (text.len > 0 && strchr(" \t\r\n", text.data[text.len - 1]) != NULL) text.len--;
  return text;
}

size_t mc_fold_email(struct dray_str email, char out[MC_FOLDED_BYTES]) {
  return email.len <= MC_EMAIL_BYTES_MAX ? dray_fold_text(email.data, (size_t)email.len, out) : 0;
}

int mc_same_email(struct dray_str a, struct dray_str b) {
  return dray_fold_same(a, b);
}

void mc_settle(struct mc_writing *writing, uint64_t row, int32_t status, int32_t code, const char *text) {
  dray_receipt_put(writing->receipts, dray_change_row(writing->changes, row), status, code, 0,
                   text != NULL ? "%s" : NULL, text);
  if (writing->partly[row]) dray_receipt_partly(writing->receipts);
  writing->settled[row] = 1;
  writing->settled_count++;
}

int32_t mc_settle_failed(struct mc_writing *writing, const uint64_t *rows, uint64_t row_count,
                         const struct dray_error *why, struct dray_error *error) {
  const int in_doubt = dray_api_in_doubt(why);
  if (!in_doubt && writing->settled_count == 0) {
    if (error != NULL) *error = *why;
    return why->code;
  }
  const int32_t status = in_doubt ? DRAY_RECEIPT_UNKNOWN : DRAY_RECEIPT_RETRY;
  const int32_t code = why->code == DRAY_E_CANCELLED ? DRAY_E_NET_CLOSED : why->code;
  for (uint64_t i = 0; i < row_count; i++) {
    if (writing->settled[rows[i]]) continue;
    dray_receipt_put(writing->receipts, dray_change_row(writing->changes, rows[i]), status, code, why->retry_after_ms,
                     "%s", why->text);
    if (writing->partly[rows[i]]) dray_receipt_partly(writing->receipts);
    writing->settled[rows[i]] = 1;
    writing->settled_count++;
  }
  return DRAY_OK;
}

// What an answer that refuses means for a batch: a document that cannot be taken is a matter of its rows.
static int32_t judge_refusal(const struct mc_writing *writing, struct dray_error *why) {
  const int32_t status = writing->answer->status;
  const int32_t code = mc_fail(writing->answer, writing->object->def.name, why);
  if (status != 400 && status != 413 && status != 422) return code;
  why->code = status == 413 ? DRAY_E_DATA_TOO_LARGE : DRAY_E_DATA_REJECTED;
  why->error_class = DRAY_CLASS_DATA;
  return why->code;
}

int32_t mc_send(struct mc_writing *writing, const char *method, const uint64_t *rows, uint64_t row_count,
                struct dray_json **out, struct dray_error *error) {
  struct dray_error why;
  const struct dray_api_request request = {.flags = DRAY_HTTP_NO_RETRY,
                                           .method = method,
                                           .path = dray_buffer_view(writing->path),
                                           .body = dray_buffer_view(writing->body),
                                           .does_once = 1};
  dray_error_init(&why);
  *out = NULL;
  int32_t rc = dray_api_call(&writing->client->api, &request, writing->answer, &why);
  if (rc == DRAY_OK && writing->answer->status >= 400) rc = judge_refusal(writing, &why);
  if (rc == DRAY_OK) {
    rc = dray_api_json(writing->answer, TREE_BYTES_MAX, out, &why);
    // It was taken, in part or whole; what became of the rows cannot be read.
    if (rc != DRAY_OK) memcpy(why.vendor_code, "in_doubt", sizeof("in_doubt"));
  }
  return rc == DRAY_OK ? DRAY_OK : mc_settle_failed(writing, rows, row_count, &why, error);
}
