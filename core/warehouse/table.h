// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What the files of core/warehouse share: the calls into the plugin, the table as it is, and the columns on their way
// into it. Inside core/warehouse only.
#ifndef DR_WAREHOUSE_TABLE_H
#define DR_WAREHOUSE_TABLE_H

#include "warehouse/sql.h"

// Columns that dray adds to tables.
#define DR_COLUMN_SYNCED_AT "_dray_synced_at"
#define DR_COLUMN_DELETED_AT "_dray_deleted_at"
#define DR_COLUMN_VALID_FROM "_dray_valid_from"
#define DR_COLUMN_VALID_TO "_dray_valid_to"
#define DR_COLUMN_CURRENT "_dray_current"
// Columns of a staging table besides the fields.
#define DR_COLUMN_STAGED_OP "_dray_op"
#define DR_COLUMN_STAGED_MASK "_dray_mask_"  // + number: bit i set = value of column 62 * number + i is absent
#define DR_COLUMN_STAGED_ORDER "_dray_order" // of a history by time: which row came later
// Of the events of a history by time.
#define DR_COLUMN_EVENT_LIVE "_dray_live"     // odd: a version begins; even: the row is gone
#define DR_COLUMN_EVENT_BEFORE "_dray_before" // the same of the event before; null: none
#define DR_MASK_BITS 62                       // a column each: fits a signed 64-bit integer whatever the engine

#define DR_STATE_TABLE "_dray_state"

// ---- calls into the plugin (call.c): keep the board, mask secrets ----

DRAY_NODISCARD int32_t dr_engine_execute(struct dr_warehouse *warehouse, struct dray_str sql,
                                         const struct ArrowSchema *params_schema, const struct ArrowArray *params,
                                         int64_t *out_rows, struct dray_error *error);
DRAY_NODISCARD int32_t dr_engine_load(struct dr_warehouse *warehouse, const struct dr_place *place,
                                      const struct ArrowSchema *schema, const struct ArrowArray *batch,
                                      struct dray_error *error);
DRAY_NODISCARD int32_t dr_engine_begin(struct dr_warehouse *warehouse, struct dray_error *error);
DRAY_NODISCARD int32_t dr_engine_commit(struct dr_warehouse *warehouse, struct dray_error *error);
void dr_engine_rollback(struct dr_warehouse *warehouse);
// Runs a query and gives its rows, cast to `schema`, batch by batch. A row that cannot be cast fails the call.
DRAY_NODISCARD int32_t dr_engine_query(struct dr_warehouse *warehouse, struct dray_str sql, struct dr_schema *schema,
                                       int32_t (*take)(void *ctx, const struct dr_batch *batch,
                                                       struct dray_error *error),
                                       void *ctx, struct dray_error *error);

// The statements that give columns other types, added to a list; *out_said = 0: the plugin leaves it to the dialect.
DRAY_NODISCARD int32_t dr_engine_retype(struct dr_warehouse *warehouse, const struct dr_place *place,
                                        const struct dray_str *columns, const struct dray_str *types, size_t count,
                                        char ***list, size_t *list_count, int *out_said, struct dray_error *error);

// Runs a SELECT of one number named "n".
DRAY_NODISCARD int32_t dr_engine_number(struct dr_warehouse *warehouse, struct dray_str sql, uint64_t *out,
                                        struct dray_error *error);

// Whether the query, a SELECT 1 AS DR_COLUMN_ASKED, has a row.
#define DR_COLUMN_ASKED "one"
DRAY_NODISCARD int32_t dr_engine_has_rows(struct dr_warehouse *warehouse, struct dray_str sql, int *out_has_rows,
                                          struct dray_error *error);

// ---- the table as it is (shape.c) ----

struct dr_shape_column {
  char *name;            // owned
  struct dray_type type; // id 0: none of the canonical ones
  int required;          // NOT NULL
  int loose;             // describe says that it calls texts equal whose bytes differ
  char *found_as;        // owned; of a text: DRAY_MARK_FOUND_AS. NULL: its index finds texts as they are
  int has_default;       // of the engine's, for rows that leave the column out
  int key;               // of the primary key
  struct dr_column_takes takes;
};
struct dr_shape {
  int found;
  size_t column_count;
  struct dr_shape_column *columns; // owned
};
DRAY_NODISCARD int32_t dr_shape_read(struct dr_warehouse *warehouse, const struct dr_place *place, struct dr_shape *out,
                                     struct dray_error *error);
