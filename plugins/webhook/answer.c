// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The meaning of answers. The rule: an error is only returned where nothing can have been applied; where nobody can
// know, the rows are UNKNOWN and the host resolves them the way the caps say.
#include "answer.h"

#include <stdio.h>
#include <stdlib.h>

#define EXCERPT_BYTES_MAX 300
#define TREE_BYTES_MAX (64u << 20)
#define VALUE_BYTES_MAX 4096

// ---- words ----

// What the receiver says, from the places where APIs put it; else the beginning of the body.
static void reason(const struct webhook_answer *answer, char *out, size_t out_bytes, char *vendor_code,
                   size_t code_bytes) {
  static const char *const message_paths[] = {"error.message",     "message", "error.detail", "detail",
                                              "error_description", "error",   "title"};
  static const char *const code_paths[] = {"error.code", "code", "error.type", "type"};
  struct dray_json *root = NULL;
  const char *message = NULL;
  const int parsed = !answer->is_html && !answer->cut && !answer->too_large &&
                     dray_json_parse(dray_buffer_view(&answer->body), 65536, &root, NULL) == DRAY_OK;
  for (size_t i = 0; parsed && message == NULL && i < sizeof(message_paths) / sizeof(message_paths[0]); i++) {
    message = dray_json_string(dray_json_path(root, message_paths[i]), NULL).data;
  }
  for (size_t i = 0; parsed && vendor_code[0] == '\0' && i < sizeof(code_paths) / sizeof(code_paths[0]); i++) {
    const char *code = dray_json_string(dray_json_path(root, code_paths[i]), NULL).data;
    if (code != NULL && strlen(code) < code_bytes) (void)snprintf(vendor_code, code_bytes, "%s", code);
  }
  if (message != NULL && strlen(message) < out_bytes) {
    (void)snprintf(out, out_bytes, "%s", message);
  } else {
    (void)dray_text_excerpt(dray_buffer_view(&answer->body), out, out_bytes);
  }
  dray_json_free(root);
}

// ---- statuses ----

static const struct {
  int32_t first, last; // statuses
  int32_t code;
} statuses[] = {
    {300, 399, DRAY_E_HTTP_REDIRECT},  {400, 400, DRAY_E_DATA_REJECTED}, {401, 401, DRAY_E_AUTH_REJECTED},
    {403, 403, DRAY_E_AUTH_FORBIDDEN}, {408, 408, DRAY_E_HTTP_SERVER},   {413, 413, DRAY_E_DATA_TOO_LARGE},
    {422, 422, DRAY_E_DATA_REJECTED},  {425, 425, DRAY_E_HTTP_SERVER},   {429, 429, DRAY_E_THROTTLED},
    {501, 501, DRAY_E_HTTP_STATUS},    {505, 505, DRAY_E_HTTP_STATUS},
};

// The error of a status that promises that nothing was applied; DRAY_OK where it does not promise that.
static int32_t code_of(const struct webhook_judge *judge, const struct webhook_answer *answer) {
  // With a key a conflict means that the same batch is in work just now; without, that the rows conflict with
  // something.
  if (answer->status == 409) return judge->sent_key ? DRAY_E_BUSY : DRAY_E_DATA_REJECTED;
  if (answer->status == 503 && answer->retry_after_ms >= 0) return DRAY_E_THROTTLED;
  for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
    if (answer->status >= statuses[i].first && answer->status <= statuses[i].last) return statuses[i].code;
  }
  // A server that failed may have failed after it had done the work, and a proxy's 503 stands for any answer.
  return answer->status >= 500 ? DRAY_OK : DRAY_E_HTTP_STATUS;
}

static int32_t judge_refusal(const struct webhook_judge *judge, const struct webhook_answer *answer,
                             const struct dray_changes *changes, struct dray_receipts *out, struct dray_error *error) {
  char why[EXCERPT_BYTES_MAX] = "", vendor_code[sizeof(error->vendor_code)] = "";
  const int32_t code = code_of(judge, answer);
  if (code == DRAY_OK) {
    dray_receipts_all(
        changes, DRAY_RECEIPT_UNKNOWN, DRAY_E_HTTP_SERVER,
        dray_str_of("the receiver answered with a server error; it may have applied the rows before it failed"), out);
    return DRAY_OK;
  }
  reason(answer, why, sizeof(why), vendor_code, sizeof(vendor_code));
  (void)dray_fail(error, code, "the receiver answered %d%s%s", answer->status, why[0] != '\0' ? ": " : "", why);
  if (error != NULL) {
    error->http_status = answer->status;
    error->retry_after_ms = answer->retry_after_ms > 0 ? answer->retry_after_ms : 0;
    memcpy(error->vendor_code, vendor_code, sizeof(vendor_code));
    // The host reads this word as its own sign.
    if (strcmp(error->vendor_code, "in_doubt") == 0) error->vendor_code[0] = '\0';
  }
  return code;
}

