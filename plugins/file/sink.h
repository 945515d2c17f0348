// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// A file that rows are appended to, so that each batch is in it once and whole, or not at all, whatever is
// killed when.
#ifndef FILE_SINK_H
#define FILE_SINK_H

#include "journal.h"
#include "settings.h"

#define FILE_OP_COLUMN "_op"

struct file_sink {
  char *folder;
  char *name; // within the folder
  char *path;
  int jsonl;
  struct file_journal journal;
  int file;       // -1: not there yet
  int broken;     // what is in the file is not known: begin again
  char **columns; // CSV: of the file, `_op` among them; the order in which fields are written
  size_t column_count;
};

// The file's name of an object: the object's, with an ending when it has none. @errors SCHEMA_OBJECT when it cannot be
// one. The caller frees *out.
DRAY_NODISCARD int32_t file_sink_name(const struct file_settings *settings, struct dray_str object, char **out,
                                      int *out_jsonl, struct dray_error *error);
// Opens FOLDER/NAME of the settings' path and puts it right: a batch that was half written is cut off. `columns` are
// the ones that will be written, without `_op`. @errors SCHEMA_FIELD when the file's header lacks one, BUSY,
// STATE_CORRUPT when somebody else wrote to the file, IO, DISK_FULL.
DRAY_NODISCARD int32_t file_sink_open(const struct file_settings *settings, const char *name, int jsonl,
                                      char *const *columns, size_t column_count, struct file_sink *out,
                                      struct dray_error *error);
void file_sink_close(struct file_sink *sink); // zeroed with file and journal.file -1, or opened
// Whether the next append begins the file and has to bring its header.
int file_sink_is_empty(const struct file_sink *sink);
// Appends a batch. Durable when it returns; after an error nothing of it stays.
DRAY_NODISCARD int32_t file_sink_append(struct file_sink *sink, struct dray_str rows, struct dray_str sync,
                                        struct dray_str key, struct dray_error *error);

#endif // FILE_SINK_H
