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
  int first;                   // 1: nothing was ever written, so that nothing can be gone
};

// Opens warehouse and reader, decides mapping and table plan.
DRAY_NODISCARD int32_t dr_ingest_open(struct dr_context *run, struct dr_ingest *ingest, struct dray_error *error);
void dr_ingest_close(struct dr_ingest *ingest);
// The first part of it: the warehouse, and where in it. Reads nothing; needs no close.
DRAY_NODISCARD int32_t dr_ingest_place(struct dr_context *run, struct dr_ingest *ingest, struct dray_error *error);

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
// direct.c: the whole run.
DRAY_NODISCARD int32_t dr_ingest_direct(struct dr_context *run, struct dr_ingest *ingest, struct dray_error *error);

// Is the table the one that the mirror was made for? Gives up a mirror of the same name elsewhere. @errors
// STATE_IDENTITY: the sync was given another table.
DRAY_NODISCARD int32_t dr_ingest_check_place(struct dr_context *run, struct dr_ingest *ingest,
                                             struct dray_error *error);

// trust.c: opens the mirror and makes sure that it belongs to the table as it is: settles a prepared generation, or
// rebuilds the mirror from the
// table when the two disagree (restored backup, second writer, lost file).
DRAY_NODISCARD int32_t dr_ingest_trust(struct dr_context *run, struct dr_ingest *ingest, struct dray_error *error);
// Makes the mirror anew from the table's rows, as generation `generation`.
DRAY_NODISCARD int32_t dr_ingest_rebuild(struct dr_context *run, struct dr_ingest *ingest, struct dray_error *error);
// Compares table and mirror row by row. *out_*: rows only in one of them, and rows that differ.
DRAY_NODISCARD int32_t dr_ingest_verify(struct dr_context *run, struct dr_ingest *ingest, uint64_t *out_table_only,
                                        uint64_t *out_mirror_only, uint64_t *out_differ, struct dray_error *error);

#endif // DR_SYNC_INGEST_H
