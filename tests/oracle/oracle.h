// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What a pass must say, worked out by SQLite: the input and the mirror are tables, the outcome is a query. No code of
// the engine takes part; what it said is put into a table beside the expected one and both are compared by EXCEPT.
#ifndef DRAY_ORACLE_ORACLE_H
#define DRAY_ORACLE_ORACLE_H

#include "life.h"

struct oracle {
  sqlite3 *db; // owned; in memory
  const struct life *life;
  size_t step;             // at hand
  sqlite3_stmt *add_input; // owned
  sqlite3_stmt *add_said;
  sqlite3_stmt *add_acked;
};

struct oracle_counts {
  uint64_t rows, inserts, updates, deletes, unchanged, null_keys, duplicate_keys, duplicate_rows;
  uint64_t column_updates[FIELDS_MAX];
  uint64_t said; // changes and rejects
};

void oracle_open(struct oracle *oracle);
void oracle_close(struct oracle *oracle);
void oracle_begin(struct oracle *oracle, const struct life *life); // an empty mirror
// Takes the step's input in and works out what is to be said of it.
void oracle_expect(struct oracle *oracle, size_t step, struct oracle_counts *out);
// What the engine said.
void oracle_hear_begin(struct oracle *oracle);
void oracle_hear(struct oracle *oracle, const struct dr_changes *changes);
// Prints differences between what was said and what was expected, at most `most`, and returns whether there are any.
// `deferred`, when it is not 0: changes may be missing, but nothing may be said that is not expected.
int oracle_compare(struct oracle *oracle, uint64_t deferred, int with_before, int most);

// The mirror of the oracle. Acknowledged changes are pending until commit.
void oracle_ack(struct oracle *oracle, uint64_t seq);
void oracle_commit(struct oracle *oracle);
void oracle_rollback(struct oracle *oracle);
void oracle_reset(struct oracle *oracle); // holds nothing any more
uint64_t oracle_mirror_rows(struct oracle *oracle);

#endif // DRAY_ORACLE_ORACLE_H
