// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The destination role: what is to be done for each row of a batch, in an order in which nothing is promised too early:
// keys, lookups, jobs, single calls.
#include <stdio.h>
#include <stdlib.h>

#include "check.h"
#include "plugin.h"
#include "readback.h"

#define DOCUMENT_BYTES_MAX (4u << 20)
#define TEXTS_BYTES_MAX (1u << 20)
#define BATCH_BYTES_MAX (4u << 20)
#define KEY_BYTES_MAX 4096u
#define PATH_BYTES_MAX 8192u
#define PARALLEL_MAX 4
#define JOBS_MAX 20 // of the 30 that Zendesk queues or runs for an account

struct dray_destination {
  struct zendesk_client client;
  struct zendesk_fields fields[ZENDESK_FIELDS_COUNT];
  struct dray_buffer document, handle;
  struct dray_receipt_writer receipts;
  struct zendesk_open open;

  // From begin to end.
  int begun;
  const struct ArrowSchema *schema; // of the plan, borrowed
  struct zendesk_options options;
  struct zendesk_form form;
  struct zendesk_work *work;
  struct zendesk_wholes wholes;
};

// ---- life ----

static void destination_abort(struct dray_destination *destination) {
  struct zendesk_work *work = destination->work;
  if (work != NULL) {
    dray_buffer_free(&work->body);
    dray_buffer_free(&work->path);
    for (size_t k = 0; k < ZENDESK_ROWS_MAX; k++) dray_buffer_free(&work->items[k].key);
  }
  free(work);
  free(destination->wholes.rows);
  memset(&destination->wholes, 0, sizeof(destination->wholes));
  destination->work = NULL;
  zendesk_form_free(&destination->form);
  zendesk_options_free(&destination->options);
  destination->schema = NULL;
  destination->begun = 0;
}

static void destination_destroy(struct dray_destination *destination) {
  if (destination == NULL) return;
  destination_abort(destination);
  for (int of = 0; of < ZENDESK_FIELDS_COUNT; of++) zendesk_fields_free(&destination->fields[of]);
  zendesk_client_free(&destination->client);
  dray_buffer_free(&destination->document);
  dray_buffer_free(&destination->handle);
  dray_receipts_free(&destination->receipts);
  zendesk_open_free(&destination->open);
  free(destination);
}

