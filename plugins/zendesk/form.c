// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Bodies. Only what a change says is written: of an update its changed columns.
#include "form.h"

#include <stdlib.h>

#define TEXT_BYTES_MAX (16u << 20)

enum { PLACE_NONE = 0, PLACE_PLAIN, PLACE_LIST, PLACE_COMMENT, PLACE_REQUESTER, PLACE_NEW, PLACE_CUSTOM, PLACE_MATCH };

// ---- columns ----

static void place_field(const struct dray_field *field, struct zendesk_slot *slot) {
  const char *dot = field->path != NULL ? strchr(field->path, '.') : NULL;
  slot->name = dot != NULL ? dot + 1 : field->name;
  slot->keeps = (field->flags & DRAY_FIELD_NULL_KEPT) != 0;
  slot->place = PLACE_PLAIN;
  if (strcmp(field->name, "id") == 0) slot->place = PLACE_MATCH; // stands in paths, or in front
  if (strcmp(field->name, "tags") == 0 || strcmp(field->name, "domain_names") == 0) slot->place = PLACE_LIST;
  if (strcmp(field->name, "submitter_id") == 0) slot->place = PLACE_NEW;
  if (dot != NULL) slot->place = strncmp(field->path, "comment.", 8) == 0 ? PLACE_COMMENT : PLACE_REQUESTER;
}

static int32_t place_column(const struct zendesk_object *object, const struct zendesk_fields *fields, const char *name,
                            struct zendesk_slot *slot, struct dray_error *error) {
  if (dray_column_reserved(name)) return DRAY_OK;
  for (size_t i = 0; i < object->def.field_count; i++) {
    if (strcmp(object->def.fields[i].name, name) != 0) continue;
    place_field(&object->def.fields[i], slot);
    return DRAY_OK;
  }
  for (size_t i = 0; fields != NULL && i < fields->list.count; i++) {
    if (strcmp(fields->list.items[i].name, name) != 0) continue;
    *slot = (struct zendesk_slot){PLACE_CUSTOM, fields->list.items[i].path, 0};
    return DRAY_OK;
  }
  return dray_fail_field(error, DRAY_E_SCHEMA_FIELD, name, "the object %s has no field \"%s\"", object->def.name, name);
}

ptrdiff_t zendesk_form_find(const struct zendesk_form *form, const char *name) {
  for (size_t i = 0; i < form->count; i++) {
    if (form->slots[i].place != PLACE_NONE && form->slots[i].place != PLACE_CUSTOM &&
        strcmp(form->slots[i].name, name) == 0) {
      return (ptrdiff_t)i;
    }
  }
  return -1;
}

static int is_match_key(const struct dray_write_plan *plan, const char *name) {
  uint64_t i = 0;
  while (i < plan->match_key_count && !dray_str_is(plan->match_keys[i], name)) i++;
  return i < plan->match_key_count;
}

static int32_t choose_match(struct zendesk_form *form, const struct dray_write_plan *plan, struct dray_error *error) {
  static const struct {
    const char *name;
    int match;
  } ways[] = {{"id", ZENDESK_MATCH_ID}, {"external_id", ZENDESK_MATCH_EXTERNAL_ID}, {"email", ZENDESK_MATCH_EMAIL}};
  const char *wanted = form->options->match_by;
  const int kind = form->object->kind;
  form->match = ZENDESK_MATCH_NONE;
  form->match_column = -1;
  if (kind != ZENDESK_USERS && kind != ZENDESK_ORGANIZATIONS && kind != ZENDESK_TICKETS) return DRAY_OK;
  if (strcmp(wanted, "none") == 0 && kind == ZENDESK_TICKETS) return DRAY_OK;
  for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
    if (ways[i].match == ZENDESK_MATCH_EMAIL && kind != ZENDESK_USERS) continue;
    if (strcmp(wanted, "auto") != 0 && strcmp(wanted, ways[i].name) != 0) continue;
    const ptrdiff_t column = zendesk_form_find(form, ways[i].name);
    if (column < 0 || !is_match_key(plan, ways[i].name)) continue;
    form->match = ways[i].match;
    form->match_column = column;
    return DRAY_OK;
  }
  return dray_fail_field(error, DRAY_E_CONFIG_VALUE, "match_by",
                         "match_by: %s finds no %s: the key of the sync has to be mapped to %s%s", wanted,
                         form->object->def.name, strcmp(wanted, "auto") != 0 ? wanted : "id or external_id",
                         kind == ZENDESK_USERS && strcmp(wanted, "auto") == 0 ? " or email" : "");
}

