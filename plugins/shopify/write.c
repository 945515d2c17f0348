// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What a batch becomes. An error is returned only when nothing of it can have been applied; as soon as anything was,
// or may have been, every row gets a receipt and the rest is to be tried again.
#include "write.h"

#include <stdio.h>
#include <stdlib.h>

#include "sender.h"

#define VALUES_BYTES_MAX (256u << 20)
#define TEXTS_BYTES_MAX (64u << 20)
#define FILE_BYTES_MAX (95u << 20) // a job's file may have 100 MB
#define LINES_OF_A_JOB_MIN 100
#define SLOT_RETRY_MS 10000

// A batch in work.
struct work {
  struct dray_destination *destination;
  struct dray_changes changes;
  struct shopify_task *tasks; // owned
  size_t count, capacity;
  struct dray_buffer values, texts;
  struct shopify_sender sender;
  int32_t failed; // code of what stopped it, in `why`
  struct dray_error why;
  int pending; // tasks are in a job
};

static int32_t make_room(struct work *work, size_t more, struct dray_error *error) {
  if (work->count + more <= work->capacity) return DRAY_OK;
  const size_t capacity = (work->count + more) * 2;
  struct shopify_task *tasks = realloc(work->tasks, capacity * sizeof(*tasks));
  if (tasks == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a batch");
  work->tasks = tasks;
  work->capacity = capacity;
  return DRAY_OK;
}

static void work_free(struct work *work) {
  dray_changes_free(&work->changes);
  shopify_sender_free(&work->sender);
  dray_buffer_free(&work->values);
  dray_buffer_free(&work->texts);
  free(work->tasks);
}

static int may_make(const struct work *work) {
  return (work->destination->mapping.operations & DRAY_OP_INSERT) != 0;
}

static int may_change(const struct work *work) {
  return (work->destination->mapping.operations & DRAY_OP_UPDATE) != 0;
}

// Whether what a row is about has to be found before it can be written: a customer to be deleted, not to be created, or
// not to be changed; a metafield that is not to be created.
static int needs_search(const struct work *work, size_t change) {
  const struct shopify_mapping *mapping = &work->destination->mapping;
  if (mapping->object == SHOPIFY_OBJECT_METAFIELDS) {
    return !may_make(work) && may_change(work) && !shopify_metafield_row_removes(mapping, &work->changes, change);
  }
  if (mapping->object != SHOPIFY_OBJECT_CUSTOMERS) return 0;
  if (dray_change_op(&work->changes, change) == DRAY_OP_DELETE) return mapping->match != SHOPIFY_MATCH_ID;
  if (!may_change(work)) return 1;
  if (mapping->match == SHOPIFY_MATCH_ID) return 0; // nobody is made with an id of ours
  return !may_make(work) || strcmp(work->destination->options.on_missing, "skip") == 0;
}

// A batch of a run that died is sent again without a plan that counts it.
static int wants_job(const struct work *work) {
  const int64_t threshold = work->destination->options.bulk_threshold;
  return work->destination->in_bulk || (threshold > 0 && work->changes.view.row_count > (uint64_t)threshold);
}

// ---- making ----

static int32_t make_one(struct work *work, size_t change, struct dray_error *error) {
  const struct shopify_mapping *mapping = &work->destination->mapping;
  DRAY_TRY(make_room(work, 1, error));
  struct shopify_task *task = &work->tasks[work->count++];
  if (needs_search(work, change)) {
    return shopify_make_find(mapping, &work->changes, change, &work->values, &work->texts, task, error);
  }
  if (mapping->object == SHOPIFY_OBJECT_METAFIELDS) {
    *task = (struct shopify_task){.change = change};
    return shopify_write_metafield_row(mapping, &work->changes, dray_str_make(NULL, 0), task, &work->values,
                                       &work->texts, error);
  }
  return shopify_make_task(mapping, &work->changes, change, &work->values, &work->texts, task, error);
}

static int32_t deny(struct dray_error *error, const char *what, const char *scope) {
  const int32_t rc = dray_fail(error, DRAY_E_AUTH_FORBIDDEN,
                               "%.100s: to be written they need the scope %s, which the app lacks", what, scope);
  if (error != NULL) (void)snprintf(error->vendor_code, sizeof(error->vendor_code), "ACCESS_DENIED");
  return rc;
}

static int32_t check_owners(struct work *work, struct dray_error *error) {
  struct dray_buffer owner;
  int32_t rc = DRAY_OK;
  dray_buffer_init(&owner, TEXTS_BYTES_MAX);
  for (size_t i = 0; i < work->changes.view.row_count && rc == DRAY_OK; i++) {
    rc = shopify_owner_id(&work->destination->mapping, &work->changes, i, &owner, error);
    const char *scope = rc == DRAY_OK ? shopify_scope_of_owner(dray_buffer_view(&owner)) : NULL;
    if (scope == NULL || shopify_scopes_have(&work->destination->scopes, dray_str_of(scope))) continue;
    char what[200];
    (void)snprintf(what, sizeof(what), "metafields of %.80s and its like", owner.data);
    rc = deny(error, what, scope);
  }
  dray_buffer_free(&owner);
  return rc;
}

// Metafields whose owner the app may not write, and whatever it may not write by a job, Shopify refuses row by row.
// That is no fault of the rows, and none would ever pass: it is said before any is sent. Other refusals are of a whole
// request anyway.
static int32_t check_rights(struct work *work, struct dray_error *error) {
  struct dray_destination *destination = work->destination;
  const struct shopify_object *object = &shopify_objects[destination->mapping.object];
  const int by_owner = destination->mapping.object == SHOPIFY_OBJECT_METAFIELDS;
  if (!by_owner && !wants_job(work)) return DRAY_OK;
  if (destination->scopes.len == 0) DRAY_TRY(shopify_scopes_ask(&destination->client, &destination->scopes, error));
  if (by_owner) return check_owners(work, error);
  if (shopify_scopes_have(&destination->scopes, dray_str_of(object->scopes))) return DRAY_OK;
  return deny(error, object->def.name, object->scopes);
}

static int32_t make_all(struct work *work, struct dray_error *error) {
  for (size_t i = 0; i < work->changes.view.row_count; i++) DRAY_TRY(make_one(work, i, error));
  return DRAY_OK;
}

// ---- sending ----

// Sends what has no outcome among tasks [from, to). A failure is noted; nothing after it is sent.
static void send(struct work *work, size_t from, size_t to) {
  if (work->failed != DRAY_OK || from == to) return;
  work->failed = shopify_send_tasks(&work->sender, work->tasks + from, to - from,
                                    work->values.data != NULL ? work->values.data : "");
  if (work->failed != DRAY_OK) work->why = work->sender.why;
}

// Puts the tasks that search at the front, so that they stand together.
static size_t searches_first(struct work *work) {
  size_t searches = 0;
  for (size_t i = 0; i < work->count; i++) {
    if (!shopify_operations[work->tasks[i].operation].query) continue;
    const struct shopify_task task = work->tasks[i];
    work->tasks[i] = work->tasks[searches];
    work->tasks[searches++] = task;
  }
  return searches;
}

// Nobody was found: a removal is done, and other rows are refused unless they are to make somebody.
static int32_t follow_miss(struct work *work, size_t i, struct dray_error *error) {
  const struct shopify_mapping *mapping = &work->destination->mapping;
  struct shopify_task *task = &work->tasks[i];
  const char *why = NULL;
  if (dray_change_op(&work->changes, task->change) == DRAY_OP_DELETE) return DRAY_OK;
  if (mapping->object == SHOPIFY_OBJECT_METAFIELDS) {
    why = "there is no such metafield, and mode update makes none";
  } else if (!may_make(work)) {
    why = "there is no such customer, and mode update makes none";
  } else if (strcmp(work->destination->options.on_missing, "skip") == 0) {
    why = "there is no such customer, and on_missing is skip";
  } else if (mapping->match == SHOPIFY_MATCH_ID) {
    why = "there is no such customer, and none can be made with an id that Shopify has not given";
  }
  if (why != NULL) {
    return shopify_settle(task, DRAY_RECEIPT_REJECTED, DRAY_E_DATA_REJECTED, dray_str_of(why), &work->texts, error);
  }
  return shopify_make_task(mapping, &work->changes, task->change, &work->values, &work->texts, task, error);
}

// What was found is written, or deleted, or left as it is where rows only make.
static int32_t follow_search(struct work *work, size_t i, struct dray_error *error) {
  struct shopify_task *task = &work->tasks[i];
  if (task->status == DRAY_RECEIPT_UNCHANGED) return follow_miss(work, i, error);
  if (task->status == DRAY_RECEIPT_UNKNOWN) { // a search changes nothing
    task->status = DRAY_RECEIPT_RETRY;
    return DRAY_OK;
  }
  if (task->status != DRAY_RECEIPT_APPLIED) return DRAY_OK;
  if (dray_change_op(&work->changes, task->change) == DRAY_OP_DELETE) {
    const struct dray_str id = dray_str_make(work->texts.data + task->id, task->id_len);
    return shopify_make_delete(id, task->change, &work->values, task, error);
  }
  if (!may_change(work)) {
    task->status = DRAY_RECEIPT_UNCHANGED;
    return DRAY_OK;
  }
  if (task->operation == SHOPIFY_METAFIELD_FIND) {
    const struct dray_str digest = dray_str_make(work->texts.data + task->id, task->id_len);
    *task = (struct shopify_task){.change = task->change};
    return shopify_write_metafield_row(&work->destination->mapping, &work->changes, digest, task, &work->values,
                                       &work->texts, error);
  }
  return shopify_make_task(&work->destination->mapping, &work->changes, task->change, &work->values, &work->texts, task,
                           error);
}

static int32_t add_metafields_of(struct work *work, size_t change, struct dray_str owner, int32_t operation,
                                 struct dray_error *error) {
  const struct shopify_mapping *mapping = &work->destination->mapping;
  for (size_t i = 0; i < mapping->definitions->count; i++) {
    int wanted = 0;
    DRAY_TRY(make_room(work, 1, error));
    DRAY_TRY(shopify_make_metafield(mapping, &work->changes, change, i, owner, operation, &work->values,
                                    &work->tasks[work->count], &wanted, error));
    work->count += wanted != 0;
  }
  return DRAY_OK;
}

// customerSet takes no metafields: they follow with the id that it has told, those that are set before those that go,
// so that each makes whole lists.
static int32_t add_metafields(struct work *work, int32_t operation, size_t count, struct dray_error *error) {
  if (work->destination->mapping.metafield_count == 0) return DRAY_OK;
  for (size_t i = 0; i < count; i++) {
    if (work->tasks[i].operation != SHOPIFY_CUSTOMER_SET || work->tasks[i].status != DRAY_RECEIPT_APPLIED) continue;
    const struct dray_str id = dray_str_make(work->texts.data + work->tasks[i].id, work->tasks[i].id_len);
    DRAY_TRY(add_metafields_of(work, work->tasks[i].change, id, operation, error));
  }
  return DRAY_OK;
}

// An update by id sets metafields itself and removes none. Those go before it, since a job has nothing behind it.
static int32_t remove_metafields(struct work *work, struct dray_error *error) {
  const size_t count = work->count;
  struct dray_buffer id;
  int32_t rc = DRAY_OK;
  if (work->destination->mapping.metafield_count == 0) return DRAY_OK;
  dray_buffer_init(&id, TEXTS_BYTES_MAX);
  for (size_t i = 0; i < count && rc == DRAY_OK; i++) {
    const int32_t operation = work->tasks[i].operation;
    if (work->tasks[i].status != 0 || (operation != SHOPIFY_CUSTOMER_UPDATE && operation != SHOPIFY_ORDER_UPDATE)) {
      continue;
    }
    rc = shopify_owner_id(&work->destination->mapping, &work->changes, work->tasks[i].change, &id, error);
    if (rc == DRAY_OK) {
      rc = add_metafields_of(work, work->tasks[i].change, dray_buffer_view(&id), SHOPIFY_METAFIELDS_DELETE, error);
    }
  }
  dray_buffer_free(&id);
  if (rc == DRAY_OK) send(work, count, work->count);
  return rc;
}

static int32_t search_all(struct work *work, struct dray_error *error) {
  const size_t searches = searches_first(work);
  send(work, 0, searches);
  for (size_t i = 0; work->failed == DRAY_OK && i < searches; i++) DRAY_TRY(follow_search(work, i, error));
  return DRAY_OK;
}

static int32_t send_all(struct work *work, struct dray_error *error) {
  const size_t count = work->count;
  // Lists and aliases are requests of their own; the objects have one or the other.
  send(work, 0, count);
  if (work->failed != DRAY_OK) return DRAY_OK;
  DRAY_TRY(add_metafields(work, SHOPIFY_METAFIELDS_SET, count, error));
  DRAY_TRY(add_metafields(work, SHOPIFY_METAFIELDS_DELETE, count, error));
  send(work, count, work->count);
  return DRAY_OK;
}

// ---- in a job ----

// The operation that most of the unsent tasks are of, when there are enough of them: each row has one of these.
static int32_t operation_for_job(const struct work *work) {
  size_t counts[SHOPIFY_OPERATION_COUNT] = {0};
  int32_t most = 0;
  if (!wants_job(work) || work->failed != DRAY_OK || work->destination->files_refused) return -1;
  for (size_t i = 0; i < work->count; i++) {
    if (work->tasks[i].status == 0) counts[work->tasks[i].operation]++;
  }
  for (int32_t i = 0; i < SHOPIFY_OPERATION_COUNT; i++) {
    if (counts[i] > counts[most]) most = i;
  }
  const int after = most == SHOPIFY_CUSTOMER_SET && work->destination->mapping.metafield_count > 0;
  return counts[most] >= LINES_OF_A_JOB_MIN && !shopify_operations[most].query && !after ? most : -1;
}

static int32_t write_file(const struct work *work, int32_t operation, struct dray_buffer *file,
                          struct shopify_lines *lines, struct dray_error *error) {
  for (size_t i = 0; i < work->count; i++) {
    const struct shopify_task *task = &work->tasks[i];
    if (task->status != 0 || task->operation != operation) continue;
    DRAY_TRY(shopify_write_bulk_line(task, work->values.data, file, error));
    DRAY_TRY(shopify_lines_add(lines, dray_change_row(&work->changes, task->change), error));
  }
  return DRAY_OK;
}

// All tasks of a job. Without memory the reason is lost, what became of them is not.
static void settle_job(struct work *work, int32_t operation, const struct dray_receipt *as) {
  const size_t text = work->texts.len;
  const int kept = dray_buffer_append(&work->texts, as->text.data, (size_t)as->text.len, NULL) == DRAY_OK;
  for (size_t i = 0; i < work->count; i++) {
    if (work->tasks[i].status != 0 || work->tasks[i].operation != operation) continue;
    work->tasks[i].status = as->status;
    work->tasks[i].code = as->code;
    work->tasks[i].retry_after_ms = as->retry_after_ms;
    work->tasks[i].text = text;
    work->tasks[i].text_len = kept ? (size_t)as->text.len : 0;
  }
}

// *out_sent = 0: the rows are too scattered for a handle or too large for a file; they go by aliases.
static int32_t send_job(struct work *work, int32_t operation, int *out_sent, struct dray_error *error) {
  struct dray_destination *destination = work->destination;
  struct shopify_lines lines = {0};
  struct dray_buffer file;
  struct dray_error why;
  char id[SHOPIFY_BULK_ID_BYTES] = "";
  int fits = 0, started = 0;
  dray_error_init(&why);
  dray_buffer_init(&file, FILE_BYTES_MAX);
  dray_buffer_clear(&destination->handle);
  int32_t rc = write_file(work, operation, &file, &lines, &why);
  // Its length is known before there is an id: with the longest one.
  if (rc == DRAY_OK)
    rc = shopify_handle_write("gid://shopify/BulkOperation/12345678901234567890", operation, &lines,
                              &destination->handle, &fits, &why);
  dray_buffer_clear(&destination->handle);
  *out_sent = rc == DRAY_OK && fits;
  if (*out_sent) {
    rc = shopify_job_start(&destination->client, operation, dray_buffer_view(&file), id, &started, &why);
    if (rc == DRAY_OK && started) rc = shopify_handle_write(id, operation, &lines, &destination->handle, &fits, &why);
    if (rc == DRAY_OK) {
      // A limit of the shop, whoever is at work there: no row is refused for it.
      const struct dray_receipt busy = {
          .status = DRAY_RECEIPT_RETRY,
          .code = DRAY_E_THROTTLED,
          .retry_after_ms = SLOT_RETRY_MS,
          .text = dray_str_of("Shopify is at work on as many bulk operations as it takes at once")};
      const struct dray_receipt begun = {.status = DRAY_RECEIPT_PENDING};
      settle_job(work, operation, started ? &begun : &busy);
      work->pending = started;
    } else if (dray_api_in_doubt(&why)) {
      const struct dray_receipt lost = {.status = DRAY_RECEIPT_UNKNOWN,
                                        .code = rc == DRAY_E_CANCELLED ? DRAY_E_NET_CLOSED : rc,
                                        .text = dray_str_of(why.text)};
      settle_job(work, operation, &lost);
      rc = DRAY_OK;
    } else if (rc == DRAY_E_HTTP_STATUS && why.http_status == 0) { // Shopify does not want it as a job
      dray_log_printf(&destination->services, DRAY_LOG_WARN, "rows are sent one by one: %s", why.text);
      *out_sent = 0;
      rc = DRAY_OK;
    }
  } else if (rc == DRAY_E_LIMIT) {
    rc = DRAY_OK;
  }
  shopify_lines_free(&lines);
  dray_buffer_free(&file);
  if (rc != DRAY_OK && error != NULL) *error = why;
  return rc;
}

// ---- receipts ----

// Of a row's tasks the worst one counts.
static int rank(int32_t status) {
  static const int32_t order[] = {DRAY_RECEIPT_UNCHANGED, DRAY_RECEIPT_APPLIED, DRAY_RECEIPT_PENDING,
                                  DRAY_RECEIPT_RETRY,     DRAY_RECEIPT_UNKNOWN, DRAY_RECEIPT_REJECTED};
  for (int i = 0; i < 6; i++) {
    if (order[i] == status) return i;
  }
  return 3; // not sent
}

// Whether a task of its kind may have changed something.
static int may_be_done(const struct shopify_task *task) {
  if (shopify_operations[task->operation].query) return 0;
  return task->status == DRAY_RECEIPT_APPLIED || task->status == DRAY_RECEIPT_UNKNOWN ||
         task->status == DRAY_RECEIPT_PENDING;
}

static void put_receipt(struct work *work, const struct shopify_task *task, int partly) {
  struct dray_receipt_writer *receipts = &work->destination->receipts;
  const int64_t row = dray_change_row(&work->changes, task->change);
  if (task->status == 0) {
    dray_receipt_put(receipts, row, DRAY_RECEIPT_RETRY, work->failed, work->why.retry_after_ms, "not sent: %s",
                     work->why.text);
  } else if (rank(task->status) < 3) {
    dray_receipt_put(receipts, row, task->status, 0, 0, NULL);
  } else {
    dray_receipt_put(receipts, row, task->status, task->code, task->retry_after_ms, "%.*s", (int)task->text_len,
                     task->text_len > 0 ? work->texts.data + task->text : "");
  }
  if (partly) dray_receipt_partly(receipts);
}

static int32_t give_receipts(struct work *work, struct dray_receipts *out, struct dray_error *error) {
  const size_t count = (size_t)work->changes.view.row_count;
  const struct shopify_task **worst = calloc(count + 1, sizeof(*worst));
  uint8_t *partly = calloc(count + 1, 1);
  if (worst == NULL || partly == NULL) {
    free(worst);
    free(partly);
    return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for receipts");
  }
  for (size_t i = 0; i < work->count; i++) {
    const struct shopify_task *task = &work->tasks[i];
    if (worst[task->change] == NULL || rank(task->status) > rank(worst[task->change]->status))
      worst[task->change] = task;
    partly[task->change] |= (uint8_t)may_be_done(task);
  }
  dray_receipts_begin(&work->destination->receipts, out);
  for (size_t i = 0; i < count; i++) put_receipt(work, worst[i], partly[i]);
  free(worst);
  free(partly);
  if (work->pending) out->handle = dray_buffer_view(&work->destination->handle);
  return dray_receipts_end(&work->destination->receipts, error);
}

static int anything_done(const struct work *work) {
  for (size_t i = 0; i < work->count; i++) {
    if (may_be_done(&work->tasks[i])) return 1;
  }
  return 0;
}

static int32_t do_work(struct work *work, struct dray_receipts *out, struct dray_error *error) {
  DRAY_TRY(check_rights(work, error));
  DRAY_TRY(make_all(work, error));
  int32_t rc = search_all(work, error);
  if (rc == DRAY_OK) rc = remove_metafields(work, error);
  const int32_t operation = rc == DRAY_OK ? operation_for_job(work) : -1;
  int sent = 0;
  if (operation >= 0) rc = send_job(work, operation, &sent, error);
  if (rc == DRAY_OK) rc = send_all(work, error);
  if (rc != DRAY_OK && !anything_done(work)) return rc;
  if (rc != DRAY_OK && work->failed == DRAY_OK) { // memory: what was done stays done
    work->failed = rc;
    if (error != NULL) work->why = *error;
  }
  if (work->failed != DRAY_OK && !anything_done(work)) {
    if (error != NULL) *error = work->why;
    return work->failed;
  }
  return give_receipts(work, out, error);
}

int32_t shopify_write(struct dray_destination *destination, const struct ArrowArray *batch,
                      const struct dray_batch_info *info, struct dray_receipts *out, struct dray_error *error) {
  struct work work = {.destination = destination};
  (void)info;
  if (!destination->begun) return dray_fail(error, DRAY_E_PLUGIN_CONTRACT, "write without begin");
  DRAY_TRY(dray_cancel_check(&destination->services, error));
  DRAY_TRY(dray_changes_open(&work.changes, destination->schema, batch, out->capacity, error));
  dray_error_init(&work.why);
  dray_buffer_init(&work.values, VALUES_BYTES_MAX);
  dray_buffer_init(&work.texts, TEXTS_BYTES_MAX);
  shopify_sender_init(&work.sender, &destination->client, &work.texts);
  const int32_t rc = do_work(&work, out, error);
  work_free(&work);
  return rc;
}

// ---- polling ----

static int compare_rows(const void *a, const void *b) {
  const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

// Whether a row of a job had a call before it, which took metafields away (remove_metafields). The job does not say of
// which rows that is so.
static int had_more(const struct dray_destination *destination, int32_t operation) {
  return destination->mapping.metafield_count > 0 &&
         (operation == SHOPIFY_CUSTOMER_UPDATE || operation == SHOPIFY_ORDER_UPDATE);
}

// Receipts for the rows that were asked for, whatever else the job holds.
static int32_t give_polled(struct dray_destination *destination, const int64_t *rows, uint64_t row_count,
                           int32_t operation, const struct shopify_lines *lines, const struct shopify_task *tasks,
                           const struct dray_buffer *texts, struct dray_receipts *out, struct dray_error *error) {
  int64_t *wanted = malloc((size_t)(row_count + 1) * sizeof(*wanted));
  uint8_t *given = calloc((size_t)row_count + 1, 1);
  int32_t rc =
      wanted != NULL && given != NULL ? DRAY_OK : dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for receipts");
  dray_receipts_begin(&destination->receipts, out);
  if (rc == DRAY_OK) {
    memcpy(wanted, rows, (size_t)row_count * sizeof(*wanted));
    qsort(wanted, (size_t)row_count, sizeof(*wanted), compare_rows);
    for (uint64_t line = 0; line < lines->count; line++) {
      const int64_t row = shopify_lines_row(lines, line);
      const int64_t *at = bsearch(&row, wanted, (size_t)row_count, sizeof(*wanted), compare_rows);
      const struct shopify_task *task = tasks != NULL ? &tasks[line] : NULL;
      if (at == NULL || task == NULL || task->status == 0) continue;
      given[at - wanted] = 1;
      if (rank(task->status) < 3) {
        dray_receipt_put(&destination->receipts, row, task->status, 0, 0, NULL);
        continue;
      }
      dray_receipt_put(&destination->receipts, row, task->status, task->code, 0, "%.*s", (int)task->text_len,
                       task->text_len > 0 ? texts->data + task->text : "");
      if (had_more(destination, operation)) dray_receipt_partly(&destination->receipts);
    }
    for (uint64_t i = 0; i < row_count; i++) {
      if (!given[i]) {
        dray_receipt_put(&destination->receipts, wanted[i], DRAY_RECEIPT_UNKNOWN, DRAY_E_NET_CLOSED, 0,
                         "the result of the bulk operation does not hold this row");
      }
    }
    rc = dray_receipts_end(&destination->receipts, error);
  }
  free(wanted);
  free(given);
  return rc;
}

static int32_t still_pending(struct dray_destination *destination, struct dray_str handle, const int64_t *rows,
                             uint64_t row_count, struct dray_receipts *out, struct dray_error *error) {
  dray_buffer_clear(&destination->handle);
  DRAY_TRY(dray_buffer_append(&destination->handle, handle.data, (size_t)handle.len, error));
  dray_receipts_begin(&destination->receipts, out);
  for (uint64_t i = 0; i < row_count; i++) {
    dray_receipt_put(&destination->receipts, rows[i], DRAY_RECEIPT_PENDING, 0, 0, NULL);
  }
  out->handle = dray_buffer_view(&destination->handle);
  return dray_receipts_end(&destination->receipts, error);
}

int32_t shopify_poll(struct dray_destination *destination, struct dray_str handle, const int64_t *rows,
                     uint64_t row_count, struct dray_receipts *out, struct dray_error *error) {
  struct shopify_bulk_status status = {0};
  struct shopify_lines lines = {0};
  struct shopify_task *tasks = NULL;
  struct dray_buffer texts;
  char id[SHOPIFY_BULK_ID_BYTES];
  int32_t operation = 0;
  dray_buffer_init(&texts, TEXTS_BYTES_MAX);
  DRAY_TRY(shopify_handle_read(handle, id, &operation, &lines, error));
  int32_t rc = shopify_bulk_ask(&destination->client, id, &status, error);
  if (rc == DRAY_OK && status.state == SHOPIFY_BULK_RUNNING) {
    rc = still_pending(destination, handle, rows, row_count, out, error);
  } else if (rc == DRAY_OK) {
    tasks = calloc((size_t)lines.count + 1, sizeof(*tasks));
    if (tasks == NULL) rc = dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a job's result");
    int refused = 0;
    if (rc == DRAY_OK) {
      rc =
          shopify_job_result(&destination->client, id, &status, operation, tasks, lines.count, &texts, &refused, error);
    }
    if (refused) {
      destination->files_refused = 1;
      dray_log_printf(&destination->services, DRAY_LOG_WARN,
                      "the result of the bulk operation %s cannot be downloaded: its rows are sent again, one by one",
                      id);
    }
    if (rc == DRAY_OK) rc = give_polled(destination, rows, row_count, operation, &lines, tasks, &texts, out, error);
  }
  shopify_bulk_status_free(&status);
  shopify_lines_free(&lines);
  dray_buffer_free(&texts);
  free(tasks);
  return rc;
}
