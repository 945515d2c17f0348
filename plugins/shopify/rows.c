// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Rows to the variables of mutations. Only what a change says is written, the key beside it.
//
// A null clears what it can: texts become null, lists become empty, metafields are deleted. What Shopify cannot clear
// (tax_exempt, consent) stays as it is.
#include <stdio.h>

#include "objects.h"

#define TEXT_BYTES_MAX (1u << 20)

// The places of fields in their tables.
enum { CUSTOMER_ID = 0, CUSTOMER_FIRST = 1 };
enum { TAG_ID = 0, TAG_TAG = 1 };
enum { METAFIELD_OWNER = 0, METAFIELD_NAMESPACE, METAFIELD_KEY, METAFIELD_VALUE, METAFIELD_TYPE };
enum { CONSENT_ID = 0, CONSENT_STATE = 1, CONSENT_END = 4 };

static const struct dray_field *field_of(const struct shopify_mapping *mapping, size_t field) {
  return &shopify_objects[mapping->object].def.fields[field];
}

static const struct dray_column_view *column_of(const struct shopify_mapping *mapping,
                                                const struct dray_changes *changes, size_t field) {
  return mapping->fields[field] >= 0 ? &changes->view.columns[mapping->fields[field]] : NULL;
}

static int has_value(const struct shopify_mapping *mapping, const struct dray_changes *changes, size_t field,
                     size_t change) {
  const struct dray_column_view *column = column_of(mapping, changes, field);
  return column != NULL && !dray_view_absent(&changes->view, (size_t)mapping->fields[field], change) &&
         !dray_column_is_null(column, change);
}

static int is_null(const struct shopify_mapping *mapping, const struct dray_changes *changes, size_t field,
                   size_t change) {
  const struct dray_column_view *column = column_of(mapping, changes, field);
  return column != NULL && !dray_view_absent(&changes->view, (size_t)mapping->fields[field], change) &&
         dray_column_is_null(column, change);
}

// Whether the field is mapped and the row says nothing of it.
static int is_unsaid(const struct shopify_mapping *mapping, const struct dray_changes *changes, size_t field,
                     size_t change) {
  return mapping->fields[field] >= 0 && dray_view_absent(&changes->view, (size_t)mapping->fields[field], change);
}

static int says(const struct shopify_mapping *mapping, const struct dray_changes *changes, size_t field,
                size_t change) {
  return mapping->fields[field] >= 0 && dray_change_says(changes, (size_t)mapping->fields[field], change);
}

// ---- values ----

static int is_number(struct dray_str text) {
  for (uint64_t i = 0; i < text.len; i++) {
    if (text.data[i] < '0' || text.data[i] > '9') return 0;
  }
  return text.len > 0;
}

// What a number in the id column stands for.
static const char *type_of(const struct shopify_mapping *mapping) {
  return mapping->object == SHOPIFY_OBJECT_ORDERS ? "Order" : "Customer";
}

// A key's value as text; a number stands for the gid of `type` (NULL: of nothing). Empty: the row has none.
static int32_t key_text(const struct shopify_mapping *mapping, const struct dray_changes *changes, size_t field,
                        size_t change, const char *type, struct dray_buffer *out, struct dray_error *error) {
  dray_buffer_clear(out);
  if (!has_value(mapping, changes, field, change)) return DRAY_OK;
  DRAY_TRY(dray_column_text(column_of(mapping, changes, field), change, out, error));
  if (type == NULL || !is_number(dray_buffer_view(out))) return DRAY_OK;
  char gid[128];
  (void)snprintf(gid, sizeof(gid), "gid://shopify/%s/%.40s", type, out->data);
  dray_buffer_clear(out);
  return dray_buffer_append_str(out, gid, error);
}

static void write_null(struct dray_json_writer *writer, const struct dray_field *field) {
  dray_json_key(writer, field->path);
  if (field->type.id == DRAY_TYPE_JSON && strcmp(field->path, "shippingAddress") != 0) {
    dray_json_begin_array(writer);
    dray_json_end_array(writer);
    return;
  }
  dray_json_write_null(writer);
}

