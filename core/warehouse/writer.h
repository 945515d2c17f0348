// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The writer's inside: one transaction's worth of changes on their way into a table. Inside core/warehouse only.
#ifndef DR_WAREHOUSE_WRITER_H
#define DR_WAREHOUSE_WRITER_H

#include "base/arena.h"
#include "warehouse/table.h"

// One field that is written (dropped ones are not here).
struct dr_table_column {
  size_t field;            // index in the options' schema
  const char *name;        // the table's own spelling; borrowed from the writer's shape
  struct dray_type type;   // of the field
  struct dray_type stored; // of the table's column: holds `type`
  int key;
  int loose;                // a text that the table's column may call equal to another
  struct dray_str found_as; // of a text: the form in which the column's index finds it; borrowed from the shape
};

// The batches that the plugin loads: the written columns, and dray's own beside them.
struct dr_load_extra {
  int synced_at; // directly into the table
  int current;   // directly into a history table: valid_from, current
  int staged;    // op and masks
};

struct dr_table_writer {
  struct dr_warehouse *warehouse;
  const struct dr_table_options *options;
  struct dr_place table, staging;
  struct dr_place moments, events; // beside the staging, of a history by time (history.c)
  struct dr_shape shape;
  struct dr_table_column *columns; // owned
  size_t column_count, mask_count;
  char *late_ddl; // runs after the load; NULL: none
  int direct;     // rows go straight into the table, which is new or empty
  int staged;     // the staging table was made
  int open;       // a transaction is open
  int has_deleted_at;
  int timed;                  // a history whose versions begin when column `time_column` says
  size_t time_column;         // of `columns`
  int own_time;               // the rows being loaded say their own time; else deletes are of now
  int changed_shape;          // DDL was run
  struct dr_statements *told; // staging tables are told, not made; NULL: they are made
  int may_idle, idle;         // see dr_table_writer_may_idle
  uint64_t rejected, kept;    // see dr_table_writer_rejected
  uint64_t expected;          // the generation of the fence
  int64_t now_us;
  // what was loaded
  uint64_t upsert_count, delete_count;
  uint64_t staged_count; // rows in the staging so far: the order in which they came
  uint8_t *absent_seen;  // per column
  // loading (load.c)
  struct ArrowSchema load_schema;
  struct dr_schema *seen_schema; // of the last batch, and where its columns are
  size_t *source_index;
  struct dr_arena arena; // of one batch
  struct dray_buffer text;
};

DRAY_NODISCARD int32_t dr_load_init(struct dr_table_writer *writer, struct dray_error *error);
void dr_load_free(struct dr_table_writer *writer);
// Loads rows [start, start + count) of `batch` into the table or its staging. `op` is what they are, for the staging.
DRAY_NODISCARD int32_t dr_load_rows(struct dr_table_writer *writer, const struct dr_batch *batch, uint64_t start,
                                    uint64_t count, int op, struct dray_error *error);

// Makes the table what the staging says. Adds to *written the rows it touched. (merge.c)
DRAY_NODISCARD int32_t dr_merge_staging(struct dr_table_writer *writer, uint64_t *written, struct dray_error *error);
// The tables beside the table. (staging.c)
DRAY_NODISCARD int32_t dr_merge_create_staging(struct dr_table_writer *writer, struct dray_error *error);
DRAY_NODISCARD int32_t dr_merge_drop_staging(struct dr_table_writer *writer, struct dray_error *error);

#endif // DR_WAREHOUSE_WRITER_H
