// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Two sets of rows, OLD and NEW, compared by key: what must be done to OLD to get NEW. OLD goes into a mirror in a
// temporary folder, NEW is one pass against it, and the change set is read page by page: memory stays flat. What the
// sieve leaves of two CSV files is compared in memory where it fits. README.md says what is equal to what.
#ifndef DR_COMPARE_COMPARE_H
#define DR_COMPARE_COMPARE_H

#include "compare/reading.h"
#include "compare/side.h"
#include "diff/diff.h"

enum { DR_COMPARE_OLD = 0, DR_COMPARE_NEW = 1 };

struct dr_compare_names {
  char **items; // owned
  size_t count;
};

// All borrowed; they must outlive the comparison.
struct dr_compare_options {
  const char *places[2];          // as dr_side_init takes them
  struct dr_side_dialect dialect; // of CSV files
  const char *const *key;         // at least one column
  size_t key_count;
  const char *const *columns; // compared besides the key; column_count 0: all that both sides have
  size_t column_count;
  const char *const *excluded; // not compared
  size_t excluded_count;
  const struct dray_column_def *types; // declared
  size_t type_count;
  int duplicates;        // DR_DUPLICATES_*
  uint64_t memory_bytes; // budget
  unsigned threads;      // 0: as the machine has
  const char *folder;    // for temporary files: exists, private
  int no_sieve;          // 1: every row goes through the engine; the outcome is the same
};

// Rows of one side. Withheld are those that are told neither as a change nor as unchanged.
struct dr_compare_side {
  uint64_t rows;       // read
  uint64_t unreadable; // records that cannot be read, and changed rows with a value that is not of its declared type
  uint64_t broken;     // the records among them: their keys are not known
  uint64_t null_keys;  // rows without a key
  uint64_t duplicate_keys, duplicate_rows; // withheld under DR_DUPLICATES_REJECT, else passed over
  uint64_t opposite;                       // rows withheld since the other side has the key more than once
  struct dr_compare_names only;            // columns that the other side lacks and that are not excluded
};

// Why a row was withheld: some of each kind.
struct dr_compare_note {
  int side;     // DR_COMPARE_*
  int32_t code; // DRAY_E_DATA_*
  char *text;   // owned
};

struct dr_compare_counts {
  uint64_t inserts, updates, deletes, unchanged;
  uint64_t settled;  // of unchanged, those that the sieve found
  uint64_t deferred; // rows of which the pass could not be certain (diff.h): neither told nor counted elsewhere
  uint64_t spilled_bytes;
  uint64_t *column_updates; // per field; owned
};

struct dr_compare {
  struct dr_schema *schema;    // of the columns that were compared: all strings, in OLD's order
  struct dr_reading *readings; // per field
  uint8_t *is_key;             // per field
  int hollow;                  // both sides are empty files: no schema, no changes
  struct dr_compare_side sides[2];
  struct dr_compare_counts counts;
  struct dr_compare_note *notes; // owned
  size_t note_count;
  char sieve_reason[256]; // why the sieve was not used; empty: it was
  struct dr_compare_inside *inside;
};

// @errors USAGE, SCHEMA_KEY and SCHEMA_COLUMN with the nearest name, those of the plugins and of the engine,
// CANCELLED. @owner close with dr_compare_close.
DRAY_NODISCARD int32_t dr_compare_run(const struct dr_compare_options *options, struct dr_compare **out,
                                      struct dray_error *error);
void dr_compare_close(struct dr_compare *compare); // NULL is allowed
// 1 when both sides hold the same; 1 when some rows are withheld.
int dr_compare_is_equal(const struct dr_compare *compare);
int dr_compare_is_partial(const struct dr_compare *compare);

// A row that is in one side only, or differs. Texts are canonical, one for each field; data NULL: null.
struct dr_compare_change {
  int op;                        // DRAY_OP_*
  const struct dray_str *before; // of updates and deletes, else NULL
  const struct dray_str *after;  // of updates and inserts, else NULL. An equal text may be the same pointer
  const uint8_t *changed;        // of updates: bit f for a field that differs
};
#define DR_COMPARE_ALL_OPS ((unsigned)(DRAY_OP_INSERT | DRAY_OP_UPDATE | DRAY_OP_DELETE))
struct dr_compare_teller {
  // Appends what there is to say of a change to `out`. From any thread, several at once, in no order. `scratch` is for
  // its use.
  int32_t (*write)(void *context, const struct dr_compare_change *change, struct dray_buffer *out,
                   struct dray_buffer *scratch, struct dray_error *error);
  // Takes what was written of some changes: in order, never two at once, but from any thread. Returns 0 for enough.
  int (*take)(void *context, struct dray_buffer *text);
  void *context;
  unsigned ops;   // set of DRAY_OP_* that are wanted
  uint64_t limit; // changes that are wanted; UINT64_MAX: all. With a limit the calling thread does everything
};
// Tells the changes that are not withheld: inserts and updates in the order of NEW, then deletes in an order that
// follows from their keys alone. May be called again.
// @errors IO, MIRROR_CORRUPT, OUT_OF_MEMORY, CANCELLED, those of `write`.
DRAY_NODISCARD int32_t dr_compare_tell(struct dr_compare *compare, const struct dr_compare_teller *teller,
                                       struct dray_error *error);

#endif // DR_COMPARE_COMPARE_H
