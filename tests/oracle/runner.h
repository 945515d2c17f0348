// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Many cases in processes of their own: one that dies is a failure of its case and not the end of the run. And the way
// from a failing case to a small one.
#ifndef DRAY_ORACLE_RUNNER_H
#define DRAY_ORACLE_RUNNER_H

#include "life.h"

// Sums over all cases.
enum { STAT_PASSES, STAT_ROWS, STAT_CHANGES, STAT_DEFERRED, STAT_KILLS, STAT_DOUBTS, STAT_REFUSED, STAT_COUNT };
void runner_count(int stat, uint64_t more);

// The program's: runs one case in an empty folder; ends the process with 1 when it fails.
void runner_case(uint64_t seed, uint64_t number, const struct cuts *cuts, const char *root, int verbose);
uint32_t runner_entities(uint64_t seed, uint64_t number, uint32_t parts); // rows at the source
void runner_end(void);                                                    // after the last case of a process

int runner_main(int argc, char **argv);

#endif // DRAY_ORACLE_RUNNER_H
