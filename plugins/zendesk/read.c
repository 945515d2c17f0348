// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// How pages follow each other: exports by cursor, exports by time, lists. Every page of an export is a checkpoint.
#include "read.h"

#include <stdio.h>
#include <stdlib.h>

#include "children.h"
#include "dray/sdk/pages.h"
#include "page_size.h"
#include "seen.h"

#define EXPORT_PAGE_MAX 1000
#define THROTTLED_MAX 10
#define SECOND_US INT64_C(1000000)
#define PATH_BYTES_MAX 16384u
#define START_AGE_LEAST_S 120
#define LISTS_AHEAD 4          // of tickets: they are asked side by side
#define TICKETS_WITH_LISTS 100 // of a page, after whose lists there is a checkpoint

struct read {
  struct zendesk_client *client;
  const struct zendesk_stream *stream;
  struct zendesk_rows rows;
  int64_t start_us; // start_date, or an earlier one that it was begun with
  int full;
  int resumes;   // what was read before
  char name[80]; // for messages

  struct zendesk_position at;                // after the last page that was answered: where the next one begins
  struct dray_buffer next;                   // lists: its path; empty: the first page
  struct zendesk_page_size size, child_size; // of the export or list; of the lists of tickets
  int64_t asked;                             // records of the export's or list's last page
  uint64_t answered;                         // pages so far
  int ended;
  int fell_back;                    // a cursor was refused
  int throttled;                    // times in a row
  struct zendesk_children children; // BY_TICKET: of the last page of the export

  // The page whose rows are wanted now.
  struct dray_json *page;
  uint8_t *fresh; // a byte a record: 0 where it was shown before
  size_t fresh_count;
  const struct dray_json *record; // the next one of the page; NULL: none is left
  size_t record_index;
  const struct dray_json *metrics; // where the next ticket's metrics are likely to stand
  struct zendesk_seen seen;
};

static void read_free(void *self) {
  struct read *read = self;
  dray_json_free(read->page);
  free(read->fresh);
  zendesk_seen_free(&read->seen);
  zendesk_children_free(&read->children);
  zendesk_rows_free(&read->rows);
  zendesk_position_free(&read->at);
  dray_buffer_free(&read->next);
  free(read);
}

// ---- asking ----

static int32_t add_number(struct dray_buffer *path, int first, const char *name, int64_t value,
                          struct dray_error *error) {
  char text[DRAY_FORMAT_BYTES_MAX];
  (void)dray_format_int64(value, text);
  return dray_api_query(path, first, name, dray_str_of(text), error);
}

static int32_t describe_export(const struct read *read, struct dray_buffer *path, struct dray_error *error) {
  const struct zendesk_stream *stream = read->stream;
  DRAY_TRY(dray_buffer_append_str(path, stream->path, error));
  if (read->at.cursor.len > 0) {
    DRAY_TRY(dray_api_query(path, 1, "cursor", dray_buffer_view(&read->at.cursor), error));
  } else {
    DRAY_TRY(add_number(path, 1, "start_time", read->at.start, error));
  }
  DRAY_TRY(add_number(path, 0, "per_page", read->size.now, error));
  if (stream->include == NULL) return DRAY_OK;
  return dray_api_query(path, 0, "include", dray_str_of(stream->include), error);
}

static int32_t describe_list(const struct read *read, struct dray_buffer *path, struct dray_error *error) {
  const struct zendesk_stream *stream = read->stream;
  if (read->next.len > 0) return zendesk_page_size_put(&read->size, dray_buffer_view(&read->next), path, error);
  DRAY_TRY(dray_buffer_append_str(path, stream->path, error));
  int first = 1;
  if ((stream->flags & ZENDESK_WHOLE) == 0) {
    DRAY_TRY(add_number(path, first, "page[size]", read->size.now, error));
    first = 0;
  }
  if ((stream->flags & ZENDESK_SINCE) == 0 || read->at.start <= 0) return DRAY_OK;
  return add_number(path, first, "start_time", read->at.start, error);
}

// Whether page `number` is one of the export, and under its budget.
static int is_export(const struct read *read, uint64_t number) {
  return read->stream->how != ZENDESK_BY_LIST && zendesk_children_path(&read->children, number) == NULL;
}