// ---- results ----

struct reading {
  const struct webhook_results *results;
  const struct dray_changes *changes;
  ptrdiff_t key_column; // -1: rows are not found by key
  struct dray_json *applied, *unchanged, *retry;
  struct dray_receipts *out;
  struct dray_buffer cell;
};

static int is_among(const struct dray_json *words, struct dray_str word) {
  for (const struct dray_json *item = words->child; item != NULL; item = item->next) {
    if (item->kind == DRAY_JSON_STRING && dray_str_equal(item->text, word)) return 1;
  }
  return 0;
}

// A scalar as text: "ok", true, 200.
static int scalar(const struct dray_json *value, struct dray_str *out) {
  if (value == NULL) return 0;
  if (value->kind == DRAY_JSON_BOOL) *out = dray_str_of(value->boolean ? "true" : "false");
  if (value->kind == DRAY_JSON_STRING || value->kind == DRAY_JSON_NUMBER) *out = value->text;
  return value->kind == DRAY_JSON_BOOL || value->kind == DRAY_JSON_STRING || value->kind == DRAY_JSON_NUMBER;
}

static const struct dray_json *at_path(const struct dray_json *root, const char *path) {
  return path[0] == '\0' ? root : dray_json_path(root, path);
}

// The row whose key column reads like the value.
static int32_t find_by_key(struct reading *reading, struct dray_str wanted, int64_t *out_row,
                           struct dray_error *error) {
  const struct dray_column_view *column = &reading->changes->view.columns[reading->key_column];
  *out_row = -1;
  for (uint64_t row = 0; row < reading->changes->view.row_count; row++) {
    if (dray_view_absent(&reading->changes->view, (size_t)reading->key_column, row) || dray_column_is_null(column, row))
      continue;
    dray_buffer_clear(&reading->cell);
    DRAY_TRY(dray_column_text(column, row, &reading->cell, error));
    if (!dray_str_equal(dray_buffer_view(&reading->cell), wanted)) continue;
    *out_row = (int64_t)row;
    return DRAY_OK;
  }
  return DRAY_OK;
}

// Which row an element speaks of; -1: none of the batch.
static int32_t row_of(struct reading *reading, const struct dray_json *element, uint64_t place, int64_t *out_row,
                      struct dray_error *error) {
  const struct webhook_results *results = reading->results;
  struct dray_str text;
  *out_row = -1;
  if (results->index == NULL && results->key == NULL) {
    *out_row = (int64_t)place;
  } else if (results->key != NULL) {
    if (scalar(at_path(element, results->key), &text)) DRAY_TRY(find_by_key(reading, text, out_row, error));
  } else if (scalar(at_path(element, results->index), &text) && dray_parse_int64(text, out_row, NULL) == DRAY_OK) {
    *out_row -= results->first;
  } else {
    *out_row = -1;
  }
  if (*out_row < 0 || (uint64_t)*out_row >= reading->changes->view.row_count) *out_row = -1;
  return DRAY_OK;
}

// The reason of an element: a text, or the `message` of an object.
static struct dray_str reason_of(const struct webhook_results *results, const struct dray_json *element) {
  struct dray_str text = {NULL, 0};
  const struct dray_json *value = at_path(element, results->error);
  if (value != NULL && value->kind == DRAY_JSON_OBJECT) value = dray_json_get(value, "message");
  if (!scalar(value, &text) || text.len > VALUE_BYTES_MAX) return dray_str_of("refused without a reason");
  return text;
}

// Of the words for rows that are put off these are about a limit, which is waited for however often.
static int32_t code_of_retry(struct dray_str word) {
  return dray_str_is(word, "429") || dray_str_is(word, "throttled") ? DRAY_E_THROTTLED : DRAY_E_BUSY;
}

static void give(struct reading *reading, int64_t row, const struct dray_json *element) {
  struct dray_receipt *receipt = &reading->out->items[row];
  struct dray_str word = {NULL, 0};
  const struct dray_json *told = at_path(element, reading->results->error);
  const int has_error = told != NULL && told->kind != DRAY_JSON_NULL;
  const int has_status = reading->results->status != NULL && scalar(at_path(element, reading->results->status), &word);
  const int failed_list = strcmp(reading->results->listed, "failed") == 0;
  // An element that lacks both says nothing: the row stays unknown.
  if (reading->results->status != NULL && !has_status && !has_error) return;
  receipt->code = 0;
  receipt->text = dray_str_make(NULL, 0);
  if (has_status ? is_among(reading->applied, word) : reading->results->status == NULL && !has_error && !failed_list) {
    receipt->status = DRAY_RECEIPT_APPLIED;
  } else if (has_status && is_among(reading->unchanged, word)) {
    receipt->status = DRAY_RECEIPT_UNCHANGED;
  } else {
    receipt->status = has_status && is_among(reading->retry, word) ? DRAY_RECEIPT_RETRY : DRAY_RECEIPT_REJECTED;
    receipt->code = receipt->status == DRAY_RECEIPT_RETRY ? code_of_retry(word) : DRAY_E_DATA_REJECTED;
    receipt->text = reason_of(reading->results, element);
  }
}

