// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Temporary files. Nothing in them outlives the process's use of them, so nothing is synced. Inside core/compare only.
#ifndef DR_COMPARE_TEMP_H
#define DR_COMPARE_TEMP_H

#include <pthread.h>

#include "dray/sdk/error.h"

// A file without a name. @errors IO, DISK_FULL.
DRAY_NODISCARD int32_t temp_open(const char *folder, int *out_fd, struct dray_error *error);
// A file with one, on the heap, mode 0600; the caller unlinks it. `name` is part of it. @errors and OUT_OF_MEMORY.
DRAY_NODISCARD int32_t temp_open_named(const char *folder, const char *name, int *out_fd, char **out_path,
                                       struct dray_error *error);
// pwrite(2) until all is written.
DRAY_NODISCARD int32_t temp_write(int fd, const void *data, size_t len, uint64_t offset, const char *folder,
                                  struct dray_error *error);

// Bytes at places: in memory up to a limit, beyond it in a file. Writes may come from any threads; all else from one,
// and not while others write.
struct temp_store {
  const char *folder, *name; // borrowed; of the file. name NULL: it has none
  int fd;                    // -1: all is in memory
  char *path;                // owned; of a file with a name, which goes with the store
  char *memory;              // owned; NULL: all is in the file. TEMP_SLACK_BYTES more are readable
  uint64_t limit;            // bytes of memory
  pthread_rwlock_t lock;
};
#define TEMP_SLACK_BYTES 64
#define TEMP_STORE_NONE ((struct temp_store){.fd = -1})
// limit 0: a file from the beginning; likewise when there is no memory. @errors as temp_open_named.
DRAY_NODISCARD int32_t temp_store_open(struct temp_store *store, const char *folder, const char *name, uint64_t limit,
                                       struct dray_error *error);
void temp_store_close(struct temp_store *store); // of one that was opened, or TEMP_STORE_NONE
DRAY_NODISCARD int32_t temp_store_write(struct temp_store *store, const void *data, size_t len, uint64_t offset,
                                        struct dray_error *error);
DRAY_NODISCARD int32_t temp_store_read(const struct temp_store *store, void *out, size_t len, uint64_t offset,
                                       struct dray_error *error);
// The first `bytes` bytes are in the file, or in memory, from now on; whether they are already or not. to_memory: what
// does not fit `limit`, or finds no memory, stays where it is.
DRAY_NODISCARD int32_t temp_store_to_file(struct temp_store *store, uint64_t bytes, struct dray_error *error);
DRAY_NODISCARD int32_t temp_store_to_memory(struct temp_store *store, uint64_t bytes, uint64_t limit,
                                            struct dray_error *error);

// Address space that becomes memory, filled with zeros, as it is touched; with `huge` in pages of 2 MiB where there are
// such. NULL when there is none.
void *temp_reserve(size_t bytes, int huge);
void temp_release(void *memory, size_t bytes); // NULL is allowed

#endif // DR_COMPARE_TEMP_H
