// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Rows one by one: each gets its answer at once.
#include <stdio.h>

#include "work.h"

// ---- requests ----

struct request {
  const char *method;
  int has_body;
  char key[160]; // Idempotency-Key; empty: none
};

static int32_t number_at(struct zendesk_work *work, const struct zendesk_item *item, const char *name,
                         struct dray_error *error) {
  return zendesk_form_text(&work->changes, zendesk_form_find(work->form, name), item->i, &work->path, error);
}

// PATH/{user_id}/organizations/{organization_id}
static int32_t membership_path(struct zendesk_work *work, const struct zendesk_item *item, const char *end,
                               struct dray_error *error) {
  DRAY_TRY(dray_buffer_append_str(&work->path, "/api/v2/users/", error));
  DRAY_TRY(number_at(work, item, "user_id", error));
  DRAY_TRY(dray_buffer_append_str(&work->path, "/organizations/", error));
  DRAY_TRY(number_at(work, item, "organization_id", error));
  return dray_buffer_append_str(&work->path, end, error);
}

// {"user": {...}}
static int32_t write_body(struct zendesk_work *work, const struct zendesk_item *item, int flags,
                          struct dray_error *error) {
  struct dray_json_writer writer;
  dray_json_writer_init(&writer, &work->body, error);
  dray_json_begin_object(&writer);
  dray_json_key(&writer, work->form->object->singular);
  if (item->whole) flags |= ZENDESK_BODY_WHOLE;
  zendesk_form_write(work->form, &work->changes, item->i, dray_str_make(NULL, 0), flags, &writer);
  dray_json_end_object(&writer);
  return dray_json_writer_finish(&writer);
}

static int32_t tags_path(struct zendesk_work *work, const struct zendesk_item *item, struct dray_error *error) {
  const char *number = work->form->object->kind == ZENDESK_USER_TAGS ? "user_id" : "ticket_id";
  DRAY_TRY(dray_buffer_printf(&work->path, error, "/api/v2/%s/", work->form->object->plural));
  DRAY_TRY(number_at(work, item, number, error));
  return dray_buffer_append_str(&work->path, "/tags", error);
}

// The row's list as text; len 0: it has none.
static struct dray_str tags_of(const struct zendesk_work *work, const struct zendesk_item *item) {
  const ptrdiff_t column = zendesk_form_find(work->form, "tags");
  const int has = column >= 0 && !dray_column_is_null(&work->changes.view.columns[column], item->i);
  return has ? dray_column_bytes(&work->changes.view.columns[column], item->i) : dray_str_make(NULL, 0);
}

static int32_t describe_tags(struct zendesk_work *work, const struct zendesk_item *item, struct request *request,
                             struct dray_error *error) {
  const char *how = work->options->tags;
  const int sets = strcmp(how, "set") == 0;
  const int takes_away = sets ? 0 : (strcmp(how, "remove") == 0) != (item->action == ZENDESK_DELETE);
  const int gone = sets && item->action == ZENDESK_DELETE;
  struct dray_json_writer writer;
  request->method = sets ? "POST" : takes_away ? "DELETE" : "PUT";
  request->has_body = 1;
  DRAY_TRY(tags_path(work, item, error));
  dray_json_writer_init(&writer, &work->body, error);
  dray_json_begin_object(&writer);
  dray_json_key(&writer, "tags");
  zendesk_write_list(gone ? dray_str_make(NULL, 0) : tags_of(work, item), &writer);
  dray_json_end_object(&writer);
  return dray_json_writer_finish(&writer);
}

static int32_t describe(struct zendesk_work *work, const struct zendesk_item *item, struct request *request,
                        struct dray_error *error) {
  const struct zendesk_object *object = work->form->object;
  const int is_membership = object->kind == ZENDESK_MEMBERSHIPS;
  memset(request, 0, sizeof(*request));
  dray_buffer_clear(&work->path);
  dray_buffer_clear(&work->body);
  if (object->kind == ZENDESK_TICKET_TAGS || object->kind == ZENDESK_USER_TAGS) {
    return describe_tags(work, item, request, error);
  }
  switch (item->action) {
  case ZENDESK_UPSERT:
    request->method = "POST";
    request->has_body = 1;
    DRAY_TRY(dray_buffer_printf(&work->path, error, "/api/v2/%s/create_or_update", object->plural));
    return write_body(work, item, ZENDESK_BODY_WITH_MATCH | ZENDESK_BODY_NEW, error);
  case ZENDESK_CREATE:
    request->method = "POST";
    request->has_body = 1;
    if (object->kind == ZENDESK_TICKETS) {
      (void)snprintf(request->key, sizeof(request->key), "%.*s-%lld", DRAY_STR_ARG(work->idempotency_key),
                     (long long)item->row);
    }
    DRAY_TRY(dray_buffer_printf(&work->path, error, "/api/v2/%s", object->plural));
    return write_body(work, item, ZENDESK_BODY_WITH_MATCH | ZENDESK_BODY_NEW, error);
  case ZENDESK_UPDATE:
    request->method = "PUT";
    if (is_membership) return membership_path(work, item, "/make_default", error);
    request->has_body = 1;
    DRAY_TRY(dray_buffer_printf(&work->path, error, "/api/v2/%s/%s", object->plural, item->id));
    return write_body(work, item, 0, error);
  default:
    request->method = "DELETE";
    if (is_membership) return membership_path(work, item, "", error);
    return dray_buffer_printf(&work->path, error, "/api/v2/%s/%s", object->plural, item->id);
  }
}

