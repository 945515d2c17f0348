// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Members as the vendor takes them. A merge field is emptied by "", dates have forms of their own, and a status is only
// sent where consent may change by it.
#include <stdio.h>

#include "writing.h"

#define ADDRESS_BYTES_MAX (1u << 16)

static int is_said(const struct mc_writing *writing, size_t column, uint64_t row, int as_new) {
  const struct dray_view *view = &writing->changes->view;
  if (as_new) return view->columns[column].absent_bit >= 0 && !dray_view_absent(view, column, row);
  return dray_change_says(writing->changes, column, row);
}

int mc_says_tags(const struct mc_writing *writing, uint64_t row) {
  for (size_t i = 0; i < writing->changes->view.column_count; i++) {
    if (writing->columns[i].kind == MC_COLUMN_TAGS) return dray_change_says(writing->changes, i, row);
  }
  return 0;
}

// ---- status ----

static int asks_in(struct dray_str status) {
  return dray_str_is(status, "subscribed") || dray_str_is(status, "pending");
}

static struct dray_str status_of(const struct mc_writing *writing, uint64_t row, int as_new) {
  const struct dray_view *view = &writing->changes->view;
  struct dray_str status = {NULL, 0};
  for (size_t i = 0; i < view->column_count; i++) {
    const struct dray_column_view *column = &view->columns[i];
    if (writing->columns[i].kind != MC_COLUMN_STATUS || column->type.id != DRAY_TYPE_STRING) continue;
    if (is_said(writing, i, row, as_new) && !dray_column_is_null(column, row)) status = dray_column_bytes(column, row);
  }
  if (as_new && status.len == 0) status = dray_str_of(writing->options->new_status);
  if (as_new) return writing->left[row] && asks_in(status) ? dray_str_of("unsubscribed") : status;
  return asks_in(status) && writing->options->never_resubscribe ? dray_str_make(NULL, 0) : status;
}

int mc_says_status(const struct mc_writing *writing, uint64_t row, int how) {
  return status_of(writing, row, how != MC_AS_OLD).len > 0;
}

// ---- merge fields ----

// The value as text in writing->text.
static int32_t to_text(const struct mc_writing *writing, const struct dray_column_view *column, uint64_t row,
                       struct dray_str *out, struct dray_error *error) {
  dray_buffer_clear(writing->text);
  DRAY_TRY(dray_column_text(column, row, writing->text, error));
  *out = dray_buffer_view(writing->text);
  return DRAY_OK;
}

static int is_number(int32_t type) {
  return type == DRAY_TYPE_INT64 || type == DRAY_TYPE_FLOAT64 || type == DRAY_TYPE_DECIMAL;
}

// An address that a file without types holds as the text of an object. *out_written = 0: it is none.
static int32_t write_address(struct dray_str text, struct dray_json_writer *writer, int *out_written,
                             struct dray_error *error) {
  struct dray_json *root = NULL;
  const int32_t rc = dray_json_parse(text, ADDRESS_BYTES_MAX, &root, NULL);
  *out_written = rc == DRAY_OK && root->kind == DRAY_JSON_OBJECT;
  if (*out_written) dray_json_write_value(writer, root);
  dray_json_free(root);
  return rc == DRAY_E_OUT_OF_MEMORY ? dray_fail(error, rc, "no memory for an address") : DRAY_OK;
}

static int32_t write_merge(const struct mc_writing *writing, struct dray_json_writer *writer,
                           const struct mc_column *is, const struct dray_column_view *column, uint64_t row,
                           struct dray_error *error) {
  struct dray_str text;
  double number = 0;
  dray_json_key(writer, is->name);
  if (dray_column_is_null(column, row)) {
    dray_json_write_text(writer, ""); // null is not taken reliably
    return DRAY_OK;
  }
  if (column->type.id == DRAY_TYPE_JSON || (is->merge == MC_MERGE_NUMBER && is_number(column->type.id))) {
    dray_json_write_column(writer, column, row);
    return DRAY_OK;
  }
  DRAY_TRY(to_text(writing, column, row, &text, error));
  if (is->merge == MC_MERGE_ADDRESS) {
    int written = 0;
    DRAY_TRY(write_address(text, writer, &written, error));
    if (written) return DRAY_OK;
  }
  const int is_date = column->type.id == DRAY_TYPE_DATE || column->type.id == DRAY_TYPE_TIMESTAMP;
  if (is->merge == MC_MERGE_NUMBER && dray_parse_float64(text, &number, NULL) == DRAY_OK &&
      strchr("-0123456789", text.data[0]) != NULL) {
    dray_json_write_float(writer, number);
    return DRAY_OK;
  }
  if (is_date && text.len >= 10 && is->merge == MC_MERGE_DATE) text.len = 10; // 2026-01-31
  if (is_date && text.len >= 10 && is->merge == MC_MERGE_BIRTHDAY) {
    char day[8];
    (void)snprintf(day, sizeof(day), "%.2s/%.2s", text.data + 5, text.data + 8);
    dray_json_write_text(writer, day);
    return DRAY_OK;
  }
  dray_json_write_str(writer, text);
  return DRAY_OK;
}

