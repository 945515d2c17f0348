// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Ingest: rows into a warehouse table. Data and checkpoint commit in one transaction of the warehouse; the
// mirror proposes the same generation before it (prepare) and takes it after it (commit), so that a kill between the
// two is
// settled by comparing generations.
#ifndef DR_SYNC_INGEST_H
#define DR_SYNC_INGEST_H

#include "sync/identity.h"

struct dr_ingest {
  struct dr_warehouse *warehouse;
  struct dr_warehouse_instance *instance;
  struct dr_table_options table;
  struct dr_table_plan plan;
  struct dr_table_state state; // as last committed in the warehouse
  struct dr_identity identity; // where the table is
  int empty;                   // 1: the table is there and has no rows, though it was written to
  int first;                   // 1: nothing stands there that was written, so that nothing can be gone
};

// Opens warehouse and reader, decides mapping and table plan.
DRAY_NODISCARD int32_t dr_ingest_open(struct dr_context *run, struct dr_ingest *ingest, struct dray_error *error);
void dr_ingest_close(struct dr_ingest *ingest);
// The first part of it: the warehouse, and where in it. Reads nothing; needs no close.
DRAY_NODISCARD int32_t dr_ingest_place(struct dr_context *run, struct dr_ingest *ingest, struct dray_error *error);

// Of the table that a sync writes: where it is, and how it is written. Schema and key are not known yet.
struct dr_table_options dr_ingest_table(const struct dr_project *project, const struct dr_sync *sync);

// sharing.c: another sync of the project that writes the same table, or NULL; with `takers` one that takes all of it
// for its own (`mode: mirror`, `replace`).
DRAY_NODISCARD int32_t dr_ingest_sharer(const struct dr_project *project, const struct dr_warehouse *warehouse,
                                        const struct dr_sync *sync, int takers, const struct dr_sync **out,
                                        struct dray_error *error);
// Nobody deletes another's rows. @errors CONFIG_VALUE names both syncs.
DRAY_NODISCARD int32_t dr_ingest_alone(struct dr_session *session, const struct dr_sync *sync,
                                       const struct dr_warehouse *warehouse, struct dray_error *error);

// ---- for the two ways that rows take, by the mirror (ingest.c) and past it (direct.c) ----

// What the table needs, anew.
DRAY_NODISCARD int32_t dr_ingest_plan(struct dr_ingest *ingest, struct dray_error *error);
int dr_ingest_is_keyed(const struct dr_ingest *ingest);
// A plan's run would write to the table: tells the tables it would stage rows in. `if_changed`: it may as well find
// that there is nothing to write.
DRAY_NODISCARD int32_t dr_ingest_tell_staging(struct dr_context *run, const struct dr_ingest *ingest, int if_changed,
                                              struct dray_error *error);
int dr_ingest_same_checkpoint(const struct dr_ingest *ingest, struct dray_str checkpoint);
// What was committed, in the store and in `ingest`.
DRAY_NODISCARD int32_t dr_ingest_remember(struct dr_context *run, struct dr_ingest *ingest, uint64_t generation,
                                          struct dray_str checkpoint, struct dray_error *error);
// Opens the reader, and decides mapping and plan, as `ingest->state` says now; again when its checkpoint is another.
DRAY_NODISCARD int32_t dr_ingest_read(struct dr_context *run, struct dr_ingest *ingest, struct dray_error *error);
// direct.c: the whole run.
DRAY_NODISCARD int32_t dr_ingest_direct(struct dr_context *run, struct dr_ingest *ingest, struct dray_error *error);

// Is the table the one that the mirror was made for? Gives up a mirror of the same name elsewhere. @errors
// STATE_IDENTITY: the sync was given another table.
DRAY_NODISCARD int32_t dr_ingest_check_place(struct dr_context *run, struct dr_ingest *ingest,
                                             struct dray_error *error);

// trust.c, before anything is read: does the checkpoint speak of the table as it is? A table that is gone, or that was
// emptied, has nothing of what was read before the checkpoint: then it is dropped, here and in the warehouse, and the
// log says so. Rows that are appended are not told apart, so that a table emptied by hand only gets the warning.
DRAY_NODISCARD int32_t dr_ingest_believe(struct dr_context *run, struct dr_ingest *ingest, struct dray_error *error);
// Whether the warehouse knows of the sync what this project does. Where it does not the log says so. @errors GUARD: all
// would be appended to a table that has rows once more.
DRAY_NODISCARD int32_t dr_ingest_is_known(const struct dr_context *run, const struct dr_ingest *ingest,
                                          struct dray_error *error);
// trust.c: opens the mirror and makes sure that it belongs to the table as it is: settles a prepared generation, or
// rebuilds the mirror from the
// table when the two disagree (restored backup, second writer, lost file).
DRAY_NODISCARD int32_t dr_ingest_trust(struct dr_context *run, struct dr_ingest *ingest, struct dray_error *error);
// Makes the mirror anew from the table's rows, as of the warehouse's generation. When it fails there is no mirror.
DRAY_NODISCARD int32_t dr_ingest_rebuild(struct dr_context *run, struct dr_ingest *ingest, struct dray_error *error);
// Rows, by where they are. `unknown`: the mirror has nothing but the key of them (DR_DIFF_KNOWN).
struct dr_ingest_difference {
  uint64_t table_only, mirror_only, different, unknown;
};
// Compares table and mirror row by row.
DRAY_NODISCARD int32_t dr_ingest_verify(struct dr_context *run, struct dr_ingest *ingest,
                                        struct dr_ingest_difference *out, struct dray_error *error);
// Removes what a plan made for itself, as its end; the report keeps its numbers.
void dr_ingest_leave_no_trace(struct dr_context *run);

#endif // DR_SYNC_INGEST_H
