// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Background jobs: the handle that survives a restart, and what their results mean for rows. A job that is completed
// has not done everything, and one that is older than about an hour is not known any more.
#include <stdio.h>
#include <stdlib.h>

#include "work.h"

#define VERSION 1

// ---- the handle ----

static int32_t write_rows(const struct zendesk_job *job, struct dray_buffer *out, struct dray_error *error) {
  for (size_t k = 0; k < job->count;) {
    size_t end = k + 1;
    while (end < job->count && job->rows[end] == job->rows[end - 1] + 1) end++;
    DRAY_TRY(dray_buffer_printf(out, error, "%s%lld", k > 0 ? " " : "", (long long)job->rows[k]));
    if (end > k + 1) DRAY_TRY(dray_buffer_printf(out, error, "-%lld", (long long)job->rows[end - 1]));
    k = end;
  }
  return DRAY_OK;
}

static int32_t write_ids(const struct zendesk_job *job, struct dray_buffer *out, struct dray_error *error) {
  for (size_t k = 0; k < job->count; k++) {
    if (job->ids[k][0] == '\0') return DRAY_OK; // what is made has none yet
    DRAY_TRY(dray_buffer_printf(out, error, "%s%s", k > 0 ? " " : "", job->ids[k]));
  }
  return DRAY_OK;
}

static int32_t write_handle(const struct zendesk_jobs *jobs, int with_ids, struct dray_buffer *out,
                            struct dray_error *error) {
  DRAY_TRY(dray_buffer_printf(out, error, "{\"v\":%d,\"jobs\":[", VERSION));
  for (size_t j = 0; j < jobs->count; j++) {
    const struct zendesk_job *job = &jobs->items[j];
    DRAY_TRY(dray_buffer_printf(out, error, "%s{\"id\":\"%s\",\"rows\":\"", j > 0 ? "," : "", job->id));
    DRAY_TRY(write_rows(job, out, error));
    if (with_ids && job->count > 0 && job->ids[0][0] != '\0') {
      DRAY_TRY(dray_buffer_append_str(out, "\",\"ids\":\"", error));
      DRAY_TRY(write_ids(job, out, error));
    }
    DRAY_TRY(dray_buffer_append_str(out, "\"}", error));
  }
  return dray_buffer_append_str(out, "]}", error);
}

int32_t zendesk_jobs_write(const struct zendesk_jobs *jobs, struct dray_buffer *out, struct dray_error *error) {
  dray_buffer_clear(out);
  DRAY_TRY(write_handle(jobs, 1, out, error));
  if (out->len <= DRAY_HANDLE_BYTES_MAX) return DRAY_OK;
  dray_buffer_clear(out); // results without an index are then told apart by their order
  return write_handle(jobs, 0, out, error);
}

static int32_t read_rows(const char *text, struct zendesk_job *job) {
  while (*text != '\0') {
    char *end = NULL;
    const long long first = strtoll(text, &end, 10);
    if (end == text) return 0;
    long long last = first;
    if (*end == '-') {
      text = end + 1;
      last = strtoll(text, &end, 10);
      if (end == text || last < first) return 0;
    }
    for (long long row = first; row <= last; row++) {
      if (job->count == ZENDESK_ROWS_MAX) return 0;
      job->rows[job->count++] = row;
    }
    text = *end == ' ' ? end + 1 : end;
    if (*end != ' ' && *end != '\0') return 0;
  }
  return job->count > 0;
}

static int read_ids(const char *text, struct zendesk_job *job) {
  for (size_t k = 0; *text != '\0'; k++) {
    const size_t len = strcspn(text, " ");
    if (k == job->count || len == 0 || len >= ZENDESK_ID_BYTES_MAX) return 0;
    memcpy(job->ids[k], text, len);
    job->ids[k][len] = '\0';
    text += len + (text[len] == ' ');
  }
  return 1;
}

