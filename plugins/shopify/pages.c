// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Pages: sized by their cost, asked for ahead, turned into lines.
#include "pages.h"

#include <stdio.h>
#include <stdlib.h>

#define SECOND_US INT64_C(1000000)
#define COST_MAX 1000.0  // of one query
#define COST_AIMED 900.0 // what pages are sized for
#define DEEP_MAX 20000u  // records of one query: a connection may end at 25,000
#define SMALLER_MAX 8    // how often a page is made smaller before it is given up
#define LINES_BYTES_MAX (2 * SHOPIFY_ANSWER_BYTES_MAX)
#define LINES_BYTES_AIMED (UINT64_C(1) << 20) // more are not collected before they are given out
#define BELOW_BYTES_AIMED 4194304.0           // of a page of records below a parent

// ---- life ----

int32_t shopify_pages_open(struct shopify_pages *pages, struct shopify_client *client,
                           const struct shopify_stream *stream, const struct shopify_selection *selection,
                           struct shopify_position *position, int by_time, struct dray_error *error) {
  memset(pages, 0, sizeof(*pages));
  pages->client = client;
  pages->stream = stream;
  pages->selection = selection;
  pages->position = position;
  pages->by_time = by_time && stream->sort != NULL;
  pages->size_max = pages->below_max = client->settings->page_size;
  pages->first = shopify_page_size(stream, selection, pages->size_max);
  pages->began_us = pages->last_us = SHOPIFY_TIME_NONE;
  dray_buffer_init(&pages->document, SHOPIFY_BODY_BYTES_MAX);
  dray_buffer_init(&pages->document_below, SHOPIFY_BODY_BYTES_MAX);
  dray_buffer_init(&pages->filter, SHOPIFY_BODY_BYTES_MAX);
  dray_buffer_init(&pages->body, SHOPIFY_BODY_BYTES_MAX);
  dray_buffer_init(&pages->body_below, SHOPIFY_BODY_BYTES_MAX);
  dray_buffer_init(&pages->variables, SHOPIFY_BODY_BYTES_MAX);
  dray_buffer_init(&pages->lines, LINES_BYTES_MAX);
  dray_buffer_init(&pages->denied, SHOPIFY_BODY_BYTES_MAX);
  dray_buffer_init(&pages->after_below, SHOPIFY_BODY_BYTES_MAX);
  int32_t rc = shopify_document_page(stream, selection, pages->by_time, &pages->document, error);
  if (rc == DRAY_OK && (stream->kind == SHOPIFY_CONNECTION || stream->kind == SHOPIFY_NESTED)) {
    rc = shopify_document_below(stream, selection, &pages->document_below, error);
  }
  if (rc != DRAY_OK) shopify_pages_close(pages);
  return rc;
}

void shopify_pages_close(struct shopify_pages *pages) {
  dray_api_drop(pages->pending);
  shopify_given_free(&pages->given);
  shopify_reply_free(&pages->page);
  dray_buffer_free(&pages->document);
  dray_buffer_free(&pages->document_below);
  dray_buffer_free(&pages->filter);
  dray_buffer_free(&pages->body);
  dray_buffer_free(&pages->body_below);
  dray_buffer_free(&pages->variables);
  dray_buffer_free(&pages->lines);
  dray_buffer_free(&pages->denied);
  dray_buffer_free(&pages->after_below);
  memset(pages, 0, sizeof(*pages));
}

// ---- asking ----

// Cost grows with the size of the page; what the API says of it replaces this.
static void set_size(struct shopify_pages *pages, int64_t first) {
  const double grown = pages->shape.cost * (double)first / (double)pages->first;
  pages->first = first;
  pages->shape.cost = grown < COST_MAX ? grown : COST_MAX;
}

static void estimate(struct shopify_pages *pages) {
  double each = pages->selection->objects;
  if (pages->stream->kind == SHOPIFY_CONNECTION) each = 3 + SHOPIFY_BELOW_FIRST * each;
  if (pages->stream->kind == SHOPIFY_NESTED) each = 4 + SHOPIFY_BELOW_FIRST * each;
  const double cost = 2 + each * (double)pages->first;
  pages->shape.cost = cost < COST_MAX ? cost : COST_MAX;
}

