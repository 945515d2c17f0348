// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What a run or a plan has to say, for people and for programs.
#ifndef DR_TOOL_REPORT_H
#define DR_TOOL_REPORT_H

#include "output.h"
#include "sync/run.h"

void dr_report_run(struct dr_output *output, const struct dr_run_report *report);
void dr_report_plan(struct dr_output *output, const struct dr_run_report *report, size_t samples_max);
// One exit code for several syncs: a failure before rejected rows before changes before nothing.
int32_t dr_report_worse(int32_t a, int32_t b);

#endif // DR_TOOL_REPORT_H