static int32_t describe(const struct read *read, uint64_t number, struct dray_buffer *path, struct dray_error *error) {
  const char *child = zendesk_children_path(&read->children, number);
  if (child != NULL) return zendesk_page_size_put(&read->child_size, dray_str_of(child), path, error);
  return is_export(read, number) ? describe_export(read, path, error) : describe_list(read, path, error);
}

static int32_t ask(void *self, uint64_t number, struct dray_page_request *request, int32_t *out,
                   struct dray_error *error) {
  struct read *read = self;
  const int is_child = zendesk_children_path(&read->children, number) != NULL;
  const int is_next = number <= read->answered;
  if (!is_child && !is_next) { // only the page before says where it is
    *out = read->ended && read->children.count == 0 ? DRAY_PAGE_END : DRAY_PAGE_WAIT;
    return DRAY_OK;
  }
  if (!is_child && read->ended) {
    *out = DRAY_PAGE_END;
    return DRAY_OK;
  }
  if (!is_child) read->asked = read->size.now;
  DRAY_TRY(describe(read, number, &request->path, error));
  DRAY_TRY(zendesk_pace(read->client, is_export(read, number), error));
  *out = DRAY_PAGE_ASK;
  return DRAY_OK;
}

// ---- what is not a page ----

// Nothing says how long a cursor is good for. Without it the export begins a little before the last record that was
// seen: rows repeat, none is skipped.
static int32_t fall_back(struct read *read, const struct dray_api_answer *answer, int32_t *out) {
  char words[ZENDESK_WORDS_BYTES_MAX + 1];
  zendesk_words(answer, words);
  int64_t start = read->start_us / SECOND_US;
  const int64_t overlap = read->client->settings.overlap_seconds;
  if (read->at.seen >= 0 && read->at.seen - overlap > start) start = read->at.seen - overlap;
  dray_log_printf(&read->client->services, DRAY_LOG_WARN,
                  "%s: the cursor was refused (%d: %s); going on from start_time %lld", read->name, answer->status,
                  words, (long long)start);
  read->at.start = start;
  dray_buffer_clear(&read->at.cursor);
  read->fell_back = 1;
  *out = DRAY_PAGE_AGAIN;
  return DRAY_OK;
}

static int32_t not_a_page(struct read *read, uint64_t number, const struct dray_api_answer *answer, int32_t *out,
                          struct dray_error *error) {
  const int32_t status = answer->status;
  if (status == 429 && ++read->throttled < THROTTLED_MAX) {
    DRAY_TRY(zendesk_hold(read->client, answer, is_export(read, number), error));
    *out = DRAY_PAGE_AGAIN;
    return DRAY_OK;
  }
  if (zendesk_children_path(&read->children, number) != NULL) {
    if (status != 404) return zendesk_fail(answer, read->name, error);
    read->answered = number + 1; // the ticket was deleted meanwhile: a page without records
    return DRAY_OK;
  }
  const int refused = status == 400 || status == 404 || status == 410 || status == 422;
  if (refused && read->at.cursor.len > 0 && !read->fell_back) return fall_back(read, answer, out);
  const int gated = (read->stream->flags & ZENDESK_GATED) != 0 && number == 0 && (status == 403 || status == 404);
  if (gated && !zendesk_lacks_scope(answer)) {
    char words[ZENDESK_WORDS_BYTES_MAX + 1];
    zendesk_words(answer, words);
    dray_log_printf(&read->client->services, DRAY_LOG_WARN,
                    "%s: skipped, the account's plan or the user's role does not have it (%d: %s)", read->name, status,
                    words);
    read->ended = 1;
    *out = DRAY_PAGE_SKIP;
    return DRAY_OK;
  }
  return zendesk_fail(answer, read->name, error);
}

// By time, records of one second come only all together: to leave some out would lose them. The checkpoint stays before
// that second.
static int32_t fail_second(const struct read *read, struct dray_error *error) {
  return dray_fail(
      error, DRAY_E_LIMIT,
      "%s: more than %lld records changed in the second %lld and have more than %u bytes together; Zendesk "
      "gives them out in no other way, and nothing is read past them until some of them change again",
      read->name, (long long)read->size.held, (long long)read->at.start, ZENDESK_ANSWER_BYTES_MAX);
}