static int32_t write_variables(struct shopify_pages *pages, struct dray_error *error) {
  struct dray_json_writer writer;
  dray_buffer_clear(&pages->filter);
  dray_buffer_clear(&pages->variables);
  DRAY_TRY(shopify_filter(pages->stream, pages->position->from_us, &pages->filter, error));
  if (pages->stream->kind == SHOPIFY_SINGLE) return DRAY_OK;
  dray_json_writer_init(&writer, &pages->variables, error);
  dray_json_begin_object(&writer);
  dray_json_key(&writer, "first");
  dray_json_write_int(&writer, pages->first);
  if (pages->position->after[0] != '\0') {
    dray_json_key(&writer, "after");
    dray_json_write_text(&writer, pages->position->after);
  }
  if (pages->filter.len > 0) {
    dray_json_key(&writer, "query");
    dray_json_write_str(&writer, dray_buffer_view(&pages->filter));
  }
  dray_json_end_object(&writer);
  return dray_json_writer_finish(&writer);
}

static int32_t describe(struct shopify_pages *pages, struct dray_error *error) {
  DRAY_TRY(write_variables(pages, error));
  dray_buffer_clear(&pages->body);
  DRAY_TRY(shopify_body(&pages->body, dray_buffer_view(&pages->document), dray_buffer_view(&pages->variables), error));
  pages->request = (struct shopify_request){
      .body = dray_buffer_view(&pages->body), .flags = DRAY_HTTP_IDEMPOTENT, .shape = &pages->shape};
  return DRAY_OK;
}

static int is_too_much(int32_t rc, const struct dray_error *why) {
  return rc == DRAY_E_HTTP_SERVER || rc == DRAY_E_NET_TIMEOUT || rc == DRAY_E_LIMIT ||
         strcmp(why->vendor_code, "MAX_COST_EXCEEDED") == 0;
}

// A cursor of an earlier run may not be known any more; its query begins again, which repeats and skips nothing.
static int is_old_cursor(const struct shopify_pages *pages, int32_t rc, const struct dray_error *why) {
  return rc == DRAY_E_HTTP_STATUS && !pages->started && pages->position->after[0] != '\0' &&
         strcasestr(why->text, "cursor") != NULL;
}

static int32_t ask_page(struct shopify_pages *pages, struct shopify_reply *out, struct dray_error *error) {
  struct dray_error why;
  int32_t rc = DRAY_OK;
  for (int smaller = 0;; smaller++) {
    dray_error_init(&why);
    if (pages->pending != NULL) {
      struct dray_api_pending *pending = pages->pending;
      pages->pending = NULL;
      rc = shopify_receive(pages->client, &pages->request, pending, out, &why);
    } else {
      rc = describe(pages, &why);
      if (rc == DRAY_OK) rc = shopify_ask(pages->client, &pages->request, out, &why);
    }
    if (rc == DRAY_OK || smaller == SMALLER_MAX) break;
    if (is_old_cursor(pages, rc, &why)) {
      dray_log_printf(pages->client->services, DRAY_LOG_WARN,
                      "%s: the place in the pages is not known any more, the "
                      "query begins again",
                      pages->stream->def.name);
      pages->position->after[0] = '\0';
    } else if (is_too_much(rc, &why) && pages->first > 1) {
      set_size(pages, pages->first / 2);
    } else {
      break;
    }
  }
  if (rc != DRAY_OK && error != NULL) *error = why;
  return rc;
}

static int32_t prefetch(struct shopify_pages *pages, struct dray_error *error) {
  const double cost = pages->shape.cost;
  if (cost > 0 && pages->first < pages->size_max) {
    const double fits = (double)pages->first * COST_AIMED / cost;
    const int64_t first = fits < (double)pages->size_max ? (int64_t)fits : pages->size_max;
    if (first >= pages->first + pages->first / 2 + 1) set_size(pages, first);
  }
  DRAY_TRY(describe(pages, error));
  return shopify_send(pages->client, &pages->request, &pages->pending, error);
}

// ---- errors beside data ----

