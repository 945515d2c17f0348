// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What the tests with a forgetful disk have in common: a folder to play in, a recorded life with failures, cutting it
// at many points, and counting. Failures are printed with all that is needed to see them again; DRAY_POWER_LEAVE=1 also
// prints the recording and leaves the folders.
#ifndef TESTS_FAULT_STAGE_H
#define TESTS_FAULT_STAGE_H

#include "disk.h"
#include "life.h"

struct stage_tally {
  size_t lives, operations, stops, cuts, refollowed, failures;
};
extern struct stage_tally stage_tally;

int stage_open(void); // 0: it could not be made
void stage_close(void);
void stage_path(char *out, size_t bytes, const char *name); // a new one each time
uint64_t stage_setting(const char *name, uint64_t standard);
void stage_wrong(const struct life *life, const char *where, const char *what);

// Runs with a failure armed at its n-th call (DISK_WELL: none). When it struck, the life is taken up again by a new
// process. Returns 0 when something is wrong, which has been told.
int stage_runs(struct life *life, size_t runs, enum disk_failure kind, uint64_t nth, const char *where,
               int *out_struck);
// The folder after the end of the recording is what the log says.
int stage_recorded_all(const struct life *life, const struct disk_log *log);

struct stage_cuts {
  uint64_t count;
  uint64_t seed;
  size_t from;             // no cut before this position
  const char *where;       // for messages
  const char *next;        // NULL, or a folder to be made of what the last cut leaves
  struct life_found found; // out: what that is
};
// Returns 0 when the last one left something wrong.
int stage_cut(struct life *life, const struct disk_log *log, struct stage_cuts *cuts);

#endif // TESTS_FAULT_STAGE_H
