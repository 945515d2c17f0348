// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Temporary files. Nothing in them outlives the process's use of them, so nothing is synced. Inside core/compare only.
#ifndef DR_COMPARE_TEMP_H
#define DR_COMPARE_TEMP_H

#include "dray/sdk/error.h"

// A file without a name. @errors IO, DISK_FULL.
DRAY_NODISCARD int32_t temp_open(const char *folder, int *out_fd, struct dray_error *error);
// A file with one, on the heap, mode 0600; the caller unlinks it. `name` is part of it. @errors and OUT_OF_MEMORY.
DRAY_NODISCARD int32_t temp_open_named(const char *folder, const char *name, int *out_fd, char **out_path,
                                       struct dray_error *error);
// pwrite(2) until all is written.
DRAY_NODISCARD int32_t temp_write(int fd, const void *data, size_t len, uint64_t offset, const char *folder,
                                  struct dray_error *error);

// Address space that becomes memory, filled with zeros, as it is touched; with `huge` in pages of 2 MiB where there are
// such. NULL when there is none.
void *temp_reserve(size_t bytes, int huge);
void temp_release(void *memory, size_t bytes); // NULL is allowed

#endif // DR_COMPARE_TEMP_H
