// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The tables beside the table: the staging, and those in which a history by time is put in order. Made before rows are
// loaded and dropped with the end of the write. The same functions write their statements for a plan, which shows them,
// and for the writer, which runs them.
#include <stdio.h>
#include <stdlib.h>

#include "table/encode.h"
#include "warehouse/merge.h"

#define STAGING_PREFIX "_dray_staging_"
#define MOMENTS_PREFIX "_dray_moments_"
#define EVENTS_PREFIX "_dray_events_"

// Runs the statement that was written, or adds it to those that are told.
static int32_t say(struct dr_merge *merge) {
  struct dr_statements *told = merge->writer->told;
  if (told == NULL) return dr_merge_run(merge, NULL);
  DRAY_TRY(merge->sql.code);
  return dr_statement_add(&told->sql, &told->count, dray_buffer_view(&merge->writer->text), merge->error);
}

static int32_t name_place(struct dr_table_writer *writer, const char *prefix, struct dr_place *out,
                          struct dray_error *error) {
  const int temporary = dr_dialect_has(&writer->warehouse->dialect, DRAY_DIALECT_TEMP_TABLES);
  char name[64];
  const struct dr_hash128 hash = dr_hash_bytes(dray_str_of(writer->table.table), 0);
  (void)snprintf(name, sizeof name, "%s%016llx", prefix, (unsigned long long)hash.low);
  return dr_place_make(&writer->warehouse->dialect, temporary ? NULL : writer->table.schema, name, out, error);
}

static int32_t drop_place(struct dr_table_writer *writer, const struct dr_place *place, struct dray_error *error) {
  struct dr_merge merge = {.writer = writer, .from = place, .error = error};
  if (place->table == NULL) return DRAY_OK;
  dr_merge_begin(&merge, "");
  dr_sql_drop_staging(&merge.sql);
  dr_put_staging(&merge, NULL);
  return say(&merge);
}

static int is_key(const struct dr_table_writer *writer, const char *name) {
  const int keyed = writer->options->mode == DR_WRITE_UPSERT || writer->options->mode == DR_WRITE_HISTORY;
  size_t i = 0;
  if (strncmp(name, DR_TIMELINE_KEY_PREFIX, strlen(DR_TIMELINE_KEY_PREFIX)) == 0) return 1;
  while (i < writer->column_count && strcmp(writer->columns[i].name, name) != 0) i++;
  return keyed && i < writer->column_count && writer->columns[i].key;
}

// An index takes the beginning of a text.
static void put_staging_index(struct dr_merge *merge) {
  const struct dr_table_writer *writer = merge->writer;
  const uint32_t chars_max = writer->warehouse->dialect.key_chars_max;
  size_t n = 0;
  for (size_t i = 0; i < writer->column_count && dr_merge_joins_by_key(writer); i++) {
    const struct dr_table_column *column = &writer->columns[i];
    const int type = column->stored.id;
    if (!column->key) continue;
    dr_sql_text(&merge->sql, n++ == 0 ? ", INDEX (" : ", ");
    dr_sql_name(&merge->sql, column->name);
    if (chars_max == 0 || (type != DRAY_TYPE_STRING && type != DRAY_TYPE_BYTES && type != DRAY_TYPE_JSON)) continue;
    dr_sql_text(&merge->sql, "(");
    dr_sql_number(&merge->sql, chars_max / writer->options->key_count);
    dr_sql_text(&merge->sql, ")");
  }
  if (n > 0) dr_sql_text(&merge->sql, ")");
}