static int32_t destination_create(const struct dray_host *host, struct dray_str config_json,
                                  struct dray_destination **out, struct dray_error *error) {
  struct dray_destination *destination = calloc(1, sizeof(*destination));
  if (destination == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a destination");
  dray_buffer_init(&destination->document, DOCUMENT_BYTES_MAX);
  dray_buffer_init(&destination->handle, 4u * DRAY_HANDLE_BYTES_MAX);
  dray_receipts_init(&destination->receipts, TEXTS_BYTES_MAX);
  const int32_t rc = zendesk_client_init(&destination->client, host, config_json, error);
  if (rc != DRAY_OK) {
    destination_destroy(destination);
    return rc;
  }
  *out = destination;
  return DRAY_OK;
}

// ---- check, discover, caps ----

static int32_t destination_check(struct dray_destination *destination, struct dray_str *out_json,
                                 struct dray_error *error) {
  struct dray_json_writer writer;
  int goes_on = 0;
  dray_buffer_clear(&destination->document);
  dray_json_writer_init(&writer, &destination->document, error);
  dray_json_begin_array(&writer);
  DRAY_TRY(zendesk_check_account(&destination->client, &writer, &goes_on, error));
  for (size_t i = 0; goes_on && i < zendesk_object_count; i++) {
    const struct zendesk_object *object = &zendesk_objects[i];
    char path[160], scopes[80];
    if (object->kind == ZENDESK_TICKET_TAGS || object->kind == ZENDESK_USER_TAGS) continue; // as their records
    (void)snprintf(path, sizeof(path), "/api/v2/%s?page%%5Bsize%%5D=1", object->plural);
    (void)snprintf(scopes, sizeof(scopes), "%.*sread and %s", (int)(strlen(object->scope) - strlen("write")),
                   object->scope, object->scope);
    DRAY_TRY(zendesk_check_path(&destination->client, object->def.name, path, scopes, 0, &writer, error));
  }
  if (goes_on) DRAY_TRY(zendesk_check_scopes(&destination->client, &writer, error));
  if (goes_on) DRAY_TRY(zendesk_check_jobs(&destination->client, &writer, error));
  dray_json_end_array(&writer);
  DRAY_TRY(dray_json_writer_finish(&writer));
  *out_json = dray_buffer_view(&destination->document);
  return DRAY_OK;
}

// told: of the run; NULL: outside one.
static int32_t fields_of(struct dray_destination *destination, const struct zendesk_object *object,
                         const struct zendesk_told *told, const struct zendesk_fields **out, struct dray_error *error) {
  struct zendesk_fields *fields = &destination->fields[object->fields];
  *out = NULL;
  if (object->fields == ZENDESK_NO_FIELDS) return DRAY_OK;
  DRAY_TRY(zendesk_fields_load(&destination->client, object->fields, object->prefix, 1, told, fields, error));
  *out = fields;
  return DRAY_OK;
}

static int32_t destination_discover(struct dray_destination *destination, struct dray_str *out_json,
                                    struct dray_error *error) {
  struct dray_json_writer writer;
  dray_catalog_begin(&writer, &destination->document, "objects", error);
  for (size_t i = 0; i < zendesk_object_count; i++) {
    const struct zendesk_fields *fields = NULL;
    DRAY_TRY(fields_of(destination, &zendesk_objects[i], NULL, &fields, error));
    dray_object_def_write(&zendesk_objects[i].def, fields != NULL ? &fields->list : NULL, &writer);
  }
  return dray_catalog_end(&writer, zendesk_options_spec, out_json, error);
}

#define KEY_LIFE_S 7200 // "about two hours"

static int32_t destination_caps(struct dray_destination *destination, struct dray_str object_name,
                                struct dray_str options_json, struct dray_caps *out, struct dray_error *error) {
  const struct zendesk_object *object = NULL;
  struct zendesk_options options;
  DRAY_TRY(zendesk_object_find(object_name, &object, error));
  DRAY_TRY(zendesk_options_bind(options_json, &options, error));
  const int blind = object->kind == ZENDESK_TICKETS && strcmp(options.match_by, "none") == 0;
  const int is_tags = object->kind == ZENDESK_TICKET_TAGS || object->kind == ZENDESK_USER_TAGS;
  zendesk_options_free(&options);
  out->flags = DRAY_CAPS_PARTIAL | DRAY_CAPS_CHANGED_COLUMNS;
  if (is_tags) out->flags |= DRAY_CAPS_DELETE_NEEDS_ROW | DRAY_CAPS_UPDATE_NEEDS_BEFORE;
  const int bulk = strcmp(destination->client.settings.use_bulk, "never") != 0;
  if (!is_tags && !blind && bulk) out->flags |= DRAY_CAPS_ASYNC;
  out->operations = blind ? DRAY_OP_INSERT : object->def.operations;
  // Tags and memberships are sets: what is there already is told apart by the answer.
  out->doubt = is_tags || object->kind == ZENDESK_MEMBERSHIPS ? DRAY_DOUBT_RESEND
               : blind                                        ? DRAY_DOUBT_IDEMPOTENCY_KEY
                                                              : DRAY_DOUBT_READ_BACK;
  out->batch_rows_max = (uint64_t)destination->client.settings.batch_size;
  out->batch_bytes_max = BATCH_BYTES_MAX;
  out->parallel_max = PARALLEL_MAX;
  out->jobs_max = JOBS_MAX;
  if (blind) out->key_life_s = KEY_LIFE_S;
  return DRAY_OK;
}

// ---- begin ----

// A mode that only makes records may not change those that are there.
static int32_t check_mode(const struct zendesk_form *form, const struct dray_write_plan *plan,
                          struct dray_error *error) {
  const int kind = form->object->kind;
  const int is_tags = kind == ZENDESK_TICKET_TAGS || kind == ZENDESK_USER_TAGS;
  if (plan->operations != DRAY_OP_INSERT) return DRAY_OK;
  if (is_tags && strcmp(form->options->tags, "add") != 0) {
    return dray_fail_field(error, DRAY_E_CONFIG_VALUE, "tags",
                           "mode create takes nothing away, and `tags: %s` does: take `tags: add`, or mode upsert, "
                           "update or mirror",
                           form->options->tags);
  }
  if (form->match != ZENDESK_MATCH_ID) return DRAY_OK;
  return dray_fail_field(error, DRAY_E_CONFIG_VALUE, "mode",
                         "mode create makes %s, and none is made with an id of ours: take mode update, or a key that "
                         "is mapped to external_id",
                         form->object->def.name);
}

static int32_t begin(struct dray_destination *destination, const struct dray_write_plan *plan,
                     struct dray_error *error) {
  const struct zendesk_object *object = NULL;
  const struct zendesk_fields *fields = NULL;
  struct zendesk_told told;
  DRAY_TRY(zendesk_object_find(plan->object, &object, error));
  DRAY_TRY(zendesk_options_bind(plan->options_json, &destination->options, error));
  zendesk_told_name(&told, &destination->client, plan->run, plan->sync);
  DRAY_TRY(fields_of(destination, object, &told, &fields, error));
  DRAY_TRY(zendesk_form_make(object, fields, &destination->options, plan, &destination->form, error));
  DRAY_TRY(check_mode(&destination->form, plan, error));
  struct zendesk_work *work = calloc(1, sizeof(*work));
  if (work == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to begin");
  destination->work = work;
  work->client = &destination->client;
  work->form = &destination->form;
  work->options = &destination->options;
  work->operations = plan->operations;
  work->receipts = &destination->receipts;
  work->open = &destination->open;
  work->wholes = &destination->wholes;
  work->told = destination->open.told = told;
  dray_buffer_init(&work->body, ZENDESK_BODY_BYTES_MAX);
  dray_buffer_init(&work->path, PATH_BYTES_MAX);
  for (size_t k = 0; k < ZENDESK_ROWS_MAX; k++) dray_buffer_init(&work->items[k].key, KEY_BYTES_MAX);
  destination->schema = plan->schema;
  destination->begun = 1;
  return DRAY_OK;
}

static int32_t destination_begin(struct dray_destination *destination, const struct dray_write_plan *plan,
                                 struct dray_error *error) {
  destination_abort(destination);
  const int32_t rc = begin(destination, plan, error);
  if (rc != DRAY_OK) destination_abort(destination);
  return rc;
}

// ---- items ----

static int action_of(const struct zendesk_work *work, int64_t op) {
  const int kind = work->form->object->kind;
  if (op == DRAY_OP_DELETE) return ZENDESK_DELETE;
  if (kind == ZENDESK_TICKET_TAGS || kind == ZENDESK_USER_TAGS) return ZENDESK_TAG;
  if (kind == ZENDESK_MEMBERSHIPS) return op == DRAY_OP_INSERT ? ZENDESK_CREATE : ZENDESK_UPDATE;
  if (work->form->match == ZENDESK_MATCH_NONE) return ZENDESK_CREATE;
  if (work->form->match == ZENDESK_MATCH_ID) return ZENDESK_UPDATE; // nothing is made with an id of ours
  if ((work->operations & DRAY_OP_UPDATE) == 0) return ZENDESK_CREATE;
  return (work->operations & DRAY_OP_INSERT) == 0 ? ZENDESK_UPDATE : ZENDESK_UPSERT;
}

static int is_empty(const struct zendesk_work *work, ptrdiff_t column, uint64_t i) {
  return column < 0 || dray_view_absent(&work->changes.view, (size_t)column, i) ||
         dray_column_is_null(&work->changes.view.columns[column], i);
}

// The key of a row as text; a row without one is refused.
static int32_t take_key(struct zendesk_work *work, struct zendesk_item *item, struct dray_error *error) {
  static const char *const numbers[][2] = {[ZENDESK_MEMBERSHIPS] = {"user_id", "organization_id"},
                                           [ZENDESK_TICKET_TAGS] = {"ticket_id", NULL},
                                           [ZENDESK_USER_TAGS] = {"user_id", NULL}};
  const int kind = work->form->object->kind;
  dray_buffer_clear(&item->key);
  if (kind == ZENDESK_MEMBERSHIPS || kind == ZENDESK_TICKET_TAGS || kind == ZENDESK_USER_TAGS) {
    for (size_t n = 0; n < 2 && numbers[kind][n] != NULL; n++) {
      if (!is_empty(work, zendesk_form_find(work->form, numbers[kind][n]), item->i)) continue;
      zendesk_settle(work, item, DRAY_RECEIPT_REJECTED, DRAY_E_DATA_KEY_NULL, "a number that names the record is null");
      return DRAY_OK;
    }
    return DRAY_OK;
  }
  if (work->form->match == ZENDESK_MATCH_NONE) return DRAY_OK;
  const int32_t rc = zendesk_form_text(&work->changes, work->form->match_column, item->i, &item->key, error);
  if (rc == DRAY_E_LIMIT || (rc == DRAY_OK && item->key.len == 0)) {
    zendesk_settle(work, item, DRAY_RECEIPT_REJECTED, DRAY_E_DATA_KEY_NULL,
                   rc == DRAY_OK ? "the value that finds the record is null or empty" : "the key is too long");
    return DRAY_OK;
  }
  if (rc == DRAY_OK && work->form->match == ZENDESK_MATCH_ID) {
    (void)snprintf(item->id, sizeof(item->id), "%s", item->key.data);
  }
  return rc;
}

// Of tickets Zendesk keeps external_ids as they are spelled.
static int is_twin(const struct zendesk_work *work, const struct zendesk_item *a, const struct zendesk_item *b) {
  const struct dray_str one = dray_buffer_view(&a->key), other = dray_buffer_view(&b->key);
  return work->form->object->kind == ZENDESK_TICKETS ? dray_str_equal(one, other) : zendesk_same(one, other);
}

// Two rows of one record, whose keys are the same but for the case of letters. A removal of the old spelling would take
// away what the new one means; of two that write, the first counts.
static void settle_twins(struct zendesk_work *work, struct zendesk_item *item) {
  const int kind = work->form->object->kind;
  const int folds = work->form->match == ZENDESK_MATCH_EXTERNAL_ID || work->form->match == ZENDESK_MATCH_EMAIL;
  if (!folds || (kind != ZENDESK_USERS && kind != ZENDESK_ORGANIZATIONS && kind != ZENDESK_TICKETS)) return;
  for (struct zendesk_item *other = work->items; other < item && !item->settled; other++) {
    if (other->settled || !is_twin(work, other, item)) continue;
    if (item->action == ZENDESK_DELETE || other->action == ZENDESK_DELETE) {
      zendesk_settle(work, item->action == ZENDESK_DELETE ? item : other, DRAY_RECEIPT_UNCHANGED, 0, NULL);
    } else {
      zendesk_settle(work, item, DRAY_RECEIPT_REJECTED, DRAY_E_DATA_KEY_DUPLICATE,
                     kind == ZENDESK_TICKETS ? "another row has this external_id"
                                             : "another row has this key, but for the case of its letters");
    }
  }
}

// By address, create_or_update makes a user who is not there, and a change that has a name would make him by halves:
// the whole row is sent. One without a name is refused then, and is sent whole the next time.
static int may_be_halved(const struct zendesk_work *work, const struct zendesk_item *item) {
  const ptrdiff_t name = zendesk_form_find(work->form, "name");
  const int by_email = work->form->object->kind == ZENDESK_USERS && work->form->match == ZENDESK_MATCH_EMAIL;
  return by_email && item->action == ZENDESK_UPSERT && dray_change_op(&work->changes, item->i) == DRAY_OP_UPDATE &&
         name >= 0 && dray_change_says(&work->changes, (size_t)name, item->i);
}

// Whether the row brings an address to a user that is found by something else, and of whom it is to be the primary one.
static int brings_address(const struct zendesk_work *work, const struct zendesk_item *item) {
  const ptrdiff_t email = work->form->email_column;
  return work->form->object->kind == ZENDESK_USERS && email >= 0 && work->options->make_email_primary &&
         work->form->match != ZENDESK_MATCH_EMAIL && item->action != ZENDESK_DELETE && item->action != ZENDESK_CREATE &&
         dray_change_says(&work->changes, (size_t)email, item->i) && !is_empty(work, email, item->i);
}

static int32_t make_items(struct zendesk_work *work, struct dray_error *error) {
  work->count = (size_t)work->changes.view.row_count;
  if (work->count > ZENDESK_ROWS_MAX) {
    return dray_fail(error, DRAY_E_PLUGIN_CONTRACT, "a batch of %zu rows, at most %d are taken", work->count,
                     ZENDESK_ROWS_MAX);
  }
  for (size_t k = 0; k < work->count; k++) {
    struct zendesk_item *item = &work->items[k];
    item->i = k;
    item->row = dray_change_row(&work->changes, k);
    item->settled = item->by_itself = item->copies = item->partly = 0;
    item->id[0] = '\0';
    item->record = NULL;
    item->action = action_of(work, dray_change_op(&work->changes, k));
    item->whole = zendesk_wholes_has(work->wholes, item->row) || may_be_halved(work, item);
    DRAY_TRY(take_key(work, item, error));
    if (!item->settled) settle_twins(work, item);
    item->by_itself = dray_change_op(&work->changes, k) == DRAY_OP_UPDATE && brings_address(work, item);
    if (item->by_itself) item->action = ZENDESK_UPDATE;
  }
  return DRAY_OK;
}

// ---- what is known of them ----

// Whether Zendesk must be asked which record a row means before it can be written.
static int needs_lookup(const struct zendesk_work *work, const struct zendesk_item *item, size_t open) {
  const int kind = work->form->object->kind;
  const int matched = work->form->match == ZENDESK_MATCH_EXTERNAL_ID || work->form->match == ZENDESK_MATCH_EMAIL;
  if (item->settled) return 0;
  if (dray_change_op(&work->changes, item->i) == DRAY_OP_INSERT && brings_address(work, item)) return 1;
  if (!matched) return 0;
  if (item->action == ZENDESK_UPDATE || item->action == ZENDESK_DELETE) return 1;
  if (kind == ZENDESK_TICKETS) return 1; // its external_id is not kept unique
  // Where rows are only made, what is there already is left as it is; addresses would take a call each.
  if (item->action == ZENDESK_CREATE) return work->form->match == ZENDESK_MATCH_EXTERNAL_ID;
  // A change alone does not make a record that was deleted there: it lacks its name, and all that has not changed.
  const int is_change = dray_change_op(&work->changes, item->i) == DRAY_OP_UPDATE;
  if (is_change && work->form->match == ZENDESK_MATCH_EXTERNAL_ID) return 1;
  // One by one, create_or_update knows; jobs of organizations either make or update.
  return kind == ZENDESK_ORGANIZATIONS && item->action == ZENDESK_UPSERT && open > 1 && !work->bulk_off &&
         strcmp(work->client->settings.use_bulk, "never") != 0;
}

static void decide(struct zendesk_work *work, struct zendesk_item *item) {
  const int found = item->record != NULL;
  char text[160];
  if (item->copies > 1) {
    (void)snprintf(text, sizeof(text), "%d %s have this %s: only one of them can be meant", item->copies,
                   work->form->object->plural, work->form->match == ZENDESK_MATCH_EMAIL ? "email" : "external_id");
    zendesk_settle(work, item, DRAY_RECEIPT_REJECTED, DRAY_E_DATA_REJECTED, text);
  } else if (item->action == ZENDESK_UPSERT) {
    item->whole = !found;
    // An address may be that of a user without this external_id: create_or_update finds it.
    if (work->form->object->kind != ZENDESK_USERS) item->action = found ? ZENDESK_UPDATE : ZENDESK_CREATE;
  } else if (item->action == ZENDESK_CREATE && found) {
    zendesk_settle(work, item, DRAY_RECEIPT_UNCHANGED, 0, NULL);
  } else if (item->action == ZENDESK_DELETE && !found) {
    zendesk_settle(work, item, DRAY_RECEIPT_UNCHANGED, 0, NULL);
  } else if (item->by_itself && !found && work->operations != DRAY_OP_UPDATE) {
    item->action = ZENDESK_UPSERT; // it was there once
    item->by_itself = 0;
    item->whole = 1;
  } else if (item->action == ZENDESK_UPDATE && !found) {
    (void)snprintf(text, sizeof(text), "there is no such record in %s", work->form->object->plural);
    zendesk_settle(work, item, DRAY_RECEIPT_REJECTED, DRAY_E_DATA_REJECTED, text);
  }
}

// A row that is new here may mean a user who is there, with another address: only a change says so by itself.
static int32_t decide_address(struct zendesk_work *work, struct zendesk_item *item, struct dray_error *error) {
  const struct dray_str held = dray_json_string(dray_json_get(item->record, "email"), "");
  struct dray_buffer email;
  if (item->settled || item->by_itself || held.len == 0 || !brings_address(work, item)) return DRAY_OK;
  if (dray_change_op(&work->changes, item->i) != DRAY_OP_INSERT) return DRAY_OK;
  dray_buffer_init(&email, KEY_BYTES_MAX);
  const int32_t rc = zendesk_form_text(&work->changes, work->form->email_column, item->i, &email, error);
  if (rc == DRAY_OK) item->by_itself = !zendesk_same(held, dray_buffer_view(&email));
  dray_buffer_free(&email);
  return rc == DRAY_E_LIMIT ? DRAY_OK : rc; // Zendesk refuses it in its own words
}

static int32_t look_up(struct zendesk_work *work, struct dray_error *error) {
  uint8_t wanted[ZENDESK_ROWS_MAX] = {0};
  size_t open = 0, count = 0;
  for (size_t k = 0; k < work->count; k++) open += !work->items[k].settled;
  for (size_t k = 0; k < work->count; k++) {
    wanted[k] = (uint8_t)needs_lookup(work, &work->items[k], open);
    count += wanted[k];
  }
  if (count == 0) return DRAY_OK;
  for (size_t k = 0; k < work->count; k++) { // those that need none are left out of it
    if (!wanted[k] && !work->items[k].settled) work->items[k].settled = 2;
  }
  int32_t rc = zendesk_lookup(work, error);
  for (size_t k = 0; k < work->count; k++) {
    if (work->items[k].settled == 2) work->items[k].settled = 0;
    if (rc != DRAY_OK || !wanted[k]) continue;
    if (work->form->match != ZENDESK_MATCH_ID) decide(work, &work->items[k]); // by id Zendesk itself says what is wrong
    rc = decide_address(work, &work->items[k], error);
  }
  return rc;
}

// ---- write ----

static int32_t open_batch(struct dray_destination *destination, const struct ArrowArray *batch,
                          struct dray_receipts *out, struct dray_error *error) {
  struct zendesk_work *work = destination->work;
  if (!destination->begun) return dray_fail(error, DRAY_E_PLUGIN_CONTRACT, "a batch without begin");
  DRAY_TRY(dray_cancel_check(&destination->client.services, error));
  DRAY_TRY(dray_changes_open(&work->changes, destination->schema, batch, out->capacity, error));
  dray_receipts_begin(&destination->receipts, out);
  work->sent = 0;
  work->jobs.count = 0;
  const int32_t rc = make_items(work, error);
  if (rc != DRAY_OK) dray_changes_free(&work->changes);
  return rc;
}

static void close_batch(struct zendesk_work *work) {
  zendesk_lookup_free(work);
  dray_changes_free(&work->changes);
}

static int32_t end_receipts(struct dray_destination *destination, struct dray_receipts *out, struct dray_error *error) {
  if (destination->work->jobs.count > 0) {
    DRAY_TRY(zendesk_jobs_write(&destination->work->jobs, &destination->handle, error));
    out->handle = dray_buffer_view(&destination->handle);
  }
  return dray_receipts_end(&destination->receipts, error);
}

static int32_t destination_write(struct dray_destination *destination, const struct ArrowArray *batch,
                                 const struct dray_batch_info *info, struct dray_receipts *out,
                                 struct dray_error *error) {
  struct zendesk_work *work = destination->work;
  DRAY_TRY(open_batch(destination, batch, out, error));
  work->idempotency_key = info->idempotency_key;
  int32_t rc = look_up(work, error);
  if (rc == DRAY_OK) rc = zendesk_write_bulk(work, error);
  if (rc == DRAY_OK) rc = zendesk_write_singly(work, error);
  close_batch(work);
  return rc != DRAY_OK ? rc : end_receipts(destination, out, error);
}

static int32_t destination_poll(struct dray_destination *destination, struct dray_str handle, const int64_t *rows,
                                uint64_t row_count, struct dray_receipts *out, struct dray_error *error) {
  struct zendesk_jobs jobs;
  const struct zendesk_form *form = destination->begun ? &destination->form : NULL;
  const int by_email = form != NULL && form->object->kind == ZENDESK_USERS && form->match == ZENDESK_MATCH_EMAIL;
  struct zendesk_verdict verdict = {
      .is_set = form != NULL && form->object->kind == ZENDESK_MEMBERSHIPS,
      .is_made_by_email = by_email && destination->work->operations == DRAY_OP_INSERT,
      .wholes = by_email ? &destination->wholes : NULL,
      .receipts = &destination->receipts,
  };
  DRAY_TRY(zendesk_jobs_read(handle, &jobs, error));
  dray_receipts_begin(&destination->receipts, out);
  DRAY_TRY(zendesk_jobs_ask(&destination->client, &destination->open, &jobs, rows, (size_t)row_count, &verdict, error));
  for (uint64_t i = 0; i < row_count; i++) { // rows that no job of the handle has
    int known = 0;
    for (size_t j = 0; j < jobs.count; j++) {
      for (size_t k = 0; k < jobs.items[j].count; k++) known |= jobs.items[j].rows[k] == rows[i];
    }
    if (known) continue;
    dray_receipt_put(&destination->receipts, rows[i], DRAY_RECEIPT_UNKNOWN, DRAY_E_STATE_IN_DOUBT, 0,
                     "the handle has no job of this row");
  }
  if (verdict.pending > 0) {
    dray_buffer_clear(&destination->handle);
    DRAY_TRY(dray_buffer_append(&destination->handle, handle.data, (size_t)handle.len, error));
    out->handle = dray_buffer_view(&destination->handle);
  }
  return dray_receipts_end(&destination->receipts, error);
}

static int32_t destination_read_back(struct dray_destination *destination, const struct ArrowArray *batch,
                                     struct dray_receipts *out, struct dray_error *error) {
  struct zendesk_work *work = destination->work;
  DRAY_TRY(open_batch(destination, batch, out, error));
  int32_t rc = zendesk_read_back(work, error);
  close_batch(work);
  return rc != DRAY_OK ? rc : end_receipts(destination, out, error);
}

static int32_t destination_end(struct dray_destination *destination, struct dray_error *error) {
  (void)error;
  destination_abort(destination);
  return DRAY_OK;
}

const struct dray_destination_vtable zendesk_destination_vtable = {
    .struct_size = sizeof(zendesk_destination_vtable),
    .spec = zendesk_settings_spec,
    .create = destination_create,
    .destroy = destination_destroy,
    .check = destination_check,
    .discover = destination_discover,
    .caps = destination_caps,
    .begin = destination_begin,
    .write = destination_write,
    .poll = destination_poll,
    .read_back = destination_read_back,
    .end = destination_end,
    .abort = destination_abort,
};
