// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// A table in a warehouse as the target of changes: the SQL that dray generates (DDL, staging, set-based merges, schema
// drift, the state table) and the writer that drives a warehouse plugin with it. Knows dialects only as facts; never a
// plugin by name.
#ifndef DR_WAREHOUSE_WAREHOUSE_H
#define DR_WAREHOUSE_WAREHOUSE_H

#include "diff/diff.h"
#include "dray/warehouse.h"

// An opened warehouse: vtable with all slots filled, and its instance. Borrowed from core/plugin by the caller.
struct dr_warehouse {
  const struct dray_warehouse_vtable *vtable;
  struct dray_warehouse *self;
  const char *label;
  struct dray_dialect dialect; // filled by dr_warehouse_bind
};
DRAY_NODISCARD int32_t dr_warehouse_bind(struct dr_warehouse *warehouse, struct dray_error *error);

struct dr_table_name {
  const char *schema; // NULL or "": none
  const char *table;
};

// Whether two names are one table to the engine.
DRAY_NODISCARD int32_t dr_table_name_same(const struct dray_dialect *dialect, const struct dr_table_name *a,
                                          const struct dr_table_name *b, int *out_same, struct dray_error *error);

enum { DR_WRITE_APPEND = 1, DR_WRITE_UPSERT, DR_WRITE_REPLACE, DR_WRITE_HISTORY };
// Policies, in the values of config/project.h: evolve 1, freeze 2, discard_row 3, discard_value 4.
struct dr_drift_policy {
  int new_table, new_column, type_change;
};

struct dr_table_options {
  struct dr_table_name name;
  struct dr_schema *schema; // what will be written
  const char *const *key;   // for UPSERT and HISTORY
  size_t key_count;
  int mode;        // DR_WRITE_*
  int soft_delete; // deletes set _dray_deleted_at instead
  struct dr_drift_policy drift;
  const char *sync;        // with the table's name it names the row of the state table
  const char *state_table; // of the schema; NULL: _dray_state
  // HISTORY: the column (timestamp or date) that says since when a row is as it is; NULL: since it is written. With it,
  // rows may come late and several versions of a key at once (README.md, "History").
  const char *valid_from;
};

struct dr_shape; // a table's columns

// Statements, owned.
struct dr_statements {
  char **sql;
  size_t count;
};
void dr_statements_free(struct dr_statements *statements);
// Adds a copy to a list.
DRAY_NODISCARD int32_t dr_statement_add(char ***list, size_t *count, struct dray_str sql, struct dray_error *error);

// What a column takes of the values of its type. Zeros: all there are.
enum { DR_CHARACTERS_ANY = 0, DR_CHARACTERS_ASCII, DR_CHARACTERS_WINDOWS_1252, DR_CHARACTERS_BMP };
struct dr_column_takes {
  uint64_t length_max; // characters of a text, bytes of bytes
  uint64_t utf8_max;   // bytes of a text
  int characters;      // DR_CHARACTERS_*
  int json_binary;     // what PostgreSQL's jsonb takes
  int64_t step_us;     // timestamps that are whole in units of this
  int has_min, has_max;
  union dr_bound {
    struct dray_decimal exact; // of the column's scale; days; microseconds
    double float64;
  } min, max;
};

// What the table's column does not take of a field's values (limits.c).
struct dr_value_limit {
  size_t field;            // of the schema that is written
  struct dray_type stored; // of the table's column
  struct dr_column_takes takes;
  int in_key;             // the length is that of a key
  int finite;             // neither NaN nor an infinity
  int required;           // no null, and nothing that is absent from a new row
  int has_default;        // which the engine would write into rows without the column
  int32_t json_depth_max; // 0: any
  uint64_t bytes_max;     // that the engine works with; 0: any
  uint64_t key_bytes_max; // of this and the key's other columns with one, as dr_value_key_bytes counts; 0: any
};
// Whether the column does not take the value, which is not null: *out_code is then the error, DATA_*, and `out_text`
// says why; else it is DRAY_OK. @errors OUT_OF_MEMORY.
DRAY_NODISCARD int32_t dr_value_misfits(const struct dr_value_limit *limit, const struct dray_column_view *column,
                                        uint64_t row, int32_t *out_code, char *out_text, size_t out_text_bytes,
                                        struct dray_error *error);
// Whether that can be of any of the column's `rows` values, as far as is known without a look at each.
int dr_limit_may_misfit(const struct dr_value_limit *limit, const struct dray_column_view *column, uint64_t rows);
// What the value takes of key_bytes_max.
uint64_t dr_value_key_bytes(const struct dray_column_view *column, uint64_t row);

