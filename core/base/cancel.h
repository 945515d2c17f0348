// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The one flag that says "end soon". Set by signals and by the watchdog, read by everything that blocks.
#ifndef DR_BASE_CANCEL_H
#define DR_BASE_CANCEL_H

#include "dray/sdk/error.h"

void dr_cancel_request(void); // async-signal-safe
int dr_cancelled(void);
// Fills CANCELLED when the flag is set.
DRAY_NODISCARD int32_t dr_cancel_check(struct dray_error *error);
// Sleeps up to duration_ms; wakes within 50 ms of a cancel, then returns CANCELLED.
DRAY_NODISCARD int32_t dr_cancel_sleep(int64_t duration_ms, struct dray_error *error);

#endif // DR_BASE_CANCEL_H
