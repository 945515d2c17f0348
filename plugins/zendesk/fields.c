// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Custom fields as typed columns.
#include "fields.h"

#include <stdio.h>

#define TEXT_BYTES_MAX (4u << 20)

static const struct {
  const char *path, *records;
} lists[ZENDESK_FIELDS_COUNT] = {
    [ZENDESK_TICKET_FIELDS] = {"/api/v2/ticket_fields", "ticket_fields"},
    [ZENDESK_USER_FIELDS] = {"/api/v2/user_fields", "user_fields"},
    [ZENDESK_ORGANIZATION_FIELDS] = {"/api/v2/organization_fields", "organization_fields"},
};

// System fields of tickets (subject, status, ...) have types of their own and are columns already. A lookup holds the
// id of any kind of record, which is no number for custom objects.
static const struct {
  const char *name;
  struct dray_type type;
} types[] = {
    {"text", {DRAY_TYPE_STRING, 0, 0}},      {"textarea", {DRAY_TYPE_STRING, 0, 0}},
    {"regexp", {DRAY_TYPE_STRING, 0, 0}},    {"partialcreditcard", {DRAY_TYPE_STRING, 0, 0}},
    {"tagger", {DRAY_TYPE_STRING, 0, 0}},    {"dropdown", {DRAY_TYPE_STRING, 0, 0}},
    {"lookup", {DRAY_TYPE_STRING, 0, 0}},    {"checkbox", {DRAY_TYPE_BOOL, 0, 0}},
    {"date", {DRAY_TYPE_DATE, 0, 0}},        {"integer", {DRAY_TYPE_INT64, 0, 0}},
    {"decimal", {DRAY_TYPE_DECIMAL, 38, 9}}, {"multiselect", {DRAY_TYPE_JSON, 0, 0}},
};

struct dray_type zendesk_fields_type(struct dray_str type) {
  for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
    if (dray_str_is(type, types[i].name)) return types[i].type;
  }
  return (struct dray_type){0, 0, 0};
}

struct load {
  struct zendesk_fields *fields;
  const char *prefix;
  int of, writable;
  struct dray_json_writer *kept; // the definitions, for other lanes of the run; NULL: they come from there
};

// What add_field looks at, and not the thousands of options that a field may have.
static void keep_field(struct dray_json_writer *writer, const struct dray_json *record) {
  static const char *const members[] = {"id", "key", "active", "type", "title"};
  dray_json_begin_object(writer);
  for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
    const struct dray_json *value = dray_json_get(record, members[i]);
    if (value == NULL) continue;
    dray_json_key(writer, members[i]);
    dray_json_write_value(writer, value);
  }
  dray_json_end_object(writer);
}

static int32_t add_field(void *ctx, const struct dray_json *record, struct dray_error *error) {
  const struct load *load = ctx;
  const struct dray_json *active = dray_json_get(record, "active");
  const struct dray_json *id = dray_json_get(record, load->of == ZENDESK_TICKET_FIELDS ? "id" : "key");
  const struct dray_type type = zendesk_fields_type(dray_json_string(dray_json_get(record, "type"), ""));
  char name[DRAY_COLUMN_NAME_MAX + 1];
  if (load->kept != NULL) keep_field(load->kept, record);
  if (type.id == 0 || id == NULL || id->text.len == 0) return DRAY_OK;
  if (load->writable && active != NULL && active->kind == DRAY_JSON_BOOL && !active->boolean) return DRAY_OK;
  const int n = snprintf(name, sizeof(name), "%s%s", load->prefix, id->text.data);
  if (n < 0 || (size_t)n >= sizeof(name)) return DRAY_OK; // no column can be called that
  return dray_field_list_add(&load->fields->list, dray_str_of(name), id->text, type, 0,
                             dray_json_string(dray_json_get(record, "title"), ""), error);
}

// What another lane was told.
static int32_t add_kept(struct load *load, struct dray_str text, struct dray_error *error) {
  struct dray_json *root = NULL;
  int32_t rc = dray_json_parse(text, TEXT_BYTES_MAX, &root, error);
  for (const struct dray_json *record = root != NULL ? root->child : NULL; rc == DRAY_OK && record != NULL;
       record = record->next) {
    rc = add_field(load, record, error);
  }
  dray_json_free(root);
  return rc;
}

static int32_t ask(struct zendesk_client *client, struct load *load, struct dray_error *error) {
  const struct zendesk_visitor visitor = {load, add_field};
  struct dray_json_writer writer;
  dray_json_writer_init(&writer, &load->fields->text, error);
  dray_json_begin_array(&writer);
  load->kept = &writer;
  DRAY_TRY(zendesk_list(client, lists[load->of].path, lists[load->of].records, &visitor, error));
  dray_json_end_array(&writer);
  return dray_json_writer_finish(&writer);
}

static int32_t load_fields(struct zendesk_client *client, struct load *load, const struct zendesk_told *told,
                           struct dray_error *error) {
  struct dray_buffer *text = &load->fields->text;
  int found = 0;
  if (told != NULL) DRAY_TRY(zendesk_told_recall(told, lists[load->of].records, text, &found, error));
  return found ? add_kept(load, dray_buffer_view(text), error) : ask(client, load, error);
}

int32_t zendesk_fields_load(struct zendesk_client *client, int of, const char *prefix, int writable,
                            const struct zendesk_told *told, struct zendesk_fields *fields, struct dray_error *error) {
  struct load load = {fields, prefix, of, writable, NULL};
  struct dray_error why;
  if (of == ZENDESK_NO_FIELDS) return DRAY_OK;
  if (!fields->loaded) {
    dray_error_init(&why);
    dray_buffer_init(&fields->text, TEXT_BYTES_MAX);
    dray_field_list_init(&fields->list, TEXT_BYTES_MAX);
    const int32_t rc = load_fields(client, &load, told, &why);
    const int missing = rc != DRAY_OK && (why.http_status == 403 || why.http_status == 404);
    if (rc != DRAY_OK && !missing) {
      dray_field_list_free(&fields->list);
      dray_buffer_free(&fields->text);
      if (error != NULL) *error = why;
      return rc;
    }
    if (missing) {
      dray_buffer_clear(&fields->text);
      (void)snprintf(fields->refused, sizeof(fields->refused), "%s cannot be read: %.200s", lists[of].records,
                     why.text);
      dray_log_printf(&client->services, DRAY_LOG_WARN,
                      "zendesk: %s cannot be read, so custom fields are not columns: %s", lists[of].records, why.text);
    }
    dray_field_list_end(&fields->list);
    fields->loaded = 1;
  }
  if (told == NULL || fields->text.len == 0) return DRAY_OK;
  return zendesk_told_keep(told, lists[of].records, dray_buffer_view(&fields->text), error);
}

void zendesk_fields_free(struct zendesk_fields *fields) {
  if (fields->loaded) dray_field_list_free(&fields->list);
  if (fields->loaded) dray_buffer_free(&fields->text);
  memset(fields, 0, sizeof(*fields));
}
