// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The names of the templates and their values.
#include "form.h"

#include <stdlib.h>

enum { BODY_ROWS, BODY_ROW, BODY_OBJECT, BODY_SYNC, BODY_RUN, BODY_BATCH_ID, BODY_COUNT, BODY_SENT_AT, BODY_NAMES };
static const char *const body_names[BODY_NAMES] = {"rows", "row",      "object", "sync",
                                                   "run",  "batch_id", "count",  "sent_at"};

// Numbers from ROW_NAMES on are columns.
enum { ROW_OP, ROW_KEY, ROW_DATA, ROW_CHANGED, ROW_INDEX, ROW_NAMES };
static const char *const row_names[ROW_NAMES] = {"_op", "_key", "_data", "_changed", "_index"};

// ---- names ----

static int32_t find(const char *const *names, int32_t count, struct dray_str name, struct dray_nearest *nearest) {
  for (int32_t i = 0; i < count; i++) {
    if (dray_str_is(name, names[i])) return i;
    dray_nearest_offer(nearest, names[i]);
  }
  return -1;
}

static int32_t unknown(int32_t code, const char *field, const char *what, struct dray_str name,
                       struct dray_nearest *nearest, struct dray_error *error) {
  return dray_fail_field(error, code, field, "%s: {{%.*s}} is not %s%s", field, DRAY_STR_ARG(name), what,
                         dray_nearest_hint(nearest));
}

static int32_t resolve_body(void *ctx, struct dray_str name, int32_t *out_number, struct dray_error *error) {
  struct dray_nearest nearest;
  (void)ctx;
  dray_nearest_init(&nearest, name);
  *out_number = find(body_names, BODY_NAMES, name, &nearest);
  if (*out_number >= 0) return DRAY_OK;
  return unknown(DRAY_E_CONFIG_VALUE, "body", "one of rows, row, object, sync, run, batch_id, count, sent_at", name,
                 &nearest, error);
}

// ctx: the plan's schema, or NULL while the columns are not known.
static int32_t resolve_row(void *ctx, struct dray_str name, int32_t *out_number, struct dray_error *error) {
  const struct ArrowSchema *schema = ctx;
  struct dray_nearest nearest;
  dray_nearest_init(&nearest, name);
  *out_number = find(row_names, ROW_NAMES, name, &nearest);
  if (*out_number >= 0) return DRAY_OK;
  for (int64_t i = 0; schema != NULL && i < schema->n_children; i++) {
    const char *column = schema->children[i]->name;
    if (dray_column_reserved(column)) continue;
    *out_number = (int32_t)(ROW_NAMES + i);
    if (dray_str_is(name, column)) return DRAY_OK;
    dray_nearest_offer(&nearest, column);
  }
  *out_number = ROW_NAMES;
  if (schema == NULL) return DRAY_OK;
  return unknown(DRAY_E_SCHEMA_FIELD, "row", "a column of the sync, nor _op, _key, _data, _changed or _index", name,
                 &nearest, error);
}

// ---- making ----

static int32_t compile_body(const struct webhook_shape *shape, struct webhook_form *form, struct dray_error *error) {
  const struct webhook_names names = {NULL, resolve_body};
  size_t rows_in_text = 0, row_in_text = 0;
  DRAY_TRY(webhook_template_compile(shape->body_json, "body", &names, &form->body, error));
  const size_t rows = webhook_template_count(form->body, BODY_ROWS, &rows_in_text);
  const size_t row = webhook_template_count(form->body, BODY_ROW, &row_in_text);
  if (rows + row == 1 && rows_in_text + row_in_text == 0) {
    form->single = row == 1;
    return DRAY_OK;
  }
  return dray_fail_field(
      error, DRAY_E_CONFIG_VALUE, "body",
      "body: it must hold \"{{rows}}\" (a list) or \"{{row}}\" (one row a request) once, as a whole value");
}

int32_t webhook_form_check(const struct webhook_shape *shape, int *out_single, struct dray_error *error) {
  const struct webhook_names names = {NULL, resolve_row};
  struct webhook_form form = {0};
  int32_t rc = compile_body(shape, &form, error);
  if (rc == DRAY_OK) rc = webhook_template_compile(shape->row_json, "row", &names, &form.row, error);
  if (rc == DRAY_OK) *out_single = form.single;
  webhook_form_free(&form);
  return rc;
}

