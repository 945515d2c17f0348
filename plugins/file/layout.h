// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The columns of a stream: the union of its files' columns, with declared or inferred types.
#ifndef FILE_LAYOUT_H
#define FILE_LAYOUT_H

#include "infer.h"
#include "sets.h"

#define FILE_SAMPLE_BYTES_MAX (4u << 20)

enum { FILE_COLUMN_DATA, FILE_COLUMN_PATH, FILE_COLUMN_LINE };

struct file_column {
  char *name;
  struct dray_type type;
  struct file_guess guess; // while the layout is being made
  int kind;                // FILE_COLUMN_*
};

struct file_layout {
  struct file_column *columns;
  size_t count;
  size_t capacity;
  int uneven; // some records lack some columns: these are absent there, not null
};

// Reads the header of every file and a bounded sample. @errors SCHEMA_NAME, SCHEMA_COLUMN (a declared type of a column
// that is not there), CONFIG_*, DATA_ENCODING, IO, LIMIT, CANCELLED, OUT_OF_MEMORY.
DRAY_NODISCARD int32_t file_layout_make(const struct file_settings *settings, const struct file_set *set,
                                        const struct dray_services *services, struct file_layout *out,
                                        struct dray_error *error);
void file_layout_free(struct file_layout *layout);
// Index of the data column of that name; layout->count: none.
size_t file_layout_find(const struct file_layout *layout, struct dray_str name);

#endif // FILE_LAYOUT_H
