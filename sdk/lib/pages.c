// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Pages as a stream. Requests are kept under way ahead of the page that is read; a page is read whole before the first
// of its rows is given out, so that the next request, whose cursor stands in this page, travels while its rows are
// written, and so that of a page that fails nothing was shown.
#include "dray/sdk/pages.h"

#include <stdlib.h>

#define STATE_BYTES_MAX (1u << 20)
#define PATH_BYTES_MAX (1u << 16)
#define BODY_BYTES_MAX (16u << 20)

struct reading {
  struct dray_pages_terms terms;
  char *records_path, *name; // owned; the options' own
  struct dray_builder *builder;
  struct dray_json_rows *rows; // NULL: the plugin takes
  struct dray_page_request request;
  struct dray_api_answer answer;

  struct dray_api_pending *ahead[DRAY_PAGES_AHEAD_MAX]; // of page n at n % DRAY_PAGES_AHEAD_MAX
  uint64_t asked;                                       // pages that were asked for
  uint64_t read;                                        // pages that were read
  int ended;                                            // there is no page `asked`

  struct ArrowArray *ready; // batches of the page that was read last
  size_t ready_count, ready_capacity, ready_given;
  struct dray_buffer page_state; // behind that page
  struct dray_buffer state;      // behind the page that was given out last; empty: no safe place
  int between;                   // no page is given out in part
  int skipped;                   // the page that was answered last is not wanted
  uint64_t row_count, byte_count;
};

static struct dray_api_pending **slot(struct reading *reading, uint64_t number) {
  return &reading->ahead[number % DRAY_PAGES_AHEAD_MAX];
}

static void forget_ready(struct reading *reading) {
  while (reading->ready_given < reading->ready_count) dray_array_release(&reading->ready[reading->ready_given++]);
  reading->ready_given = reading->ready_count = 0;
}

static void let_go(struct dray_pages_terms *terms) {
  dray_selection_free(&terms->selection);
  if (terms->free_self != NULL) terms->free_self(terms->self);
  *terms = (struct dray_pages_terms){.api = NULL};
}

static void reading_free(struct reading *reading) {
  if (reading == NULL) return;
  for (size_t i = 0; i < DRAY_PAGES_AHEAD_MAX; i++) dray_api_drop(reading->ahead[i]);
  forget_ready(reading);
  free(reading->ready);
  dray_api_answer_free(&reading->answer);
  dray_json_rows_free(reading->rows);
  dray_builder_free(reading->builder);
  dray_buffer_free(&reading->request.path);
  dray_buffer_free(&reading->request.body);
  dray_buffer_free(&reading->page_state);
  dray_buffer_free(&reading->state);
  free(reading->records_path);
  free(reading->name);
  let_go(&reading->terms);
  free(reading);
}

// ---- asking ----

// Asks the plugin for the request of a page and sends it. *out = DRAY_PAGE_*.
static int32_t ask(struct reading *reading, uint64_t number, int32_t *out, struct dray_error *error) {
  const struct dray_pages_terms *terms = &reading->terms;
  struct dray_page_request *request = &reading->request;
  request->method = "GET";
  request->flags = 0;
  dray_buffer_clear(&request->path);
  dray_buffer_clear(&request->body);
  *out = 0;
  DRAY_TRY(terms->ask(terms->self, number, request, out, error));
  if (*out != DRAY_PAGE_ASK) return DRAY_OK;
  const struct dray_api_request asked = {.flags = request->flags,
                                         .method = request->method,
                                         .path = dray_buffer_view(&request->path),
                                         .body = dray_buffer_view(&request->body)};
  return dray_api_start(terms->api, &asked, slot(reading, number), error);
}

// Keeps as many requests under way as there may be and can be described by now.
static int32_t ask_ahead(struct reading *reading, struct dray_error *error) {
  while (!reading->ended && reading->asked - reading->read < reading->terms.ahead) {
    int32_t outcome = 0;
    DRAY_TRY(ask(reading, reading->asked, &outcome, error));
    if (outcome == DRAY_PAGE_ASK) {
      reading->asked++;
    } else if (outcome == DRAY_PAGE_END) {
      reading->ended = 1;
    } else if (outcome == DRAY_PAGE_WAIT && reading->asked > reading->read) {
      break;
    } else {
      return dray_fail(error, DRAY_E_PLUGIN_CONTRACT,
                       "%s: page %llu cannot be asked for, and no page before it is left", reading->name,
                       (unsigned long long)reading->asked);
    }
  }
  return DRAY_OK;
}

// ---- one page ----