static struct dray_str last_name(const struct dray_json *path) {
  struct dray_str name = {NULL, 0};
  for (const struct dray_json *step = path != NULL ? path->child : NULL; step != NULL; step = step->next) {
    if (step->kind == DRAY_JSON_STRING) name = step->text;
  }
  return name;
}

// Whether the records themselves are in the member.
static int holds_records(const struct shopify_stream *stream, struct dray_str member) {
  return (stream->below != NULL && dray_str_is(member, stream->below)) ||
         (stream->list != NULL && dray_str_is(member, stream->list));
}

// A member that may not be seen is null in every record: said once. All else makes the page worthless, as a null would
// be a lie.
static int32_t look_at_errors(struct shopify_pages *pages, const struct shopify_reply *reply,
                              struct dray_error *error) {
  for (const struct dray_json *one = reply->errors != NULL ? reply->errors->child : NULL; one != NULL;
       one = one->next) {
    const struct dray_str code = shopify_error_code(one);
    const struct dray_str message = dray_json_string(dray_json_get(one, "message"), "");
    const struct dray_str member = last_name(dray_json_get(one, "path"));
    char marked[256];
    if (!dray_str_is(code, "ACCESS_DENIED") || member.len == 0) {
      return dray_fail(error, DRAY_E_HTTP_SERVER, "Shopify answered only a part of a page: %.*s",
                       DRAY_STR_ARG(message));
    }
    if (holds_records(pages->stream, member)) {
      const int32_t rc = dray_fail(error, DRAY_E_AUTH_FORBIDDEN, "Shopify answered: %.*s", DRAY_STR_ARG(message));
      if (error != NULL) (void)snprintf(error->vendor_code, sizeof(error->vendor_code), "ACCESS_DENIED");
      return rc;
    }
    (void)snprintf(marked, sizeof(marked), " %.*s ", DRAY_VALUE_ARG(member));
    if (pages->denied.len > 0 && strstr(pages->denied.data, marked) != NULL) continue;
    DRAY_TRY(dray_buffer_append_str(&pages->denied, marked, error));
    dray_log_printf(pages->client->services, DRAY_LOG_WARN, "%s: %.*s may not be seen and is null: %.*s",
                    pages->stream->def.name, DRAY_STR_ARG(member), DRAY_STR_ARG(message));
  }
  return DRAY_OK;
}

// ---- lines ----

// A record, with the id of what it is below (`parent`, len 0: of nothing) and of what that is in (`owner`, likewise).
// Shopify may leave out the id of a record that is below another (RefundLineItem): such a one never moves, so its place
// in its parent tells it from the others.
static int32_t write_line(struct shopify_pages *pages, const struct dray_json *record, struct dray_str parent,
                          struct dray_str owner, struct dray_error *error) {
  struct dray_json_writer writer;
  dray_json_writer_init(&writer, &pages->lines, error);
  if (parent.len == 0) {
    dray_json_write_value(&writer, record);
  } else {
    dray_json_begin_object(&writer);
    for (const struct dray_json *member = record->child; member != NULL; member = member->next) {
      dray_json_key_str(&writer, member->name);
      if (member->kind == DRAY_JSON_NULL && dray_str_is(member->name, "id")) {
        char id[SHOPIFY_GID_BYTES_MAX + 32];
        (void)snprintf(id, sizeof(id), "%.*s#%llu", DRAY_VALUE_ARG(parent), (unsigned long long)pages->place);
        dray_json_write_text(&writer, id);
      } else {
        dray_json_write_value(&writer, member);
      }
    }
    dray_json_key(&writer, "__parentId");
    dray_json_write_str(&writer, parent);
    if (owner.len > 0) {
      dray_json_key(&writer, "__ownerId");
      dray_json_write_str(&writer, owner);
    }
    dray_json_end_object(&writer);
  }
  DRAY_TRY(dray_json_writer_finish(&writer));
  return dray_buffer_append_char(&pages->lines, '\n', error);
}

// Where a connection goes on; len 0: it does not.
static struct dray_str next_cursor(const struct dray_json *connection) {
  const struct dray_json *more = dray_json_path(connection, "pageInfo.hasNextPage");
  if (more == NULL || !more->boolean) return dray_str_make(NULL, 0);
  return dray_json_string(dray_json_path(connection, "pageInfo.endCursor"), "");
}

