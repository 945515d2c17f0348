// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// A temporary project with one sync between the probe (probe/) and itself or a SQLite file, and whole runs of it.
#ifndef SYNC_SCENE_H
#define SYNC_SCENE_H

#include "sync/run.h"
#include "sync/state.h"

struct scene {
  char folder[64];             // probe's files are in FOLDER/p
  struct dr_run_report report; // of the last run
  uint64_t arm;                // the allocation of the next run that fails; 0: none
  int starved;                 // one did
};

// From the probe's rows to its object `things`; `sync` is YAML below the sync, indented by four: "    mode: mirror\n".
void scene_activate(struct scene *scene, const char *sync);
// From the probe's rows into the table `rows` of FOLDER/wh.db.
void scene_ingest(struct scene *scene, const char *sync);
void scene_end(struct scene *scene);
// Another config, with the state kept.
void scene_config(struct scene *scene, const char *text);
void scene_write(struct scene *scene, const char *name, const char *text);
// The script: columns and rows as JSON, and further members (", \"caps\": {...}") or "".
void scene_script(struct scene *scene, const char *columns, const char *rows, const char *more);
// Columns id int64, name string.
void scene_rows(struct scene *scene, const char *rows, const char *more);
// Runs the sync here; the report is in the scene. Returns its error code.
int32_t scene_run(struct scene *scene, uint32_t flags);
// Runs it in a child with DRAY_FAULT. Returns 1 when the child was killed, 0 when the run came to its end.
int scene_run_killed(struct scene *scene, const char *fault);
// Lines of the ledger that begin so.
size_t scene_count(const struct scene *scene, const char *begin);
void scene_forget(struct scene *scene); // removes the ledger
// Calls `what` with the store of the project.
struct dr_store *scene_store(struct scene *scene);
// Rows of "SELECT ..." on FOLDER/wh.db, as "a|b;c|d".
const char *scene_query(const struct scene *scene, const char *sql);

// Compares mirror and table; free what is written.
void scene_verify(struct scene *scene, struct dr_state_comparison *out);

#endif // SYNC_SCENE_H
