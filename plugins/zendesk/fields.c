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
};

static int32_t add_field(void *ctx, const struct dray_json *record, struct dray_error *error) {
  const struct load *load = ctx;
  const struct dray_json *active = dray_json_get(record, "active");
  const struct dray_json *id = dray_json_get(record, load->of == ZENDESK_TICKET_FIELDS ? "id" : "key");
  const struct dray_type type = zendesk_fields_type(dray_json_string(dray_json_get(record, "type"), ""));
  char name[DRAY_COLUMN_NAME_MAX + 1];
  if (type.id == 0 || id == NULL || id->text.len == 0) return DRAY_OK;
  if (load->writable && active != NULL && active->kind == DRAY_JSON_BOOL && !active->boolean) return DRAY_OK;
  const int n = snprintf(name, sizeof(name), "%s%s", load->prefix, id->text.data);
  if (n < 0 || (size_t)n >= sizeof(name)) return DRAY_OK; // no column can be called that
  return dray_field_list_add(&load->fields->list, dray_str_of(name), id->text, type, 0,
                             dray_json_string(dray_json_get(record, "title"), ""), error);
}

int32_t zendesk_fields_load(struct zendesk_client *client, int of, const char *prefix, int writable,
                            struct zendesk_fields *fields, struct dray_error *error) {
  struct load load = {fields, prefix, of, writable};
  const struct zendesk_visitor visitor = {&load, add_field};
  struct dray_error why;
  if (fields->loaded || of == ZENDESK_NO_FIELDS) return DRAY_OK;
  dray_error_init(&why);
  dray_field_list_init(&fields->list, TEXT_BYTES_MAX);
  const int32_t rc = zendesk_list(client, lists[of].path, lists[of].records, &visitor, &why);
  const int missing = rc != DRAY_OK && (why.http_status == 403 || why.http_status == 404);
  if (rc != DRAY_OK && !missing) {
    dray_field_list_free(&fields->list);
    if (error != NULL) *error = why;
    return rc;
  }
  if (missing) {
    dray_log_printf(&client->services, DRAY_LOG_WARN,
                    "zendesk: %s cannot be read, so custom fields are not columns: %s", lists[of].records, why.text);
  }
  dray_field_list_end(&fields->list);
  fields->loaded = 1;
  return DRAY_OK;
}

void zendesk_fields_free(struct zendesk_fields *fields) {
  if (fields->loaded) dray_field_list_free(&fields->list);
  memset(fields, 0, sizeof(*fields));
}
