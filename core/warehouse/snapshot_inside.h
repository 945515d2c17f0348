// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What the files of the snapshot share. snapshot_sql.c says how rows are compared, snapshot.c what is run and when.
#ifndef DR_WAREHOUSE_SNAPSHOT_INSIDE_H
#define DR_WAREHOUSE_SNAPSHOT_INSIDE_H

#include "warehouse/snapshot.h"
#include "warehouse/table.h"

#define DR_SNAPSHOT_SCHEMA "dray"
// Not called as those of other schemas: PostgreSQL looks into the schema that has the role's name before all others.
#define DR_SNAPSHOT_STATE_TABLE "snapshot_state"

// Kinds of rows in `changes` besides those of snapshot.h.
#define DR_SNAPSHOT_UNSETTLED 0 // read, and not settled
#define DR_SNAPSHOT_OLDER 2     // of an earlier read, while a new one is put beside them

struct dr_snapshot {
  struct dr_warehouse *warehouse;
  struct dr_snapshot_options options;
  struct dray_str model;
  struct dr_place held, changes, staging;
  struct dr_table_options state; // names the row of the state table
  char state_name[40], index_names[2][48];
  char label[600];
  struct dray_buffer text; // the statement being written
};

// The statement without a `;` at its end and what follows it. Borrows.
struct dray_str dr_statement_of(const char *sql);

// The names in SQL of the tables, wherever they are: s snapshot, c changes, q the model.
void dr_snapshot_put_columns(const struct dr_snapshot *snapshot, struct dr_sql *sql, const char *alias);
void dr_snapshot_put_keys(const struct dr_snapshot *snapshot, struct dr_sql *sql, const char *alias);
// a.k = b.k AND ..., and the same value exactly: what an engine calls equal need not be.
void dr_snapshot_put_same_key(const struct dr_snapshot *snapshot, struct dr_sql *sql, const char *a, const char *b);
// FROM-able: (the keys in `changes`, each once) AS c
void dr_snapshot_put_older_keys(const struct dr_snapshot *snapshot, struct dr_sql *sql);
// FROM-able: (the model) AS alias
void dr_snapshot_put_model(const struct dr_snapshot *snapshot, struct dr_sql *sql, const char *alias);
// WITH x AS (what is to be looked at: kind and columns)
void dr_snapshot_put_candidates(const struct dr_snapshot *snapshot, struct dr_sql *sql, int older);

#endif // DR_WAREHOUSE_SNAPSHOT_INSIDE_H