// A page of large records is asked for again with fewer of them.
static int32_t too_large(void *self, uint64_t number, int32_t *out, struct dray_error *error) {
  struct read *read = self;
  const int is_child = zendesk_children_path(&read->children, number) != NULL;
  struct zendesk_page_size *size = is_child ? &read->child_size : &read->size;
  const int is_whole = !is_child && (read->stream->flags & ZENDESK_WHOLE) != 0;
  (void)out; // again
  if (is_whole || !zendesk_page_size_halve(size)) {
    if (size->held > 0) return fail_second(read, error);
    return error != NULL ? dray_error_prefix(error, "%s: page %llu", read->name, (unsigned long long)number + 1)
                         : DRAY_E_LIMIT;
  }
  dray_log_printf(&read->client->services, DRAY_LOG_INFO,
                  "%s: a page has more than %u bytes, it is asked for again with %lld records", read->name,
                  ZENDESK_ANSWER_BYTES_MAX, (long long)size->now);
  return DRAY_OK;
}

// ---- pages ----

static const struct dray_json *records_of(const struct read *read) {
  return dray_json_get(read->page, read->stream->records);
}

static int32_t fail_list(const struct read *read, const char *name, struct dray_error *error) {
  return dray_fail(error, DRAY_E_HTTP_CONTENT, "%s: the answer has no list \"%s\"", read->name, name);
}

