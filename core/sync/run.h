// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// One run of one sync, from the first row read to the last checkpoint. The state machine of design.md §6.
#ifndef DR_SYNC_RUN_H
#define DR_SYNC_RUN_H

#include "sync/session.h"

enum {
  DR_RUN_PLAN = 1u,        // read and compare, send nothing, advance nothing
  DR_RUN_FULL = 2u,        // resync: send everything, and the deletes that the mirror knows
  DR_RUN_ALLOW_GUARD = 4u, // consent to what the guard would stop
  DR_RUN_BASELINE = 8u     // fill the mirror, send nothing
};

struct dr_run_options {
  uint32_t flags;     // DR_RUN_*
  size_t samples_max; // changes of each kind kept for `dray plan`
};

// What moving a model's rows costs, by either diff: measured where the run did it, else about so much.
struct dr_diff_cost {
  int used; // DR_DIFF_LOCAL or DR_DIFF_WAREHOUSE; 0: the sync reads no model
  char why[400];
  uint64_t local_rows, local_bytes;
  uint64_t warehouse_rows, warehouse_bytes;
  uint64_t snapshot_bytes; // that the snapshot takes, or would
  char snapshot[300];      // where it is; "": there is none
};

// One change as `dray plan` shows it.
struct dr_sample {
  int op;       // DRAY_OP_* or DR_OP_REJECT
  int32_t code; // rejects
  char *key;    // "customer_id=17850"
  char *text;   // update: "rfm: 544 -> 555"; insert and delete: the first columns
};

void dr_samples_free(struct dr_sample *samples, size_t count);

struct dr_run_report {
  char sync[256];
  int64_t run;
  int ingest;              // 1: into a warehouse, 0: to a destination
  int32_t exit_code;       // design.md §8
  struct dray_error error; // code 0: none
  uint64_t rows_read, inserts, updates, deletes, unchanged;
  uint64_t rejected_rows; // by cast, key, duplicate or receiver
  uint64_t duplicate_keys, duplicate_rows, null_keys, unreadable_rows;
  uint64_t sent, applied, refused, parked, pending, in_doubt;
  uint64_t doubt_waits;      // of those in doubt: until an operator says what became of them
  uint64_t deletes_withheld; // beside `deletes`: rows could not be read, so what is missing is not known
  uint64_t deferred;         // rows the next run looks at again (diff.h)
  uint64_t unsent;    // changes left to the next run: the destination had as many jobs as it takes, or took no more
  uint64_t kept_back; // rows that a limit of the destination kept back (429): neither sent nor refused
  uint64_t ignored;   // changes that the mode does not send
  uint64_t mirror_rows, generation, spilled_bytes;
  int64_t read_ms, apply_ms, total_ms;
  int rebuilt; // the mirror was rebuilt from the table first
  struct dr_diff_cost diff;
  uint64_t recovered; // batches left in doubt by an earlier run and settled by this one
  char *unknown;      // a plan: why nothing can be said yet; NULL: it can
  char **ddl;         // statements run, or to be run
  size_t ddl_count;
  char *own_ddl;                // a plan's: what makes dray's own table beside it; NULL: it is there
  struct dr_statements staging; // a plan's: tables of the run's own, made before its rows and dropped behind them
  int staging_if_changed;       // 1: only if the table does not hold the rows already, which a plan does not ask
  struct {
    char *name;
    uint64_t count;
    int keeps_nulls;
  } * columns; // how often each changed, in the order of the fields, and whether a null leaves what is there
  size_t column_count;
  struct dr_sample *samples;
  size_t sample_count;
};
void dr_run_report_free(struct dr_run_report *report);

// Runs one sync. Always fills `report` (error and exit code included); returns report->error.code.
int32_t dr_run(struct dr_session *session, const struct dr_sync *sync, const struct dr_run_options *options,
               struct dr_run_report *report);

// Marks what a process left unfinished in the store as crashed, with the reason. Called by the parent of a run that
// died.
DRAY_NODISCARD int32_t dr_run_crashed(const char *project_folder, int32_t pid, const struct dray_error *why,
                                      struct dray_error *error);

#endif // DR_SYNC_RUN_H
