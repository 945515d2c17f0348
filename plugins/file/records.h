// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// CSV records of one file, from its beginning or from a mark, and the names of their columns.
#ifndef FILE_RECORDS_H
#define FILE_RECORDS_H

#include "bytes.h"
#include "settings.h"

struct file_records {
  struct file_bytes *bytes;
  struct dray_csv_reader *reader;
  struct file_mark origin; // where the reader began
  int unterminated;        // the last record was ended by the end of the file, not by a line end
};

// Opens for reading records from a mark. @errors those of dray_input_open and dray_csv_reader_new.
DRAY_NODISCARD int32_t file_records_open(const struct file_settings *settings, const char *path,
                                         const struct file_mark *from, struct file_records *out,
                                         struct dray_error *error);
void file_records_close(struct file_records *records); // zeroed or opened
// The next record: line and byte_offset count from the beginning of the file. *out_got = 0 at the end.
DRAY_NODISCARD int32_t file_records_next(struct file_records *records, struct dray_csv_record *record, int *out_got,
                                         struct dray_error *error);

struct file_names {
  char **items; // owned
  size_t count; // 0: the file holds no record, and no names are configured
};

// The names of a file's columns: configured, from its header, or column_1 and so on. @errors SCHEMA_NAME when a name is
// empty, stands twice or cannot be a column's; CONFIG_VALUE when `columns` and the file differ in number; LIMIT.
DRAY_NODISCARD int32_t file_names_read(const struct file_settings *settings, const char *path, struct file_names *out,
                                       struct dray_error *error);
void file_names_free(struct file_names *names);

#endif // FILE_RECORDS_H
