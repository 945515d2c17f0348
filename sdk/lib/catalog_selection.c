// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Which of a stream's columns a read wants, as the schema of its batches and the fields of its JSON reader.
#include "dray/sdk/catalog.h"

#include <stdlib.h>

// A stream's fields as one list: the declared ones, then the other side's.
struct all_fields {
  const struct dray_stream_def *def;
  const struct dray_field_list *more;
};

static size_t field_total(const struct all_fields *all) {
  return all->def->field_count + (all->more != NULL ? all->more->count : 0);
}

static const struct dray_field *field_at(const struct all_fields *all, size_t i) {
  return i < all->def->field_count ? &all->def->fields[i] : &all->more->items[i - all->def->field_count];
}

static int32_t fail_unknown(const struct all_fields *all, struct dray_str wanted, struct dray_error *error) {
  struct dray_nearest nearest;
  dray_nearest_init(&nearest, wanted);
  for (size_t i = 0; i < field_total(all); i++) dray_nearest_offer(&nearest, field_at(all, i)->name);
  return dray_fail(error, DRAY_E_SCHEMA_COLUMN, "the stream %s has no column %.*s%s", all->def->name,
                   DRAY_VALUE_ARG(wanted), dray_nearest_hint(&nearest));
}

// Marks the columns that were asked for, by their place.
static int32_t mark(const struct all_fields *all, const struct dray_str *columns, size_t column_count, uint8_t *wanted,
                    struct dray_error *error) {
  if (column_count == 0) memset(wanted, 1, field_total(all));
  for (size_t i = 0; i < column_count; i++) {
    size_t at = 0;
    while (at < field_total(all) && !dray_str_is(columns[i], field_at(all, at)->name)) at++;
    if (at == field_total(all)) return fail_unknown(all, columns[i], error);
    wanted[at] = 1;
  }
  return DRAY_OK;
}

static ptrdiff_t add_reserved(struct dray_column_def *defs, size_t *count, const char *name, int32_t type) {
  defs[*count] = (struct dray_column_def){name, {type, 0, 0}, 1};
  return (ptrdiff_t)(*count)++;
}

static void fill(const struct all_fields *all, const uint8_t *wanted, struct dray_column_def *defs,
                 struct dray_selection *out) {
  for (size_t i = 0; i < field_total(all); i++) {
    const struct dray_field *field = field_at(all, i);
    if (!wanted[i]) continue;
    const char *path = field->path != NULL ? field->path : field->name;
    if (strcmp(path, "-") != 0) out->fields[out->field_count++] = (struct dray_json_field){path, out->column_count};
    defs[out->column_count] =
        (struct dray_column_def){field->name, field->type, (field->flags & DRAY_FIELD_NOT_NULL) == 0};
    out->columns[out->column_count++] = i;
  }
}

int32_t dray_selection_make(const struct dray_stream_def *def, const struct dray_field_list *more,
                            const struct dray_str *columns, size_t column_count, int absent, int deleted,
                            struct dray_selection *out, struct dray_error *error) {
  const struct all_fields all = {def, more};
  const size_t total = field_total(&all);
  struct dray_selection made = {.absent_column = -1, .error_column = -1, .deleted_column = -1};
  struct dray_column_def *defs = calloc(total + 3, sizeof(*defs));
  uint8_t *wanted = calloc(total + 1, 1);
  made.fields = calloc(total + 1, sizeof(*made.fields));
  made.columns = calloc(total + 1, sizeof(*made.columns));
  int32_t rc = DRAY_OK;
  if (defs == NULL || wanted == NULL || made.fields == NULL || made.columns == NULL) {
    rc = dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for %zu columns", total);
  } else {
    rc = mark(&all, columns, column_count, wanted, error);
  }
  if (rc == DRAY_OK) {
    fill(&all, wanted, defs, &made);
    size_t count = made.column_count;
    if (absent) made.absent_column = add_reserved(defs, &count, DRAY_COLUMN_ABSENT, DRAY_TYPE_BYTES);
    made.error_column = add_reserved(defs, &count, DRAY_COLUMN_ERROR, DRAY_TYPE_STRING);
    if (deleted) made.deleted_column = add_reserved(defs, &count, DRAY_COLUMN_DELETED, DRAY_TYPE_BOOL);
    rc = dray_schema_make(defs, count, &made.schema, error);
  }
  free(defs);
  free(wanted);
  if (rc != DRAY_OK) {
    dray_selection_free(&made);
    return rc;
  }
  *out = made;
  return DRAY_OK;
}

void dray_selection_free(struct dray_selection *selection) {
  dray_schema_release(&selection->schema);
  free(selection->fields);
  free(selection->columns);
  *selection = (struct dray_selection){.absent_column = -1, .error_column = -1, .deleted_column = -1};
}

ptrdiff_t dray_selection_find(const struct dray_selection *selection, const char *name) {
  for (size_t i = 0; i < selection->column_count; i++) {
    if (strcmp(selection->schema.children[i]->name, name) == 0) return (ptrdiff_t)i;
  }
  return -1;
}
