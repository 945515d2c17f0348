// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// A stream being read: its files one after the other, into batches.
#ifndef FILE_READER_H
#define FILE_READER_H

#include "checkpoint.h"
#include "layout.h"
#include "records.h"

#define FILE_NOT_WANTED SIZE_MAX

struct file_reader {
  const struct file_settings *settings; // the source's, which outlives its streams
  const struct dray_services *services;
  struct file_set set;
  struct file_layout layout;
  size_t *wanted; // per layout column: the builder's column, or FILE_NOT_WANTED
  struct ArrowSchema schema;
  struct dray_builder *builder;
  size_t error_column; // of the builder; none with on_error: fail

  struct file_progress *files; // one per file of the set
  size_t at;                   // the file being read, or the next one
  int open;
  struct file_records records; // CSV
  size_t *map;                 // CSV: the layout's column of each field
  size_t map_count;
  struct file_lines *lines; // JSON Lines

  uint64_t rows;
  uint64_t bytes_before; // of the files that are finished
  uint64_t bytes_total;
  int between; // the batch does not end where a line of the file does: no place to resume from
  int failed;  // `next` returned an error: what was returned and what was read differ, there is no state
  struct dray_buffer state;
};

// Opens the stream that `out` then is. @errors those of dray_source_vtable.open.
DRAY_NODISCARD int32_t file_reader_open(const struct file_settings *settings, const struct dray_services *services,
                                        const struct dray_read_request *request, struct dray_stream *out,
                                        struct dray_error *error);

// For the two formats. Reads from the open file into the builder until the batch is full (*out_full = 1) or the file
// ends (reader->open = 0).
DRAY_NODISCARD int32_t file_csv_begin(struct file_reader *reader, struct dray_error *error);
DRAY_NODISCARD int32_t file_csv_read(struct file_reader *reader, int32_t *out_full, struct dray_error *error);
DRAY_NODISCARD int32_t file_lines_begin(struct file_reader *reader, struct dray_error *error);
DRAY_NODISCARD int32_t file_lines_read(struct file_reader *reader, int32_t *out_full, struct dray_error *error);
void file_lines_free(struct file_lines *lines); // NULL allowed
uint64_t file_lines_raw_position(const struct file_lines *lines);

// Puts a record that could not be read into the batch as a row with `_dray_error`: "data_shape: orders.csv line 12: 7
// fields, ...". With on_error: fail it is the stream's error instead. `why` must be an error of class DATA.
DRAY_NODISCARD int32_t file_reader_bad_record(struct file_reader *reader, uint64_t line, const struct dray_error *why,
                                              int32_t *out_full, struct dray_error *error);

#endif // FILE_READER_H