// What stands between the table as it is and as it must be.
struct dr_table_plan {
  int table_exists;
  char **ddl; // statements that would be run, owned
  size_t ddl_count;
  uint8_t *drop_column; // per schema field: 1 = left out of this write (discard_value, discard_row); owned
  int discard_rows;     // 1: discard_row asked for: a row with a value in a column of drop_column must be rejected
  // The last of `ddl`, 0 or 1, may run after the first load: the index over the key of a new table.
  size_t late_ddl_count;
  struct dr_shape *after; // the columns when all of `ddl` has run; owned
  // Rows with values beyond these make the engine refuse a whole load: they must be rejected before. Owned.
  struct dr_value_limit *limits;
  size_t limit_count;
};
void dr_table_plan_free(struct dr_table_plan *plan);
// Compares the table with what is wanted under the drift policy; changes nothing. Where the engine can, the statements
// are tried on a temporary table that is like this one, so that what it would refuse is refused here. @errors
// SCHEMA_DRIFT names column, both types and the policy, or what keeps the column from its type; SCHEMA_NAME,
// SCHEMA_TYPE, SCHEMA_KEY, LIMIT.
DRAY_NODISCARD int32_t dr_table_plan(struct dr_warehouse *warehouse, const struct dr_table_options *options,
                                     struct dr_table_plan *out, struct dray_error *error);

// The part of it that needs no look at the table: whether one of these columns, with this key, is within what the
// engine takes. @errors SCHEMA_NAME, SCHEMA_KEY, SCHEMA_COLUMN, LIMIT.
DRAY_NODISCARD int32_t dr_table_check(struct dr_warehouse *warehouse, const struct dr_table_options *options,
                                      struct dray_error *error);

// The statements by which a write of this plan makes the tables that its rows are staged in, and drops them at its end:
// those that the writer runs, in its order. None where rows go straight into the table. Runs nothing but asks whether
// the table has rows. The caller frees *out.
DRAY_NODISCARD int32_t dr_table_staging(struct dr_warehouse *warehouse, const struct dr_table_options *options,
                                        const struct dr_table_plan *plan, struct dr_statements *out,
                                        struct dray_error *error);

// Describes the table as core/warehouse names it in this dialect; see dray_warehouse_vtable.describe.
DRAY_NODISCARD int32_t dr_table_describe(struct dr_warehouse *warehouse, const struct dr_table_name *name,
                                         struct ArrowSchema *out, uint32_t *out_found, struct dray_error *error);
// Which fields of the options' schema the table has, under their names or under one in another case, which is the
// same column: out_has[i], as many as there are fields. *out_found = 0: there is no table.
DRAY_NODISCARD int32_t dr_table_fields(struct dr_warehouse *warehouse, const struct dr_table_options *options,
                                       uint8_t *out_has, int *out_found, struct dray_error *error);
// Whether the table, which must be there, has any row. No query stream of the instance may be open meanwhile.
DRAY_NODISCARD int32_t dr_table_has_rows(struct dr_warehouse *warehouse, const struct dr_table_name *name,
                                         int *out_has_rows, struct dray_error *error);

// The state row of a sync and its table in the warehouse's table _dray_state: committed in the data's transaction.
struct dr_table_state {
  uint64_t generation; // 0: no row
  struct dray_buffer checkpoint;
};
DRAY_NODISCARD int32_t dr_table_state_read(struct dr_warehouse *warehouse, const struct dr_table_options *options,
                                           struct dr_table_state *out, struct dray_error *error);

// The statement that makes the table of the state rows, which a writer runs before its first write; no text when the
// table is there. Runs nothing.
DRAY_NODISCARD int32_t dr_table_state_ddl(struct dr_warehouse *warehouse, const struct dr_table_options *options,
                                          struct dray_buffer *out, struct dray_error *error);

// Empties the checkpoint in the state row, where there is one; the generation stays, and so does the mirror. Needs
// nothing of the table itself: of `options` only name and sync are looked at.
DRAY_NODISCARD int32_t dr_table_state_unread(struct dr_warehouse *warehouse, const struct dr_table_options *options,
                                             struct dray_error *error);

// Whether a table holds exactly certain rows, found without writing anything: they are counted and hashed as they are
// read, and the table's are when all were. Keeps no row. One thread; `warehouse` and `options` are borrowed.
struct dr_table_tally;
DRAY_NODISCARD int32_t dr_table_tally_new(struct dr_warehouse *warehouse, const struct dr_table_options *options,
                                          uint64_t seed, struct dr_table_tally **out, struct dray_error *error);
void dr_table_tally_free(struct dr_table_tally *tally); // NULL allowed
// Rows of the options' schema, in any order.
DRAY_NODISCARD int32_t dr_table_tally_rows(struct dr_table_tally *tally, const struct dr_batch *batch,
                                           struct dray_error *error);
// *out_same = 1: the table has these rows, each as often, no others, and its state row is of `generation`. 0 says
// nothing: the columns may be wider than the fields, or the table may know rows that are marked as deleted. Reads the
// table where it has as many rows; no query stream of the warehouse may be open.
DRAY_NODISCARD int32_t dr_table_tally_same(struct dr_table_tally *tally, uint64_t generation, int *out_same,
                                           struct dray_error *error);