static int32_t find_keys(const struct dray_write_plan *plan, struct webhook_form *form, struct dray_error *error) {
  form->keys = calloc(plan->match_key_count + 1, sizeof(*form->keys));
  if (form->keys == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for the keys");
  for (uint64_t k = 0; k < plan->match_key_count; k++) {
    int64_t i = 0;
    while (i < plan->schema->n_children && !dray_str_is(plan->match_keys[k], plan->schema->children[i]->name)) i++;
    if (i == plan->schema->n_children) {
      return dray_fail(error, DRAY_E_SCHEMA_KEY, "the key %.*s is not among the fields that are sent",
                       DRAY_STR_ARG(plan->match_keys[k]));
    }
    form->keys[form->key_count++] = (size_t)i;
  }
  return DRAY_OK;
}

static int32_t make(const struct webhook_shape *shape, const struct dray_write_plan *plan, struct webhook_form *form,
                    struct dray_error *error) {
  struct ArrowSchema schema = *plan->schema; // read only; the callback's context is not const
  const struct webhook_names names = {&schema, resolve_row};
  form->changed_only = strcmp(shape->updates, "changed") == 0;
  form->deletes_row = strcmp(shape->deletes, "row") == 0;
  DRAY_TRY(compile_body(shape, form, error));
  DRAY_TRY(webhook_template_compile(shape->row_json, "row", &names, &form->row, error));
  return find_keys(plan, form, error);
}

int32_t webhook_form_make(const struct webhook_shape *shape, const struct dray_write_plan *plan,
                          struct webhook_form *out, struct dray_error *error) {
  struct webhook_form form = {0};
  const int32_t rc = make(shape, plan, &form, error);
  if (rc != DRAY_OK) {
    webhook_form_free(&form);
    return rc;
  }
  *out = form;
  return DRAY_OK;
}

void webhook_form_free(struct webhook_form *form) {
  webhook_template_free(form->body);
  webhook_template_free(form->row);
  free(form->keys);
  memset(form, 0, sizeof(*form));
}

// ---- values of a row ----

struct row_values {
  const struct webhook_form *form;
  const struct dray_view *view;
  uint64_t row;
  int64_t op;
  ptrdiff_t changed_column;
};

static const char *operation_name(int64_t op) {
  return op == DRAY_OP_INSERT ? "insert" : op == DRAY_OP_UPDATE ? "update" : "delete";
}

static int is_changed(const struct row_values *values, size_t column) {
  const int64_t bit = values->view->columns[column].absent_bit;
  if (values->changed_column < 0 || bit < 0) return 0;
  const struct dray_column_view *changed = &values->view->columns[values->changed_column];
  if (dray_column_is_null(changed, values->row)) return 0;
  const struct dray_str bits = dray_column_bytes(changed, values->row);
  return (uint64_t)bit / 8 < bits.len && (((uint8_t)bits.data[bit >> 3] >> (bit & 7)) & 1) != 0;
}

static void write_column(const struct row_values *values, size_t column, struct dray_json_writer *writer) {
  const struct dray_column_view *view = &values->view->columns[column];
  if (dray_column_is_null(view, values->row)) {
    dray_json_write_null(writer);
  } else {
    dray_json_write_column(writer, view, values->row);
  }
}

static void write_member(const struct row_values *values, size_t column, struct dray_json_writer *writer) {
  if (dray_view_absent(values->view, column, values->row)) return;
  dray_json_key(writer, values->view->columns[column].name);
  write_column(values, column, writer);
}

static void write_key(const struct row_values *values, struct dray_json_writer *writer) {
  dray_json_begin_object(writer);
  for (size_t i = 0; i < values->form->key_count; i++) write_member(values, values->form->keys[i], writer);
  dray_json_end_object(writer);
}

static void write_data(const struct row_values *values, struct dray_json_writer *writer) {
  const int none = values->op == DRAY_OP_DELETE && !values->form->deletes_row;
  const int changed = values->op == DRAY_OP_UPDATE && values->form->changed_only;
  dray_json_begin_object(writer);
  for (size_t i = 0; i < values->view->column_count && !none; i++) {
    if (dray_column_reserved(values->view->columns[i].name) || (changed && !is_changed(values, i))) continue;
    write_member(values, i, writer);
  }
  dray_json_end_object(writer);
}

static void write_changed(const struct row_values *values, struct dray_json_writer *writer) {
  dray_json_begin_array(writer);
  for (size_t i = 0; i < values->view->column_count && values->op == DRAY_OP_UPDATE; i++) {
    if (is_changed(values, i)) dray_json_write_text(writer, values->view->columns[i].name);
  }
  dray_json_end_array(writer);
}

static int row_has(void *ctx, int32_t number) {
  const struct row_values *values = ctx;
  return number < ROW_NAMES || !dray_view_absent(values->view, (size_t)(number - ROW_NAMES), values->row);
}

static void row_write(void *ctx, int32_t number, struct dray_json_writer *writer) {
  const struct row_values *values = ctx;
  switch (number) {
  case ROW_OP:
    dray_json_write_text(writer, operation_name(values->op));
    break;
  case ROW_KEY:
    write_key(values, writer);
    break;
  case ROW_DATA:
    write_data(values, writer);
    break;
  case ROW_CHANGED:
    write_changed(values, writer);
    break;
  case ROW_INDEX:
    dray_json_write_int(writer, (int64_t)values->row);
    break;
  default:
    write_column(values, (size_t)(number - ROW_NAMES), writer);
    break;
  }
}

static int32_t row_text(void *ctx, int32_t number, struct dray_buffer *out, struct dray_error *error) {
  const struct row_values *values = ctx;
  if (number == ROW_OP) return dray_buffer_append_str(out, operation_name(values->op), error);
  if (number == ROW_INDEX) return dray_buffer_printf(out, error, "%llu", (unsigned long long)values->row);
  if (number >= ROW_NAMES) {
    const struct dray_column_view *column = &values->view->columns[number - ROW_NAMES];
    if (!row_has(ctx, number) || dray_column_is_null(column, values->row)) return DRAY_OK;
    return dray_column_text(column, values->row, out, error);
  }
  struct dray_json_writer writer; // an object or a list within a text: its JSON
  dray_json_writer_init(&writer, out, error);
  row_write(ctx, number, &writer);
  return dray_json_writer_finish(&writer);
}

static void write_row(const struct webhook_form *form, const struct dray_view *view, uint64_t row,
                      struct dray_json_writer *writer) {
  const ptrdiff_t op = dray_view_find(view, dray_str_of(DRAY_COLUMN_OP));
  struct row_values values = {.form = form,
                              .view = view,
                              .row = row,
                              .op = op < 0 ? DRAY_OP_INSERT : dray_column_int64(&view->columns[op], row),
                              .changed_column = dray_view_find(view, dray_str_of(DRAY_COLUMN_CHANGED))};
  const struct webhook_values access = {&values, row_has, row_write, row_text};
  webhook_template_render(form->row, &access, writer);
}

// ---- values of the body ----

struct body_values {
  const struct webhook_form *form;
  const struct dray_view *view;
  const struct webhook_batch *batch;
};

static int body_has(void *ctx, int32_t number) {
  (void)ctx;
  (void)number;
  return 1;
}

static int32_t body_text(void *ctx, int32_t number, struct dray_buffer *out, struct dray_error *error) {
  const struct body_values *values = ctx;
  char text[DRAY_FORMAT_BYTES_MAX];
  struct dray_str view = {NULL, 0};
  if (number == BODY_OBJECT) view = values->batch->object;
  if (number == BODY_SYNC) view = values->batch->sync;
  if (number == BODY_RUN) view = values->batch->run;
  if (number == BODY_BATCH_ID) view = values->batch->batch_id;
  if (number == BODY_COUNT) view = dray_str_make(text, dray_format_int64((int64_t)values->view->row_count, text));
  if (number == BODY_SENT_AT) view = dray_str_make(text, dray_format_timestamp(values->batch->now_us, text));
  return dray_buffer_append(out, view.data, view.len, error);
}

static void body_write(void *ctx, int32_t number, struct dray_json_writer *writer) {
  const struct body_values *values = ctx;
  if (number == BODY_ROW) {
    write_row(values->form, values->view, 0, writer);
  } else if (number == BODY_ROWS) {
    dray_json_begin_array(writer);
    for (uint64_t row = 0; row < values->view->row_count && writer->failed == DRAY_OK; row++) {
      write_row(values->form, values->view, row, writer);
    }
    dray_json_end_array(writer);
  } else if (number == BODY_COUNT) {
    dray_json_write_int(writer, (int64_t)values->view->row_count);
  } else {
    struct dray_buffer text;
    dray_buffer_init(&text, 4096);
    const int32_t rc = body_text(ctx, number, &text, writer->error);
    if (rc == DRAY_OK) dray_json_write_str(writer, dray_buffer_view(&text));
    if (rc != DRAY_OK && writer->failed == DRAY_OK) writer->failed = rc;
    dray_buffer_free(&text);
  }
}

int32_t webhook_form_render(const struct webhook_form *form, const struct dray_view *view,
                            const struct webhook_batch *batch, struct dray_buffer *out, struct dray_error *error) {
  struct body_values values = {form, view, batch};
  const struct webhook_values access = {&values, body_has, body_write, body_text};
  struct dray_json_writer writer;
  dray_json_writer_init(&writer, out, error);
  webhook_template_render(form->body, &access, &writer);
  const int32_t rc = dray_json_writer_finish(&writer);
  if (rc != DRAY_E_LIMIT) return rc;
  // To the host a batch that is too large is a reason to halve it, and a row that is too large one to refuse it.
  return dray_fail(error, DRAY_E_DATA_TOO_LARGE, "the body for %llu rows is larger than batch_bytes (%zu) allows",
                   (unsigned long long)view->row_count, out->max);
}
