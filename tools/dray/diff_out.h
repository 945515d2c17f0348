// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What `dray diff` prints of a comparison.
#ifndef DR_TOOL_DIFF_OUT_H
#define DR_TOOL_DIFF_OUT_H

#include "compare/compare.h"
#include "output.h"

struct dr_diff_report {
  const struct dr_compare_options *options;
  struct dr_compare *compare;
  int64_t took_ms;
  uint64_t limit; // samples of each kind
  int summary;    // counts alone
};

// Counts, the columns that changed, rows withheld with their reasons, samples: as text; with --json as objects.
DRAY_NODISCARD int32_t dr_diff_print(struct dr_output *output, const struct dr_diff_report *report,
                                     struct dray_error *error);
// Counts alone: a line for people on stderr.
void dr_diff_note(struct dr_output *output, const struct dr_diff_report *report);
// {"inserts":...}: one object on stdout, for ndjson with --summary.
void dr_diff_summary(struct dr_output *output, const struct dr_diff_report *report);
// Every change, in one of the formats of diff_write.c. They stop early when nobody reads any more.
DRAY_NODISCARD int32_t dr_diff_ndjson(struct dr_output *output, struct dr_compare *compare, struct dray_error *error);
DRAY_NODISCARD int32_t dr_diff_csv(struct dr_output *output, struct dr_compare *compare, struct dray_error *error);

#endif // DR_TOOL_DIFF_OUT_H