// All that the change says of the object's own members, but for `but` (a field), which is written by the caller.
static void write_members(const struct shopify_mapping *mapping, const struct dray_changes *changes, size_t change,
                          size_t but, struct dray_json_writer *writer) {
  for (size_t i = 0; i < shopify_objects[mapping->object].def.field_count; i++) {
    const struct dray_field *field = field_of(mapping, i);
    if (i == but || field->path[0] == '-' || !says(mapping, changes, i, change)) continue;
    const struct dray_column_view *column = column_of(mapping, changes, i);
    if (!dray_column_is_null(column, change)) {
      dray_json_key(writer, field->path);
      dray_json_write_column(writer, column, change);
    } else if (field->type.id != DRAY_TYPE_BOOL) {
      write_null(writer, field);
    }
  }
}

// ---- metafields of a row ----

// {"ownerId", "namespace", "key", "value"}; without `owner` (len 0) or `value` where that is so.
static void write_element(const struct shopify_definition *definition, struct dray_str owner,
                          const struct dray_buffer *value, struct dray_json_writer *writer) {
  dray_json_begin_object(writer);
  if (owner.len > 0) {
    dray_json_key(writer, "ownerId");
    dray_json_write_str(writer, owner);
  }
  dray_json_key(writer, "namespace");
  dray_json_write_text(writer, definition->space);
  dray_json_key(writer, "key");
  dray_json_write_text(writer, definition->key);
  if (value != NULL) {
    dray_json_key(writer, "value");
    dray_json_write_str(writer, dray_buffer_view(value));
  }
  dray_json_end_object(writer);
}

static int32_t write_one_metafield(const struct shopify_mapping *mapping, const struct dray_changes *changes,
                                   size_t change, size_t i, struct dray_str owner, struct dray_json_writer *writer,
                                   struct dray_error *error) {
  struct dray_buffer text;
  dray_buffer_init(&text, TEXT_BYTES_MAX);
  const int32_t rc = dray_column_text(&changes->view.columns[mapping->metafields[i]], change, &text, error);
  if (rc == DRAY_OK) write_element(&mapping->definitions->items[i], owner, &text, writer);
  dray_buffer_free(&text);
  return rc;
}

// Whether the change gives the metafield a value, or (`null`) takes it away.
static int wants_metafield(const struct shopify_mapping *mapping, const struct dray_changes *changes, size_t change,
                           size_t i, int null) {
  const ptrdiff_t column = mapping->metafields[i];
  return column >= 0 && dray_change_says(changes, (size_t)column, change) &&
         dray_column_is_null(&changes->view.columns[column], change) == null;
}

static int is_custom_id(const struct shopify_mapping *mapping, const struct shopify_definition *definition) {
  const char *dot = strchr(mapping->options->custom_id, '.');
  const size_t len = (size_t)(dot - mapping->options->custom_id);
  return strncmp(definition->space, mapping->options->custom_id, len) == 0 && definition->space[len] == '\0' &&
         strcmp(definition->key, dot + 1) == 0;
}

// The metafield that custom_id stands for.
static void write_custom_id(const struct shopify_mapping *mapping, struct dray_str value,
                            struct dray_json_writer *writer) {
  const char *dot = strchr(mapping->options->custom_id, '.');
  dray_json_begin_object(writer);
  dray_json_key(writer, "namespace");
  dray_json_write_str(writer,
                      dray_str_make(mapping->options->custom_id, (uint64_t)(dot - mapping->options->custom_id)));
  dray_json_key(writer, "key");
  dray_json_write_text(writer, dot + 1);
  dray_json_key(writer, "value");
  dray_json_write_str(writer, value);
}

// `custom_id` (len 0: none): the value of the one that custom_id stands for, which is written whatever the columns say.
static int32_t write_own_metafields(const struct shopify_mapping *mapping, const struct dray_changes *changes,
                                    size_t change, struct dray_str custom_id, struct dray_json_writer *writer,
                                    struct dray_error *error) {
  int any = 0;
  if (custom_id.len > 0) {
    any = 1;
    dray_json_key(writer, "metafields");
    dray_json_begin_array(writer);
    write_custom_id(mapping, custom_id, writer);
    dray_json_key(writer, "type");
    dray_json_write_text(writer, "id");
    dray_json_end_object(writer);
  }
  for (size_t i = 0; mapping->definitions != NULL && i < mapping->definitions->count; i++) {
    if (!wants_metafield(mapping, changes, change, i, 0)) continue;
    if (custom_id.len > 0 && is_custom_id(mapping, &mapping->definitions->items[i])) continue;
    if (!any) {
      dray_json_key(writer, "metafields");
      dray_json_begin_array(writer);
    }
    any = 1;
    DRAY_TRY(write_one_metafield(mapping, changes, change, i, dray_str_make(NULL, 0), writer, error));
  }
  if (any) dray_json_end_array(writer);
  return DRAY_OK;
}