// The records of a page of the connection below `parent`; notes where it goes on.
static int32_t write_below(struct shopify_pages *pages, const struct dray_json *connection, struct dray_error *error) {
  const struct dray_json *nodes = dray_json_get(connection, "nodes");
  const struct dray_str after = next_cursor(connection);
  const size_t before = pages->lines.len;
  for (const struct dray_json *node = nodes != NULL ? nodes->child : NULL; node != NULL; node = node->next) {
    if (node->kind != DRAY_JSON_OBJECT) continue;
    pages->place++;
    pages->below_count++;
    DRAY_TRY(write_line(pages, node, pages->parent, pages->owner, error));
  }
  pages->below_bytes += pages->lines.len - before;
  dray_buffer_clear(&pages->after_below);
  return dray_buffer_append(&pages->after_below, after.data, (size_t)after.len, error);
}

// ---- the records below a parent that did not fit into its page ----

// So many that they neither cost nor, by what was seen, weigh too much.
static int64_t size_below(const struct shopify_pages *pages) {
  double size = COST_AIMED / pages->selection->objects;
  if (pages->below_count > 0 && pages->below_bytes > 0) {
    const double fits = BELOW_BYTES_AIMED * (double)pages->below_count / (double)pages->below_bytes;
    if (fits < size) size = fits;
  }
  if (size < 1) return 1;
  return size < (double)pages->below_max ? (int64_t)size : pages->below_max;
}

static int32_t describe_below(struct shopify_pages *pages, int64_t first, struct shopify_request *request,
                              struct dray_error *error) {
  struct dray_json_writer writer;
  dray_buffer_clear(&pages->variables);
  dray_json_writer_init(&writer, &pages->variables, error);
  dray_json_begin_object(&writer);
  dray_json_key(&writer, "id");
  dray_json_write_str(&writer, pages->parent);
  dray_json_key(&writer, "first");
  dray_json_write_int(&writer, first);
  dray_json_key(&writer, "after");
  dray_json_write_str(&writer, dray_buffer_view(&pages->after_below));
  dray_json_end_object(&writer);
  DRAY_TRY(dray_json_writer_finish(&writer));
  dray_buffer_clear(&pages->body_below);
  DRAY_TRY(shopify_body(&pages->body_below, dray_buffer_view(&pages->document_below),
                        dray_buffer_view(&pages->variables), error));
  if (pages->shape_below.cost == 0) pages->shape_below.cost = COST_AIMED;
  *request = (struct shopify_request){
      .body = dray_buffer_view(&pages->body_below), .flags = DRAY_HTTP_IDEMPOTENT, .shape = &pages->shape_below};
  return DRAY_OK;
}

static int32_t ask_below(struct shopify_pages *pages, struct shopify_reply *out, struct dray_error *error) {
  struct dray_error why;
  int32_t rc = DRAY_OK;
  int64_t first = size_below(pages);
  for (int smaller = 0;; smaller++) {
    struct shopify_request request;
    dray_error_init(&why);
    rc = describe_below(pages, first, &request, &why);
    if (rc == DRAY_OK) rc = shopify_ask(pages->client, &request, out, &why);
    if (rc == DRAY_OK || smaller == SMALLER_MAX || first == 1 || !is_too_much(rc, &why)) break;
    pages->below_max = first /= 2;
  }
  if (rc != DRAY_OK && error != NULL) *error = why;
  return rc;
}

// The next page of the records below `parent`.
static int32_t follow_below(struct shopify_pages *pages, struct dray_error *error) {
  struct shopify_reply reply = {0};
  DRAY_TRY(ask_below(pages, &reply, error));
  int32_t rc = look_at_errors(pages, &reply, error);
  if (rc == DRAY_OK) {
    rc = write_below(pages, dray_json_get(dray_json_get(reply.data, "node"), pages->stream->below), error);
  }
  shopify_reply_free(&reply);
  return rc;
}

// ---- the records of a page ----

static int64_t time_of(const struct shopify_pages *pages, const struct dray_json *node) {
  int64_t us = SHOPIFY_TIME_NONE;
  const struct dray_json *value = pages->stream->time != NULL ? dray_json_get(node, pages->stream->time) : NULL;
  if (value == NULL || value->kind != DRAY_JSON_STRING) return us;
  return dray_parse_timestamp(value->text, &us, NULL) == DRAY_OK ? us : SHOPIFY_TIME_NONE;
}

