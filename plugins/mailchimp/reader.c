// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Pages by offset, several under way at once, over records that change meanwhile.
//
// A record that changes or goes moves those behind it, so that a page may begin behind where the one before it ended.
// Pages therefore share records: one whose first record was not seen before does not meet the one before it, and what
// lies between is asked for until they meet. What comes twice is passed over. An incremental read ends at the moment it
// began (by their clock), so that what changes meanwhile leaves it and comes with the next one.
#include "reader.h"

#include <stdio.h>
#include <stdlib.h>

#include "reader_inside.h"

#define SHARED_PART 50 // of a page
#define DAY_US (INT64_C(86400) * 1000000)
#define SECOND_US INT64_C(1000000)

static struct mc_task *task_of(struct mc_reader *reader, uint64_t number) {
  return &reader->asked[number % (sizeof(reader->asked) / sizeof(reader->asked[0]))];
}

static int32_t add_task(struct mc_reader *reader, struct mc_task task, struct dray_error *error) {
  if (reader->waiting_count == reader->waiting_capacity) {
    const size_t capacity = reader->waiting_capacity == 0 ? 64 : reader->waiting_capacity * 2;
    struct mc_task *waiting = realloc(reader->waiting, capacity * sizeof(*waiting));
    if (waiting == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for %zu pages", capacity);
    reader->waiting = waiting;
    reader->waiting_capacity = capacity;
  }
  reader->waiting[reader->waiting_count++] = task;
  reader->parents.items[task.parent].open_count++;
  return DRAY_OK;
}

static void reader_free(void *self) {
  struct mc_reader *reader = self;
  mc_parents_free(&reader->parents);
  mc_seen_free(&reader->seen);
  free(reader->waiting);
  dray_buffer_free(&reader->total);
  dray_buffer_free(&reader->constant);
  dray_buffer_free(&reader->deleted);
  dray_json_free(reader->tree);
  free(reader);
}

// ---- asking ----

// From where on the parent is read; INT64_MIN: from the beginning. Asked once: the cursor moves while pages are read.
static int64_t find_since(const struct mc_reader *reader, const struct mc_parent *parent) {
  const struct mc_settings *settings = reader->client->settings;
  if (!reader->incremental) return INT64_MIN;
  if (parent->cursor_us == INT64_MIN) { // their filter leaves out the second that it names
    return reader->start_us != DRAY_START_NONE ? reader->start_us - SECOND_US : INT64_MIN;
  }
  const int64_t lookback_us =
      (reader->stream->flags & MC_LOOKS_BACK) != 0 ? settings->report_lookback_days * DAY_US : 0;
  return parent->cursor_us - settings->overlap_seconds * SECOND_US - lookback_us;
}

static int32_t append_path(const struct mc_reader *reader, const struct mc_parent *parent, struct dray_buffer *path,
                           struct dray_error *error) {
  for (const char *at = reader->stream->path; *at != '\0'; at++) {
    if (*at == '%') {
      const char *id = at[1] == '1' ? parent->first : parent->second;
      DRAY_TRY(dray_api_segment(path, dray_str_of(id), error));
      at++;
    } else {
      DRAY_TRY(dray_buffer_append_char(path, *at, error));
    }
  }
  return DRAY_OK;
}

static int32_t append_time(struct dray_buffer *path, const char *name, int64_t us, struct dray_error *error) {
  char text[DRAY_FORMAT_BYTES_MAX];
  mc_time(us, text);
  return dray_api_query(path, 0, name, dray_str_of(text), error);
}

static int32_t append_request(const struct mc_reader *reader, const struct mc_task *task, struct dray_buffer *path,
                              struct dray_error *error) {
  const struct mc_stream *stream = reader->stream;
  const struct mc_parent *parent = &reader->parents.items[task->parent];
  const int64_t since = parent->since_us;
  DRAY_TRY(append_path(reader, parent, path, error));
  if ((stream->flags & MC_UNPAGED) != 0) return DRAY_OK;
  DRAY_TRY(dray_buffer_printf(path, error, "?count=%llu&offset=%llu&exclude_fields=%s._links,_links",
                              (unsigned long long)reader->page_size, (unsigned long long)task->offset,
                              stream->records));
  if (stream->query != NULL) DRAY_TRY(dray_buffer_printf(path, error, "&%s", stream->query));
  if (parent->half != MC_HALF_SHOWN) DRAY_TRY(dray_buffer_append_str(path, "&status=archived", error));
  if (since != INT64_MIN && stream->since != NULL) DRAY_TRY(append_time(path, stream->since, since, error));
  if (reader->until_us == 0 || stream->before == NULL) return DRAY_OK;
  return append_time(path, stream->before, reader->until_us, error);
}

static int32_t ask(void *self, uint64_t number, struct dray_page_request *request, int32_t *out,
                   struct dray_error *error) {
  struct mc_reader *reader = self;
  if (number == reader->next_number) {
    if (reader->waiting_count == 0) {
      *out = reader->under_way > 0 ? DRAY_PAGE_WAIT : DRAY_PAGE_END;
      return DRAY_OK;
    }
    *task_of(reader, number) = reader->waiting[--reader->waiting_count];
    reader->next_number++;
    reader->under_way++;
  }
  *out = DRAY_PAGE_ASK;
  return append_request(reader, task_of(reader, number), &request->path, error);
}

// ---- answers ----

static void page_is_over(struct mc_reader *reader) {
  reader->under_way--;
  reader->parents.items[reader->current.parent].open_count--;
  reader->tried = 0;
}

static int32_t set_constants(struct mc_reader *reader, struct dray_error *error) {
  const struct mc_parent *parent = &reader->parents.items[reader->current.parent];
  const char *id = reader->stream->constant_of == 2 ? parent->second : parent->first;
  dray_buffer_clear(&reader->constant);
  dray_buffer_clear(&reader->deleted);
  DRAY_TRY(dray_buffer_append_str(&reader->deleted, parent->half == MC_HALF_GONE ? "true" : "false", error));
  return dray_buffer_append_str(&reader->constant, id, error);
}

static int32_t answered(void *self, uint64_t number, const struct dray_api_answer *answer, int32_t *out,
                        struct dray_error *error) {
  struct mc_reader *reader = self;
  reader->current = *task_of(reader, number);
  reader->page_records = 0;
  reader->first_was_seen = 0;
  reader->greatest_us = INT64_MIN;
  if (mc_is_throttled(answer)) {
    *out = DRAY_PAGE_AGAIN;
    return mc_wait_to_retry(reader->client, reader->tried++, error);
  }
  if (answer->status == 404 && reader->stream->of != MC_OF_ACCOUNT) {
    const struct mc_parent *parent = &reader->parents.items[reader->current.parent];
    dray_log_printf(reader->client->services, DRAY_LOG_WARN, "%s: %s%s%s is gone since the read began",
                    reader->stream->def.name, parent->first, parent->second[0] != '\0' ? "/" : "", parent->second);
    page_is_over(reader);
    *out = DRAY_PAGE_SKIP;
    return DRAY_OK;
  }
  if (answer->status >= 400) return mc_fail(answer, reader->stream->def.name, error);
  return set_constants(reader, error);
}

int mc_reader_note(struct mc_reader *reader, struct dray_str id, struct dray_str at) {
  const struct mc_parent *parent = &reader->parents.items[reader->current.parent];
  int64_t us = INT64_MIN;
  int is_new = 1;
  if (at.len > 0 && dray_parse_timestamp(at, &us, NULL) == DRAY_OK && us > reader->greatest_us) {
    reader->greatest_us = us;
  }
  if (id.len > 0) {
    const int32_t rc = mc_seen_add(&reader->seen, mc_seen_key(parent, id), &is_new, NULL);
    if (rc != DRAY_OK) reader->failed = rc;
  }
  if (reader->page_records++ == 0) reader->first_was_seen = !is_new;
  if (!is_new) return 0;
  const int is_old = (reader->stream->flags & MC_FILTERED) != 0 && us != INT64_MIN && us <= parent->since_us;
  return !is_old;
}

static int wanted(void *self, const struct dray_str *values) {
  return mc_reader_note(self, values[0], values[1]);
}

// ---- behind a page ----

// The pages behind the first one, the nearest on top.
static int32_t plan_rest(struct mc_reader *reader, uint64_t total, struct dray_error *error) {
  const uint64_t step = reader->page_size - reader->overlap;
  struct mc_parent *parent = &reader->parents.items[reader->current.parent];
  if (total <= reader->page_size) return DRAY_OK;
  parent->planned = (total - reader->overlap - 1) / step * step;
  for (uint64_t offset = parent->planned; offset > 0; offset -= step) {
    DRAY_TRY(add_task(reader, (struct mc_task){.parent = reader->current.parent, .offset = offset}, error));
  }
  return DRAY_OK;
}

// A page that begins behind where the one before it ended: what lies between is asked for at once.
static int32_t close_gap(struct mc_reader *reader, struct dray_error *error) {
  const struct mc_task *current = &reader->current;
  struct mc_parent *parent = &reader->parents.items[current->parent];
  const int meets = reader->overlap == 0 || current->offset == 0 || reader->first_was_seen || reader->page_records == 0;
  if (meets) {
    if (current->is_gap) parent->gaps--;
    return DRAY_OK;
  }
  if (!current->is_gap) parent->gaps++;
  const uint64_t back = reader->page_size - reader->overlap;
  const struct mc_task gap = {
      .parent = current->parent, .is_gap = 1, .offset = current->offset > back ? current->offset - back : 0};
  dray_log_printf(reader->client->services, DRAY_LOG_INFO,
                  "%s: records moved while they were read; asking again from %llu", reader->stream->def.name,
                  (unsigned long long)gap.offset);
  return add_task(reader, gap, error);
}

static uint64_t total_of(const struct mc_reader *reader) {
  int64_t total = 0;
  if (reader->total.len == 0 || dray_parse_int64(dray_buffer_view(&reader->total), &total, NULL) != DRAY_OK) return 0;
  return total > 0 ? (uint64_t)total : 0;
}

static int32_t plan_more(struct mc_reader *reader, uint64_t record_count, struct dray_error *error) {
  const struct mc_task *current = &reader->current;
  struct mc_parent *parent = &reader->parents.items[current->parent];
  const uint64_t total = total_of(reader);
  if ((reader->stream->flags & MC_UNPAGED) != 0) return DRAY_OK;
  if (current->offset == 0 && !current->is_gap) return plan_rest(reader, total, error);
  DRAY_TRY(close_gap(reader, error));
  if (current->is_gap || current->offset != parent->planned || record_count < reader->page_size ||
      current->offset + record_count >= total) {
    return DRAY_OK;
  }
  parent->planned += reader->page_size - reader->overlap; // it has grown
  return add_task(reader, (struct mc_task){.parent = current->parent, .offset = parent->planned}, error);
}

// What is behind the cursor was given out.
static void move_cursor(struct mc_reader *reader) {
  struct mc_parent *parent = &reader->parents.items[reader->current.parent];
  if (reader->greatest_us > parent->seen_us) parent->seen_us = reader->greatest_us;
  const int sorted = (reader->stream->flags & MC_SORTED) != 0;
  if (parent->gaps > 0 || (!sorted && parent->open_count > 0)) return;
  if (parent->seen_us > parent->cursor_us) parent->cursor_us = parent->seen_us;
  // All of it was read up to where the read ends: what changed last in a quiet audience is not read each time.
  const int64_t end_us = reader->stream->before != NULL ? reader->until_us - SECOND_US : INT64_MIN;
  if (parent->open_count == 0 && reader->until_us != 0 && end_us > parent->cursor_us) parent->cursor_us = end_us;
}

static int32_t done(void *self, uint64_t number, uint64_t record_count, struct dray_buffer *state,
                    struct dray_error *error) {
  struct mc_reader *reader = self;
  (void)number;
  if (reader->failed != DRAY_OK) return dray_fail(error, reader->failed, "no memory to remember the records of a page");
  if ((reader->stream->flags & MC_BY_HAND) != 0) record_count = reader->page_records;
  DRAY_TRY(plan_more(reader, record_count, error));
  page_is_over(reader);
  if (!reader->incremental) return DRAY_OK; // a full read begins anew
  move_cursor(reader);
  DRAY_TRY(mc_state_write(reader->stream, &reader->parents, state, error));
  return dray_start_remember(reader->start_us, state, error);
}

// ---- opening ----

// Where archived members are left out, the first read of an audience leaves its archive alone: nobody of it was ever
// given out. Who is archived from then on has to be taken back. One that was read before without this is read whole,
// also where an earlier start_date has just made it begin again.
static int leaves_alone(const struct mc_reader *reader, size_t i) {
  const struct mc_parent *parent = &reader->parents.items[i];
  return parent->half == MC_HALF_GONE && !parent->known && reader->until_us != 0;
}

// An earlier start_date: everything is read again, but who is gone was told up to where that was read.
static int32_t begin_again(struct mc_reader *reader, struct dray_str state, struct dray_error *error) {
  const uint64_t len = state.len;
  DRAY_TRY(dray_start_resume(reader->client->services, reader->stream->def.name, &reader->start_us, &state, error));
  for (size_t i = 0; i < reader->parents.count && state.len < len; i++) {
    if (reader->parents.items[i].half != MC_HALF_GONE) reader->parents.items[i].cursor_us = INT64_MIN;
  }
  return DRAY_OK;
}

static int32_t begin(struct mc_reader *reader, const struct dray_read_request *request, struct dray_error *error) {
  const struct mc_settings *settings = reader->client->settings;
  reader->start_us = settings->start_us != 0 ? settings->start_us : DRAY_START_NONE;
  reader->page_size = (uint64_t)settings->page_size;
  reader->overlap = reader->page_size / SHARED_PART + 1;
  const int32_t archive = reader->tombstones ? MC_HALF_GONE : settings->include_archived ? MC_HALF_ARCHIVED : 0;
  DRAY_TRY(mc_parents_load(reader->client, reader->stream, archive, &reader->parents, error));
  if (reader->incremental) {
    DRAY_TRY(mc_state_read(request->state, reader->stream, &reader->parents, error));
    DRAY_TRY(begin_again(reader, request->state, error));
    // The end is exclusive, and of whole seconds.
    if (reader->client->their_now_us != 0) reader->until_us = reader->client->their_now_us + SECOND_US;
  }
  for (size_t i = reader->parents.count; i-- > 0;) {
    if (leaves_alone(reader, i)) {
      reader->parents.items[i].cursor_us = reader->until_us - SECOND_US;
      continue;
    }
    reader->parents.items[i].since_us = find_since(reader, &reader->parents.items[i]);
    DRAY_TRY(add_task(reader, (struct mc_task){.parent = (uint32_t)i}, error));
  }
  return DRAY_OK;
}

static void find_columns(struct mc_reader *reader, const struct dray_selection *selection) {
  for (size_t i = 0; i < MC_ACTIVITY_COLUMNS; i++) {
    reader->columns[i] = dray_selection_find(selection, reader->stream->def.fields[i].name);
  }
}

// What the pages are read with; the selection is taken over.
static int32_t open_pages(struct mc_reader *reader, struct dray_selection *selection,
                          const struct dray_read_request *request, struct dray_stream *out, struct dray_error *error) {
  const struct mc_stream *stream = reader->stream;
  const int by_hand = (stream->flags & MC_BY_HAND) != 0;
  const ptrdiff_t constant_at = stream->constant != NULL ? dray_selection_find(selection, stream->constant) : -1;
  char name[64], records[40];
  (void)snprintf(name, sizeof(name), "mailchimp %s", stream->def.name);
  (void)snprintf(records, sizeof(records), "%s[*]", stream->records);
  dray_buffer_init(&reader->total, 40);
  dray_buffer_init(&reader->constant, 100);
  dray_buffer_init(&reader->deleted, 10);
  reader->captures[0] = (struct dray_json_capture){.path = "total_items", .out = &reader->total};
  size_t constant_count = 0;
  if (constant_at >= 0) {
    reader->constants[constant_count++] =
        (struct dray_json_constant){.column = (size_t)constant_at, .text = &reader->constant};
  }
  if (selection->deleted_column >= 0) {
    reader->constants[constant_count++] =
        (struct dray_json_constant){.column = (size_t)selection->deleted_column, .text = &reader->deleted};
  }
  reader->members[0] = stream->key;
  reader->members[1] = stream->def.cursor;
  if (by_hand) find_columns(reader, selection);
  struct dray_pages_terms terms = {.api = &reader->client->api,
                                   .selection = *selection,
                                   .batch_rows_max = request->batch_rows_max,
                                   .batch_bytes_max = request->batch_bytes_max,
                                   .ahead = (uint32_t)reader->client->settings->max_connections,
                                   .records_path = records,
                                   .members = reader->members,
                                   .member_count = stream->def.cursor != NULL ? 2 : 1,
                                   .wanted = wanted,
                                   .empty_is_null = 1,
                                   .constants = reader->constants,
                                   .constant_count = constant_count,
                                   .captures = reader->captures,
                                   .capture_count = 1,
                                   .name = name,
                                   .self = reader,
                                   .free_self = reader_free,
                                   .ask = ask,
                                   .answered = answered,
                                   .take = by_hand ? mc_activity_take : NULL,
                                   .done = done};
  return dray_pages_open(&terms, out, error);
}

static int32_t check_request(const struct mc_stream *stream, const struct dray_read_request *request,
                             struct dray_error *error) {
  const int incremental = request->mode == DRAY_READ_INCREMENTAL;
  if (incremental && (stream->def.modes & DRAY_STREAM_INCREMENTAL) == 0) {
    return dray_fail_field(error, DRAY_E_CONFIG_VALUE, "mode", "%s can only be read in full", stream->def.name);
  }
  if (request->cursor.len > 0 && (stream->def.cursor == NULL || !dray_str_is(request->cursor, stream->def.cursor))) {
    return dray_fail_field(error, DRAY_E_CONFIG_VALUE, "cursor", "the cursor of %s is %s", stream->def.name,
                           stream->def.cursor != NULL ? stream->def.cursor : "none");
  }
  return DRAY_OK;
}

int32_t mc_reader_open(struct mc_client *client, const struct mc_stream *stream,
                       const struct dray_field_list *merge_fields, const struct dray_read_request *request,
                       struct dray_stream *out, struct dray_error *error) {
  struct dray_selection selection;
  const int incremental = request->mode == DRAY_READ_INCREMENTAL;
  // A full read shows who is gone by not showing them.
  const int tombstones = incremental && stream->of == MC_OF_LIST_AND_ARCHIVE && !client->settings->include_archived;
  DRAY_TRY(check_request(stream, request, error));
  DRAY_TRY(dray_selection_make(&stream->def, merge_fields, request->columns, (size_t)request->column_count, 0,
                               tombstones, &selection, error));
  struct mc_reader *reader = calloc(1, sizeof(*reader));
  if (reader == NULL) {
    dray_selection_free(&selection);
    return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a stream");
  }
  reader->client = client;
  reader->stream = stream;
  reader->incremental = incremental;
  reader->tombstones = tombstones;
  const int32_t rc = begin(reader, request, error);
  if (rc != DRAY_OK) {
    dray_selection_free(&selection);
    reader_free(reader);
    return rc;
  }
  return open_pages(reader, &selection, request, out, error);
}