// ---- a changed address ----

struct identity {
  struct dray_str email;
  char id[ZENDESK_ID_BYTES_MAX];
  int primary;
};

static int32_t note_identity(void *ctx, const struct dray_json *record, struct dray_error *error) {
  struct identity *identity = ctx;
  const struct dray_json *id = dray_json_get(record, "id");
  const struct dray_json *primary = dray_json_get(record, "primary");
  (void)error;
  if (!dray_str_is(dray_json_string(dray_json_get(record, "type"), ""), "email") || id == NULL) return DRAY_OK;
  if (!zendesk_same(dray_json_string(dray_json_get(record, "value"), ""), identity->email)) return DRAY_OK;
  if (id->text.len >= sizeof(identity->id)) return DRAY_OK;
  memcpy(identity->id, id->text.data, (size_t)id->text.len + 1);
  identity->primary = primary != NULL && primary->kind == DRAY_JSON_BOOL && primary->boolean;
  return DRAY_OK;
}

// Zendesk has only added the address: it becomes the primary one. The row is not done before.
static int32_t make_primary(struct zendesk_work *work, struct zendesk_item *item, struct dray_error *error) {
  struct dray_buffer email;
  struct zendesk_outcome outcome;
  struct dray_error why;
  dray_error_init(&why);
  dray_buffer_init(&email, 4096);
  DRAY_TRY(zendesk_form_text(&work->changes, work->form->email_column, item->i, &email, error));
  struct identity identity = {.email = dray_buffer_view(&email)};
  const struct zendesk_visitor visitor = {&identity, note_identity};
  char path[160];
  (void)snprintf(path, sizeof(path), "/api/v2/users/%s/identities", item->id);
  int32_t rc = zendesk_list(work->client, path, "identities", &visitor, &why);
  dray_buffer_free(&email);
  if (rc != DRAY_OK) { // the rest of the row can be repeated
    zendesk_put_off(work, item, &why);
    return DRAY_OK;
  }
  if (identity.id[0] == '\0' || identity.primary) {
    zendesk_settle(work, item, DRAY_RECEIPT_APPLIED, 0, NULL);
    return DRAY_OK;
  }
  (void)snprintf(path, sizeof(path), "/api/v2/users/%s/identities/%s/make_primary", item->id, identity.id);
  const struct zendesk_call call = {.method = "PUT", .path = dray_str_of(path)};
  rc = zendesk_try(work, &call, &outcome, error);
  if (rc != DRAY_OK) return rc;
  if (outcome.kind == ZENDESK_DONE) {
    zendesk_settle(work, item, DRAY_RECEIPT_APPLIED, 0, NULL);
  } else if (outcome.kind == ZENDESK_ALL) { // a limit, or no right: the row has no part in it
    zendesk_put_off(work, item, &outcome.why);
  } else {
    const int refused = outcome.kind == ZENDESK_REFUSED || outcome.kind == ZENDESK_FORBIDDEN;
    zendesk_settle(work, item, refused ? DRAY_RECEIPT_REJECTED : DRAY_RECEIPT_RETRY,
                   refused ? DRAY_E_DATA_REJECTED : DRAY_E_BUSY, outcome.text);
  }
  return DRAY_OK;
}

// ---- one row ----

