// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Work on numbered pieces by several threads, with brief steps that are taken in the order of the numbers. Inside
// core/compare only.
#ifndef DR_COMPARE_LANE_H
#define DR_COMPARE_LANE_H

#include "dray/sdk/error.h"

#define LANE_THREADS_MAX 64
#define LANE_SLOTS 3 // pieces that a thread may have in its hands

// The steps of one piece; NULL: there is none. `slot`: from 0, below threads * LANE_SLOTS, one piece at a time;
// `thread`: from 0, the calling thread. Steps one and three run side by side with others, `in_order` and
// `place_in_order` one piece after the other and should be brief. Any step may fail, which ends the work.
struct lane {
  uint32_t threads;
  uint64_t pieces;
  void *context;
  int32_t (*prepare)(void *context, uint64_t piece, uint32_t slot, uint32_t thread, struct dray_error *error);
  int32_t (*in_order)(void *context, uint64_t piece, uint32_t slot, uint32_t thread, struct dray_error *error);
  int32_t (*work)(void *context, uint64_t piece, uint32_t slot, uint32_t thread, struct dray_error *error);
  int32_t (*place_in_order)(void *context, uint64_t piece, uint32_t slot, uint32_t thread, struct dray_error *error);
  int32_t (*write)(void *context, uint64_t piece, uint32_t slot, uint32_t thread, struct dray_error *error);
  void (*told)(void *context, uint64_t pieces_done); // on the calling thread, now and then
};

// Returns the first failure. Polls dr_cancelled between pieces. A thread that cannot be started is done without.
DRAY_NODISCARD int32_t lane_run(const struct lane *lane, struct dray_error *error);

#endif // DR_COMPARE_LANE_H