static int read_job(const struct dray_json *item, struct zendesk_job *job) {
  const struct dray_str id = dray_json_string(dray_json_get(item, "id"), "");
  const struct dray_str rows = dray_json_string(dray_json_get(item, "rows"), "");
  const struct dray_str ids = dray_json_string(dray_json_get(item, "ids"), "");
  memset(job, 0, sizeof(*job));
  if (id.len == 0 || id.len >= sizeof(job->id) || rows.len == 0) return 0;
  memcpy(job->id, id.data, (size_t)id.len);
  return read_rows(rows.data, job) && (ids.len == 0 || read_ids(ids.data, job));
}

int32_t zendesk_jobs_read(struct dray_str handle, struct zendesk_jobs *out, struct dray_error *error) {
  struct dray_json *root = NULL;
  struct dray_error why;
  dray_error_init(&why);
  const int32_t rc = dray_json_parse(handle, DRAY_HANDLE_BYTES_MAX, &root, &why);
  if (rc == DRAY_E_OUT_OF_MEMORY) return dray_fail(error, rc, "%s", why.text);
  const struct dray_json *version = dray_json_get(root, "v");
  const struct dray_json *jobs = dray_json_get(root, "jobs");
  int good = version != NULL && dray_str_is(version->text, "1") && jobs != NULL && jobs->kind == DRAY_JSON_ARRAY &&
             jobs->child_count <= ZENDESK_JOBS_MAX;
  out->count = 0;
  for (const struct dray_json *item = good ? jobs->child : NULL; good && item != NULL; item = item->next) {
    good = read_job(item, &out->items[out->count++]);
  }
  dray_json_free(root);
  if (good && out->count > 0) return DRAY_OK;
  return dray_fail(error, DRAY_E_PLUGIN_CONTRACT, "the handle of a job is none of this plugin: %.*s",
                   DRAY_VALUE_ARG(handle));
}

// ---- results ----

static int is_wanted(const int64_t *rows, size_t row_count, int64_t row) {
  for (size_t i = 0; i < row_count; i++) {
    if (rows[i] == row) return 1;
  }
  return 0;
}

static void put_all(const struct zendesk_job *job, const int64_t *rows, size_t row_count, int32_t status, int32_t code,
                    const char *text, struct dray_receipt_writer *receipts) {
  for (size_t k = 0; k < job->count; k++) {
    if (!is_wanted(rows, row_count, job->rows[k])) continue;
    dray_receipt_put(receipts, job->rows[k], status, code, 0, text != NULL ? "%s" : NULL, text);
  }
}

// A result belongs to a row by its index in the body, by the record's id, or, where a result stands for every row, by
// its place.
static const struct dray_json *result_of(const struct zendesk_job *job, const struct dray_json *results, size_t k) {
  char index[24];
  const struct dray_json *at = results->child;
  (void)snprintf(index, sizeof(index), "%zu", k);
  for (const struct dray_json *result = results->child; result != NULL; result = result->next) {
    const struct dray_json *place = dray_json_get(result, "index");
    const struct dray_json *id = dray_json_get(result, "id");
    if (place != NULL && place->kind != DRAY_JSON_NULL) {
      if (dray_str_is(place->text, index)) return result;
    } else if (job->ids[k][0] != '\0' && id != NULL && dray_str_is(id->text, job->ids[k])) {
      return result;
    }
  }
  if (results->child_count != job->count) return NULL;
  for (size_t skip = 0; at != NULL && skip < k; skip++) at = at->next;
  const struct dray_json *place = dray_json_get(at, "index");
  const struct dray_json *id = dray_json_get(at, "id");
  const int is_other = (place != NULL && place->kind != DRAY_JSON_NULL) ||
                       (job->ids[k][0] != '\0' && id != NULL && id->kind != DRAY_JSON_NULL);
  return is_other ? NULL : at;
}

static int has_text(const struct dray_json *value) {
  return value != NULL && value->kind == DRAY_JSON_STRING && value->text.len > 0;
}

