// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Joins bytes and the CSV reader. What a record means is decided elsewhere.
#include "records.h"

#include <stdio.h>
#include <stdlib.h>

static char delimiter_of(const struct file_settings *settings, const char *path) {
  if (settings->delimiter_char != '\0') return settings->delimiter_char;
  size_t len = strlen(path);
  if (len > 3 && strcmp(path + len - 3, ".gz") == 0) len -= 3;
  return len >= 4 && memcmp(path + len - 4, ".tsv", 4) == 0 ? '\t' : ',';
}

int32_t file_records_open(const struct file_settings *settings, const char *path, const struct file_mark *from,
                          struct file_records *out, struct dray_error *error) {
  const struct dray_csv_options options = {.delimiter = delimiter_of(settings, path),
                                           .quote = settings->quote_char,
                                           .field_bytes_max = (uint64_t)settings->max_field_bytes,
                                           .record_bytes_max = (uint64_t)settings->max_field_bytes + (16u << 20),
                                           .fields_max = FILE_COLUMNS_MAX};
  struct file_records records = {.origin = *from};
  int32_t rc = file_bytes_open(path, from, &records.bytes, error);
  if (rc == DRAY_OK) rc = dray_csv_reader_new(&options, &records.reader, error);
  if (rc != DRAY_OK) {
    file_records_close(&records);
    return rc;
  }
  *out = records;
  return DRAY_OK;
}

void file_records_close(struct file_records *records) {
  dray_csv_reader_free(records->reader);
  file_bytes_close(records->bytes);
  memset(records, 0, sizeof(*records));
}

int32_t file_records_next(struct file_records *records, struct dray_csv_record *record, int *out_got,
                          struct dray_error *error) {
  struct file_bytes *bytes = records->bytes;
  for (;;) {
    if (bytes->start == bytes->end && !bytes->at_end) DRAY_TRY(file_bytes_fill(bytes, error));
    size_t used = 0;
    int32_t got = 0;
    DRAY_TRY(dray_csv_reader_feed(records->reader, bytes->chunk + bytes->start, bytes->end - bytes->start,
                                  bytes->at_end, &used, record, &got, error));
    file_bytes_take(bytes, used);
    if (got) {
      record->line += records->origin.lines;
      record->byte_offset += records->origin.position;
      records->unterminated = bytes->at_end;
    }
    if (got || (bytes->at_end && bytes->start == bytes->end)) {
      *out_got = got;
      return DRAY_OK;
    }
  }
}

// ---- names ----

void file_names_free(struct file_names *names) {
  for (size_t i = 0; i < names->count; i++) free(names->items[i]);
  free(names->items);
  names->items = NULL;
  names->count = 0;
}

static int32_t check_name(const char *path, size_t number, struct dray_str name, struct dray_error *error) {
  if (name.len == 0) {
    return dray_fail_field(error, DRAY_E_SCHEMA_NAME, "header",
                           "%s: column %zu of the header has no name; give names with `columns`", path, number);
  }
  if (name.len > DRAY_COLUMN_NAME_MAX || !dray_utf8_valid(name.data, name.len) ||
      memchr(name.data, '\0', name.len) != NULL) {
    return dray_fail_field(error, DRAY_E_SCHEMA_NAME, "header",
                           "%s: the name of column %zu is not 1 to %d bytes of UTF-8; give names with `columns`", path,
                           number, DRAY_COLUMN_NAME_MAX);
  }
  return DRAY_OK;
}

static int32_t add_name(struct file_names *names, const char *path, struct dray_str name, struct dray_error *error) {
  DRAY_TRY(check_name(path, names->count + 1, name, error));
  char *copy = dray_str_dup(name);
  if (copy == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for the column names of %s", path);
  names->items[names->count++] = copy;
  if (dray_column_reserved(copy)) {
    return dray_fail_field(error, DRAY_E_SCHEMA_NAME, "header",
                           "%s: the column name %s is dray's own; give names with `columns`", path, copy);
  }
  return DRAY_OK;
}

static int compare_names(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

static int32_t refuse_duplicates(const struct file_names *names, const char *path, struct dray_error *error) {
  char **sorted = malloc((names->count + 1) * sizeof(*sorted));
  if (sorted == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for the column names of %s", path);
  memcpy(sorted, names->items, names->count * sizeof(*sorted));
  qsort(sorted, names->count, sizeof(*sorted), compare_names);
  int32_t rc = DRAY_OK;
  for (size_t i = 1; i < names->count && rc == DRAY_OK; i++) {
    if (strcmp(sorted[i - 1], sorted[i]) != 0) continue;
    rc = dray_fail_field(error, DRAY_E_SCHEMA_NAME, "header", "%s: two columns are named %s; give names with `columns`",
                         path, sorted[i]);
  }
  free(sorted);
  return rc;
}

static int32_t name_columns(const struct file_settings *settings, const char *path, const struct dray_csv_record *first,
                            struct file_names *names, struct dray_error *error) {
  const size_t count = settings->column_count > 0 ? settings->column_count : first->field_count;
  // Only a header must agree: where there is none, the first record is a row, and a bad row is rejected like any other.
  if (settings->header && first != NULL && count != first->field_count) {
    return dray_fail_field(error, DRAY_E_CONFIG_VALUE, "columns", "columns names %zu columns, but %s has %zu",
                           settings->column_count, path, first->field_count);
  }
  names->items = calloc(count + 1, sizeof(*names->items));
  if (names->items == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for the column names of %s", path);
  for (size_t i = 0; i < count; i++) {
    char numbered[32];
    (void)snprintf(numbered, sizeof(numbered), "column_%zu", i + 1);
    struct dray_str name = dray_str_of(numbered);
    if (settings->column_count > 0) {
      name = dray_str_of(settings->columns[i]);
    } else if (settings->header) {
      name = first->fields[i].text;
    }
    DRAY_TRY(add_name(names, path, name, error));
  }
  return refuse_duplicates(names, path, error);
}

int32_t file_names_read(const struct file_settings *settings, const char *path, struct file_names *out,
                        struct dray_error *error) {
  struct file_mark start;
  struct file_records records = {0};
  struct dray_csv_record first;
  struct file_names names = {0};
  int got = 0;
  file_mark_start(&start);
  DRAY_TRY(file_records_open(settings, path, &start, &records, error));
  int32_t rc = file_records_next(&records, &first, &got, error);
  if (rc == DRAY_OK && got && first.code != 0) {
    rc = dray_fail_field(error, DRAY_E_CONFIG_VALUE, "path", "%s: its first record cannot be read (%s); is it CSV?",
                         path, dray_error_info(first.code)->what);
  }
  if (rc == DRAY_OK && (got || settings->column_count > 0)) {
    rc = name_columns(settings, path, got ? &first : NULL, &names, error);
  }
  file_records_close(&records);
  if (rc != DRAY_OK) {
    file_names_free(&names);
    return rc;
  }
  *out = names;
  return DRAY_OK;
}