// ---- tasks ----

static void begin_value(struct shopify_task *task, size_t v, struct dray_buffer *values,
                        struct dray_json_writer *writer, struct dray_error *error) {
  task->offset[v] = values->len;
  dray_json_writer_init(writer, values, error);
}

static int32_t end_value(struct shopify_task *task, size_t v, struct dray_json_writer *writer) {
  DRAY_TRY(dray_json_writer_finish(writer));
  task->len[v] = writer->out->len - task->offset[v];
  return DRAY_OK;
}

static int32_t reject_key(struct shopify_task *task, const char *field, struct dray_buffer *texts,
                          struct dray_error *error) {
  char text[128];
  (void)snprintf(text, sizeof(text), "%s is null", field);
  return shopify_settle(task, DRAY_RECEIPT_REJECTED, DRAY_E_DATA_KEY_NULL, dray_str_of(text), texts, error);
}

// {"email": ...}: how customerSet and the search for a customer name one. `find`: as the search calls it.
static void write_identifier(const struct shopify_mapping *mapping, struct dray_str key, int find,
                             struct dray_json_writer *writer) {
  static const char *const set_names[] = {"id", "email", "phone", "customId"};
  static const char *const find_names[] = {"id", "emailAddress", "phoneNumber", "customId"};
  dray_json_begin_object(writer);
  dray_json_key(writer, (find ? find_names : set_names)[mapping->match - 1]);
  if (mapping->match != SHOPIFY_MATCH_CUSTOM) {
    dray_json_write_str(writer, key);
  } else {
    write_custom_id(mapping, key, writer);
    dray_json_end_object(writer);
  }
  dray_json_end_object(writer);
}

int32_t shopify_make_metafield(const struct shopify_mapping *mapping, const struct dray_changes *changes, size_t change,
                               size_t i, struct dray_str owner, int32_t operation, struct dray_buffer *values,
                               struct shopify_task *task, int *out_wanted, struct dray_error *error) {
  const int removes = operation == SHOPIFY_METAFIELDS_DELETE;
  struct dray_json_writer writer;
  *out_wanted = wants_metafield(mapping, changes, change, i, removes);
  if (!*out_wanted) return DRAY_OK;
  *task = (struct shopify_task){.operation = operation, .change = change};
  begin_value(task, 0, values, &writer, error);
  if (removes) {
    write_element(&mapping->definitions->items[i], owner, NULL, &writer);
  } else {
    DRAY_TRY(write_one_metafield(mapping, changes, change, i, owner, &writer, error));
  }
  return end_value(task, 0, &writer);
}

int32_t shopify_owner_id(const struct shopify_mapping *mapping, const struct dray_changes *changes, size_t change,
                         struct dray_buffer *out, struct dray_error *error) {
  return key_text(mapping, changes, 0, change, type_of(mapping), out, error);
}

static int32_t make_set(const struct shopify_mapping *mapping, const struct dray_changes *changes, struct dray_str key,
                        struct shopify_task *task, struct dray_buffer *values, struct dray_error *error) {
  struct dray_json_writer writer;
  const size_t matched = (size_t)mapping->match - 1;
  task->operation = SHOPIFY_CUSTOMER_SET;
  begin_value(task, 0, values, &writer, error);
  dray_json_begin_object(&writer);
  if (field_of(mapping, matched)->path[0] != '-') { // what it is matched by stands in the input as well
    dray_json_key(&writer, field_of(mapping, matched)->path);
    dray_json_write_str(&writer, key);
  }
  write_members(mapping, changes, task->change, matched, &writer);
  dray_json_end_object(&writer);
  DRAY_TRY(end_value(task, 0, &writer));
  begin_value(task, 1, values, &writer, error);
  write_identifier(mapping, key, 0, &writer);
  return end_value(task, 1, &writer);
}

