// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The host's own log: one line a message on stderr, as text or NDJSON; secrets are masked.
#ifndef DR_BASE_LOG_H
#define DR_BASE_LOG_H

#include "dray/host.h"
#include "dray/sdk/text.h"

// Settings of the process's log. Set once at start, before any thread.
struct dr_log_options {
  uint32_t level; // DRAY_LOG_*
  int json;       // 1: NDJSON lines
  int colour;
};
void dr_log_setup(const struct dr_log_options *options);
uint32_t dr_log_level(void);
// Any thread; a line is written whole. `area` is the module or "plugin:connection".
void dr_log(uint32_t level, const char *area, const char *format, ...) DRAY_PRINTF(3, 4);
void dr_log_str(uint32_t level, const char *area, struct dray_str message);

#endif // DR_BASE_LOG_H
