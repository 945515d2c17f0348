// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// How long to wait before trying again: exponential, with full jitter, so that many runs do not come back at once.
#ifndef DR_BASE_BACKOFF_H
#define DR_BASE_BACKOFF_H

#include <stdint.h>

// For attempt 1, 2, ...: a random time up to 1 s, 2 s, 4 s ... 60 s, at least half of it. With DRAY_TEST=1 the
// environment
// DRAY_BACKOFF_MS replaces the 1 s. Any thread.
int64_t dr_backoff_ms(uint32_t attempt);

#endif // DR_BASE_BACKOFF_H