// {"id": ..., members, "metafields"}: an update by id.
static int32_t make_update(const struct shopify_mapping *mapping, const struct dray_changes *changes, int32_t operation,
                           struct dray_str key, struct shopify_task *task, struct dray_buffer *values,
                           struct dray_error *error) {
  struct dray_json_writer writer;
  task->operation = operation;
  begin_value(task, 0, values, &writer, error);
  dray_json_begin_object(&writer);
  dray_json_key(&writer, "id");
  dray_json_write_str(&writer, key);
  write_members(mapping, changes, task->change, CUSTOMER_ID, &writer);
  DRAY_TRY(write_own_metafields(mapping, changes, task->change, dray_str_make(NULL, 0), &writer, error));
  dray_json_end_object(&writer);
  return end_value(task, 0, &writer);
}

// A customer and its metafields at once, so that nothing can come between: found the next time, it would be left as it
// is.
static int32_t make_create(const struct shopify_mapping *mapping, const struct dray_changes *changes,
                           struct dray_str key, struct shopify_task *task, struct dray_buffer *values,
                           struct dray_error *error) {
  const struct dray_str nothing = {NULL, 0};
  const size_t matched = (size_t)mapping->match - 1;
  struct dray_json_writer writer;
  task->operation = SHOPIFY_CUSTOMER_CREATE;
  begin_value(task, 0, values, &writer, error);
  dray_json_begin_object(&writer);
  if (mapping->match != SHOPIFY_MATCH_CUSTOM) {
    dray_json_key(&writer, field_of(mapping, matched)->path);
    dray_json_write_str(&writer, key);
  }
  write_members(mapping, changes, task->change, matched, &writer);
  DRAY_TRY(write_own_metafields(mapping, changes, task->change, mapping->match == SHOPIFY_MATCH_CUSTOM ? key : nothing,
                                &writer, error));
  dray_json_end_object(&writer);
  return end_value(task, 0, &writer);
}

int32_t shopify_make_delete(struct dray_str id, size_t change, struct dray_buffer *values, struct shopify_task *task,
                            struct dray_error *error) {
  struct dray_json_writer writer;
  *task = (struct shopify_task){.operation = SHOPIFY_CUSTOMER_DELETE, .change = change};
  begin_value(task, 0, values, &writer, error);
  dray_json_begin_object(&writer);
  dray_json_key(&writer, "id");
  dray_json_write_str(&writer, id);
  dray_json_end_object(&writer);
  return end_value(task, 0, &writer);
}

static int32_t make_customer(const struct shopify_mapping *mapping, const struct dray_changes *changes,
                             struct dray_str key, struct shopify_task *task, struct dray_buffer *values,
                             struct dray_error *error) {
  if (dray_change_op(changes, task->change) == DRAY_OP_DELETE) {
    return shopify_make_delete(key, task->change, values, task, error);
  }
  if (mapping->operations == DRAY_OP_INSERT) return make_create(mapping, changes, key, task, values, error);
  if (mapping->match == SHOPIFY_MATCH_ID && mapping->metafield_count > 0) {
    return make_update(mapping, changes, SHOPIFY_CUSTOMER_UPDATE, key, task, values, error);
  }
  return make_set(mapping, changes, key, task, values, error);
}

static int32_t make_tag(const struct shopify_mapping *mapping, const struct dray_changes *changes, struct dray_str key,
                        struct shopify_task *task, struct dray_buffer *values, struct dray_buffer *texts,
                        struct dray_error *error) {
  const int removes = strcmp(mapping->options->tag_mode, "remove") == 0;
  const int gone = dray_change_op(changes, task->change) == DRAY_OP_DELETE;
  struct dray_json_writer writer;
  if (!has_value(mapping, changes, TAG_TAG, task->change)) return reject_key(task, "tag", texts, error);
  task->operation = removes || gone ? SHOPIFY_TAGS_REMOVE : SHOPIFY_TAGS_ADD;
  begin_value(task, 0, values, &writer, error);
  dray_json_write_str(&writer, key);
  DRAY_TRY(end_value(task, 0, &writer));
  begin_value(task, 1, values, &writer, error);
  dray_json_begin_array(&writer);
  dray_json_write_column(&writer, column_of(mapping, changes, TAG_TAG), task->change);
  dray_json_end_array(&writer);
  return end_value(task, 1, &writer);
}