// Words that tell of a passing reason, and its code: the row is as good as before. 0: it is not passing.
static int32_t passing(const char *words) {
  static const struct {
    const char *sign;
    int32_t code;
  } signs[] = {{"TooManyRequests", DRAY_E_THROTTLED},
               {"TooManyJobs", DRAY_E_THROTTLED},
               {"Throttled", DRAY_E_THROTTLED},
               {"throttled", DRAY_E_THROTTLED},
               {"TooMany", DRAY_E_BUSY},
               {"Conflict", DRAY_E_BUSY},
               {"conflict", DRAY_E_BUSY},
               {"Timeout", DRAY_E_BUSY},
               {"DatabaseError", DRAY_E_BUSY}};
  for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++) {
    if (strstr(words, signs[i].sign) != NULL) return signs[i].code;
  }
  return 0;
}

int zendesk_is_duplicate(const char *words) {
  return strstr(words, "already") != NULL || strstr(words, "Duplicate") != NULL;
}

// "Email: ada@acme.example is already being used by another user". An external_id that is another's "has already been
// taken": that row is refused.
int zendesk_has_address(const char *words) {
  return strstr(words, "being used by another user") != NULL && strstr(words, "been taken") == NULL;
}

int zendesk_is_nameless(const char *words) {
  return strstr(words, "Name") != NULL;
}

int zendesk_wholes_has(const struct zendesk_wholes *wholes, int64_t row) {
  for (size_t i = 0; i < wholes->count; i++) {
    if (wholes->rows[i] == row) return 1;
  }
  return 0;
}

int zendesk_wholes_add(struct zendesk_wholes *wholes, int64_t row) {
  if (wholes->count == wholes->capacity) {
    const size_t capacity = wholes->capacity > 0 ? wholes->capacity * 2 : 16;
    int64_t *grown = realloc(wholes->rows, capacity * sizeof(*grown));
    if (grown == NULL) return 0;
    wholes->rows = grown;
    wholes->capacity = capacity;
  }
  wholes->rows[wholes->count++] = row;
  return 1;
}

static void put_refusal(int64_t row, const char *words, struct zendesk_verdict *verdict) {
  struct dray_receipt_writer *receipts = verdict->receipts;
  struct zendesk_wholes *wholes = verdict->wholes;
  if ((verdict->is_set && zendesk_is_duplicate(words)) || (verdict->is_made_by_email && zendesk_has_address(words))) {
    dray_receipt_put(receipts, row, DRAY_RECEIPT_UNCHANGED, 0, 0, NULL);
    return;
  }
  const int is_half = wholes != NULL && zendesk_is_nameless(words) && !zendesk_wholes_has(wholes, row);
  int32_t code = passing(words);
  if (code == 0 && is_half && zendesk_wholes_add(wholes, row)) code = DRAY_E_BUSY;
  dray_receipt_put(receipts, row, code != 0 ? DRAY_RECEIPT_RETRY : DRAY_RECEIPT_REJECTED,
                   code != 0 ? code : DRAY_E_DATA_REJECTED, 0, "%s", words);
}

static void put_result(int64_t row, const struct dray_json *result, struct zendesk_verdict *verdict) {
  struct dray_receipt_writer *receipts = verdict->receipts;
  char words[ZENDESK_WORDS_BYTES_MAX + 1];
  const struct dray_json *success = dray_json_get(result, "success");
  const struct dray_json *status = dray_json_get(result, "status");
  const int failed = has_text(dray_json_get(result, "error")) || dray_json_get(result, "errors") != NULL ||
                     (success != NULL && success->kind == DRAY_JSON_BOOL && !success->boolean) ||
                     (status != NULL && dray_str_is(status->text, "Failed"));
  if (result == NULL) {
    dray_receipt_put(receipts, row, DRAY_RECEIPT_UNKNOWN, DRAY_E_STATE_IN_DOUBT, 0,
                     "the job has ended and says nothing of this row");
  } else if (!failed) {
    dray_receipt_put(receipts, row, DRAY_RECEIPT_APPLIED, 0, 0, NULL);
  } else {
    zendesk_words_of(result, words);
    put_refusal(row, words, verdict);
  }
}

