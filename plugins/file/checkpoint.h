// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// How far each file of a stream was read, as the JSON text that the host keeps, and what of a file is left to
// be read when it is met again.
#ifndef FILE_CHECKPOINT_H
#define FILE_CHECKPOINT_H

#include "bytes.h"
#include "sets.h"

#define FILE_STATE_BYTES_MAX (1u << 20) // what the host keeps at most

struct file_progress {
  int known;    // the members below hold something
  int done;     // read to the end
  int64_t size; // of the file when its reading began
  int64_t mtime_ns;
  struct file_mark mark; // of what was read
  uint64_t partial;      // bytes of the last record, where no line end followed it: the file may have been in writing
  uint64_t rows;
};

// Reads a state into one progress per file of the set. Files that are not there any more are forgotten.
// @errors STATE_CHECKPOINT when it is not a state of this stream, OUT_OF_MEMORY.
DRAY_NODISCARD int32_t file_checkpoint_read(struct dray_str state, const struct file_set *set,
                                            struct file_progress *files, struct dray_error *error);
// Writes it (appends). @errors LIMIT past FILE_STATE_BYTES_MAX, OUT_OF_MEMORY.
DRAY_NODISCARD int32_t file_checkpoint_write(const struct file_set *set, const struct file_progress *files,
                                             struct dray_buffer *out, struct dray_error *error);

enum { FILE_LEFT_NOTHING, FILE_LEFT_REST, FILE_LEFT_ALL };

// Looks at a file and decides what is left of it, setting `progress` to where reading begins. *out_left = FILE_LEFT_*;
// ALL for a file that was not known, or whose beginning is not what was read. @errors IO, DATA_ENCODING, CONFIG_FILE,
// CANCELLED, OUT_OF_MEMORY.
DRAY_NODISCARD int32_t file_checkpoint_resume(const char *path, int verify_start, const struct dray_services *services,
                                              struct file_progress *progress, int *out_left, struct dray_error *error);

#endif // FILE_CHECKPOINT_H