static int32_t settle_single(struct zendesk_work *work, struct zendesk_item *item,
                             const struct zendesk_outcome *outcome, struct dray_error *error) {
  const int is_membership = work->form->object->kind == ZENDESK_MEMBERSHIPS;
  const int is_by_email = work->form->object->kind == ZENDESK_USERS && work->form->match == ZENDESK_MATCH_EMAIL;
  switch (outcome->kind) {
  case ZENDESK_DONE:
    if (item->by_itself) {
      item->partly = 1;
      return make_primary(work, item, error);
    }
    zendesk_settle(work, item, DRAY_RECEIPT_APPLIED, 0, NULL);
    return DRAY_OK;
  case ZENDESK_NOT_THERE:
    if (item->action == ZENDESK_DELETE) {
      zendesk_settle(work, item, DRAY_RECEIPT_UNCHANGED, 0, NULL);
    } else {
      zendesk_settle(work, item, DRAY_RECEIPT_REJECTED, DRAY_E_DATA_REJECTED, outcome->text);
    }
    return DRAY_OK;
  case ZENDESK_REFUSED:
  case ZENDESK_FORBIDDEN:
    if (item->action == ZENDESK_CREATE && ((is_membership && zendesk_is_duplicate(outcome->text)) ||
                                           (is_by_email && zendesk_has_address(outcome->text)))) {
      zendesk_settle(work, item, DRAY_RECEIPT_UNCHANGED, 0, NULL);
    } else {
      zendesk_settle(work, item, DRAY_RECEIPT_REJECTED, DRAY_E_DATA_REJECTED, outcome->text);
    }
    return DRAY_OK;
  case ZENDESK_CONFLICT:
    zendesk_settle(work, item, DRAY_RECEIPT_RETRY, DRAY_E_BUSY, outcome->text);
    return DRAY_OK;
  case ZENDESK_DOUBT:
    zendesk_settle(work, item, DRAY_RECEIPT_UNKNOWN, DRAY_E_STATE_IN_DOUBT, outcome->text);
    return DRAY_OK;
  default:
    return zendesk_give_up(work, &outcome->why, error);
  }
}

// ---- what needs no call that changes something ----

struct membership {
  struct dray_str organization;
  int found;
};

static int32_t note_membership(void *ctx, const struct dray_json *record, struct dray_error *error) {
  struct membership *membership = ctx;
  const struct dray_json *organization = dray_json_get(record, "organization_id");
  (void)error;
  membership->found |= organization != NULL && dray_str_equal(organization->text, membership->organization);
  return DRAY_OK;
}

// A membership that is only to be updated has to be there, although nothing about it changes.
static int32_t settle_unchanged(struct zendesk_work *work, struct zendesk_item *item, struct dray_error *error) {
  const int asks = work->form->object->kind == ZENDESK_MEMBERSHIPS && work->operations == DRAY_OP_UPDATE;
  struct dray_buffer number;
  if (!asks) {
    zendesk_settle(work, item, DRAY_RECEIPT_UNCHANGED, 0, NULL);
    return DRAY_OK;
  }
  dray_buffer_init(&number, ZENDESK_ID_BYTES_MAX);
  dray_buffer_clear(&work->path);
  int32_t rc =
      zendesk_form_text(&work->changes, zendesk_form_find(work->form, "organization_id"), item->i, &number, error);
  if (rc == DRAY_OK) rc = dray_buffer_append_str(&work->path, "/api/v2/users/", error);
  if (rc == DRAY_OK) rc = number_at(work, item, "user_id", error);
  if (rc == DRAY_OK) rc = dray_buffer_append_str(&work->path, "/organization_memberships", error);
  struct membership membership = {.organization = dray_buffer_view(&number)};
  const struct zendesk_visitor visitor = {&membership, note_membership};
  struct dray_error why;
  dray_error_init(&why);
  if (rc == DRAY_OK) {
    rc = zendesk_list(work->client, work->path.data, "organization_memberships", &visitor, &why);
    if (rc != DRAY_OK && why.http_status == 404) rc = DRAY_OK; // no such user
    if (rc != DRAY_OK && error != NULL) *error = why;
  }
  if (rc == DRAY_OK && membership.found) zendesk_settle(work, item, DRAY_RECEIPT_UNCHANGED, 0, NULL);
  if (rc == DRAY_OK && !membership.found) {
    zendesk_settle(work, item, DRAY_RECEIPT_REJECTED, DRAY_E_DATA_REJECTED,
                   "there is no such record in organization_memberships");
  }
  dray_buffer_free(&number);
  return rc;
}

// A membership without `default: true` has nothing to update, tags that were taken away are not put back, and a row
// that says nothing of its tags sets none.
static int has_nothing_to_do(struct zendesk_work *work, const struct zendesk_item *item) {
  if (work->form->object->kind == ZENDESK_MEMBERSHIPS && item->action == ZENDESK_UPDATE) {
    const ptrdiff_t column = zendesk_form_find(work->form, "default");
    return column < 0 || dray_column_is_null(&work->changes.view.columns[column], item->i) ||
           !dray_column_bool(&work->changes.view.columns[column], item->i);
  }
  const int is_tags = work->form->object->kind == ZENDESK_TICKET_TAGS || work->form->object->kind == ZENDESK_USER_TAGS;
  if (!is_tags) return 0;
  if (item->action == ZENDESK_DELETE) return strcmp(work->options->tags, "remove") == 0;
  const ptrdiff_t tags = zendesk_form_find(work->form, "tags");
  return tags >= 0 && dray_view_absent(&work->changes.view, (size_t)tags, item->i);
}

