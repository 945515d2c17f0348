// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// A disk that can lose its power. While it records, every call of this process that changes a file below one folder is
// written down (disk_record.c stands between the program and libc, by --wrap of the linker). From the log any state can
// be rebuilt that a power cut at any point of it could have left behind. Calls that are not modelled end the program;
// and replaying a whole log must give the folder as it is, which shows that nothing was missed.
//
// What is durable:
// - The bytes and the size of a file: what an fsync or fdatasync of it that returned 0 covered. Of later writes and
//   cuts each sector of 512 bytes stands at any point of its history since (so it may hold old bytes that were cut
//   away), or is zeros where the file grew; the size is any that the file had since, or between two of those.
// - A name: what an fsync of its folder covered. Of later creations, removals and renames of a folder a prefix has
//   happened (DISK_PREFIX), or any subset (DISK_SUBSET). One rename happens whole or not at all. Fsync of a file says
//   nothing of its name, fsync of a folder nothing of the files in it.
// - After an fsync that failed, what it should have covered is lost in any part, however often a later one succeeds.
#ifndef TESTS_FAULT_DISK_H
#define TESTS_FAULT_DISK_H

#include <stddef.h>
#include <stdint.h>

#define DISK_SECTOR 512u

enum disk_kind { DISK_NAME, DISK_UNNAME, DISK_RENAME, DISK_WRITE, DISK_SIZE, DISK_SYNC, DISK_SYNC_FAILED };

// One thing that happened. Files and folders are numbers, 0 is the folder that is recorded.
struct disk_op {
  enum disk_kind kind;
  int file;                    // what it is about
  int folder;                  // NAME, UNNAME, RENAME: whose entry changes
  char name[64], new_name[64]; // new_name: RENAME
  uint64_t offset, len;        // WRITE; SIZE: the new size is `len`
  uint8_t *data;               // WRITE: owned
};

struct disk_start { // a file or folder that was there when the recording began, or came later (then empty)
  int is_folder;
  int parent; // -1: none
  char name[64];
  uint8_t *data; // owned
  uint64_t len;
};

struct disk_log {
  struct disk_op *ops;
  size_t count, capacity;
  struct disk_start *files;
  size_t file_count, file_capacity;
  size_t found; // of the files, how many were there at the start
};

// Begins: what lies in `root` (an absolute path without links) counts as durable.
void disk_record(const char *root);
// How much has happened; 0 when nothing is recorded.
size_t disk_position(void);
// Ends; the log is the caller's.
struct disk_log *disk_stop(void);
void disk_log_free(struct disk_log *log);

// Arms a failure of the n-th call (from 1) of its kind below the folder.
enum disk_failure {
  DISK_WELL,          // none, and an end of the one before
  DISK_FULL_AT,       // nothing that takes room succeeds from there on; a write begins it by taking half
  DISK_SYNC_FAILS_AT, // one fsync
  DISK_DEAD_AT        // no call that changes anything has an effect any more: as if the process had been killed there
};
void disk_fail(enum disk_failure what, uint64_t nth);
int disk_failed(void); // whether it struck
// How often a descriptor was synced again after a sync of it had failed: the kernel would have said that all is well.
size_t disk_retried_syncs(void);

enum disk_model { DISK_EVERYTHING, DISK_PREFIX, DISK_SUBSET };
// Makes in `target` (must not exist) what a power cut after `position` operations leaves, chosen by `seed`.
// DISK_EVERYTHING: nothing is lost.
void disk_rebuild(const struct disk_log *log, size_t position, enum disk_model model, uint64_t seed,
                  const char *target);
// Whether both folders hold the same.
int disk_same(const char *a, const char *b);
void disk_remove(const char *folder);

uint64_t disk_mix(uint64_t a, uint64_t b); // what is random here

#endif // TESTS_FAULT_DISK_H