static int32_t create_place(struct dr_table_writer *writer, const struct dr_place *place,
                            const struct ArrowSchema *schema, struct dray_error *error) {
  struct dr_merge merge = {.writer = writer, .from = place, .error = error};
  struct dr_sql *sql = &merge.sql;
  dr_merge_begin(&merge, "");
  dr_sql_drop_staging(sql);
  dr_sql_text(sql, "IF EXISTS "); // left behind by a connection that was cut
  dr_put_staging(&merge, NULL);
  DRAY_TRY(say(&merge));
  dr_merge_begin(&merge, "");
  dr_sql_create_staging(sql);
  dr_put_staging(&merge, NULL);
  for (int64_t i = 0; i < schema->n_children; i++) {
    struct dray_type type;
    DRAY_TRY(dray_schema_type(schema->children[i], &type, error));
    dr_sql_text(sql, i == 0 ? " (" : ", ");
    dr_sql_name(sql, schema->children[i]->name);
    dr_sql_text(sql, " ");
    if (is_key(writer, schema->children[i]->name)) {
      dr_sql_key_type(sql, type, writer->options->key_count);
    } else {
      dr_sql_type(sql, type);
    }
  }
  if (place == &writer->staging) put_staging_index(&merge);
  dr_sql_text(sql, ")");
  return say(&merge);
}

// A table of keys and times, with these columns beside them.
static int32_t create_keyed(struct dr_table_writer *writer, const char *prefix, const struct dray_column_def *more,
                            size_t more_count, struct dr_place *out, struct dray_error *error) {
  struct ArrowSchema schema = {.release = NULL};
  struct dray_column_def *defs = calloc(writer->column_count + more_count, sizeof *defs);
  char(*names)[32] = calloc(writer->column_count, sizeof *names);
  size_t n = 0;
  int32_t code = DRAY_OK;
  if (defs == NULL || names == NULL) {
    code = dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for %zu columns", writer->column_count);
    goto done;
  }
  for (size_t i = 0; i < writer->column_count; i++) {
    if (!writer->columns[i].key) continue;
    (void)snprintf(names[i], sizeof names[i], DR_TIMELINE_KEY_PREFIX "%zu", i);
    defs[n++] = (struct dray_column_def){names[i], writer->columns[i].stored, 0};
  }
  for (size_t i = 0; i < more_count; i++) defs[n++] = more[i];
  code = dray_schema_make(defs, n, &schema, error);
  if (code == DRAY_OK) code = name_place(writer, prefix, out, error);
  if (code == DRAY_OK) code = create_place(writer, out, &schema, error);
done:
  dray_schema_release(&schema);
  free(names);
  free(defs);
  return code;
}

// Where versions are put in order (history.c): what is known of each moment, and the moments in their order.
static int32_t create_timeline(struct dr_table_writer *writer, struct dray_error *error) {
  const struct dray_type int64 = {DRAY_TYPE_INT64, 0, 0}, timestamp = {DRAY_TYPE_TIMESTAMP, 0, 0};
  const struct dray_type boolean = {DRAY_TYPE_BOOL, 0, 0};
  const struct dray_column_def moments[] = {
      {DR_COLUMN_VALID_FROM, timestamp, 0}, {DR_COLUMN_EVENT_LIVE, int64, 0}, {DR_COLUMN_STAGED_ORDER, int64, 1}};
  const struct dray_column_def events[] = {{DR_COLUMN_VALID_FROM, timestamp, 0},
                                           {DR_COLUMN_VALID_TO, timestamp, 1},
                                           {DR_COLUMN_CURRENT, boolean, 0},
                                           {DR_COLUMN_EVENT_LIVE, int64, 0},
                                           {DR_COLUMN_EVENT_BEFORE, int64, 1}};
  DRAY_TRY(create_keyed(writer, MOMENTS_PREFIX, moments, 3, &writer->moments, error));
  return create_keyed(writer, EVENTS_PREFIX, events, 5, &writer->events, error);
}

int32_t dr_merge_create_staging(struct dr_table_writer *writer, struct dray_error *error) {
  DRAY_TRY(name_place(writer, STAGING_PREFIX, &writer->staging, error));
  DRAY_TRY(create_place(writer, &writer->staging, &writer->load_schema, error));
  writer->staged = 1;
  return writer->timed ? create_timeline(writer, error) : DRAY_OK;
}

int32_t dr_merge_drop_staging(struct dr_table_writer *writer, struct dray_error *error) {
  DRAY_TRY(drop_place(writer, &writer->staging, error));
  DRAY_TRY(drop_place(writer, &writer->moments, error));
  DRAY_TRY(drop_place(writer, &writer->events, error));
  writer->staged = 0;
  return DRAY_OK;
}