static int32_t send(struct zendesk_work *work, const struct zendesk_item *item, struct zendesk_outcome *outcome,
                    struct dray_error *error) {
  struct request request;
  DRAY_TRY(describe(work, item, &request, error));
  const struct zendesk_call call = {
      .method = request.method,
      .path = dray_buffer_view(&work->path),
      .body = request.has_body ? dray_buffer_view(&work->body) : dray_str_make(NULL, 0),
      .idempotency = request.key[0] != '\0' ? request.key : NULL,
      .does_once = zendesk_does_once(work, item->action),
  };
  return zendesk_try(work, &call, outcome, error);
}

// The body of a call that takes away what the row's list had and has no more. *out_count: how many.
static int32_t describe_gone(struct zendesk_work *work, const struct zendesk_item *item, size_t *out_count,
                             struct dray_error *error) {
  const struct dray_str before = dray_change_before(&work->changes, item->i);
  struct dray_json_writer writer;
  struct dray_json *was = NULL;
  *out_count = 0;
  if (before.len == 0) return DRAY_OK;
  dray_buffer_clear(&work->path);
  dray_buffer_clear(&work->body);
  DRAY_TRY(tags_path(work, item, error));
  DRAY_TRY(dray_json_parse(before, ZENDESK_BODY_BYTES_MAX, &was, error));
  dray_json_writer_init(&writer, &work->body, error);
  dray_json_begin_object(&writer);
  dray_json_key(&writer, "tags");
  const size_t count = zendesk_write_gone(dray_json_get(was, "tags"), tags_of(work, item), &writer);
  dray_json_end_object(&writer);
  dray_json_free(was);
  DRAY_TRY(dray_json_writer_finish(&writer));
  *out_count = count;
  return DRAY_OK;
}

// Tags that are added belong to their row: in a mirror those that its list has lost are taken away, as all of them are
// when the row goes. This comes before the new ones: were it to fail behind them, the next list would not know of them.
static int32_t take_lost_tags(struct zendesk_work *work, struct zendesk_item *item, struct zendesk_outcome *outcome,
                              struct dray_error *error) {
  size_t count = 0;
  outcome->kind = ZENDESK_DONE;
  if (item->action != ZENDESK_TAG || (work->operations & DRAY_OP_DELETE) == 0 ||
      strcmp(work->options->tags, "add") != 0 || dray_change_op(&work->changes, item->i) != DRAY_OP_UPDATE) {
    return DRAY_OK;
  }
  DRAY_TRY(describe_gone(work, item, &count, error));
  if (count == 0) return DRAY_OK;
  const struct zendesk_call call = {
      .method = "DELETE", .path = dray_buffer_view(&work->path), .body = dray_buffer_view(&work->body), .does_once = 1};
  DRAY_TRY(zendesk_try(work, &call, outcome, error));
  item->partly = outcome->kind == ZENDESK_DONE;
  return DRAY_OK;
}

// A change of a user who is not there any more: there is no name in it, and no user without one.
static int lacks_the_rest(const struct zendesk_work *work, const struct zendesk_item *item,
                          const struct zendesk_outcome *outcome) {
  return item->action == ZENDESK_UPSERT && !item->whole && work->form->match == ZENDESK_MATCH_EMAIL &&
         outcome->kind == ZENDESK_REFUSED && zendesk_is_nameless(outcome->text);
}

int32_t zendesk_write_singly(struct zendesk_work *work, struct dray_error *error) {
  for (size_t k = 0; k < work->count; k++) {
    struct zendesk_item *item = &work->items[k];
    struct zendesk_outcome outcome;
    if (item->settled) continue;
    struct dray_error why;
    dray_error_init(&why);
    if (has_nothing_to_do(work, item)) {
      if (settle_unchanged(work, item, &why) != DRAY_OK) return zendesk_give_up(work, &why, error);
      continue;
    }
    int32_t rc = take_lost_tags(work, item, &outcome, &why);
    if (rc == DRAY_OK && outcome.kind == ZENDESK_DONE) rc = send(work, item, &outcome, &why);
    if (rc == DRAY_OK && lacks_the_rest(work, item, &outcome)) {
      item->whole = 1;
      rc = send(work, item, &outcome, &why);
    }
    if (rc == DRAY_E_LIMIT) {
      zendesk_settle(work, item, DRAY_RECEIPT_REJECTED, DRAY_E_DATA_TOO_LARGE, why.text);
      continue;
    }
    if (rc != DRAY_OK) return zendesk_give_up(work, &why, error);
    rc = settle_single(work, item, &outcome, &why);
    if (rc != DRAY_OK && work->sent && !item->settled) {
      zendesk_settle(work, item, DRAY_RECEIPT_UNKNOWN, rc, why.text);
    }
    if (rc != DRAY_OK) return zendesk_give_up(work, &why, error);
  }
  return DRAY_OK;
}