// Whether the node is wanted. The filter of customers matches whole days, so it shows older ones as well.
static int32_t is_wanted(struct shopify_pages *pages, const struct dray_json *node, int *out,
                         struct dray_error *error) {
  const struct dray_str id = dray_json_string(dray_json_get(node, "id"), "");
  const int64_t us = time_of(pages, node);
  int seen = SHOPIFY_GIVEN_NEW;
  *out = 0;
  if (id.len == 0) return DRAY_OK; // a kind of node that the fragment leaves out
  if (us != SHOPIFY_TIME_NONE && us < pages->position->from_us) return DRAY_OK;
  if (pages->by_time) DRAY_TRY(shopify_given_look(&pages->given, id, us, &seen, error));
  if (seen == SHOPIFY_GIVEN_OTHER) shopify_position_note(pages->position, us, 1);
  if (seen != SHOPIFY_GIVEN_NEW) return DRAY_OK;
  if (pages->by_time) shopify_position_note(pages->position, us, 0);
  pages->last_us = us;
  *out = 1;
  return DRAY_OK;
}

// What came of the connection below `parent` with its page.
static int32_t begin_below(struct shopify_pages *pages, const struct dray_json *parent, struct dray_str owner,
                           struct dray_error *error) {
  pages->owner = owner;
  pages->parent = dray_json_string(dray_json_get(parent, "id"), "");
  pages->place = 0;
  return write_below(pages, dray_json_get(parent, pages->stream->below), error);
}

static int32_t write_node(struct shopify_pages *pages, const struct dray_json *node, struct dray_error *error) {
  const struct dray_str nothing = {NULL, 0};
  int wanted = 0;
  pages->deep++;
  DRAY_TRY(is_wanted(pages, node, &wanted, error));
  if (!wanted) return DRAY_OK;
  if (pages->stream->kind == SHOPIFY_CONNECTION) return begin_below(pages, node, nothing, error);
  if (pages->stream->kind != SHOPIFY_NESTED) return write_line(pages, node, nothing, nothing, error);
  const struct dray_json *list = dray_json_get(node, pages->stream->list);
  pages->owner = dray_json_string(dray_json_get(node, "id"), "");
  pages->element = list != NULL ? list->child : NULL;
  return DRAY_OK;
}

// ---- going on ----

// Moves the position behind the page.
static int32_t advance(struct shopify_pages *pages, const struct dray_json *connection, struct dray_error *error) {
  struct shopify_position *position = pages->position;
  const struct dray_str cursor = next_cursor(connection);
  if (cursor.len >= sizeof(position->after)) {
    return dray_fail(error, DRAY_E_LIMIT, "a cursor of Shopify has %llu bytes; at most %zu are kept",
                     (unsigned long long)cursor.len, sizeof(position->after) - 1);
  }
  pages->ended = cursor.len == 0;
  if (pages->ended) {
    shopify_position_note(position, pages->began_us, 0);
    shopify_position_end(position);
    return DRAY_OK;
  }
  memcpy(position->after, cursor.data, (size_t)cursor.len);
  position->after[cursor.len] = '\0';
  if (pages->by_time && pages->deep >= DEEP_MAX && pages->last_us > position->from_us) {
    position->from_us = pages->last_us;
    position->after[0] = '\0';
    pages->deep = 0;
  }
  return DRAY_OK;
}

// When the first page was asked for, by the shop's clock: its answer's, less what it took, and less the second that
// both are cut to. A record that is updated between a query and the Date of its answer is for the next read. Without a
// Date nothing is known, and the next read begins where this one did; this machine's clock may be hours away.
static void note_began(struct shopify_pages *pages, const struct shopify_reply *reply, int64_t asked_ms) {
  const struct dray_clock_service *clock = pages->client->services->clock;
  if (pages->stream->time == NULL || pages->by_time || reply->date_us == SHOPIFY_TIME_NONE) return;
  const int64_t took_us = (clock->monotonic_ms(clock->ctx) - asked_ms) * 1000;
  pages->began_us = reply->date_us - took_us - SECOND_US;
  pages->began_us -= pages->began_us % SECOND_US;
  // By id, a record that is updated behind its page is for the next read: that begins no later than this one.
  shopify_position_note(pages->position, pages->began_us, 1);
}

