// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Failing allocation n, for all n: linked into every unit test (malloc, calloc and realloc are wrapped
// at link time, so only our own objects are hit).
#ifndef DRAY_TEST_TORTURE_H
#define DRAY_TEST_TORTURE_H

#include <stdint.h>

// The n-th allocation from now on fails, once (n from 1); 0 disarms. Returns whether an allocation failed since the
// last call.
int torture_arm(uint64_t n);

// Calls `attempt(ctx)` with the 1st, 2nd, ... allocation failing until a call meets no failure. `attempt` returns 0
// for success
// and the error code otherwise, and must leave nothing allocated (ASan tells). Returns the number of failures
// injected; aborts when a failed allocation was reported as success.
uint64_t torture_every(int32_t (*attempt)(void *ctx), void *ctx);

#endif // DRAY_TEST_TORTURE_H
