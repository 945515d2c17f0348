// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What a run, a plan or a comparison has to say, for people and for programs.
#ifndef DR_TOOL_REPORT_H
#define DR_TOOL_REPORT_H

#include "output.h"
#include "sync/run.h"

void dr_report_run(struct dr_output *output, const struct dr_run_report *report);
void dr_report_plan(struct dr_output *output, const struct dr_run_report *report, size_t samples_max);
// One exit code for several syncs: a failure before rejected rows before changes before nothing.
int32_t dr_report_worse(int32_t a, int32_t b);

// ---- parts, for whoever tells of changes ----

struct dr_report_column {
  const char *name;
  uint64_t count;
};
// "      columns: rfm 10, country 2": the most frequent first; nothing when no column has any.
void dr_report_columns(struct dr_output *output, const struct dr_report_column *columns, size_t column_count);
// "    ~ id=5  rfm: 3 -> 4", with the name of the error for a reject. `op`: DRAY_OP_* or DR_OP_REJECT.
void dr_report_change(struct dr_output *output, int op, const char *key, int32_t code, const char *text);
const char *dr_report_op(int op); // "insert", ...

#endif // DR_TOOL_REPORT_H