static int32_t keep_batch(struct reading *reading, struct dray_error *error) {
  if (reading->ready_count == reading->ready_capacity) {
    const size_t capacity = reading->ready_capacity == 0 ? 4 : reading->ready_capacity * 2;
    struct ArrowArray *ready = realloc(reading->ready, capacity * sizeof(*ready));
    if (ready == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for the rows of a page");
    reading->ready = ready;
    reading->ready_capacity = capacity;
  }
  struct ArrowArray *batch = &reading->ready[reading->ready_count];
  *batch = (struct ArrowArray){.release = NULL};
  reading->row_count += dray_builder_rows(reading->builder);
  DRAY_TRY(dray_builder_finish(reading->builder, batch, error));
  if (batch->release != NULL) reading->ready_count++;
  return DRAY_OK;
}

// A page that is not JSON is no matter of its rows: somebody else has answered, or the answer was cut.
static int32_t judge_page(const struct reading *reading, int32_t code, struct dray_error *error) {
  char excerpt[200], why[400];
  if (code != DRAY_E_DATA_JSON && code != DRAY_E_DATA_UTF8) return code;
  (void)dray_text_excerpt(dray_str_of(error != NULL ? error->text : ""), why, sizeof(why));
  (void)dray_text_excerpt(dray_buffer_view(&reading->answer.body), excerpt, sizeof(excerpt));
  return dray_fail(error, DRAY_E_HTTP_CONTENT, "%s: the answer %d is not the JSON that was asked for (%s): %s",
                   reading->name, reading->answer.status, why, excerpt);
}

static int32_t read_json(struct reading *reading, uint64_t *out_records, struct dray_error *error) {
  const struct dray_buffer *body = &reading->answer.body;
  const uint64_t before = dray_json_rows_count(reading->rows);
  size_t at = 0;
  int32_t full = 1;
  dray_json_rows_restart(reading->rows);
  while (at < body->len || full) {
    size_t used = 0;
    DRAY_TRY(dray_json_rows_feed(reading->rows, body->data + at, body->len - at, 1, &used, &full, error));
    at += used;
    if (full) DRAY_TRY(keep_batch(reading, error));
  }
  *out_records = dray_json_rows_count(reading->rows) - before;
  if (dray_json_rows_reached(reading->rows)) return DRAY_OK;
  return dray_fail(error, DRAY_E_DATA_JSON, "there is no %s in it",
                   reading->records_path[0] != '\0' ? reading->records_path : "record");
}

static int32_t read_taken(struct reading *reading, uint64_t *out_records, struct dray_error *error) {
  const struct dray_pages_terms *terms = &reading->terms;
  int32_t more = 1;
  while (more) {
    more = 0;
    DRAY_TRY(terms->take(terms->self, reading->read, &reading->answer, reading->builder, &more, error));
    *out_records += dray_builder_rows(reading->builder);
    if (more && dray_builder_rows(reading->builder) == 0) {
      return dray_fail(error, DRAY_E_PLUGIN_CONTRACT, "%s: more rows are said to come, and none did", reading->name);
    }
    if (more) DRAY_TRY(keep_batch(reading, error));
  }
  return DRAY_OK;
}

// The rows of the page that was answered, as batches that wait; and the state behind it.
static int32_t read_page(struct reading *reading, struct dray_error *error) {
  const struct dray_pages_terms *terms = &reading->terms;
  uint64_t records = 0;
  if (reading->rows != NULL) {
    const int32_t rc = read_json(reading, &records, error);
    if (rc != DRAY_OK) return judge_page(reading, rc, error);
  } else {
    DRAY_TRY(read_taken(reading, &records, error));
  }
  DRAY_TRY(keep_batch(reading, error));
  reading->byte_count += reading->answer.body.len;
  dray_buffer_clear(&reading->page_state);
  return terms->done(terms->self, reading->read, records, &reading->page_state, error);
}

// Waits for the answer of the next page, and for what the plugin says to it.
static int32_t take_answer(struct reading *reading, int32_t *out, struct dray_error *error) {
  const struct dray_pages_terms *terms = &reading->terms;
  struct dray_api_pending *pending = *slot(reading, reading->read);
  *slot(reading, reading->read) = NULL;
  const int32_t rc = dray_api_finish(pending, &reading->answer, error);
  if (rc == DRAY_E_LIMIT && terms->too_large != NULL) {
    *out = DRAY_PAGE_AGAIN;
    return terms->too_large(terms->self, reading->read, out, error);
  }
  if (rc != DRAY_OK) return rc;
  *out = DRAY_PAGE_READ;
  if (terms->answered != NULL) {
    return terms->answered(terms->self, reading->read, &reading->answer, out, error);
  }
  return reading->answer.status < 400 ? DRAY_OK : dray_api_fail(&reading->answer, reading->name, NULL, error);
}

static int32_t next_page(struct reading *reading, struct dray_error *error) {
  int32_t outcome = 0;
  DRAY_TRY(take_answer(reading, &outcome, error));
  if (outcome == DRAY_PAGE_AGAIN) {
    DRAY_TRY(ask(reading, reading->read, &outcome, error));
    if (outcome == DRAY_PAGE_ASK) return DRAY_OK;
    return dray_fail(error, DRAY_E_PLUGIN_CONTRACT, "%s: page %llu is to be asked for again, and has no request",
                     reading->name, (unsigned long long)reading->read);
  }
  if (outcome == DRAY_PAGE_READ) DRAY_TRY(read_page(reading, error));
  reading->skipped = outcome != DRAY_PAGE_READ;
  reading->read++;
  return DRAY_OK;
}

// ---- the stream ----

static int32_t slot_schema(struct dray_stream *self, struct ArrowSchema *out, struct dray_error *error) {
  const struct reading *reading = self->private_data;
  return dray_schema_copy(&reading->terms.selection.schema, out, error);
}

// The page is given out: the stream stands behind it.
static void pass_page(struct reading *reading) {
  const struct dray_buffer behind = reading->page_state;
  reading->page_state = reading->state;
  reading->state = behind;
  reading->ready_given = reading->ready_count = 0;
  reading->between = 1;
}

static int32_t fetch_page(struct reading *reading, struct dray_error *error) {
  const uint64_t before = reading->read;
  DRAY_TRY(dray_cancel_check(reading->terms.api->services, error));
  dray_buffer_clear(&reading->page_state);
  reading->skipped = 0;
  int32_t rc = next_page(reading, error);
  if (rc == DRAY_OK && reading->read != before) rc = ask_ahead(reading, error);
  if (rc != DRAY_OK) {
    forget_ready(reading);
  } else if (reading->read != before && !reading->skipped) {
    reading->between = 0;
    if (reading->ready_count == 0) pass_page(reading);
  }
  return rc;
}

static int32_t slot_next(struct dray_stream *self, struct ArrowArray *out, struct dray_error *error) {
  struct reading *reading = self->private_data;
  while (reading->ready_count == 0) {
    DRAY_TRY(ask_ahead(reading, error));
    if (reading->read == reading->asked) {
      out->release = NULL;
      return DRAY_OK;
    }
    DRAY_TRY(fetch_page(reading, error));
  }
  *out = reading->ready[reading->ready_given++];
  if (reading->ready_given == reading->ready_count) pass_page(reading);
  return DRAY_OK;
}

static int32_t slot_state(struct dray_stream *self, struct dray_str *out, struct dray_error *error) {
  const struct reading *reading = self->private_data;
  (void)error;
  *out = reading->between ? dray_buffer_view(&reading->state) : dray_str_make(NULL, 0);
  return DRAY_OK;
}

static void slot_progress(struct dray_stream *self, struct dray_progress *out) {
  const struct reading *reading = self->private_data;
  out->rows = reading->row_count;
  out->bytes = reading->byte_count;
}

static void slot_close(struct dray_stream *self) {
  reading_free(self->private_data);
  self->private_data = NULL;
}

// ---- opening ----

static int32_t make_reading(struct reading *reading, struct dray_error *error) {
  const struct dray_pages_terms *terms = &reading->terms;
  const struct dray_selection *selection = &terms->selection;
  reading->name = dray_str_dup(dray_str_of(terms->name));
  reading->records_path = dray_str_dup(dray_str_of(terms->records_path));
  if (reading->name == NULL || reading->records_path == NULL) {
    return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to read pages");
  }
  DRAY_TRY(
      dray_builder_new(&selection->schema, terms->batch_rows_max, terms->batch_bytes_max, &reading->builder, error));
  if (terms->take != NULL) return DRAY_OK;
  const struct dray_json_rows_options options = {.records_path = terms->records_path,
                                                 .only_with = terms->only_with,
                                                 .only_without = terms->only_without,
                                                 .members = terms->members,
                                                 .member_count = terms->member_count,
                                                 .wanted = terms->wanted,
                                                 .wanted_ctx = terms->self,
                                                 .empty_is_null = terms->empty_is_null,
                                                 .constants = terms->constants,
                                                 .constant_count = terms->constant_count,
                                                 .captures = terms->captures,
                                                 .capture_count = terms->capture_count,
                                                 .name = terms->name};
  return dray_json_rows_new(selection->fields, selection->field_count, &options, reading->builder, &reading->rows,
                            error);
}

int32_t dray_pages_open(struct dray_pages_terms *terms, struct dray_stream *out, struct dray_error *error) {
  struct reading *reading = calloc(1, sizeof(*reading));
  if (reading == NULL) {
    let_go(terms);
    return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to read pages");
  }
  reading->terms = *terms;
  reading->between = 1;
  *terms = (struct dray_pages_terms){.api = NULL};
  if (reading->terms.ahead == 0) reading->terms.ahead = 1;
  if (reading->terms.ahead > DRAY_PAGES_AHEAD_MAX) reading->terms.ahead = DRAY_PAGES_AHEAD_MAX;
  dray_buffer_init(&reading->request.path, PATH_BYTES_MAX);
  dray_buffer_init(&reading->request.body, BODY_BYTES_MAX);
  dray_buffer_init(&reading->page_state, STATE_BYTES_MAX);
  dray_buffer_init(&reading->state, STATE_BYTES_MAX);
  const int32_t rc = make_reading(reading, error);
  if (rc != DRAY_OK) {
    reading_free(reading);
    return rc;
  }
  out->private_data = reading;
  out->schema = slot_schema;
  out->next = slot_next;
  out->state = slot_state;
  out->progress = slot_progress;
  out->close = slot_close;
  return DRAY_OK;
}
