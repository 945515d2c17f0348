// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What a plugin offers, as the JSON that discover and check hand out; and the list of fields that only the other side
// knows. What a read needs of the same definitions is in catalog_selection.c.
#include "dray/sdk/catalog.h"

#include <stdlib.h>

#define OPTIONS_BYTES_MAX (4u << 20)

// ---- fields of the other side ----

void dray_field_list_init(struct dray_field_list *list, size_t text_bytes_max) {
  *list = (struct dray_field_list){.items = NULL};
  dray_buffer_init(&list->text, text_bytes_max);
}

static int32_t make_room(struct dray_field_list *list, struct dray_error *error) {
  if (list->count < list->capacity) return DRAY_OK;
  const size_t capacity = list->capacity == 0 ? 16 : list->capacity * 2;
  struct dray_field *items = realloc(list->items, capacity * sizeof(*items));
  if (items == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for %zu fields", capacity);
  list->items = items;
  list->capacity = capacity;
  return DRAY_OK;
}

static int32_t append_text(struct dray_field_list *list, struct dray_str text, struct dray_error *error) {
  if (text.len > 0 && memchr(text.data, '\0', text.len) != NULL) {
    return dray_fail(error, DRAY_E_SCHEMA_NAME, "a name, path or description of a field has a NUL in it");
  }
  DRAY_TRY(dray_buffer_append(&list->text, text.data, (size_t)text.len, error));
  return dray_buffer_append_char(&list->text, '\0', error);
}

// The member's path stands behind what is there: as a step of its own, not as one of the text before it.
static int32_t append_member(struct dray_field_list *list, struct dray_str name, struct dray_error *error) {
  struct dray_buffer path;
  dray_buffer_init(&path, list->text.max);
  // As a bare path it says that the plugin fills the column.
  int32_t rc = dray_str_is(name, "-") ? dray_buffer_append_str(&path, "[\"-\"]", error)
                                      : dray_json_path_member(&path, name, error);
  if (rc == DRAY_OK) rc = append_text(list, dray_buffer_view(&path), error);
  dray_buffer_free(&path);
  return rc;
}

int32_t dray_field_list_add(struct dray_field_list *list, struct dray_str name, struct dray_str path,
                            struct dray_type type, int32_t flags, struct dray_str description,
                            struct dray_error *error) {
  if (name.len == 0) return dray_fail(error, DRAY_E_SCHEMA_NAME, "a field has an empty name");
  DRAY_TRY(make_room(list, error));
  const size_t before = list->text.len;
  int32_t rc = append_text(list, name, error);
  if (rc == DRAY_OK) rc = path.len > 0 ? append_text(list, path, error) : append_member(list, name, error);
  if (rc == DRAY_OK) rc = append_text(list, description, error);
  if (rc != DRAY_OK) {
    list->text.len = before;
    return rc;
  }
  list->items[list->count++] = (struct dray_field){.type = type, .flags = flags};
  return DRAY_OK;
}

void dray_field_list_end(struct dray_field_list *list) {
  const char *text = list->text.data;
  for (size_t i = 0; i < list->count; i++) {
    struct dray_field *field = &list->items[i];
    field->name = text;
    text += strlen(text) + 1;
    field->path = text;
    text += strlen(text) + 1;
    field->description = *text != '\0' ? text : NULL;
    text += strlen(text) + 1;
  }
}

void dray_field_list_free(struct dray_field_list *list) {
  free(list->items);
  dray_buffer_free(&list->text);
  list->items = NULL;
  list->count = list->capacity = 0;
}

// ---- streams and objects ----

static void write_description(const char *description, struct dray_json_writer *writer) {
  if (description == NULL) return;
  dray_json_key(writer, "description");
  dray_json_write_text(writer, description);
}

static void write_flag(const char *name, int value, struct dray_json_writer *writer) {
  dray_json_key(writer, name);
  dray_json_write_bool(writer, value);
}

static void begin_field(const struct dray_field *field, struct dray_json_writer *writer) {
  char type[32];
  dray_json_begin_object(writer);
  dray_json_key(writer, "name");
  dray_json_write_text(writer, field->name);
  if (field->type.id == 0) return; // of an object: any
  dray_json_key(writer, "type");
  dray_json_write_text(writer, dray_type_format(field->type, type, sizeof(type)));
}

static void write_column(const struct dray_field *field, struct dray_json_writer *writer) {
  begin_field(field, writer);
  write_flag("nullable", (field->flags & DRAY_FIELD_NOT_NULL) == 0, writer);
  write_description(field->description, writer);
  dray_json_end_object(writer);
}

const char *dray_field_null(const struct dray_field *field) {
  const int32_t key = DRAY_FIELD_MATCH_KEY | DRAY_FIELD_REQUIRED;
  if ((field->flags & DRAY_FIELD_NULL_REFUSED) != 0 || (field->flags & key) == key) return "refused";
  return (field->flags & DRAY_FIELD_NULL_KEPT) != 0 ? "kept" : "emptied";
}

static void write_object_field(const struct dray_field *field, struct dray_json_writer *writer) {
  begin_field(field, writer);
  write_flag("required", (field->flags & DRAY_FIELD_REQUIRED) != 0, writer);
  write_flag("writable", (field->flags & DRAY_FIELD_READ_ONLY) == 0, writer);
  write_flag("match_key", (field->flags & DRAY_FIELD_MATCH_KEY) != 0, writer);
  if ((field->flags & DRAY_FIELD_CASELESS) != 0) {
    dray_json_key(writer, "compare");
    dray_json_write_text(writer, "caseless");
  }
  if (strcmp(dray_field_null(field), "emptied") != 0) {
    dray_json_key(writer, "null");
    dray_json_write_text(writer, dray_field_null(field));
  }
  write_description(field->description, writer);
  dray_json_end_object(writer);
}

static void write_fields(const char *member, const struct dray_field *fields, size_t field_count,
                         const struct dray_field_list *more,
                         void (*write)(const struct dray_field *, struct dray_json_writer *),
                         struct dray_json_writer *writer) {
  dray_json_key(writer, member);
  dray_json_begin_array(writer);
  for (size_t i = 0; i < field_count; i++) write(&fields[i], writer);
  for (size_t i = 0; more != NULL && i < more->count; i++) write(&more->items[i], writer);
  dray_json_end_array(writer);
}

// "list_id id" as ["list_id","id"].
static void write_words(const char *member, const char *words, struct dray_json_writer *writer) {
  dray_json_key(writer, member);
  dray_json_begin_array(writer);
  for (const char *at = words != NULL ? words : ""; *at != '\0';) {
    const size_t len = strcspn(at, " ");
    if (len > 0) dray_json_write_str(writer, dray_str_make(at, len));
    at += len + (at[len] == ' ');
  }
  dray_json_end_array(writer);
}

void dray_catalog_begin(struct dray_json_writer *writer, struct dray_buffer *document, const char *list,
                        struct dray_error *error) {
  dray_buffer_clear(document);
  dray_json_writer_init(writer, document, error);
  dray_json_begin_object(writer);
  dray_json_key(writer, list);
  dray_json_begin_array(writer);
}

static int32_t write_options(struct dray_json_writer *writer,
                             int32_t (*options)(struct dray_buffer *out, struct dray_error *error),
                             struct dray_error *error) {
  struct dray_buffer text;
  dray_buffer_init(&text, OPTIONS_BYTES_MAX);
  const int32_t rc = options(&text, error);
  if (rc == DRAY_OK) {
    dray_json_key(writer, "options");
    dray_json_write_raw(writer, dray_buffer_view(&text));
  }
  dray_buffer_free(&text);
  return rc;
}

int32_t dray_catalog_end(struct dray_json_writer *writer,
                         int32_t (*options)(struct dray_buffer *out, struct dray_error *error),
                         struct dray_str *out_json, struct dray_error *error) {
  dray_json_end_array(writer);
  if (options != NULL) DRAY_TRY(write_options(writer, options, error));
  dray_json_end_object(writer);
  DRAY_TRY(dray_json_writer_finish(writer));
  *out_json = dray_buffer_view(writer->out);
  return DRAY_OK;
}

void dray_stream_def_write(const struct dray_stream_def *def, const struct dray_field_list *more,
                           struct dray_json_writer *writer) {
  dray_json_begin_object(writer);
  dray_json_key(writer, "name");
  dray_json_write_text(writer, def->name);
  write_fields("columns", def->fields, def->field_count, more, write_column, writer);
  write_words("primary_key", def->primary_key, writer);
  dray_json_key(writer, "cursor");
  if (def->cursor != NULL) {
    dray_json_write_text(writer, def->cursor);
  } else {
    dray_json_write_null(writer);
  }
  dray_json_key(writer, "modes");
  dray_json_begin_array(writer);
  if ((def->modes & DRAY_STREAM_FULL) != 0) dray_json_write_text(writer, "full");
  if ((def->modes & DRAY_STREAM_INCREMENTAL) != 0) dray_json_write_text(writer, "incremental");
  dray_json_end_array(writer);
  write_flag("changes", (def->modes & DRAY_STREAM_CHANGES) != 0, writer);
  write_description(def->description, writer);
  dray_json_end_object(writer);
}

void dray_object_def_write(const struct dray_object_def *def, const struct dray_field_list *more,
                           struct dray_json_writer *writer) {
  dray_json_begin_object(writer);
  dray_json_key(writer, "name");
  dray_json_write_text(writer, def->name);
  if (def->field_count > 0 || more != NULL) {
    write_fields("fields", def->fields, def->field_count, more, write_object_field, writer);
  }
  dray_json_key(writer, "operations");
  dray_json_begin_array(writer);
  if ((def->operations & DRAY_OP_INSERT) != 0) dray_json_write_text(writer, "insert");
  if ((def->operations & DRAY_OP_UPDATE) != 0) dray_json_write_text(writer, "update");
  if ((def->operations & DRAY_OP_DELETE) != 0) dray_json_write_text(writer, "delete");
  dray_json_end_array(writer);
  write_description(def->description, writer);
  dray_json_end_object(writer);
}

static void write_step(const char *of, const char *name, int32_t code, const char *text, const char *fix,
                       struct dray_json_writer *writer) {
  dray_json_begin_object(writer);
  if (of != NULL) {
    dray_json_key(writer, "of");
    dray_json_write_text(writer, of);
  }
  dray_json_key(writer, "name");
  dray_json_write_text(writer, name);
  write_flag("ok", fix == NULL, writer);
  dray_json_key(writer, "text");
  dray_json_write_text(writer, text);
  if (fix != NULL) {
    dray_json_key(writer, "fix");
    dray_json_write_text(writer, fix);
  }
  if (code != DRAY_OK) {
    dray_json_key(writer, "code");
    dray_json_write_int(writer, code);
  }
  dray_json_end_object(writer);
}

void dray_check_step_write(struct dray_json_writer *writer, const char *name, const char *text, const char *fix) {
  write_step(NULL, name, DRAY_OK, text, fix, writer);
}

void dray_check_failure_write(struct dray_json_writer *writer, const char *name, int32_t code, const char *text,
                              const char *fix) {
  write_step(NULL, name, code, text, fix, writer);
}

void dray_check_of_write(struct dray_json_writer *writer, const char *of, const char *name, int32_t code,
                         const char *text, const char *fix) {
  write_step(of, name, code, text, fix, writer);
}