// Takes over the page.
static int32_t begin_page(struct shopify_pages *pages, struct dray_error *error) {
  const struct dray_clock_service *clock = pages->client->services->clock;
  const int64_t asked_ms = clock->monotonic_ms(clock->ctx);
  if (!pages->started) estimate(pages);
  DRAY_TRY(ask_page(pages, &pages->page, error));
  if (!pages->started) note_began(pages, &pages->page, asked_ms);
  pages->started = 1;
  DRAY_TRY(look_at_errors(pages, &pages->page, error));
  const struct dray_json *root = dray_json_get(pages->page.data, pages->stream->root);
  if (pages->stream->kind == SHOPIFY_SINGLE) {
    pages->node = root;
    return DRAY_OK;
  }
  const struct dray_json *nodes = dray_json_get(root, "nodes");
  if (nodes == NULL || nodes->kind != DRAY_JSON_ARRAY) {
    return dray_fail(error, DRAY_E_HTTP_CONTENT, "Shopify answered without the records of %s", pages->stream->root);
  }
  pages->node = nodes->child;
  return DRAY_OK;
}

static int32_t end_page(struct shopify_pages *pages, struct dray_error *error) {
  int32_t rc = DRAY_OK;
  if (pages->stream->kind == SHOPIFY_SINGLE) {
    pages->ended = 1;
  } else {
    rc = advance(pages, dray_json_get(pages->page.data, pages->stream->root), error);
  }
  shopify_reply_free(&pages->page);
  if (rc != DRAY_OK || pages->ended) return rc;
  return prefetch(pages, error);
}

// The next step through the page: a page of records below a parent, an element, a node, or its end.
static int32_t step(struct shopify_pages *pages, struct dray_error *error) {
  const struct dray_json *one = pages->element;
  if (pages->after_below.len > 0) return follow_below(pages, error);
  if (one != NULL) {
    pages->element = one->next;
    return one->kind == DRAY_JSON_OBJECT ? begin_below(pages, one, pages->owner, error) : DRAY_OK;
  }
  one = pages->node;
  if (one == NULL) return end_page(pages, error);
  pages->node = pages->stream->kind != SHOPIFY_SINGLE ? one->next : NULL;
  if (pages->stream->kind == SHOPIFY_SINGLE) {
    return write_line(pages, one, dray_str_make(NULL, 0), dray_str_make(NULL, 0), error);
  }
  return one->kind == DRAY_JSON_OBJECT ? write_node(pages, one, error) : DRAY_OK;
}

int32_t shopify_pages_next(struct shopify_pages *pages, struct dray_str *out, int *out_end, struct dray_error *error) {
  *out_end = pages->ended;
  if (pages->ended) return DRAY_OK;
  dray_buffer_clear(&pages->lines);
  if (pages->page.root == NULL) DRAY_TRY(begin_page(pages, error));
  while (pages->page.root != NULL && pages->lines.len < LINES_BYTES_AIMED) {
    const int below = pages->after_below.len > 0; // what was waited for is given out at once
    DRAY_TRY(step(pages, error));
    if (below && pages->lines.len > 0) break;
  }
  *out = dray_buffer_view(&pages->lines);
  return DRAY_OK;
}

int32_t shopify_pages_probe(struct shopify_client *client, const struct shopify_stream *stream,
                            const struct shopify_selection *selection, struct dray_error *error) {
  struct shopify_pages pages;
  struct shopify_position position;
  struct shopify_reply reply = {0};
  shopify_position_init(&position);
  DRAY_TRY(shopify_pages_open(&pages, client, stream, selection, &position, 1, error));
  pages.first = 1;
  estimate(&pages);
  int32_t rc = ask_page(&pages, &reply, error);
  if (rc == DRAY_OK) rc = look_at_errors(&pages, &reply, error);
  shopify_reply_free(&reply);
  shopify_pages_close(&pages);
  return rc;
}
