// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// From the setting `path` to streams: which files there are and how they are grouped and named.
#ifndef FILE_SETS_H
#define FILE_SETS_H

#include "settings.h"

#define FILE_SETS_MAX 10000  // streams of a connection
#define FILE_PATHS_MAX 10000 // files of a connection

// The files of one stream.
struct file_set {
  char *name;
  char **paths; // sorted by their bytes
  size_t count; // >= 1
  int jsonl;
  int alone; // the connection's only stream
};

struct file_sets {
  struct file_set *items; // sorted by name
  size_t count;           // >= 1
};

// Looks at the file system. @errors CONFIG_FILE when nothing matches, CONFIG_VALUE for names that clash or formats that
// mix, LIMIT, IO, OUT_OF_MEMORY. The caller frees *out with file_sets_free.
DRAY_NODISCARD int32_t file_sets_find(const struct file_settings *settings, struct file_sets *out,
                                      struct dray_error *error);
void file_sets_free(struct file_sets *sets);
// Takes the named stream's set out of `sets` into *out. @errors SCHEMA_STREAM with the nearest name.
DRAY_NODISCARD int32_t file_sets_take(struct file_sets *sets, struct dray_str name, struct file_set *out,
                                      struct dray_error *error);
void file_set_free(struct file_set *set);

#endif // FILE_SETS_H
