// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Time. Wall time for people and records, monotonic time for durations.
#ifndef DR_BASE_CLOCK_H
#define DR_BASE_CLOCK_H

#include <stdint.h>

int64_t dr_now_us(void); // UTC, since 1970-01-01; with DRAY_TEST=1 it is DRAY_CLOCK_AHEAD_MS ahead
int64_t dr_monotonic_ms(void);
// A time that tests of whole programs set: what the environment says under `name`, if DRAY_TEST is 1; else `usual_ms`.
int64_t dr_test_ms(const char *name, int64_t usual_ms);

#endif // DR_BASE_CLOCK_H
