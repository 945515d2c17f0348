// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// CSV records into the builder. A record that does not read is a row with its reason, never a missing row.
#include <stdlib.h>

#include "reader.h"

#define RECORDS_BETWEEN_CANCEL_CHECKS 1024u

// Finds the layout's column of each field of the file.
static int32_t map_fields(struct file_reader *reader, const char *path, struct dray_error *error) {
  struct file_names names = {0};
  DRAY_TRY(file_names_read(reader->settings, path, &names, error));
  int32_t rc = DRAY_OK;
  free(reader->map);
  reader->map_count = names.count;
  reader->map = malloc((names.count + 1) * sizeof(*reader->map));
  if (reader->map == NULL) rc = dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for the columns of %s", path);
  for (size_t i = 0; i < names.count && rc == DRAY_OK; i++) {
    reader->map[i] = file_layout_find(&reader->layout, dray_str_of(names.items[i]));
    if (reader->map[i] < reader->layout.count) continue;
    rc = dray_fail(error, DRAY_E_SCHEMA_DRIFT, "%s was given the new column %s while it was being read; run again",
                   path, names.items[i]);
  }
  file_names_free(&names);
  return rc;
}

int32_t file_csv_begin(struct file_reader *reader, struct dray_error *error) {
  const char *path = reader->set.paths[reader->at];
  const struct file_mark *from = &reader->files[reader->at].mark;
  DRAY_TRY(map_fields(reader, path, error));
  file_records_close(&reader->records);
  DRAY_TRY(file_records_open(reader->settings, path, from, &reader->records, error));
  if (from->position == 0 && reader->settings->header) {
    struct dray_csv_record header;
    int got = 0;
    DRAY_TRY(file_records_next(&reader->records, &header, &got, error));
  }
  reader->open = 1;
  return DRAY_OK;
}

static int32_t append_field(struct file_reader *reader, size_t at, const struct dray_csv_field *field,
                            struct dray_error *error) {
  const struct file_column *column = &reader->layout.columns[reader->map[at]];
  const size_t to = reader->wanted[reader->map[at]];
  if (to == FILE_NOT_WANTED) return DRAY_OK;
  if (!field->quoted && file_settings_is_null(reader->settings, field->text)) {
    return dray_builder_null(reader->builder, to, error);
  }
  const int32_t rc = dray_builder_text(reader->builder, to, field->text, error);
  if (rc != DRAY_OK && error != NULL) {
    char why[DRAY_ERROR_TEXT_MAX];
    memcpy(why, error->text, sizeof(why));
    return dray_fail_field(error, rc, column->name, "column %.100s: %.850s", column->name, why);
  }
  return rc;
}

// The columns that are not in the file.
static int32_t append_extra(struct file_reader *reader, uint64_t line, struct dray_error *error) {
  for (size_t i = reader->layout.count; i-- > 0 && reader->layout.columns[i].kind != FILE_COLUMN_DATA;) {
    if (reader->wanted[i] == FILE_NOT_WANTED) continue;
    const int is_path = reader->layout.columns[i].kind == FILE_COLUMN_PATH;
    const struct dray_str path = dray_str_of(reader->set.paths[reader->at]);
    DRAY_TRY(is_path ? dray_builder_bytes(reader->builder, reader->wanted[i], path, error)
                     : dray_builder_int64(reader->builder, reader->wanted[i], (int64_t)line, error));
  }
  return DRAY_OK;
}

static int32_t append_fields(struct file_reader *reader, const struct dray_csv_record *record,
                             struct dray_error *error) {
  if (record->code == DRAY_E_DATA_TOO_LARGE) {
    return dray_fail(error, record->code, "the record or a field of it is larger than max_field_bytes (%lld) allows",
                     (long long)reader->settings->max_field_bytes);
  }
  if (record->code == DRAY_E_DATA_SHAPE) return dray_fail(error, record->code, "a quote is opened and never closed");
  if (record->code != 0) return dray_fail(error, record->code, "%s", dray_error_info(record->code)->what);
  if (record->field_count != reader->map_count) {
    return dray_fail(error, DRAY_E_DATA_SHAPE, "%zu field%s, %s %zu", record->field_count,
                     record->field_count == 1 ? "" : "s", reader->settings->header ? "header has" : "expected",
                     reader->map_count);
  }
  for (size_t i = 0; i < record->field_count; i++) DRAY_TRY(append_field(reader, i, &record->fields[i], error));
  return append_extra(reader, record->line, error);
}

// `why`: for the reason of a record that does not read; made once for many records, since it is large.
static int32_t append_record(struct file_reader *reader, const struct dray_csv_record *record, struct dray_error *why,
                             int32_t *out_full, struct dray_error *error) {
  const int32_t rc = append_fields(reader, record, why);
  if (rc == DRAY_OK) {
    reader->rows++;
    reader->files[reader->at].rows++;
    return dray_builder_end_row(reader->builder, out_full, error);
  }
  if (why->error_class != DRAY_CLASS_DATA) {
    if (error != NULL) *error = *why;
    return rc;
  }
  reader->files[reader->at].rows++;
  return file_reader_bad_record(reader, record->line, why, out_full, error);
}

int32_t file_csv_read(struct file_reader *reader, int32_t *out_full, struct dray_error *error) {
  struct file_progress *file = &reader->files[reader->at];
  struct dray_error why;
  dray_error_init(&why);
  for (uint32_t count = 1;; count++) {
    struct dray_csv_record record;
    int got = 0;
    if (count % RECORDS_BETWEEN_CANCEL_CHECKS == 0) DRAY_TRY(dray_cancel_check(reader->services, error));
    DRAY_TRY(file_records_next(&reader->records, &record, &got, error));
    if (got) DRAY_TRY(append_record(reader, &record, &why, out_full, error));
    if (got && !*out_full && !reader->records.unterminated) continue;
    file->mark = *file_bytes_mark(reader->records.bytes);
    if (got && reader->records.unterminated) file->partial = file->mark.position - record.byte_offset;
    if (!got) {
      file->done = 1;
      reader->open = 0;
      file_records_close(&reader->records);
      return DRAY_OK;
    }
    if (*out_full) return DRAY_OK;
  }
}
