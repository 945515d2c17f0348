// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// A thread that works at one thing while its owner makes the next: two of them are enough for both to be busy. Inside
// core/diff only.
#ifndef DR_DIFF_BESIDE_H
#define DR_DIFF_BESIDE_H

#include "dray/sdk/error.h"

struct dr_beside;

// `thing` is the thread's until this returns.
typedef int32_t dr_beside_work(void *ctx, void *thing, struct dray_error *error);

// *out = NULL where no thread can be had: the owner does the work himself then.
DRAY_NODISCARD int32_t dr_beside_start(dr_beside_work *work, void *ctx, struct dr_beside **out,
                                       struct dray_error *error);
// Hands a thing over; blocks until the one before is done, and is free again. Returns what the first of them failed
// with; the thing stays the caller's then.
DRAY_NODISCARD int32_t dr_beside_give(struct dr_beside *beside, void *thing, struct dray_error *error);
int dr_beside_is_busy(struct dr_beside *beside);
// Waits until what was handed over is done and ends the thread. Returns what the first thing failed with. NULL allowed.
int32_t dr_beside_end(struct dr_beside *beside, struct dray_error *error);

#endif // DR_DIFF_BESIDE_H