// Whether a table can be written that a sync names: it is there and has its state, or both can be made, which is tried
// and undone. Not tried: a schema that would have to be made for good (DDL outside transactions), and engines without
// schemas, where the warehouse's own check has said it.
DRAY_NODISCARD int32_t dr_table_try(struct dr_warehouse *warehouse, const struct dr_table_name *name,
                                    struct dray_error *error);

struct dr_table_writer; // one transaction's worth of changes
// Makes table, state table and staging as needed and begins the transaction. `expected_generation` is the fence:
// another value in the state row fails with STATE_GENERATION before anything is written. The plan is made again inside:
// a table that has changed since `plan` is taken as it is now, unless a column would have to be left out that `plan`
// keeps (BUSY: plan again). `warehouse` and `options` are borrowed until dr_table_writer_free. One writer at a time per
// warehouse instance, and no query stream of it may be open meanwhile.
DRAY_NODISCARD int32_t dr_table_writer_begin(struct dr_warehouse *warehouse, const struct dr_table_options *options,
                                             const struct dr_table_plan *plan, uint64_t expected_generation,
                                             struct dr_table_writer **out, struct dray_error *error);
// Adds changes (UPSERT, HISTORY) or plain rows (APPEND, REPLACE, HISTORY with `valid_from`: there rows that are marked
// as deleted say that the key was gone at their time, and deletes among changes that it is gone now). Adds the columns
// _dray_synced_at and, with soft_delete, _dray_deleted_at.
DRAY_NODISCARD int32_t dr_table_writer_changes(struct dr_table_writer *writer, const struct dr_changes *changes,
                                               struct dray_error *error);
DRAY_NODISCARD int32_t dr_table_writer_rows(struct dr_table_writer *writer, const struct dr_batch *batch,
                                            struct dray_error *error);
// Whether rows go straight into the table, which is new or empty, and are there as they were given.
int dr_table_writer_direct(const struct dr_table_writer *writer);
// For UPSERT and HISTORY of a direct writer, beside or in place of dr_table_writer_changes: the rows of the batch that
// are inserts where nothing is there yet, all but those that are marked as deleted and those whose key is not whole.
// *out_rows: how many that were. Whether keys come once is the caller's to know.
DRAY_NODISCARD int32_t dr_table_writer_inserts(struct dr_table_writer *writer, const struct dr_batch *batch,
                                               uint64_t *out_rows, struct dray_error *error);
// No row comes any more: what can be done with those that are there, such as the index over a new table's key, is done
// now and not by dr_table_writer_merge.
DRAY_NODISCARD int32_t dr_table_writer_loaded(struct dr_table_writer *writer, struct dray_error *error);
// Says that the checkpoint which dr_table_writer_merge will be given is the one that the warehouse has. When the merge
// then finds nothing to write, it leaves the state row alone as well: the generation stays the expected one.
void dr_table_writer_may_idle(struct dr_table_writer *writer);
int dr_table_writer_idle(const struct dr_table_writer *writer); // after the merge: nothing was written
// For REPLACE, before the merge: `rows` of what was read were rejected and are not among those given, so that a row of
// the table that is not among them is none that is gone: where a key tells rows apart such rows stay, and elsewhere the
// merge fails with GUARD when there are any.
void dr_table_writer_rejected(struct dr_table_writer *writer, uint64_t rows);
uint64_t dr_table_writer_kept(const struct dr_table_writer *writer); // after the merge: the rows that stayed for this
// Merges staging into the table and writes the state row; not yet committed. *out_written: rows of the table touched.
DRAY_NODISCARD int32_t dr_table_writer_merge(struct dr_table_writer *writer, uint64_t generation,
                                             struct dray_str checkpoint, uint64_t *out_written,
                                             struct dray_error *error);
// @errors NET_CLOSED: in doubt; compare dr_table_state_read after reconnecting.
DRAY_NODISCARD int32_t dr_table_writer_commit(struct dr_table_writer *writer, struct dray_error *error);
void dr_table_writer_free(struct dr_table_writer *writer); // rolls back what was not committed

// SQL text, for readers of the table: SELECT of these fields (for a rebuild: live rows only), with quoting.
DRAY_NODISCARD int32_t dr_sql_select(const struct dray_dialect *dialect, const struct dr_table_options *options,
                                     struct dray_buffer *out, struct dray_error *error);
// The same for the table as it is: fields that the table does not have are NULL. *out_found = 0 and no text when there
// is no table.
DRAY_NODISCARD int32_t dr_table_select(struct dr_warehouse *warehouse, const struct dr_table_options *options,
                                       struct dray_buffer *out, int *out_found, struct dray_error *error);
// The one quoting function. @errors SCHEMA_NAME for NUL, empty or too long.
DRAY_NODISCARD int32_t dr_sql_identifier(const struct dray_dialect *dialect, struct dray_str name,
                                         struct dray_buffer *out, struct dray_error *error);
DRAY_NODISCARD int32_t dr_sql_table(const struct dray_dialect *dialect, const struct dr_table_name *name,
                                    struct dray_buffer *out, struct dray_error *error);

#endif // DR_WAREHOUSE_WAREHOUSE_H
