// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The guard: a run that would change more than the config allows stops before it sends anything.
#include "sync/context.h"

static int passes(uint64_t count, uint64_t rows, double share, uint64_t least) {
  if (share >= 1.0 || rows == 0 || count <= least) return 0;
  return (double)count > share * (double)rows;
}

int32_t dr_guard_check(const struct dr_context *run, const struct dr_pass *pass, struct dray_error *error) {
  const struct dr_guard *guard = &run->sync->guard;
  const struct dr_run_report *report = run->report; // of all passes
  if (!guard->on || (run->options->flags & (DR_RUN_ALLOW_GUARD | DR_RUN_BASELINE)) != 0) return DRAY_OK;
  const char *rest = run->pass_count > 1 ? "what was read before this is written, nothing of this" : "nothing was sent";
  const uint64_t known = run->rows_known;
  const uint64_t deletes = report->deletes;
  const uint64_t changes = report->inserts + report->updates + deletes;
  if (guard->empty && pass->rows == 0 && pass->deletes > pass->withheld) {
    return dray_fail(error, DRAY_E_GUARD,
                     "nothing was read, while the other side holds %llu rows: all %llu would be deleted; %s",
                     (unsigned long long)known, (unsigned long long)deletes, rest);
  }
  if (run->adopted && deletes > 0) {
    return dray_fail(
        error, DRAY_E_GUARD,
        "the table was there before this sync, and %llu of its %llu rows are not in the source: they would "
        "be deleted; %s",
        (unsigned long long)deletes, (unsigned long long)known, rest);
  }
  if (passes(deletes, known, guard->deletes_share, guard->deletes_count)) {
    return dray_fail(error, DRAY_E_GUARD, "%llu of %llu rows would be deleted (%.1f %%, the guard allows %.1f %%); %s",
                     (unsigned long long)deletes, (unsigned long long)known, 100.0 * (double)deletes / (double)known,
                     100.0 * guard->deletes_share, rest);
  }
  // A full refresh changes every row: that much was asked for. What it deletes was not.
  if ((run->options->flags & DR_RUN_FULL) != 0) return DRAY_OK;
  if (passes(changes, known, guard->changes_share, guard->changes_count)) {
    return dray_fail(error, DRAY_E_GUARD, "%llu changes to %llu rows (%.1f %%, the guard allows %.1f %%); %s",
                     (unsigned long long)changes, (unsigned long long)known, 100.0 * (double)changes / (double)known,
                     100.0 * guard->changes_share, rest);
  }
  return DRAY_OK;
}
