// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Files that survive: every write is checked, every replace is write, fsync, rename, fsync of the
// folder. Each step passes dr_fault_point, so that tests can kill or fail the process there.
#ifndef DR_BASE_FILE_H
#define DR_BASE_FILE_H

#include "dray/sdk/error.h"
#include "dray/sdk/text.h"

// Reads a whole file of at most bytes_max. @errors IO (errno text, path), LIMIT.
DRAY_NODISCARD int32_t dr_file_read(const char *path, uint64_t bytes_max, struct dray_buffer *out,
                                    struct dray_error *error);
// Replaces `path` atomically and durably with mode 0600. @errors DISK_FULL, IO; the old file is then whole.
DRAY_NODISCARD int32_t dr_file_replace(const char *path, struct dray_str content, struct dray_error *error);
// write(2) until all is written; pwrite and pread likewise. A short read is IO.
DRAY_NODISCARD int32_t dr_fd_write(int fd, const void *data, size_t len, const char *path, struct dray_error *error);
DRAY_NODISCARD int32_t dr_fd_pread(int fd, void *data, size_t len, uint64_t offset, const char *path,
                                   struct dray_error *error);
// fsync; after a failure the descriptor must not be synced again, only closed (the kernel may have dropped the pages).
DRAY_NODISCARD int32_t dr_fd_sync(int fd, const char *path, struct dray_error *error);
DRAY_NODISCARD int32_t dr_folder_sync(const char *path, struct dray_error *error);
DRAY_NODISCARD int32_t dr_rename(const char *from, const char *to, struct dray_error *error);
// With parents, 0700, durably.
DRAY_NODISCARD int32_t dr_folder_make(const char *path, struct dray_error *error);
// Locks the byte at `at`, which need not exist, for this open file description: another one, of this process or not,
// does not get it; gone when it is closed or its last process ends (fcntl(2), F_OFD_SETLK). Never waits. 1: locked; 0:
// somebody has it; -1: errno says why.
int dr_fd_lock(int fd, uint64_t at);
void dr_fd_unlock(int fd, uint64_t at);
int dr_file_exists(const char *path);
// "a/b" on the heap; NULL when memory is short.
DRAY_NODISCARD char *dr_path_join(const char *folder, const char *name);
// Fills the error of a failed system call from errno: DISK_FULL for ENOSPC and EDQUOT, else IO.
int32_t dr_fail_errno(struct dray_error *error, const char *doing, const char *path);

#endif // DR_BASE_FILE_H
