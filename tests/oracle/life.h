// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// A life: a source whose rows and columns change from step to step, and what each step does with it. All of it follows
// from seed and number, by dice that are drawn for a place (dice.h); `cuts` leaves parts of it out.
#ifndef DRAY_ORACLE_LIFE_H
#define DRAY_ORACLE_LIFE_H

#include "diff/diff.h"
#include "value.h"

#define FIELDS_MAX 14  // at a time
#define COLUMNS_MAX 24 // over the whole life
#define STEPS_MAX 6
#define KEY_COLUMNS_MAX 4

// Parts that can be left out of a life to make it small.
enum {
  CUT_ABSENT = 1u << 0,     // no absent values
  CUT_NULL_KEYS = 1u << 1,  // no null keys
  CUT_COPIES = 1u << 2,     // every row once
  CUT_TOMBSTONES = 1u << 3, // no tombstones
  CUT_ORDER = 1u << 4,      // rows in the order of the source
  CUT_BATCHES = 1u << 5,    // one batch
  CUT_THREADS = 1u << 6,    // the caller's thread alone
  CUT_MEMORY = 1u << 7,     // 64 MiB
  CUT_REOPEN = 1u << 8,     // not reopened but for another schema
  CUT_SCHEMA = 1u << 9,     // one schema
  CUT_ENDS = 1u << 10,      // everything acknowledged and committed
  CUT_COMPACT = 1u << 11,   // no compact
  CUT_RESYNC = 1u << 12,
  CUT_KEEP = 1u << 13,    // DR_KEEP_ROW
  CUT_PARTIAL = 1u << 14, // every row of the source comes
  CUT_COUNT = 15,
  CUT_FEW = 1u << 16 // at most 300 rows at the source: prints of one byte lie too often for more
};
struct cuts {
  uint32_t parts;          // CUT_*
  uint32_t steps;          // bit: the step is left out
  uint32_t columns;        // bit: the column is, unless it is of the key
  const uint8_t *entities; // per entity: 1 left out; NULL: none
};

struct column {
  char name[72];
  int key;
};
struct field { // a column in the schema of a step
  uint32_t column;
  struct dray_type type;
};

enum {
  END_COMMIT,
  END_PREPARE,
  END_PREPARE_REOPEN,
  END_ROLLBACK,
  END_PREPARE_ROLLBACK,
  END_REOPEN_ROLLBACK,
  END_CLOSE,
  END_COUNT
};
enum { ACK_ALL, ACK_WHOLE_SET, ACK_SOME, ACK_BACKWARDS, ACK_NONE }; // BACKWARDS: some, one at a time

struct step {
  int off;
  size_t field_count;
  struct field fields[FIELDS_MAX];
  int other_schema; // than the step before
  int reopen;
  int reset;    // the mirror is removed first
  int abandons; // a pass is begun and left before this one
  uint64_t memory_bytes;
  unsigned threads;

  uint32_t change_rate, flip_rate; // one in so many values, rows, changes since the step before; 0: none
  uint32_t absent_rate, null_key_rate, copy_rate, tombstone_rate, partial_rate;
  int row_order;
  size_t batch_rows;

  uint32_t flags; // DR_DIFF_*
  int not_full;   // taken back before the end
  int duplicates;
  int order_field; // -1: none

  int with_before;
  uint64_t read_rows, read_bytes;
  int reopen_before_ack; // 2: under the schema of the next step
  int ack, end;
  uint32_t ack_rate; // of ACK_SOME: one in so many is left out
  int compact;       // 1: as the engine sees fit; 2: whatever its size
  int verify;
};

struct life {
  uint64_t seed, number;
  struct cuts cuts;
  int keep;
  size_t column_count, key_count;
  struct column columns[COLUMNS_MAX]; // those of the key first
  uint32_t first_count;               // columns of the first schema
  uint32_t carrier;                   // the key column that tells entities apart
  uint32_t key_range;                 // of its values: 0: as many as there are entities
  uint32_t entity_count;
  size_t step_count;
  struct step steps[STEPS_MAX];

  struct input *input; // of the step at hand, owned
  size_t input_count, input_capacity;
};
struct input { // one row as it comes
  uint32_t entity;
  uint8_t copy; // the first, second ... row of the entity
  uint8_t tombstone;
  uint64_t rank; // in the step's order
};

void life_make(struct life *life, uint64_t seed, uint64_t number, const struct cuts *cuts);
void life_free(struct life *life);
// The rows of a step, in the order in which they come.
void life_read(struct life *life, size_t step);
void life_cell(const struct life *life, size_t step, const struct input *input, const struct field *field,
               struct cell *out);
// Binds a key as one text, lengths and texts of its values, or null when one of them is. `parts`: by column of the
// life.
void life_bind_key(sqlite3_stmt *statement, int at, const struct life *life, const char *const *parts);
// The schema of a step. NULL when it could not be made.
struct dr_schema *life_schema(const struct life *life, size_t step, struct dray_error *error);
// Rows [at, at + count) of the input. NULL when it could not be made.
struct dr_batch *life_batch(const struct life *life, size_t step, struct dr_schema *schema, size_t at, size_t count,
                            struct dray_error *error);
// A few lines on what the life is; the rows of a step.
void life_describe(const struct life *life);
void life_print_input(const struct life *life, size_t step);

#endif // DRAY_ORACLE_LIFE_H