static int32_t write_merges(const struct mc_writing *writing, struct dray_json_writer *writer, uint64_t row, int as_new,
                            struct dray_error *error) {
  const struct dray_view *view = &writing->changes->view;
  int begun = 0;
  for (size_t i = 0; i < view->column_count; i++) {
    if (writing->columns[i].kind != MC_COLUMN_MERGE || !is_said(writing, i, row, as_new)) continue;
    if (as_new && dray_column_is_null(&view->columns[i], row)) continue; // there is nothing to empty
    if (!begun) {
      dray_json_key(writer, "merge_fields");
      dray_json_begin_object(writer);
    }
    begun = 1;
    DRAY_TRY(write_merge(writing, writer, &writing->columns[i], &view->columns[i], row, error));
  }
  if (begun) dray_json_end_object(writer);
  return DRAY_OK;
}

// ---- the others ----

static void write_plain(const struct mc_column *is, const struct dray_column_view *column, uint64_t row,
                        struct dray_json_writer *writer) {
  const int is_null = dray_column_is_null(column, row);
  if (is_null && strcmp(is->name, "vip") != 0 && strcmp(is->name, "language") != 0) return;
  dray_json_key(writer, is->name);
  if (!is_null) {
    dray_json_write_column(writer, column, row);
  } else if (strcmp(is->name, "vip") == 0) {
    dray_json_write_bool(writer, 0);
  } else {
    dray_json_write_text(writer, "");
  }
}

static void write_places(const struct mc_writing *writing, uint64_t row, int as_new, struct dray_json_writer *writer) {
  const struct dray_view *view = &writing->changes->view;
  int begun = 0;
  for (size_t i = 0; i < view->column_count; i++) {
    const struct dray_column_view *column = &view->columns[i];
    if (writing->columns[i].kind != MC_COLUMN_PLACE || !is_said(writing, i, row, as_new)) continue;
    if (dray_column_is_null(column, row)) continue;
    if (!begun) {
      dray_json_key(writer, "location");
      dray_json_begin_object(writer);
    }
    begun = 1;
    dray_json_key(writer, writing->columns[i].name);
    dray_json_write_column(writer, column, row);
  }
  if (begun) dray_json_end_object(writer);
}

static void write_tags(const struct mc_writing *writing, const struct dray_column_view *column, uint64_t row,
                       struct dray_json_writer *writer) {
  const int is_null = dray_column_is_null(column, row);
  if (is_null && !writing->options->sync_tags) return;
  dray_json_key(writer, "tags");
  if (!is_null) {
    dray_json_write_column(writer, column, row);
    return;
  }
  dray_json_begin_array(writer);
  dray_json_end_array(writer);
}

static int32_t write_member(const struct mc_writing *writing, uint64_t row, int as_new, struct dray_json_writer *writer,
                            struct dray_error *error) {
  const struct dray_view *view = &writing->changes->view;
  const struct dray_str status = status_of(writing, row, as_new);
  dray_json_begin_object(writer);
  dray_json_key(writer, "email_address");
  dray_json_write_str(writer, mc_email(writing, row));
  if (status.len > 0) {
    dray_json_key(writer, "status");
    dray_json_write_str(writer, status);
  }
  for (size_t i = 0; i < view->column_count; i++) {
    const struct mc_column *is = &writing->columns[i];
    const struct dray_column_view *column = &view->columns[i];
    if (!is_said(writing, i, row, as_new)) continue;
    if (is->kind == MC_COLUMN_TAGS) write_tags(writing, column, row, writer);
    const int is_object = is->kind == MC_COLUMN_OBJECT && !dray_column_is_null(column, row);
    if (is->kind == MC_COLUMN_PLAIN || is_object) write_plain(is, column, row, writer);
  }
  write_places(writing, row, as_new, writer);
  DRAY_TRY(write_merges(writing, writer, row, as_new, error));
  dray_json_end_object(writer);
  return DRAY_OK;
}

int32_t mc_members_body(const struct mc_writing *writing, const uint64_t *rows, uint64_t row_count, int how,
                        int sync_tags, struct dray_error *error) {
  struct dray_json_writer writer;
  dray_buffer_clear(writing->body);
  dray_json_writer_init(&writer, writing->body, error);
  dray_json_begin_object(&writer);
  dray_json_key(&writer, "members");
  dray_json_begin_array(&writer);
  for (uint64_t i = 0; i < row_count; i++) DRAY_TRY(write_member(writing, rows[i], how != MC_AS_OLD, &writer, error));
  dray_json_end_array(&writer);
  dray_json_key(&writer, "update_existing");
  dray_json_write_bool(&writer, how != MC_AS_NEW);
  if (sync_tags) {
    dray_json_key(&writer, "sync_tags");
    dray_json_write_bool(&writer, 1);
  }
  dray_json_end_object(&writer);
  return dray_json_writer_finish(&writer);
}