static int32_t make_consent(const struct shopify_mapping *mapping, const struct dray_changes *changes,
                            struct dray_str key, struct shopify_task *task, struct dray_buffer *values,
                            struct dray_error *error) {
  struct dray_json_writer writer;
  if (!has_value(mapping, changes, CONSENT_STATE, task->change)) { // it says nothing that could be set
    task->status = DRAY_RECEIPT_UNCHANGED;
    return DRAY_OK;
  }
  task->operation = SHOPIFY_EMAIL_CONSENT;
  begin_value(task, 0, values, &writer, error);
  dray_json_begin_object(&writer);
  dray_json_key(&writer, "customerId");
  dray_json_write_str(&writer, key);
  dray_json_key(&writer, "emailMarketingConsent");
  dray_json_begin_object(&writer);
  for (size_t i = CONSENT_STATE; i < CONSENT_END; i++) { // the whole of it, whatever part has changed
    if (!has_value(mapping, changes, i, task->change)) continue;
    dray_json_key(&writer, field_of(mapping, i)->path);
    dray_json_write_column(&writer, column_of(mapping, changes, i), task->change);
  }
  dray_json_end_object(&writer);
  dray_json_end_object(&writer);
  return end_value(task, 0, &writer);
}

int32_t shopify_make_task(const struct shopify_mapping *mapping, const struct dray_changes *changes, size_t change,
                          struct dray_buffer *values, struct dray_buffer *texts, struct shopify_task *task,
                          struct dray_error *error) {
  const size_t matched = mapping->object == SHOPIFY_OBJECT_CUSTOMERS ? (size_t)mapping->match - 1 : 0;
  const char *type = type_of(mapping);
  struct dray_buffer key;
  dray_buffer_init(&key, TEXT_BYTES_MAX);
  *task = (struct shopify_task){.change = change};
  int32_t rc =
      key_text(mapping, changes, matched, change, mapping->match == SHOPIFY_MATCH_ID ? type : NULL, &key, error);
  const struct dray_str text = dray_buffer_view(&key);
  if (rc == DRAY_OK && text.len == 0) {
    rc = reject_key(task, field_of(mapping, matched)->name, texts, error);
  } else if (rc == DRAY_OK && mapping->object == SHOPIFY_OBJECT_CUSTOMERS) {
    rc = make_customer(mapping, changes, text, task, values, error);
  } else if (rc == DRAY_OK && mapping->object == SHOPIFY_OBJECT_CUSTOMER_TAGS) {
    rc = make_tag(mapping, changes, text, task, values, texts, error);
  } else if (rc == DRAY_OK && mapping->object == SHOPIFY_OBJECT_CONSENT) {
    rc = make_consent(mapping, changes, text, task, values, error);
  } else if (rc == DRAY_OK) {
    rc = make_update(mapping, changes, SHOPIFY_ORDER_UPDATE, text, task, values, error);
  }
  dray_buffer_free(&key);
  return rc;
}

static int32_t make_find_metafield(const struct shopify_mapping *mapping, const struct dray_changes *changes,
                                   struct dray_buffer *values, struct dray_buffer *texts, struct shopify_task *task,
                                   struct dray_error *error) {
  struct dray_json_writer writer;
  struct dray_buffer text;
  int32_t rc = DRAY_OK;
  dray_buffer_init(&text, TEXT_BYTES_MAX);
  task->operation = SHOPIFY_METAFIELD_FIND;
  for (size_t i = METAFIELD_OWNER; i <= METAFIELD_KEY && rc == DRAY_OK && task->status == 0; i++) {
    rc = key_text(mapping, changes, i, task->change, NULL, &text, error);
    if (rc == DRAY_OK && text.len == 0) {
      rc = reject_key(task, field_of(mapping, i)->name, texts, error);
    } else if (rc == DRAY_OK) {
      begin_value(task, i, values, &writer, error);
      dray_json_write_str(&writer, dray_buffer_view(&text));
      rc = end_value(task, i, &writer);
    }
  }
  dray_buffer_free(&text);
  return rc;
}

