// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What dray knows of a file that it writes: how many bytes are acknowledged, what was about to be written, and
// which batches are in it. A hidden text file beside the written one, appended to and never changed in place.
#ifndef FILE_JOURNAL_H
#define FILE_JOURNAL_H

#include "dray/sdk.h"

#define FILE_JOURNAL_KEYS_MAX 4096 // batches remembered; a resend is of the last few

struct file_journal {
  int file; // -1: not open; locked while it is
  char *path;
  uint64_t length; // bytes of the journal that are whole
  int has_acked;   // acked_length holds something
  uint64_t acked_length;
  int has_intent; // since the last acknowledgement
  uint64_t intent_bytes;
  char **batches; // "sync key", the oldest first
  size_t batch_count;
  size_t batch_capacity;
};

// Opens (makes) and locks the journal of FOLDER/NAME. @errors BUSY when another run has it, STATE_CORRUPT, IO,
// DISK_FULL, OUT_OF_MEMORY.
DRAY_NODISCARD int32_t file_journal_open(const char *folder, const char *name, struct file_journal *out,
                                         struct dray_error *error);
void file_journal_close(struct file_journal *journal); // zeroed with file -1, or opened
// Durable when they return. An intent says that `bytes` bytes are about to be written behind the acknowledged length.
DRAY_NODISCARD int32_t file_journal_intent(struct file_journal *journal, uint64_t bytes, struct dray_error *error);
// Acknowledges a length, and a batch when its key is not empty.
DRAY_NODISCARD int32_t file_journal_ack(struct file_journal *journal, uint64_t length, struct dray_str sync,
                                        struct dray_str key, struct dray_error *error);
int file_journal_has(const struct file_journal *journal, struct dray_str sync, struct dray_str key);

// Fills an error from errno: DISK_FULL, or IO.
int32_t file_fail_errno(struct dray_error *error, const char *doing, const char *path);
// Makes entries of a folder durable.
DRAY_NODISCARD int32_t file_sync_folder(const char *folder, struct dray_error *error);

#endif // FILE_JOURNAL_H