static int32_t give_all(struct reading *reading, const struct dray_json *list, struct dray_error *error) {
  uint64_t place = 0;
  for (const struct dray_json *element = list->child; element != NULL; element = element->next, place++) {
    int64_t row = -1;
    DRAY_TRY(row_of(reading, element, place, &row, error));
    if (row >= 0) give(reading, row, element);
  }
  return DRAY_OK;
}

static void all_unknown(const struct dray_changes *changes, const char *why, struct dray_receipts *out) {
  dray_receipts_all(changes, DRAY_RECEIPT_UNKNOWN, DRAY_E_HTTP_CONTENT, dray_str_of(why), out);
}

static int32_t read_list(struct reading *reading, const struct dray_json *list, struct dray_error *error) {
  const struct webhook_results *results = reading->results;
  const int by_order = results->index == NULL && results->key == NULL;
  int32_t rc = dray_json_parse(dray_str_of(results->applied_json), 65536, &reading->applied, error);
  if (rc == DRAY_OK) rc = dray_json_parse(dray_str_of(results->unchanged_json), 65536, &reading->unchanged, error);
  if (rc == DRAY_OK) rc = dray_json_parse(dray_str_of(results->retry_json), 65536, &reading->retry, error);
  if (rc != DRAY_OK) return rc;
  if (strcmp(results->listed, "failed") == 0) {
    dray_receipts_all(reading->changes, DRAY_RECEIPT_APPLIED, 0, dray_str_make(NULL, 0), reading->out);
  } else {
    all_unknown(reading->changes, "the answer has no result for this row", reading->out);
  }
  if (by_order && list->child_count != reading->changes->view.row_count) {
    all_unknown(reading->changes, "the answer has not as many results as the batch has rows", reading->out);
    return DRAY_OK;
  }
  return give_all(reading, list, error);
}

static int32_t judge_results(const struct webhook_judge *judge, const struct webhook_answer *answer,
                             const struct dray_changes *changes, struct dray_receipts *out, struct dray_json **out_json,
                             struct dray_error *error) {
  struct dray_json *root = NULL;
  const int32_t parsed = dray_json_parse(dray_buffer_view(&answer->body), TREE_BYTES_MAX, &root, NULL);
  const struct dray_json *list = parsed == DRAY_OK ? at_path(root, judge->results->path) : NULL;
  *out_json = root;
  if (list == NULL || list->kind != DRAY_JSON_ARRAY) {
    all_unknown(changes,
                parsed != DRAY_OK ? "the answer is not JSON, so the outcome of the rows is not known"
                                  : "the answer has no list of results, so the outcome of the rows is not known",
                out);
    return DRAY_OK;
  }
  struct reading reading = {.results = judge->results, .changes = changes, .key_column = -1, .out = out};
  dray_buffer_init(&reading.cell, TREE_BYTES_MAX);
  if (judge->results->column != NULL)
    reading.key_column = dray_view_find(&changes->view, dray_str_of(judge->results->column));
  const int32_t rc = read_list(&reading, list, error);
  dray_json_free(reading.applied);
  dray_json_free(reading.unchanged);
  dray_json_free(reading.retry);
  dray_buffer_free(&reading.cell);
  if (rc != DRAY_OK)
    all_unknown(changes, "the answer could not be read for lack of memory", out); // it was applied, in part or whole
  return DRAY_OK;
}

int32_t webhook_answer_judge(const struct webhook_judge *judge, const struct webhook_answer *answer,
                             const struct dray_changes *changes, struct dray_receipts *out, struct dray_json **out_json,
                             struct dray_error *error) {
  if (answer->status < 200 || answer->status > 299) return judge_refusal(judge, answer, changes, out, error);
  if (answer->is_html) {
    all_unknown(changes, "the answer is an HTML page: a proxy or login page may have answered instead of the receiver",
                out);
  } else if (judge->results == NULL) {
    dray_receipts_all(changes, DRAY_RECEIPT_APPLIED, 0, dray_str_make(NULL, 0), out);
  } else if (answer->too_large) {
    all_unknown(changes, "the answer is longer than max_answer_bytes, so the outcome of the rows is not known", out);
  } else if (answer->cut) {
    all_unknown(changes, "the answer was cut off, so the outcome of the rows is not known", out);
  } else {
    return judge_results(judge, answer, changes, out, out_json, error);
  }
  return DRAY_OK;
}