int32_t shopify_make_find(const struct shopify_mapping *mapping, const struct dray_changes *changes, size_t change,
                          struct dray_buffer *values, struct dray_buffer *texts, struct shopify_task *task,
                          struct dray_error *error) {
  struct dray_json_writer writer;
  struct dray_buffer key;
  *task = (struct shopify_task){.operation = SHOPIFY_CUSTOMER_FIND, .change = change};
  if (mapping->object == SHOPIFY_OBJECT_METAFIELDS) {
    return make_find_metafield(mapping, changes, values, texts, task, error);
  }
  dray_buffer_init(&key, TEXT_BYTES_MAX);
  const char *type = mapping->match == SHOPIFY_MATCH_ID ? type_of(mapping) : NULL;
  int32_t rc = key_text(mapping, changes, (size_t)mapping->match - 1, change, type, &key, error);
  if (rc == DRAY_OK && key.len == 0) {
    rc = reject_key(task, field_of(mapping, (size_t)mapping->match - 1)->name, texts, error);
  } else if (rc == DRAY_OK) {
    begin_value(task, 0, values, &writer, error);
    write_identifier(mapping, dray_buffer_view(&key), 1, &writer);
    rc = end_value(task, 0, &writer);
  }
  dray_buffer_free(&key);
  return rc;
}

int shopify_metafield_row_removes(const struct shopify_mapping *mapping, const struct dray_changes *changes,
                                  size_t change) {
  return dray_change_op(changes, change) == DRAY_OP_DELETE || is_null(mapping, changes, METAFIELD_VALUE, change);
}

int32_t shopify_write_metafield_row(const struct shopify_mapping *mapping, const struct dray_changes *changes,
                                    struct dray_str digest, struct shopify_task *task, struct dray_buffer *values,
                                    struct dray_buffer *texts, struct dray_error *error) {
  const int gone = shopify_metafield_row_removes(mapping, changes, task->change);
  const int makes = mapping->operations == DRAY_OP_INSERT;
  const size_t last = gone ? METAFIELD_KEY : METAFIELD_TYPE;
  if (!gone && is_unsaid(mapping, changes, METAFIELD_VALUE, task->change)) {
    task->status = DRAY_RECEIPT_UNCHANGED;
    return DRAY_OK;
  }
  struct dray_json_writer writer;
  struct dray_buffer text;
  int32_t rc = DRAY_OK;
  if (gone && makes) { // what is there stays
    task->status = DRAY_RECEIPT_UNCHANGED;
    return DRAY_OK;
  }
  dray_buffer_init(&text, TEXT_BYTES_MAX);
  task->operation = gone ? SHOPIFY_METAFIELDS_DELETE : makes ? SHOPIFY_METAFIELDS_CREATE : SHOPIFY_METAFIELDS_SET;
  begin_value(task, 0, values, &writer, error);
  dray_json_begin_object(&writer);
  for (size_t i = 0; i <= last && rc == DRAY_OK && task->status == 0; i++) {
    dray_buffer_clear(&text);
    if (!has_value(mapping, changes, i, task->change)) {
      if (i < METAFIELD_VALUE) rc = reject_key(task, field_of(mapping, i)->name, texts, error);
      if (i == METAFIELD_VALUE) {
        rc = shopify_settle(task, DRAY_RECEIPT_REJECTED, DRAY_E_DATA_REJECTED, dray_str_of("the row has no value"),
                            texts, error);
      }
      continue;
    }
    rc = dray_column_text(column_of(mapping, changes, i), task->change, &text, error);
    dray_json_key(&writer, field_of(mapping, i)->path);
    dray_json_write_str(&writer, dray_buffer_view(&text));
  }
  // null: it must not be there. A refusal may have moved the texts that `digest` lies in.
  if (task->status == 0 && (digest.len > 0 || task->operation == SHOPIFY_METAFIELDS_CREATE)) {
    dray_json_key(&writer, "compareDigest");
    if (digest.len > 0) dray_json_write_str(&writer, digest);
    if (digest.len == 0) dray_json_write_null(&writer);
  }
  dray_json_end_object(&writer);
  dray_buffer_free(&text);
  return rc == DRAY_OK ? end_value(task, 0, &writer) : rc;
}
