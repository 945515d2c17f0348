// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The settings of a connection: one table for both roles, so that one connection can be read and written.
#ifndef FILE_SETTINGS_H
#define FILE_SETTINGS_H

#include "dray/sdk.h"

#define FILE_PATH_MAX 4096
#define FILE_COLUMNS_MAX 4000 // leaves room for the reserved ones below DRAY_COLUMNS_MAX

// A column whose type the config declares.
struct file_declared {
  char *name;
  struct dray_type type;
};

struct file_settings {
  // Bound from the table, named as in the config.
  char *path;
  char *format;
  char *delimiter;
  char *quote;
  int32_t header;
  char *columns_json;
  char *types_json;
  int32_t infer;
  char *null_values_json;
  char *on_error;
  char *streams;
  char *stream;
  char *verify;
  char *file_column;
  char *line_column;
  int64_t max_field_bytes;
  int64_t sample_records;

  // Derived from them.
  char **columns; // names given for files without a header, or to be used instead of it
  size_t column_count;
  struct file_declared *types;
  size_t type_count;
  char **nulls;
  size_t null_count;
  uint64_t null_bytes_max; // of the longest of them
  char delimiter_char;     // '\0': by the file's name
  char quote_char;
  int fail_on_error;
  int verify_start;
};

// The JSON Schema of the settings, in static memory.
DRAY_NODISCARD int32_t file_settings_spec(struct dray_str *out_json, struct dray_error *error);
// Binds and checks. Touches no file. @errors CONFIG_*, OUT_OF_MEMORY. On failure nothing is left to free.
DRAY_NODISCARD int32_t file_settings_bind(struct dray_str json, struct file_settings *out, struct dray_error *error);
void file_settings_free(struct file_settings *settings);

// The declared type of a column, or NULL.
const struct dray_type *file_settings_type(const struct file_settings *settings, const char *column);
// Whether an unquoted field means null.
int file_settings_is_null(const struct file_settings *settings, struct dray_str text);

#endif // FILE_SETTINGS_H
