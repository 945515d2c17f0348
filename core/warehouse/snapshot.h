// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The snapshot of a model that the engine keeps for the diff in the warehouse, and the SQL that compares the two. Two
// tables in the schema `dray`: `snapshot_ID` holds rows of the model as the other side is known to hold them,
// `changes_ID` the rows that were found to differ and are not settled yet. Called by core/sync/prefilter.c, which
// knows what is settled; nothing here knows of mirrors.
//
// Which of the two is to be believed of a key: a key in `changes` is in doubt, whatever the snapshot says of it.
#ifndef DR_WAREHOUSE_SNAPSHOT_H
#define DR_WAREHOUSE_SNAPSHOT_H

#include "warehouse/warehouse.h"

// Columns beside the model's in what is read. A model must not have columns of these names.
#define DR_COLUMN_NUMBER "_dray_number" // int64: names the row in dr_snapshot_settle
#define DR_COLUMN_KIND "_dray_kind"     // int64: DR_SNAPSHOT_ROW or DR_SNAPSHOT_GONE
enum { DR_SNAPSHOT_ROW = 1, DR_SNAPSHOT_GONE = 4 };

struct dr_snapshot_options {
  uint64_t id;                           // names the tables: of one sync of one project
  const char *model;                     // its SQL; NULL: not needed, for dr_snapshot_try and dr_snapshot_drop
  const struct dray_column_def *columns; // of the model that are read, the key's among them
  size_t column_count;
  const char *const *key;
  size_t key_count;
};

struct dr_snapshot; // one thread; writes through the warehouse's transaction, so no other may be open
// Borrows all of the options. Executes nothing. @errors CONFIG_VALUE when the engine lacks what this needs or a column
// has a name of ours.
DRAY_NODISCARD int32_t dr_snapshot_open(struct dr_warehouse *warehouse, const struct dr_snapshot_options *options,
                                        struct dr_snapshot **out, struct dray_error *error);
void dr_snapshot_close(struct dr_snapshot *snapshot);
// "dray.snapshot_0123...": where it is, for messages.
const char *dr_snapshot_label(const struct dr_snapshot *snapshot);

// What the state row says, and what is there.
struct dr_snapshot_state {
  uint64_t token;    // of the last write; 0: there is no snapshot
  char identity[40]; // of what it was made for, as given to dr_snapshot_settle
  uint64_t rows;     // that the snapshot should have
  uint64_t bytes;    // about what its rows take when they are moved
};
DRAY_NODISCARD int32_t dr_snapshot_look(struct dr_snapshot *snapshot, struct dr_snapshot_state *out,
                                        struct dray_error *error);
// 1 in *out_whole when both tables have the columns that are read and as many rows as the state says.
DRAY_NODISCARD int32_t dr_snapshot_check(struct dr_snapshot *snapshot, const struct dr_snapshot_state *state,
                                         int *out_whole, uint64_t *out_open, struct dray_error *error);

// Makes both tables anew: the snapshot holds all of the model as of one moment, `changes` is empty. The state row gets
// the token and the identity "0", which nothing has: nothing is believed before dr_snapshot_settle.
DRAY_NODISCARD int32_t dr_snapshot_remake(struct dr_snapshot *snapshot, uint64_t next_token, struct dray_error *error);
// Puts into `changes`, by one statement: rows of the model with no equal row in the snapshot, all copies of a key that
// it has more than once, rows of keys that were in `changes` (`open` of them, from dr_snapshot_check), and keys that
// snapshot or `changes` have and the model has not. Every key that was in `changes` is in it afterwards. Writes
// nothing, and leaves the token as it is, when there is nothing; *out_rows: rows in `changes` now.
// @errors STATE_GENERATION when the token is not `token`: somebody else writes.
DRAY_NODISCARD int32_t dr_snapshot_advance(struct dr_snapshot *snapshot, const struct dr_snapshot_state *state,
                                           uint64_t open, uint64_t next_token, uint64_t *out_rows,
                                           struct dray_error *error);
// Rows of the snapshot whose key is not in `changes`: with them the model has rows that are not looked at.
DRAY_NODISCARD int32_t dr_snapshot_hidden(struct dr_snapshot *snapshot, const struct dr_snapshot_state *state,
                                          uint64_t *out_rows, struct dray_error *error);

// SQL for reading rows, with the model's columns and DR_COLUMN_*, in the types that the model itself has.
enum {
  DR_SNAPSHOT_READ_ALL = 1,  // the snapshot
  DR_SNAPSHOT_READ_CHANGES,  // `changes`
  DR_SNAPSHOT_READ_WOULD_BE, // what dr_snapshot_advance would put there: reads only, numbers are 0
};
// `gone`: keys that the model has no more, too.
DRAY_NODISCARD int32_t dr_snapshot_select(const struct dr_snapshot *snapshot, int what, int gone, uint64_t open,
                                          struct dray_buffer *out, struct dray_error *error);
DRAY_NODISCARD int32_t dr_snapshot_count_model(struct dr_snapshot *snapshot, uint64_t *out_rows,
                                               struct dray_error *error);

// What became of the rows that were read. Bit n of `settled`, of the rows numbered up to `last`: the other side is
// known to hold row n as it was read (or, of a key that is gone, nothing). In one transaction settled rows come into
// the snapshot, or leave it; all others stay in `changes`, or go there. `remade`: after dr_snapshot_remake.
struct dr_snapshot_settling {
  int remade;
  const uint8_t *settled;
  uint64_t last;
  const struct dr_snapshot_state *before; // its token is the fence
  struct dr_snapshot_state *after;        // token, identity and bytes are written; rows is filled in
};
DRAY_NODISCARD int32_t dr_snapshot_settle(struct dr_snapshot *snapshot, const struct dr_snapshot_settling *settling,
                                          struct dray_error *error);
// Makes a table where the snapshot would be, writes to it, and undoes it all. @errors the engine's, with the right that
// is missing.
DRAY_NODISCARD int32_t dr_snapshot_try(struct dr_snapshot *snapshot, struct dray_error *error);
// Removes both tables and the state row. Nothing there is no error.
DRAY_NODISCARD int32_t dr_snapshot_drop(struct dr_snapshot *snapshot, struct dray_error *error);

#endif // DR_WAREHOUSE_SNAPSHOT_H