void dr_shape_free(struct dr_shape *shape);
// Finds a column: by its exact name, else by its name in another case. NULL: none.
const struct dr_shape_column *dr_shape_find(const struct dr_shape *shape, const char *name);
int dr_name_equal_nocase(const char *a, const char *b);
// 1 when every value of `from` is held exactly by `to`.
int dr_type_holds(struct dray_type to, struct dray_type from);
int dr_type_equal(struct dray_type a, struct dray_type b);
// The type that a column of one has to take to hold every value of both: of two numbers a decimal with the digits of
// both where 38 are enough, else text. id 0: neither is a wider kind of the other.
struct dray_type dr_type_join(struct dray_type a, struct dray_type b);
// "a.b" for messages. Writes at most out_bytes and returns `out`.
const char *dr_place_text(const struct dr_place *place, char *out, size_t out_bytes);
// Whether the engine lists the schema to this user.
DRAY_NODISCARD int32_t dr_schema_is_there(struct dr_warehouse *warehouse, const char *name, int *out_found,
                                          struct dray_error *error);
int dr_options_is_key(const struct dr_table_options *options, const char *name);

// ---- plans (plan.c, rehearsal.c) ----

// As dr_table_plan, without trying the statements: the writer is about to run them.
DRAY_NODISCARD int32_t dr_table_plan_untried(struct dr_warehouse *warehouse, const struct dr_table_options *options,
                                             struct dr_table_plan *out, struct dray_error *error);
// Runs the plan's statements on a temporary table that is like the one they are for, where the engine can, and drops
// it. @errors as the run itself would give.
DRAY_NODISCARD int32_t dr_table_rehearse(struct dr_warehouse *warehouse, const struct dr_table_options *options,
                                         const struct dr_table_plan *plan, struct dray_error *error);
// As dr_table_staging, as if the table had rows to change already: those of the runs that follow (writer.c).
DRAY_NODISCARD int32_t dr_table_staging_of_changes(struct dr_warehouse *warehouse,
                                                   const struct dr_table_options *options,
                                                   const struct dr_table_plan *plan, struct dr_statements *out,
                                                   struct dray_error *error);
// What a statement of a plan failed with, as the error of the run. `exists`: the table was there before.
DRAY_NODISCARD int32_t dr_table_ddl_failed(int32_t code, const char *table, int exists, struct dray_error *error);

// ---- the state table (state.c) ----

struct dr_state_row {
  int table_found;
  uint64_t generation; // 0: no row
  int64_t updated_us;
  struct dray_buffer *checkpoint; // borrowed, may be NULL: not wanted
};
DRAY_NODISCARD int32_t dr_state_place(struct dr_warehouse *warehouse, const struct dr_table_options *options,
                                      struct dr_place *out, struct dray_error *error);
DRAY_NODISCARD int32_t dr_state_get(struct dr_warehouse *warehouse, const struct dr_table_options *options,
                                    struct dr_state_row *row, struct dray_error *error);
DRAY_NODISCARD int32_t dr_state_create(struct dr_warehouse *warehouse, const struct dr_table_options *options,
                                       struct dray_error *error);
// Takes the row's lock in engines that lock rows, so that a second writer waits here and then sees our generation.
DRAY_NODISCARD int32_t dr_state_lock(struct dr_warehouse *warehouse, const struct dr_table_options *options,
                                     struct dray_error *error);
DRAY_NODISCARD int32_t dr_state_remove(struct dr_warehouse *warehouse, const struct dr_table_options *options,
                                       struct dray_error *error);
DRAY_NODISCARD int32_t dr_state_put(struct dr_warehouse *warehouse, const struct dr_table_options *options,
                                    uint64_t generation, struct dray_str checkpoint, int64_t now_us,
                                    struct dray_error *error);

#endif // DR_WAREHOUSE_TABLE_H