// Which records of the page were shown already: repeats at the border of two pages, and, where a full read shows every
// record once, those that changed while it was paged.
static int32_t mark_fresh(struct read *read, size_t *out_fresh, struct dray_error *error) {
  const struct dray_json *records = records_of(read);
  size_t i = 0;
  *out_fresh = 0;
  uint8_t *fresh = realloc(read->fresh, records->child_count + 1);
  if (fresh == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a page");
  read->fresh = fresh;
  read->fresh_count = records->child_count;
  for (const struct dray_json *record = records->child; record != NULL; record = record->next, i++) {
    const struct dray_json *id = dray_json_get(record, "id");
    const struct dray_json *stamp = read->full ? NULL : dray_json_get(record, read->stream->stamp);
    const int by_list = read->stream->how == ZENDESK_BY_LIST;
    int is_new = 1;
    if (id != NULL && !by_list && (read->full || read->stream->how == ZENDESK_BY_TIME)) {
      const struct dray_str version = stamp != NULL ? stamp->text : dray_str_make(NULL, 0);
      DRAY_TRY(zendesk_seen_add(&read->seen, zendesk_seen_mark(id->text, version), &is_new, error));
    }
    fresh[i] = (uint8_t)is_new;
    *out_fresh += (size_t)is_new;
    const int64_t seconds = zendesk_record_stamp(read->stream, record);
    if (seconds > read->at.seen) read->at.seen = seconds;
  }
  return DRAY_OK;
}

static int32_t after_cursor_page(struct read *read, struct dray_error *error) {
  const struct dray_json *end = dray_json_get(read->page, "end_of_stream");
  const struct dray_str cursor = dray_json_string(dray_json_get(read->page, "after_cursor"), "");
  read->ended = end != NULL && end->kind == DRAY_JSON_BOOL && end->boolean;
  if (cursor.len == 0) { // only an export without any record has none
    if (read->ended) return DRAY_OK;
    return dray_fail(error, DRAY_E_HTTP_CONTENT, "%s: a page has neither after_cursor nor end_of_stream", read->name);
  }
  dray_buffer_clear(&read->at.cursor);
  return dray_buffer_append(&read->at.cursor, cursor.data, cursor.len, error);
}

// More records have one time than the page holds, and the next page would be the same one again: a larger one is asked
// for. Only where that was the largest there is, the rest of the second cannot be had.
static int32_t stay_in_second(struct read *read, struct dray_error *error) {
  if (zendesk_page_size_grow(&read->size, read->asked, EXPORT_PAGE_MAX)) return DRAY_OK;
  if (read->asked < EXPORT_PAGE_MAX) {
    read->size.held = read->asked;
    return fail_second(read, error);
  }
  dray_log_printf(&read->client->services, DRAY_LOG_WARN,
                  "%s: more than %lld records changed in the second %lld, and Zendesk shows no more of them; those "
                  "that are not shown are read when they change again",
                  read->name, (long long)read->asked, (long long)read->at.start);
  read->at.start++;
  zendesk_page_size_moved(&read->size);
  return DRAY_OK;
}

static int32_t after_time_page(struct read *read, size_t fresh, struct dray_error *error) {
  const struct dray_json *end = dray_json_get(read->page, "end_of_stream");
  const struct dray_json *time = dray_json_get(read->page, "end_time");
  const struct dray_json *next = dray_json_get(read->page, "next_page");
  const int says = end != NULL && end->kind == DRAY_JSON_BOOL;
  const int goes_on = next != NULL && next->kind == DRAY_JSON_STRING;
  int64_t until = read->at.start;
  if (time != NULL && time->kind == DRAY_JSON_NUMBER) DRAY_TRY(dray_parse_int64(time->text, &until, error));
  const int grows = until > read->at.start;
  const size_t count = records_of(read)->child_count;
  // A page that is full of what was shown already is no end: a larger one had the same records before.
  const int repeats = !grows && fresh == 0 && (int64_t)count < read->asked;
  read->ended = says ? end->boolean : (!goes_on || count == 0 || repeats);
  if (!grows && count == 0) read->ended = 1; // the same nothing for ever
  if (!grows) return read->ended ? DRAY_OK : stay_in_second(read, error);
  read->at.start = until;
  zendesk_page_size_moved(&read->size);
  if (read->full || read->ended) return DRAY_OK;
  zendesk_seen_clear(&read->seen); // only the last page's records can come again now
  return mark_fresh(read, &fresh, error);
}

static int32_t after_list_page(struct read *read, struct dray_error *error) {
  char path[256];
  (void)snprintf(path, sizeof(path), "%s", read->stream->path);
  dray_buffer_clear(&read->next);
  if ((read->stream->flags & ZENDESK_SINCE) != 0 && read->at.start > 0) {
    (void)snprintf(path, sizeof(path), "%s?start_time=%lld", read->stream->path, (long long)read->at.start);
  }
  DRAY_TRY(zendesk_next_page(read->client, read->page, path, read->size.now, &read->next, error));
  read->ended = read->next.len == 0;
  return DRAY_OK;
}

// The lists of the page's tickets come next, and then the export goes on. Of a deleted ticket there is none.
static int32_t after_tickets_page(struct read *read, uint64_t number, struct dray_error *error) {
  size_t i = 0;
  zendesk_children_begin(&read->children, number + 1);
  for (const struct dray_json *record = records_of(read)->child; record != NULL; record = record->next, i++) {
    const int gone = dray_str_is(dray_json_string(dray_json_get(record, "status"), ""), "deleted");
    if (gone || !read->fresh[i]) continue;
    DRAY_TRY(zendesk_children_of(&read->children, record, read->stream->child, error));
  }
  read->record = NULL; // tickets are rows of another stream
  return after_cursor_page(read, error);
}

static int32_t take_list(struct read *read, uint64_t number, struct dray_error *error) {
  const struct dray_json *records = dray_json_get(read->page, read->stream->child);
  if (records == NULL || records->kind != DRAY_JSON_ARRAY) return fail_list(read, read->stream->child, error);
  uint8_t *fresh = realloc(read->fresh, records->child_count + 1);
  if (fresh == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a page");
  read->fresh = fresh;
  memset(fresh, 1, records->child_count + 1);
  read->record = records->child;
  const char *path = zendesk_children_path(&read->children, number);
  char list[200];
  (void)snprintf(list, sizeof(list), "%.*s", (int)strcspn(path, "?"), path);
  dray_buffer_clear(&read->next);
  DRAY_TRY(zendesk_next_page(read->client, read->page, list, read->child_size.now, &read->next, error));
  return read->next.len > 0 ? zendesk_children_add(&read->children, read->next.data, error) : DRAY_OK;
}

static int32_t take_page(struct read *read, uint64_t number, struct dray_error *error) {
  size_t fresh = 0;
  const struct dray_json *records = records_of(read);
  if (zendesk_children_path(&read->children, number) != NULL) return take_list(read, number, error);
  if (records == NULL || records->kind != DRAY_JSON_ARRAY) return fail_list(read, read->stream->records, error);
  DRAY_TRY(mark_fresh(read, &fresh, error));
  read->record = records->child;
  switch (read->stream->how) {
  case ZENDESK_BY_TICKET:
    return after_tickets_page(read, number, error);
  case ZENDESK_BY_CURSOR:
    return after_cursor_page(read, error);
  case ZENDESK_BY_TIME: {
    uint8_t *marks = malloc(read->fresh_count + 1); // as they were before the page's own records were remembered
    if (marks == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a page");
    memcpy(marks, read->fresh, read->fresh_count);
    const int32_t rc = after_time_page(read, fresh, error);
    memcpy(read->fresh, marks, read->fresh_count);
    free(marks);
    return rc;
  }
  default:
    return after_list_page(read, error);
  }
}

static int32_t answered(void *self, uint64_t number, const struct dray_api_answer *answer, int32_t *out,
                        struct dray_error *error) {
  struct read *read = self;
  zendesk_told(read->client, answer);
  dray_json_free(read->page);
  read->page = NULL;
  read->record = NULL;
  if (answer->status >= 400) return not_a_page(read, number, answer, out, error);
  read->throttled = 0;
  const int32_t rc = dray_api_json(answer, ZENDESK_ANSWER_BYTES_MAX, &read->page, error);
  if (rc != DRAY_OK) return error != NULL ? dray_error_prefix(error, "page %llu", (unsigned long long)number + 1) : rc;
  const int is_child = zendesk_children_path(&read->children, number) != NULL;
  zendesk_page_size_passed(is_child ? &read->child_size : &read->size, answer->body.len, ZENDESK_ANSWER_BYTES_MAX);
  DRAY_TRY(take_page(read, number, error));
  read->record_index = 0;
  read->metrics = NULL;
  read->answered = number + 1;
  return DRAY_OK;
}

// ---- rows ----

static int32_t take_deleted(struct read *read, const struct dray_json *record, struct dray_builder *builder,
                            struct dray_error *error) {
  if (read->full || !read->client->settings.include_deleted) return DRAY_OK; // it does not exist
  return zendesk_rows_add_deleted(&read->rows, record, builder, error);
}

// Comments are the child events of type Comment.
static int32_t take_comments(struct read *read, const struct dray_json *event, struct dray_builder *builder,
                             struct dray_error *error) {
  const struct dray_json *children = dray_json_get(event, "child_events");
  if (children == NULL || children->kind != DRAY_JSON_ARRAY) return DRAY_OK;
  for (const struct dray_json *child = children->child; child != NULL; child = child->next) {
    const struct dray_str type = dray_json_string(dray_json_get(child, "event_type"), "");
    const struct dray_str other = dray_json_string(dray_json_get(child, "type"), "");
    if (!dray_str_is(type, "Comment") && !dray_str_is(other, "Comment")) continue;
    if (dray_json_get(child, "id") == NULL) continue; // only a note that there is one: no sideload was given
    DRAY_TRY(zendesk_rows_add(&read->rows, child, event, builder, error));
  }
  return DRAY_OK;
}

// A ticket's metrics stand in it as metric_set, or beside the tickets in metric_sets, in their order.
static const struct dray_json *metrics_of(struct read *read, const struct dray_json *ticket) {
  const struct dray_json *own = dray_json_get(ticket, "metric_set");
  const struct dray_json *sets = dray_json_get(read->page, "metric_sets");
  const struct dray_json *id = dray_json_get(ticket, "id");
  if (own != NULL && own->kind == DRAY_JSON_OBJECT) return own;
  if (sets == NULL || sets->kind != DRAY_JSON_ARRAY || id == NULL) return NULL;
  const struct dray_json *at = read->metrics != NULL ? read->metrics : sets->child;
  for (size_t i = 0; i < sets->child_count && at != NULL; i++) {
    const struct dray_json *of = dray_json_get(at, "ticket_id");
    if (of != NULL && dray_str_equal(of->text, id->text)) {
      read->metrics = at->next;
      return at;
    }
    at = at->next != NULL ? at->next : sets->child;
  }
  return NULL;
}

static int32_t take_record(struct read *read, const struct dray_json *record, struct dray_builder *builder,
                           struct dray_error *error) {
  if (zendesk_record_deleted(read->stream, record)) return take_deleted(read, record, builder, error);
  if (read->stream->rows == ZENDESK_ROWS_COMMENTS) return take_comments(read, record, builder, error);
  if (read->stream->rows == ZENDESK_ROWS_RECORDS) return zendesk_rows_add(&read->rows, record, NULL, builder, error);
  const struct dray_json *metrics = metrics_of(read, record);
  return metrics != NULL ? zendesk_rows_add(&read->rows, metrics, record, builder, error) : DRAY_OK;
}

static int32_t take(void *self, uint64_t number, const struct dray_api_answer *answer, struct dray_builder *builder,
                    int32_t *out_more, struct dray_error *error) {
  struct read *read = self;
  (void)number;
  (void)answer; // its tree was made when it came
  read->rows.full = 0;
  while (read->record != NULL && !read->rows.full) {
    const struct dray_json *record = read->record;
    const size_t i = read->record_index++;
    read->record = record->next;
    if (read->fresh[i]) DRAY_TRY(take_record(read, record, builder, error));
  }
  *out_more = read->record != NULL;
  if (*out_more) return DRAY_OK;
  dray_json_free(read->page);
  read->page = NULL;
  return DRAY_OK;
}

static int32_t done(void *self, uint64_t number, uint64_t record_count, struct dray_buffer *state,
                    struct dray_error *error) {
  struct read *read = self;
  (void)record_count;
  if (read->full) return DRAY_OK;
  if (read->stream->how == ZENDESK_BY_TICKET && !zendesk_children_end(&read->children, number)) return DRAY_OK;
  // A list comes in any order: only its end is a safe place.
  if (read->stream->how == ZENDESK_BY_LIST && ((read->stream->flags & ZENDESK_SINCE) == 0 || !read->ended)) {
    return DRAY_OK;
  }
  DRAY_TRY(zendesk_position_write(&read->at, read->stream->def.name, state, error));
  return read->stream->how != ZENDESK_BY_LIST ? dray_start_remember(read->start_us, state, error) : DRAY_OK;
}

// ---- opening ----

// Exports refuse a start_time of the last minute.
static void clamp_start(struct read *read) {
  const struct dray_clock_service *clock = read->client->services.clock;
  const int64_t latest = clock->now_us(clock->ctx) / SECOND_US - START_AGE_LEAST_S;
  if (read->stream->how != ZENDESK_BY_LIST && read->at.start > latest) read->at.start = latest;
}

// Where an incremental read begins: exports by time and lists a little before the end of the last one.
static int32_t begin_at(struct read *read, struct dray_str state, struct dray_error *error) {
  const struct zendesk_settings *settings = &read->client->settings;
  const int64_t first = read->start_us / SECOND_US;
  zendesk_position_free(&read->at);
  zendesk_position_init(&read->at);
  read->at.start = read->stream->how == ZENDESK_BY_LIST ? 0 : first;
  clamp_start(read);
  if (state.len == 0) return DRAY_OK;
  DRAY_TRY(zendesk_position_read(&read->at, read->stream->def.name, state, error));
  if (read->stream->how == ZENDESK_BY_LIST && read->at.seen >= 0) read->at.start = read->at.seen;
  if (read->stream->how != ZENDESK_BY_CURSOR && read->stream->how != ZENDESK_BY_TICKET) {
    // Metric events of the very second of start_time are left out by some accounts: one second is the least.
    const int64_t overlap = settings->overlap_seconds > 0 ? settings->overlap_seconds : 1;
    read->at.start = read->at.start > overlap ? read->at.start - overlap : 0;
  }
  if (read->stream->how != ZENDESK_BY_LIST && read->at.start < first) read->at.start = first;
  clamp_start(read);
  return DRAY_OK;
}

// Custom fields that were columns and may not be seen now would be left behind for good, since what has changed in them
// is not read again: so the stream stands still. When they come for the first time, it is read from its beginning.
static int32_t begin_with_custom(struct read *read, const struct zendesk_fields *fields, struct dray_error *error) {
  const int custom = fields != NULL && fields->loaded && fields->refused[0] == '\0';
  const int before = read->at.custom;
  if (read->stream->fields == ZENDESK_NO_FIELDS) return DRAY_OK;
  if (before != 0 && fields != NULL && fields->refused[0] != '\0' && read->resumes) {
    return dray_fail(error, DRAY_E_AUTH_FORBIDDEN,
                     "%s, and so custom fields that were columns of %s would be left behind: grant the right again, or "
                     "set flatten_custom_fields: false",
                     fields->refused, read->stream->def.name);
  }
  if (before == 0 && custom && read->resumes) {
    dray_log_printf(&read->client->services, DRAY_LOG_INFO,
                    "zendesk: custom fields are columns of %s now: it is read from its beginning",
                    read->stream->def.name);
    DRAY_TRY(begin_at(read, dray_str_make(NULL, 0), error));
  }
  read->at.custom = custom;
  return DRAY_OK;
}

static int32_t make_read(struct zendesk_client *client, const struct zendesk_stream *stream,
                         const struct zendesk_fields *fields, const struct dray_read_request *request,
                         struct read **out, struct dray_error *error) {
  struct read *read = calloc(1, sizeof(*read));
  if (read == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a stream");
  read->client = client;
  read->stream = stream;
  read->full = request->mode == DRAY_READ_FULL;
  int64_t page_size = client->settings.page_size;
  if (stream->how == ZENDESK_BY_LIST && page_size > ZENDESK_LIST_PAGE) page_size = ZENDESK_LIST_PAGE;
  if (stream->how == ZENDESK_BY_TICKET && page_size > TICKETS_WITH_LISTS) page_size = TICKETS_WITH_LISTS;
  zendesk_page_size_init(&read->size, page_size);
  zendesk_page_size_init(&read->child_size, ZENDESK_LIST_PAGE);
  (void)snprintf(read->name, sizeof(read->name), "zendesk %s", stream->def.name);
  dray_buffer_init(&read->next, PATH_BYTES_MAX);
  struct dray_str state = read->full ? dray_str_make(NULL, 0) : request->state;
  read->start_us = client->settings.start_us;
  int32_t rc = DRAY_OK;
  if (stream->how != ZENDESK_BY_LIST) { // lists are whole, whatever the setting is
    rc = dray_start_resume(&client->services, read->name, &read->start_us, &state, error);
  }
  read->resumes = state.len > 0;
  if (rc == DRAY_OK) rc = begin_at(read, state, error);
  if (rc == DRAY_OK) rc = begin_with_custom(read, fields, error);
  if (rc != DRAY_OK) {
    read_free(read);
    return rc;
  }
  *out = read;
  return DRAY_OK;
}

int32_t zendesk_read_open(struct zendesk_client *client, const struct zendesk_stream *stream,
                          const struct zendesk_fields *fields, const struct dray_read_request *request,
                          struct dray_stream *out, struct dray_error *error) {
  struct read *read = NULL;
  struct dray_selection selection;
  const struct dray_field_list *more = fields != NULL && fields->loaded ? &fields->list : NULL;
  memset(&selection, 0, sizeof(selection));
  DRAY_TRY(zendesk_client_ready(client, error));
  DRAY_TRY(make_read(client, stream, fields, request, &read, error));
  const int tombstones = stream->deleted != NULL && !read->full;
  int32_t rc = dray_selection_make(&stream->def, more, request->columns, request->column_count, 0, tombstones,
                                   &selection, error);
  if (rc == DRAY_OK) rc = zendesk_rows_init(&read->rows, stream, fields, &selection, error);
  if (rc != DRAY_OK) {
    dray_selection_free(&selection);
    read_free(read);
    return rc;
  }
  struct dray_pages_terms terms = {
      .api = &client->api,
      .selection = selection,
      .batch_rows_max = request->batch_rows_max,
      .batch_bytes_max = request->batch_bytes_max,
      .ahead = stream->how == ZENDESK_BY_TICKET ? LISTS_AHEAD : 1,
      .name = read->name,
      .self = read,
      .free_self = read_free,
      .ask = ask,
      .answered = answered,
      .too_large = too_large,
      .take = take,
      .done = done,
  };
  return dray_pages_open(&terms, out, error);
}
