// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// One run, in a process that may be killed at any time: recover what the last run left, pass over the rows, send,
// acknowledge.
#ifndef DRAY_ORACLE_SENDER_H
#define DRAY_ORACLE_SENDER_H

#include "wire.h"
#include "world.h"

struct run_plan {
  size_t step;
  const char *fault;     // DRAY_FAULT, or NULL
  uint32_t commit_every; // batches; 0: only at the end
  int prepares;          // commits are prepared first
  int leaves;            // ends without the last commit
  int rolls_back;        // takes the last acknowledgements back instead
  int compacts;
};

// Runs to the end. Ends the process with 1 when something is wrong.
void sender_run(struct world *world, const struct run_plan *plan, struct wire *wire);

#endif // DRAY_ORACLE_SENDER_H
