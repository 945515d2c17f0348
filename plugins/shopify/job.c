// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Staged upload, bulk mutation, result.
#include "job.h"

#include <stdio.h>
#include <stdlib.h>

#define BODY_BYTES_MAX (1u << 20)
#define UPLOAD_BYTES_MAX (104u << 20) // a file may have 100 MB
#define UPLOAD_TIMEOUT_MS INT64_C(600000)
#define LINE_BYTES_MAX (UINT64_C(16) << 20)
#define LINES_MAX 1000000u

// ---- rows of lines ----

void shopify_lines_free(struct shopify_lines *lines) {
  free(lines->ranges);
  memset(lines, 0, sizeof(*lines));
}

static int32_t add_range(struct shopify_lines *lines, int64_t first, uint64_t count, struct dray_error *error) {
  if (lines->range_count == lines->capacity) {
    const size_t capacity = lines->capacity != 0 ? lines->capacity * 2 : 16;
    struct shopify_range *ranges = realloc(lines->ranges, capacity * sizeof(*ranges));
    if (ranges == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for row numbers");
    lines->ranges = ranges;
    lines->capacity = capacity;
  }
  lines->ranges[lines->range_count++] = (struct shopify_range){first, count};
  lines->count += count;
  return DRAY_OK;
}

int32_t shopify_lines_add(struct shopify_lines *lines, int64_t row, struct dray_error *error) {
  struct shopify_range *last = lines->range_count > 0 ? &lines->ranges[lines->range_count - 1] : NULL;
  if (last == NULL || last->first + (int64_t)last->count != row) return add_range(lines, row, 1, error);
  last->count++;
  lines->count++;
  return DRAY_OK;
}

int64_t shopify_lines_row(const struct shopify_lines *lines, uint64_t line) {
  for (size_t i = 0; i < lines->range_count; i++) {
    if (line < lines->ranges[i].count) return lines->ranges[i].first + (int64_t)line;
    line -= lines->ranges[i].count;
  }
  return INT64_MIN;
}

// ---- the handle ----

static const char *name_of(int32_t operation) {
  const struct shopify_operation *known = &shopify_operations[operation];
  return known->name != NULL ? known->name : known->field;
}

int32_t shopify_handle_write(const char *id, int32_t operation, const struct shopify_lines *lines,
                             struct dray_buffer *out, int *out_fits, struct dray_error *error) {
  DRAY_TRY(dray_buffer_printf(out, error, "{\"v\":1,\"id\":\"%s\",\"op\":\"%s\",\"rows\":\"", id, name_of(operation)));
  for (size_t i = 0; i < lines->range_count; i++) {
    const struct shopify_range *range = &lines->ranges[i];
    DRAY_TRY(dray_buffer_printf(out, error, "%s%lld", i > 0 ? "," : "", (long long)range->first));
    if (range->count > 1) {
      DRAY_TRY(dray_buffer_printf(out, error, "-%lld", (long long)(range->first + (int64_t)range->count - 1)));
    }
  }
  DRAY_TRY(dray_buffer_append_str(out, "\"}", error));
  *out_fits = out->len <= DRAY_HANDLE_BYTES_MAX;
  return DRAY_OK;
}

static int read_rows(const char *text, struct shopify_lines *lines, int32_t *rc, struct dray_error *error) {
  while (*text != '\0') {
    char *end = NULL;
    const long long first = strtoll(text, &end, 10);
    long long last = first;
    if (end == text) return 0;
    text = end;
    if (*text == '-') {
      last = strtoll(text + 1, &end, 10);
      if (end == text + 1 || last < first) return 0;
      text = end;
    }
    if (*text == ',')
      text++;
    else if (*text != '\0')
      return 0;
    *rc = add_range(lines, first, (uint64_t)(last - first) + 1, error);
    if (*rc != DRAY_OK) return 1;
    if (lines->count > LINES_MAX) return 0;
  }
  return 1;
}

int32_t shopify_handle_read(struct dray_str handle, char id[SHOPIFY_BULK_ID_BYTES], int32_t *operation,
                            struct shopify_lines *lines, struct dray_error *error) {
  struct dray_json *root = NULL;
  int32_t rc = dray_json_parse(handle, DRAY_HANDLE_BYTES_MAX, &root, error);
  if (rc == DRAY_E_OUT_OF_MEMORY) return rc;
  const struct dray_str gid = dray_json_string(dray_json_get(root, "id"), "");
  const struct dray_str name = dray_json_string(dray_json_get(root, "op"), "");
  const struct dray_str rows = dray_json_string(dray_json_get(root, "rows"), "");
  int known = rc == DRAY_OK && gid.len > 0 && gid.len < SHOPIFY_BULK_ID_BYTES && rows.len > 0;
  *operation = 0;
  while (*operation < SHOPIFY_OPERATION_COUNT && !dray_str_is(name, name_of(*operation))) ++*operation;
  known = known && *operation < SHOPIFY_OPERATION_COUNT;
  rc = DRAY_OK;
  if (known) {
    memcpy(id, gid.data, (size_t)gid.len);
    id[gid.len] = '\0';
    known = read_rows(rows.data, lines, &rc, error);
  }
  dray_json_free(root);
  if (rc == DRAY_OK && !known) {
    rc = dray_fail(error, DRAY_E_PLUGIN_CONTRACT, "the job handle '%.*s' is none of Shopify's", DRAY_VALUE_ARG(handle));
  }
  if (rc != DRAY_OK) shopify_lines_free(lines);
  return rc;
}

// ---- asking ----

static int32_t ask(struct shopify_client *client, const char *document, struct dray_str variables, uint32_t flags,
                   struct shopify_reply *out, struct dray_error *error) {
  struct shopify_shape shape = {.cost = 10};
  struct dray_buffer body;
  dray_buffer_init(&body, BODY_BYTES_MAX);
  int32_t rc = shopify_body(&body, dray_str_of(document), variables, error);
  struct shopify_request request = {.body = dray_buffer_view(&body), .flags = flags, .shape = &shape};
  if (rc == DRAY_OK) rc = shopify_ask(client, &request, out, error);
  dray_buffer_free(&body);
  return rc;
}

static int32_t fail_user_errors(const struct dray_json *user_errors, const char *what, struct dray_error *error) {
  struct dray_buffer text;
  dray_buffer_init(&text, 4096);
  int32_t rc = shopify_write_user_errors(user_errors, &text, error);
  if (rc == DRAY_OK || rc == DRAY_E_LIMIT) {
    rc = dray_fail(error, DRAY_E_HTTP_STATUS, "Shopify %s: %s", what, text.len > 0 ? text.data : "no reason given");
  }
  dray_buffer_free(&text);
  return rc;
}

// ---- upload ----

struct target {
  struct dray_json *root; // owned: of the answer that the others point into
  struct dray_str url, key;
  const struct dray_json *parameters;
};

static int32_t stage(struct shopify_client *client, struct target *out, struct dray_error *error) {
  static const char document[] = "mutation{stagedUploadsCreate(input:[{resource:BULK_MUTATION_VARIABLES,filename:"
                                 "\"dray.jsonl\",mimeType:\"text/jsonl\",httpMethod:POST}]){stagedTargets{url "
                                 "parameters{name value}}userErrors{field message}}}";
  struct shopify_reply reply = {0};
  DRAY_TRY(ask(client, document, dray_str_make(NULL, 0), DRAY_HTTP_IDEMPOTENT, &reply, error));
  const struct dray_json *payload = dray_json_get(reply.data, "stagedUploadsCreate");
  const struct dray_json *user_errors = dray_json_get(payload, "userErrors");
  const struct dray_json *target = dray_json_path(payload, "stagedTargets[0]");
  int32_t rc = DRAY_OK;
  struct target made = {.root = reply.root,
                        .url = dray_json_string(dray_json_get(target, "url"), ""),
                        .parameters = dray_json_get(target, "parameters")};
  for (const struct dray_json *one = made.parameters != NULL ? made.parameters->child : NULL; one != NULL;
       one = one->next) {
    if (dray_str_is(dray_json_string(dray_json_get(one, "name"), ""), "key")) {
      made.key = dray_json_string(dray_json_get(one, "value"), "");
    }
  }
  if (user_errors != NULL && user_errors->child_count > 0)
    rc = fail_user_errors(user_errors, "stages no upload", error);
  else if (made.url.len == 0 || made.key.len == 0) {
    rc = dray_fail(error, DRAY_E_HTTP_CONTENT, "Shopify answered without a place for an upload");
  }
  if (rc != DRAY_OK)
    dray_json_free(reply.root);
  else
    *out = made;
  return rc;
}

// RFC 7578: the parameters first, the file last. The boundary is nothing that JSON Lines of ASCII escapes could begin
// a line with.
#define BOUNDARY "----dray-5f1c2f0e8a7b4d93b6a1"

static int32_t write_form(const struct target *target, struct dray_str file, struct dray_buffer *out,
                          struct dray_error *error) {
  for (const struct dray_json *one = target->parameters->child; one != NULL; one = one->next) {
    const struct dray_str name = dray_json_string(dray_json_get(one, "name"), "");
    const struct dray_str value = dray_json_string(dray_json_get(one, "value"), "");
    DRAY_TRY(dray_buffer_printf(out, error, "--" BOUNDARY "\r\nContent-Disposition: form-data; name=\"%.*s\"\r\n\r\n",
                                DRAY_STR_ARG(name)));
    DRAY_TRY(dray_buffer_append(out, value.data, (size_t)value.len, error));
    DRAY_TRY(dray_buffer_append_str(out, "\r\n", error));
  }
  DRAY_TRY(dray_buffer_append_str(out,
                                  "--" BOUNDARY "\r\nContent-Disposition: form-data; name=\"file\"; "
                                  "filename=\"dray.jsonl\"\r\nContent-Type: text/jsonl\r\n\r\n",
                                  error));
  DRAY_TRY(dray_buffer_append(out, file.data, (size_t)file.len, error));
  return dray_buffer_append_str(out, "\r\n--" BOUNDARY "--\r\n", error);
}

// The address is signed by itself: no credentials go there.
static int32_t post_form(struct shopify_client *client, const struct target *target, struct dray_str form,
                         struct dray_error *error) {
  const struct dray_http_header headers[] = {
      {dray_str_of("Content-Type"), dray_str_of("multipart/form-data; boundary=" BOUNDARY)}};
  const struct dray_http_request request = {.struct_size = sizeof(request),
                                            .flags = DRAY_HTTP_ANY_STATUS | DRAY_HTTP_IDEMPOTENT,
                                            .method = dray_str_of("POST"),
                                            .url = target->url,
                                            .headers = headers,
                                            .header_count = 1,
                                            .body = form,
                                            .timeout_ms = UPLOAD_TIMEOUT_MS};
  struct dray_buffer answer;
  int32_t status = 0;
  dray_buffer_init(&answer, BODY_BYTES_MAX);
  int32_t rc = dray_http_fetch(client->services, &request, &answer, &status, error);
  if (rc == DRAY_OK && (status < 200 || status > 299)) {
    rc = dray_fail(error, DRAY_E_HTTP_SERVER, "the upload for a bulk mutation is answered with status %d: %.200s",
                   status, answer.len > 0 ? answer.data : "");
  }
  dray_buffer_free(&answer);
  if (rc != DRAY_OK && error != NULL) error->vendor_code[0] = '\0'; // nothing is applied by an upload: not in doubt
  return rc;
}

static int32_t run_mutation(struct shopify_client *client, int32_t operation, struct dray_str key,
                            char id[SHOPIFY_BULK_ID_BYTES], int *out_started, struct dray_error *error) {
  static const char document[] =
      "mutation($mutation:String!,$path:String!){bulkOperationRunMutation(mutation:$mutation,"
      "stagedUploadPath:$path){bulkOperation{id status}userErrors{field message code}}}";
  struct dray_buffer mutation, variables;
  struct dray_json_writer writer;
  struct shopify_reply reply = {0};
  dray_buffer_init(&mutation, BODY_BYTES_MAX);
  dray_buffer_init(&variables, BODY_BYTES_MAX);
  int32_t rc = shopify_write_bulk_mutation(operation, &mutation, error);
  dray_json_writer_init(&writer, &variables, error);
  dray_json_begin_object(&writer);
  dray_json_key(&writer, "mutation");
  dray_json_write_str(&writer, dray_buffer_view(&mutation));
  dray_json_key(&writer, "path");
  dray_json_write_str(&writer, key);
  dray_json_end_object(&writer);
  if (rc == DRAY_OK) rc = dray_json_writer_finish(&writer);
  if (rc == DRAY_OK) rc = ask(client, document, dray_buffer_view(&variables), 0, &reply, error);
  dray_buffer_free(&mutation);
  dray_buffer_free(&variables);
  if (rc != DRAY_OK) return rc;
  const struct dray_json *payload = dray_json_get(reply.data, "bulkOperationRunMutation");
  const struct dray_json *user_errors = dray_json_get(payload, "userErrors");
  const struct dray_json *first = user_errors != NULL ? user_errors->child : NULL;
  const struct dray_str code = dray_json_string(dray_json_get(first, "code"), "");
  const struct dray_str made = dray_json_string(dray_json_path(payload, "bulkOperation.id"), "");
  *out_started = 0;
  if (first != NULL && (dray_str_is(code, "OPERATION_IN_PROGRESS") || dray_str_is(code, "LIMIT_REACHED"))) {
    rc = DRAY_OK;
  } else if (first != NULL) {
    rc = fail_user_errors(user_errors, "does not take a bulk mutation", error);
  } else if (made.len == 0 || made.len >= SHOPIFY_BULK_ID_BYTES) {
    rc = dray_fail(error, DRAY_E_HTTP_CONTENT, "Shopify answered a bulk mutation without its id");
  } else {
    memcpy(id, made.data, (size_t)made.len);
    id[made.len] = '\0';
    *out_started = 1;
  }
  shopify_reply_free(&reply);
  return rc;
}

int32_t shopify_job_start(struct shopify_client *client, int32_t operation, struct dray_str file,
                          char id[SHOPIFY_BULK_ID_BYTES], int *out_started, struct dray_error *error) {
  struct target target = {0};
  struct dray_buffer form;
  dray_buffer_init(&form, UPLOAD_BYTES_MAX);
  DRAY_TRY(stage(client, &target, error));
  int32_t rc = write_form(&target, file, &form, error);
  if (rc == DRAY_OK) rc = post_form(client, &target, dray_buffer_view(&form), error);
  if (rc == DRAY_OK) rc = run_mutation(client, operation, target.key, id, out_started, error);
  dray_json_free(target.root);
  dray_buffer_free(&form);
  return rc;
}

// ---- result ----

// A line: {"data": {"customerSet": {...}}, "errors": [...], "__lineNumber": 3}
static int32_t take_line(struct dray_str line, int32_t operation, struct shopify_task *tasks, uint64_t count,
                         struct dray_buffer *texts, struct dray_error *error) {
  const char *field = shopify_operations[operation].field;
  struct dray_json *root = NULL;
  int64_t number = -1;
  if (line.len == 0) return DRAY_OK;
  int32_t rc = dray_json_parse(line, LINE_BYTES_MAX, &root, error);
  if (rc != DRAY_OK)
    return rc == DRAY_E_OUT_OF_MEMORY
               ? rc
               : dray_fail(error, DRAY_E_HTTP_CONTENT, "a line of a bulk mutation's result is no JSON");
  const struct dray_json *place = dray_json_get(root, "__lineNumber");
  if (place != NULL && dray_parse_int64(place->text, &number, NULL) == DRAY_OK && number >= 0 &&
      (uint64_t)number < count) {
    struct shopify_task *task = &tasks[number];
    task->operation = operation;
    const struct dray_json *payload = dray_json_get(dray_json_get(root, "data"), field);
    const struct dray_json *errors = dray_json_get(root, "errors");
    // Errors of a line have the path of the mutation itself, or none.
    if ((payload == NULL || payload->kind != DRAY_JSON_OBJECT) && errors != NULL && errors->child != NULL) {
      rc = shopify_judge_error(task, errors->child, texts, error);
    } else {
      rc = shopify_judge(task, payload, errors, field, texts, error);
    }
  }
  dray_json_free(root);
  return rc;
}

static int32_t take_lines(struct dray_str chunk, int32_t operation, struct shopify_task *tasks, uint64_t count,
                          struct dray_buffer *texts, struct dray_error *error) {
  uint64_t at = 0;
  while (at < chunk.len) {
    const char *newline = memchr(chunk.data + at, '\n', (size_t)(chunk.len - at));
    const uint64_t end = newline != NULL ? (uint64_t)(newline - chunk.data) : chunk.len;
    DRAY_TRY(take_line(dray_str_make(chunk.data + at, end - at), operation, tasks, count, texts, error));
    at = end + 1;
  }
  return DRAY_OK;
}

int32_t shopify_job_result(struct shopify_client *client, const char *id, struct shopify_bulk_status *status,
                           int32_t operation, struct shopify_task *tasks, uint64_t count, struct dray_buffer *texts,
                           int *out_refused, struct dray_error *error) {
  struct shopify_download download = {0};
  *out_refused = 0;
  if (status->url == NULL) return DRAY_OK;
  int32_t rc = shopify_download_open(&download, client, id, status, 0, error);
  for (int end = 0; rc == DRAY_OK && !end;) {
    struct dray_str chunk = {NULL, 0};
    rc = shopify_download_next(&download, &chunk, &end, error);
    if (rc == DRAY_OK && !end) rc = take_lines(chunk, operation, tasks, count, texts, error);
  }
  *out_refused = rc != DRAY_OK && download.refused;
  shopify_download_close(&download);
  return *out_refused ? DRAY_OK : rc;
}