static void put_results(const struct zendesk_job *job, const struct dray_json *status, const int64_t *rows,
                        size_t row_count, struct zendesk_verdict *verdict) {
  struct dray_receipt_writer *receipts = verdict->receipts;
  char words[ZENDESK_WORDS_BYTES_MAX + 1];
  const struct dray_json *results = dray_json_get(status, "results");
  const struct dray_json *success = dray_json_get(results, "success");
  if (results != NULL && results->kind == DRAY_JSON_OBJECT && success != NULL && success->boolean) {
    put_all(job, rows, row_count, DRAY_RECEIPT_APPLIED, 0, NULL, receipts);
    return;
  }
  if (results == NULL || results->kind != DRAY_JSON_ARRAY) {
    zendesk_words_of(status, words);
    put_all(job, rows, row_count, DRAY_RECEIPT_UNKNOWN, DRAY_E_STATE_IN_DOUBT,
            words[0] != '\0' ? words : "the job has ended without results", receipts);
    return;
  }
  for (size_t k = 0; k < job->count; k++) {
    if (is_wanted(rows, row_count, job->rows[k])) {
      put_result(job->rows[k], result_of(job, results, k), verdict);
    }
  }
}

int zendesk_job_works(const struct dray_json *status) {
  const struct dray_str said = dray_json_string(dray_json_get(status, "status"), "");
  return dray_str_is(said, "queued") || dray_str_is(said, "working");
}

void zendesk_job_judge(const struct zendesk_job *job, const struct dray_json *status, const int64_t *rows,
                       size_t row_count, struct zendesk_verdict *verdict) {
  if (status == NULL) {
    put_all(job, rows, row_count, DRAY_RECEIPT_UNKNOWN, DRAY_E_STATE_IN_DOUBT, "Zendesk does not know the job any more",
            verdict->receipts);
  } else if (zendesk_job_works(status)) {
    put_all(job, rows, row_count, DRAY_RECEIPT_PENDING, 0, NULL, verdict->receipts);
    for (size_t k = 0; k < job->count; k++) verdict->pending += (size_t)is_wanted(rows, row_count, job->rows[k]);
  } else {
    put_results(job, status, rows, row_count, verdict);
  }
}

// ---- asking ----

// The job's answer as a tree; NULL: it is lost.
static int32_t ask_job(struct zendesk_client *client, const struct zendesk_job *job, struct dray_json **out,
                       struct dray_error *error) {
  struct dray_buffer path;
  struct dray_error why;
  dray_error_init(&why);
  dray_buffer_init(&path, 512);
  *out = NULL;
  int32_t rc = dray_buffer_append_str(&path, "/api/v2/job_statuses/", &why);
  if (rc == DRAY_OK) rc = dray_api_segment(&path, dray_str_of(job->id), &why);
  if (rc == DRAY_OK) rc = zendesk_get(client, path.data, out, &why);
  dray_buffer_free(&path);
  if (rc == DRAY_OK || why.http_status == 404) return DRAY_OK;
  if (error != NULL) *error = why;
  if (error == NULL || why.http_status != 403) return rc;
  return dray_error_prefix(error, "what became of a job may not be seen (scope read, role agent or admin)");
}

int32_t zendesk_jobs_ask(struct zendesk_client *client, struct zendesk_open *open, const struct zendesk_jobs *jobs,
                         const int64_t *rows, size_t row_count, struct zendesk_verdict *verdict,
                         struct dray_error *error) {
  struct dray_json *trees[ZENDESK_JOBS_MAX] = {NULL};
  const struct dray_json *statuses[ZENDESK_JOBS_MAX] = {NULL};
  int32_t rc = zendesk_open_ask(client, open, jobs, error);
  for (size_t j = 0; rc == DRAY_OK && j < jobs->count; j++) {
    statuses[j] = zendesk_open_take(client, open, jobs->items[j].id);
    if (statuses[j] == NULL) rc = ask_job(client, &jobs->items[j], &trees[j], error);
    if (trees[j] != NULL) statuses[j] = dray_json_get(trees[j], "job_status");
  }
  for (size_t j = 0; rc == DRAY_OK && j < jobs->count; j++) {
    zendesk_job_judge(&jobs->items[j], statuses[j], rows, row_count, verdict);
    if (!zendesk_job_works(statuses[j])) zendesk_open_forget(open, jobs->items[j].id);
  }
  for (size_t j = 0; j < jobs->count; j++) dray_json_free(trees[j]);
  return rc;
}