int32_t zendesk_form_make(const struct zendesk_object *object, const struct zendesk_fields *fields,
                          const struct zendesk_options *options, const struct dray_write_plan *plan,
                          struct zendesk_form *out, struct dray_error *error) {
  const struct ArrowSchema *schema = plan->schema;
  struct zendesk_form form = {.object = object, .options = options, .count = (size_t)schema->n_children};
  form.slots = calloc(form.count + 1, sizeof(*form.slots));
  if (form.slots == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for columns");
  int32_t rc = DRAY_OK;
  for (size_t i = 0; rc == DRAY_OK && i < form.count; i++) {
    rc = place_column(object, fields, schema->children[i]->name, &form.slots[i], error);
  }
  if (rc == DRAY_OK) rc = choose_match(&form, plan, error);
  if (rc != DRAY_OK) {
    free(form.slots);
    return rc;
  }
  form.email_column = object->kind == ZENDESK_USERS ? zendesk_form_find(&form, "email") : -1;
  *out = form;
  return DRAY_OK;
}

void zendesk_form_free(struct zendesk_form *form) {
  free(form->slots);
  memset(form, 0, sizeof(*form));
}

// ---- values ----

int32_t zendesk_form_text(const struct dray_changes *changes, ptrdiff_t column, uint64_t i, struct dray_buffer *out,
                          struct dray_error *error) {
  if (column < 0 || dray_view_absent(&changes->view, (size_t)column, i)) return DRAY_OK;
  const struct dray_column_view *view = &changes->view.columns[column];
  return dray_column_is_null(view, i) ? DRAY_OK : dray_column_text(view, i, out, error);
}

static int is_between(char c) {
  return c == ',' || c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

// Calls `each` for every element of a list that is given as text.
static void walk_list(struct dray_str text, void *ctx, void (*each)(void *ctx, struct dray_str element)) {
  struct dray_json *root = NULL;
  struct dray_error why;
  dray_error_init(&why);
  uint64_t at = 0;
  while (at < text.len && is_between(text.data[at])) at++;
  const int is_json = at < text.len && text.data[at] == '[' &&
                      dray_json_parse(text, TEXT_BYTES_MAX, &root, &why) == DRAY_OK && root->kind == DRAY_JSON_ARRAY;
  for (const struct dray_json *item = is_json ? root->child : NULL; item != NULL; item = item->next) {
    if (item->kind == DRAY_JSON_STRING || item->kind == DRAY_JSON_NUMBER) each(ctx, item->text);
  }
  while (!is_json && at < text.len) {
    uint64_t end = at;
    while (end < text.len && !is_between(text.data[end])) end++;
    if (end > at) each(ctx, dray_str_make(text.data + at, end - at));
    at = end + 1;
  }
  dray_json_free(root);
}

static void write_element(void *ctx, struct dray_str element) {
  dray_json_write_str(ctx, element);
}

void zendesk_write_list(struct dray_str text, struct dray_json_writer *writer) {
  dray_json_begin_array(writer);
  walk_list(text, writer, write_element);
  dray_json_end_array(writer);
}

struct gone {
  struct dray_str now, element; // the list; what is looked for in it
  int found;
  size_t count;
  struct dray_json_writer *writer;
};

static void match_element(void *ctx, struct dray_str element) {
  struct gone *gone = ctx;
  gone->found |= zendesk_same(element, gone->element);
}

static void write_if_gone(void *ctx, struct dray_str element) {
  struct gone *gone = ctx;
  gone->element = element;
  gone->found = 0;
  walk_list(gone->now, gone, match_element);
  if (gone->found) return;
  dray_json_write_str(gone->writer, element);
  gone->count++;
}

size_t zendesk_write_gone(const struct dray_json *was, struct dray_str now, struct dray_json_writer *writer) {
  struct gone gone = {.now = now, .writer = writer};
  dray_json_begin_array(writer);
  if (was != NULL && was->kind == DRAY_JSON_STRING) walk_list(was->text, &gone, write_if_gone);
  const int is_list = was != NULL && was->kind == DRAY_JSON_ARRAY;
  for (const struct dray_json *one = is_list ? was->child : NULL; one != NULL; one = one->next) {
    if (one->kind == DRAY_JSON_STRING || one->kind == DRAY_JSON_NUMBER) write_if_gone(&gone, one->text);
  }
  dray_json_end_array(writer);
  return gone.count;
}

// ---- writing ----

// Whether the change says something of the column that is sent; `whole`: whether the row does, changed or not.
static int is_sent(const struct zendesk_form *form, const struct dray_changes *changes, size_t column, uint64_t i,
                   int whole) {
  const struct dray_column_view *view = &changes->view.columns[column];
  if (form->slots[column].place == PLACE_NONE) return 0;
  if (whole ? dray_view_absent(&changes->view, column, i) : !dray_change_says(changes, column, i)) return 0;
  return !dray_column_is_null(view, i) || !form->slots[column].keeps;
}

static void write_slot(const struct zendesk_form *form, const struct dray_changes *changes, size_t column, uint64_t i,
                       struct dray_json_writer *writer) {
  const struct dray_column_view *view = &changes->view.columns[column];
  dray_json_key(writer, form->slots[column].name);
  if (form->slots[column].place == PLACE_LIST && !dray_column_is_null(view, i)) {
    zendesk_write_list(dray_column_bytes(view, i), writer);
  } else if (form->slots[column].place == PLACE_LIST) {
    dray_json_begin_array(writer);
    dray_json_end_array(writer);
  } else {
    dray_json_write_column(writer, view, i);
  }
}

static void write_nested(const struct zendesk_form *form, const struct dray_changes *changes, uint64_t i, int place,
                         const char *name, int whole, struct dray_json_writer *writer) {
  int begun = 0, has_text = place != PLACE_COMMENT, has_public = 0;
  for (size_t c = 0; c < form->count; c++) { // a comment without a text is none
    if (form->slots[c].place != place || !is_sent(form, changes, c, i, whole)) continue;
    const char *member = form->slots[c].name;
    has_text |= strcmp(member, "body") == 0 || strcmp(member, "html_body") == 0;
  }
  for (size_t c = 0; has_text && c < form->count; c++) {
    // Who wrote it, and who sees it, is said of every comment, changed or not.
    const struct dray_column_view *view = &changes->view.columns[c];
    if (form->slots[c].place != place || dray_column_is_null(view, i)) continue;
    const int is_text = strcmp(form->slots[c].name, "body") == 0 || strcmp(form->slots[c].name, "html_body") == 0;
    if ((place != PLACE_COMMENT || is_text) && !is_sent(form, changes, c, i, whole)) continue;
    if (dray_view_absent(&changes->view, c, i)) continue;
    if (!begun) {
      dray_json_key(writer, name);
      dray_json_begin_object(writer);
    }
    begun = 1;
    has_public |= strcmp(form->slots[c].name, "public") == 0;
    write_slot(form, changes, c, i, writer);
  }
  if (!begun) return;
  if (place == PLACE_COMMENT && !has_public) {
    dray_json_key(writer, "public");
    dray_json_write_bool(writer, form->options->comments_public);
  }
  dray_json_end_object(writer);
}

static void write_custom(const struct zendesk_form *form, const struct dray_changes *changes, uint64_t i, int whole,
                         struct dray_json_writer *writer) {
  const int by_number = form->object->fields == ZENDESK_TICKET_FIELDS;
  int begun = 0;
  for (size_t c = 0; c < form->count; c++) {
    if (form->slots[c].place != PLACE_CUSTOM || !is_sent(form, changes, c, i, whole)) continue;
    if (!begun) {
      dray_json_key_str(writer, dray_str_make(form->object->prefix, strlen(form->object->prefix) - 1));
      if (by_number) dray_json_begin_array(writer);
      if (!by_number) dray_json_begin_object(writer);
    }
    begun = 1;
    if (by_number) {
      dray_json_begin_object(writer);
      dray_json_key(writer, "id");
      dray_json_write_raw(writer, dray_str_of(form->slots[c].name));
    }
    dray_json_key(writer, by_number ? "value" : form->slots[c].name);
    dray_json_write_column(writer, &changes->view.columns[c], i);
    if (by_number) dray_json_end_object(writer);
  }
  if (begun && by_number) dray_json_end_array(writer);
  if (begun && !by_number) dray_json_end_object(writer);
}

void zendesk_form_write(const struct zendesk_form *form, const struct dray_changes *changes, uint64_t i,
                        struct dray_str id, int flags, struct dray_json_writer *writer) {
  const int whole = (flags & ZENDESK_BODY_WHOLE) != 0;
  dray_json_begin_object(writer);
  if (id.len > 0) {
    dray_json_key(writer, "id");
    dray_json_write_raw(writer, id);
  }
  for (size_t c = 0; c < form->count; c++) {
    const int place = form->slots[c].place;
    const int is_match = (ptrdiff_t)c == form->match_column && place != PLACE_MATCH;
    if (place != PLACE_PLAIN && place != PLACE_LIST && place != PLACE_NEW) continue;
    if (place == PLACE_NEW && (flags & ZENDESK_BODY_NEW) == 0) continue;
    const int wanted = is_match ? (flags & ZENDESK_BODY_WITH_MATCH) != 0 : is_sent(form, changes, c, i, whole);
    if (wanted) write_slot(form, changes, c, i, writer);
  }
  write_nested(form, changes, i, PLACE_COMMENT, "comment", whole, writer);
  if ((flags & ZENDESK_BODY_NEW) != 0) write_nested(form, changes, i, PLACE_REQUESTER, "requester", whole, writer);
  write_custom(form, changes, i, whole, writer);
  if (form->object->kind == ZENDESK_USERS && (flags & ZENDESK_BODY_NEW) != 0 && form->options->skip_verify_email) {
    dray_json_key(writer, "skip_verify_email");
    dray_json_write_bool(writer, 1);
  }
  dray_json_end_object(writer);
}

// ---- comparing ----

int zendesk_same(struct dray_str a, struct dray_str b) {
  return dray_fold_same(a, b);
}

struct list_check {
  const struct dray_json *list;
  size_t count;
  int missing;
};

static void check_element(void *ctx, struct dray_str element) {
  struct list_check *check = ctx;
  const struct dray_json *item = check->list != NULL ? check->list->child : NULL;
  while (item != NULL && !zendesk_same(item->text, element)) item = item->next;
  check->count++;
  check->missing |= item == NULL;
}

static const struct dray_json *held_value(const struct zendesk_form *form, size_t column,
                                          const struct dray_json *record) {
  const char *name = form->slots[column].name;
  if (form->slots[column].place != PLACE_CUSTOM) return dray_json_get(record, name);
  if (form->object->fields != ZENDESK_TICKET_FIELDS) {
    return dray_json_get(
        dray_json_get(record, form->object->fields == ZENDESK_USER_FIELDS ? "user_fields" : "organization_fields"),
        name);
  }
  const struct dray_json *fields = dray_json_get(record, "custom_fields");
  for (const struct dray_json *item = fields != NULL ? fields->child : NULL; item != NULL; item = item->next) {
    const struct dray_json *id = dray_json_get(item, "id");
    if (id != NULL && dray_str_is(id->text, name)) return dray_json_get(item, "value");
  }
  return NULL;
}

// Numbers and booleans by their value, times by their instant, texts byte by byte: Zendesk trims and folds some, which
// then only means that the row is sent once more.
static int32_t equals(const struct dray_column_view *view, uint64_t i, const struct dray_json *held,
                      struct dray_buffer *scratch, int *out, struct dray_error *error) {
  struct dray_error why;
  dray_error_init(&why);
  *out = 0;
  if (held == NULL || held->kind == DRAY_JSON_NULL) return DRAY_OK;
  if (view->type.id == DRAY_TYPE_BOOL) {
    *out = held->kind == DRAY_JSON_BOOL && held->boolean == dray_column_bool(view, i);
    return DRAY_OK;
  }
  if (view->type.id == DRAY_TYPE_TIMESTAMP) {
    int64_t us = 0;
    *out = dray_parse_timestamp(held->text, &us, &why) == DRAY_OK && us == dray_column_int64(view, i);
    return DRAY_OK;
  }
  if (view->type.id == DRAY_TYPE_DECIMAL) {
    struct dray_decimal value = {0, 0};
    const struct dray_decimal mine = dray_column_decimal(view, i);
    *out = dray_parse_decimal(held->text, view->type.precision, view->type.scale, &value, &why) == DRAY_OK &&
           value.low == mine.low && value.high == mine.high;
    return DRAY_OK;
  }
  dray_buffer_clear(scratch);
  if (view->type.id == DRAY_TYPE_JSON) {
    struct dray_json_writer writer;
    dray_json_writer_init(&writer, scratch, error);
    dray_json_write_value(&writer, held);
    DRAY_TRY(dray_json_writer_finish(&writer));
    *out = dray_str_equal(dray_buffer_view(scratch), dray_column_bytes(view, i));
    return DRAY_OK;
  }
  DRAY_TRY(dray_column_text(view, i, scratch, error));
  const struct dray_str mine = dray_buffer_view(scratch);
  const struct dray_str theirs = view->type.id == DRAY_TYPE_DATE && held->text.len > mine.len
                                     ? dray_str_make(held->text.data, mine.len)
                                     : held->text;
  *out = dray_str_equal(mine, theirs);
  return DRAY_OK;
}

static int32_t holds_column(const struct zendesk_form *form, const struct dray_changes *changes, size_t column,
                            uint64_t i, const struct dray_json *record, struct dray_buffer *scratch, int *out,
                            struct dray_error *error) {
  const struct dray_column_view *view = &changes->view.columns[column];
  const struct dray_json *held = held_value(form, column, record);
  if (form->slots[column].place == PLACE_LIST) {
    struct list_check check = {held, 0, 0};
    if (!dray_column_is_null(view, i)) walk_list(dray_column_bytes(view, i), &check, check_element);
    *out = !check.missing && check.count == (held != NULL ? held->child_count : 0);
    return DRAY_OK;
  }
  if (dray_column_is_null(view, i)) {
    *out = held == NULL || held->kind == DRAY_JSON_NULL || (held->kind == DRAY_JSON_STRING && held->text.len == 0);
    return DRAY_OK;
  }
  const char *name = form->slots[column].name;
  const int folds = strcmp(name, "email") == 0 || strcmp(name, "external_id") == 0;
  if (folds && held != NULL) {
    *out = zendesk_same(dray_column_bytes(view, i), held->text);
    return DRAY_OK;
  }
  return equals(view, i, held, scratch, out, error);
}

int32_t zendesk_form_holds(const struct zendesk_form *form, const struct dray_changes *changes, uint64_t i,
                           const struct dray_json *record, int *out_holds, int *out_comment, struct dray_error *error) {
  struct dray_buffer scratch;
  int32_t rc = DRAY_OK;
  int holds = 1, comment = 0;
  dray_buffer_init(&scratch, TEXT_BYTES_MAX);
  for (size_t c = 0; rc == DRAY_OK && c < form->count; c++) {
    const int place = form->slots[c].place;
    if (!is_sent(form, changes, c, i, 0)) continue;
    const char *member = form->slots[c].name;
    const int is_text = strcmp(member, "body") == 0 || strcmp(member, "html_body") == 0;
    if (place == PLACE_COMMENT && is_text && !dray_column_is_null(&changes->view.columns[c], i)) comment = 1;
    if (!holds) continue;
    if (place == PLACE_PLAIN || place == PLACE_LIST || place == PLACE_CUSTOM) {
      rc = holds_column(form, changes, c, i, record, &scratch, &holds, error);
    }
  }
  dray_buffer_free(&scratch);
  if (rc != DRAY_OK) return rc;
  *out_holds = holds;
  *out_comment = comment;
  return DRAY_OK;
}
