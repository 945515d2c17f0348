// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What tables there are, and of what columns. A table's columns are those of a SELECT * from it, so that describing,
// discovering and reading it say the same.
#include <mysqld_error.h>
#include <stdlib.h>

#include "warehouse.h"

#define SQL_BYTES_MAX 4096
#define OWN_PREFIX "_dray_"
#define DOING "describing a table"
#define MARIA_WIDE_TIMESTAMPS 110500

// ---- one table ----

void my_columns_free(struct my_column *columns, size_t count) {
  for (size_t i = 0; columns != NULL && i < count; i++) free(columns[i].name);
  free(columns);
}

void my_table_free(struct my_table *table) {
  my_columns_free(table->columns, table->column_count);
  free(table->not_null);
  free(table->key_place);
  free(table->loose);
  *table = (struct my_table){.found = 0};
}

static int32_t take_columns(MYSQL_STMT *statement, struct my_table *table, struct dray_error *error) {
  MYSQL_RES *result = mysql_stmt_result_metadata(statement);
  const size_t count = result != NULL ? mysql_num_fields(result) : 0;
  int32_t code = DRAY_OK;
  table->columns = calloc(count + 1, sizeof *table->columns);
  table->not_null = calloc(count + 1, 1);
  table->key_place = calloc(count + 1, sizeof *table->key_place);
  table->loose = calloc(count + 1, 1);
  if (result == NULL || table->columns == NULL || table->not_null == NULL || table->key_place == NULL ||
      table->loose == NULL) {
    code = dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for the columns of a table");
  }
  for (size_t i = 0; code == DRAY_OK && i < count; i++) {
    const MYSQL_FIELD *field = mysql_fetch_field_direct(result, (unsigned int)i);
    my_column_decide(field, &table->columns[i]);
    table->columns[i].name = dray_str_dup(dray_str_make(field->name, field->name_length));
    table->column_count = i + 1;
    table->not_null[i] = (field->flags & NOT_NULL_FLAG) != 0;
    if (table->columns[i].name == NULL) code = dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a column");
  }
  mysql_free_result(result);
  table->found = code == DRAY_OK;
  return code;
}

static int is_missing(unsigned int number) {
  return number == ER_NO_SUCH_TABLE || number == ER_BAD_DB_ERROR || number == ER_UNKNOWN_TABLE;
}

static int32_t read_columns(struct my_link *link, const struct dray_buffer *sql, struct my_table *table,
                            struct dray_error *error) {
  struct dray_error why;
  MYSQL_STMT *statement = NULL;
  dray_error_init(&why);
  if (my_link_broken(link)) return my_fail_lost(link, DOING, error);
  my_link_start(link);
  int32_t code = my_stmt_prepare(link, dray_buffer_view(sql), MY_FOR_QUERY, DOING, &statement, &why);
  const int missing = code != DRAY_OK && statement != NULL && is_missing(mysql_stmt_errno(statement));
  if (code == DRAY_OK) code = take_columns(statement, table, &why);
  my_stmt_close(link, statement);
  my_link_settle(link);
  if (missing) return DRAY_OK;
  if (code != DRAY_OK && error != NULL) *error = why;
  return code;
}

// The columns of SHOW KEYS.
enum { KEYS_NON_UNIQUE = 1, KEYS_NAME = 2, KEYS_PLACE = 3, KEYS_COLUMN = 4, KEYS_PART = 7 };

static ptrdiff_t find_column(const struct my_table *table, const char *name) {
  for (size_t i = 0; name != NULL && i < table->column_count; i++) {
    if (strcmp(table->columns[i].name, name) == 0) return (ptrdiff_t)i;
  }
  return -1;
}

// Whether the column can be one of a key: never null, whole, and not dray's own.
static int fits_a_key(const struct my_table *table, MYSQL_ROW row) {
  const ptrdiff_t at = find_column(table, row[KEYS_COLUMN]);
  return at >= 0 && table->not_null[at] && row[KEYS_PART] == NULL && strcmp(row[KEYS_NON_UNIQUE], "0") == 0 &&
         strncmp(row[KEYS_COLUMN], OWN_PREFIX, strlen(OWN_PREFIX)) != 0;
}

// The primary key, which is listed first, or else the first unique index that could be one.
static void take_key(struct my_table *table, MYSQL_RES *keys) {
  char chosen[256] = "";
  int spoilt = 0;
  for (MYSQL_ROW row = mysql_fetch_row(keys); row != NULL; row = mysql_fetch_row(keys)) {
    if (strcmp(row[KEYS_NAME], chosen) != 0) { // another index begins
      if (chosen[0] != '\0' && !spoilt) return;
      memset(table->key_place, 0, table->column_count * sizeof *table->key_place);
      const size_t len = strnlen(row[KEYS_NAME], sizeof chosen - 1);
      memcpy(chosen, row[KEYS_NAME], len);
      chosen[len] = '\0';
      spoilt = 0;
    }
    const ptrdiff_t at = find_column(table, row[KEYS_COLUMN]);
    if (strcmp(chosen, "PRIMARY") != 0 && !fits_a_key(table, row)) spoilt = 1;
    if (at >= 0) table->key_place[at] = (uint32_t)strtoul(row[KEYS_PLACE], NULL, 10);
  }
  if (spoilt) memset(table->key_place, 0, table->column_count * sizeof *table->key_place);
}

// The columns of SHOW FULL COLUMNS.
enum { SHOWN_NAME = 0, SHOWN_COLLATION = 2 };

// That knows bytes only. The `_bin` of most character sets leave blanks at the end out.
static int is_exact(const char *collation) {
  static const char *const ends[] = {"_nopad_bin", "_0900_bin"};
  const size_t len = strlen(collation);
  for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
    const size_t end = strlen(ends[i]);
    if (len > end && strcmp(collation + len - end, ends[i]) == 0) return 1;
  }
  return strcmp(collation, "binary") == 0;
}

static void take_collations(struct my_table *table, MYSQL_RES *shown) {
  for (MYSQL_ROW row = mysql_fetch_row(shown); row != NULL; row = mysql_fetch_row(shown)) {
    const ptrdiff_t at = find_column(table, row[SHOWN_NAME]);
    if (at >= 0) table->loose[at] = row[SHOWN_COLLATION] != NULL && !is_exact(row[SHOWN_COLLATION]);
  }
}

int32_t my_table_read(struct my_link *link, struct dray_str schema, struct dray_str name, struct my_table *out,
                      struct dray_error *error) {
  struct my_table table = {.found = 0};
  struct dray_buffer sql;
  MYSQL_RES *keys = NULL;
  dray_buffer_init(&sql, SQL_BYTES_MAX);
  int32_t code = dray_buffer_append_str(&sql, "SELECT * FROM ", error);
  if (code == DRAY_OK) code = my_quote_table(schema, name, &sql, error);
  if (code == DRAY_OK) code = read_columns(link, &sql, &table, error);
  for (size_t i = 0; i < table.column_count && link->null_is_now; i++) {
    struct my_column *column = &table.columns[i];
    if (column->row->protocol == MYSQL_TYPE_TIMESTAMP && column->fills_null) column->written.id = 0;
  }
  if (code == DRAY_OK && table.found) {
    dray_buffer_clear(&sql);
    code = dray_buffer_append_str(&sql, "SHOW KEYS FROM ", error);
    if (code == DRAY_OK) code = my_quote_table(schema, name, &sql, error);
    if (code == DRAY_OK) code = my_link_ask(link, sql.data, DOING, &keys, error);
    if (code == DRAY_OK) take_key(&table, keys);
    mysql_free_result(keys);
  }
  dray_buffer_free(&sql);
  if (code != DRAY_OK) {
    my_table_free(&table);
    return code;
  }
  *out = table;
  return DRAY_OK;
}

// ---- describe ----

// What a `timestamp` takes: the first second is zero to the server (MariaDB: its first instant alone), and the last is
// the last of 32 bits (MariaDB from 11.5 on: without a sign).
static int32_t mark_timestamp(const struct my_link *link, struct ArrowSchema *column, struct dray_error *error) {
  const int wide = link->maria && mysql_get_server_version(link->conn) >= MARIA_WIDE_TIMESTAMPS;
  DRAY_TRY(dray_schema_mark(column, DRAY_MARK_VALUE_MIN,
                            link->maria ? "1970-01-01T00:00:00.000001Z" : "1970-01-01T00:00:01Z", error));
  return dray_schema_mark(column, DRAY_MARK_VALUE_MAX,
                          wide ? "2106-02-07T06:28:15.999999Z" : "2038-01-19T03:14:07.999999Z", error);
}

static int32_t mark_column(const struct my_link *link, const struct my_column *column, struct ArrowSchema *out,
                           struct dray_error *error) {
  if (column->least != NULL) DRAY_TRY(dray_schema_mark(out, DRAY_MARK_VALUE_MIN, column->least, error));
  if (column->greatest != NULL) DRAY_TRY(dray_schema_mark(out, DRAY_MARK_VALUE_MAX, column->greatest, error));
  if (column->row->protocol == MYSQL_TYPE_TIMESTAMP) DRAY_TRY(mark_timestamp(link, out, error));
  if (column->length_max == 0 || column->length_max > INT32_MAX) return DRAY_OK;
  return dray_schema_mark_number(out, DRAY_MARK_LENGTH_MAX, column->length_max, error);
}

// Columns that are not for writing get a format that is none of the nine: an operator's own column, to be left alone.
static int32_t make_schema(struct my_link *link, const struct my_table *table, struct ArrowSchema *out,
                           struct dray_error *error) {
  const struct dray_type text = {DRAY_TYPE_STRING, 0, 0};
  struct dray_column_def *defs = calloc(table->column_count + 1, sizeof *defs);
  struct ArrowSchema schema = {.release = NULL};
  if (defs == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a schema");
  for (size_t i = 0; i < table->column_count; i++) {
    const struct dray_type type = table->columns[i].written;
    defs[i] = (struct dray_column_def){table->columns[i].name, type.id != 0 ? type : text, !table->not_null[i]};
  }
  int32_t code = dray_schema_make(defs, table->column_count, &schema, error);
  for (size_t i = 0; code == DRAY_OK && i < table->column_count; i++) {
    if (table->columns[i].written.id == 0) schema.children[i]->format = "vu"; // Arrow's string view
    if (table->key_place[i] > 0) code = dray_schema_mark_key(schema.children[i], error);
    if (code == DRAY_OK) code = mark_column(link, &table->columns[i], schema.children[i], error);
    if (code == DRAY_OK && table->loose[i]) code = dray_schema_mark_loose(schema.children[i], error);
  }
  free(defs);
  if (code != DRAY_OK) {
    dray_schema_release(&schema);
    return code;
  }
  *out = schema;
  return DRAY_OK;
}

static int32_t show_columns(struct my_link *link, struct dray_str schema, struct dray_str name, MYSQL_RES **out,
                            struct dray_error *error) {
  struct dray_buffer sql;
  dray_buffer_init(&sql, SQL_BYTES_MAX);
  int32_t code = dray_buffer_append_str(&sql, "SHOW FULL COLUMNS FROM ", error);
  if (code == DRAY_OK) code = my_quote_table(schema, name, &sql, error);
  if (code == DRAY_OK) code = my_link_ask(link, sql.data, DOING, out, error);
  dray_buffer_free(&sql);
  return code;
}

int32_t my_catalog_describe(struct dray_warehouse *warehouse, struct dray_str schema, struct dray_str name,
                            struct ArrowSchema *out, uint32_t *out_found, struct dray_error *error) {
  struct ArrowSchema described = {.release = NULL};
  struct my_table table;
  DRAY_TRY(my_table_read(warehouse->link, schema, name, &table, error));
  const uint32_t found = table.found != 0;
  MYSQL_RES *shown = NULL;
  int32_t code = found ? show_columns(warehouse->link, schema, name, &shown, error) : DRAY_OK;
  if (code == DRAY_OK && found) {
    take_collations(&table, shown);
    code = make_schema(warehouse->link, &table, &described, error);
  }
  if (code == DRAY_OK && found) code = my_texts_mark(shown, &described, error);
  mysql_free_result(shown);
  my_table_free(&table);
  if (code != DRAY_OK) {
    dray_schema_release(&described);
    return code;
  }
  if (found) *out = described;
  *out_found = found;
  return DRAY_OK;
}

// ---- discover ----

static int is_own(const char *name) {
  return strncmp(name, OWN_PREFIX, strlen(OWN_PREFIX)) == 0;
}

static void write_columns(struct dray_json_writer *json, const struct my_table *table) {
  char type[24];
  dray_json_key(json, "columns");
  dray_json_begin_array(json);
  for (size_t i = 0; i < table->column_count; i++) {
    if (is_own(table->columns[i].name)) continue;
    dray_json_begin_object(json);
    dray_json_key(json, "name");
    dray_json_write_text(json, table->columns[i].name);
    dray_json_key(json, "type");
    dray_json_write_text(json, dray_type_format(table->columns[i].type, type, sizeof type));
    dray_json_key(json, "nullable");
    dray_json_write_bool(json, !table->not_null[i]);
    dray_json_end_object(json);
  }
  dray_json_end_array(json);
}

static void write_key(struct dray_json_writer *json, const struct my_table *table) {
  dray_json_key(json, "primary_key");
  dray_json_begin_array(json);
  for (uint32_t place = 1; place <= table->column_count; place++) {
    for (size_t i = 0; i < table->column_count; i++) {
      if (table->key_place[i] == place && !is_own(table->columns[i].name)) {
        dray_json_write_text(json, table->columns[i].name);
      }
    }
  }
  dray_json_end_array(json);
}

// A source's stream in the database of the connection is called by the table alone, others by both names.
static void write_stream_name(struct dray_json_writer *json, MYSQL_ROW names, const char *database) {
  struct dray_buffer name;
  dray_buffer_init(&name, SQL_BYTES_MAX);
  const int32_t code = dray_table_name_write(dray_str_of(strcmp(names[0], database) == 0 ? "" : names[0]),
                                             dray_str_of(names[1]), &name, json->error);
  if (code != DRAY_OK && json->failed == DRAY_OK) json->failed = code;
  dray_json_write_str(json, dray_buffer_view(&name));
  dray_buffer_free(&name);
}

static void write_table(const struct dray_warehouse *warehouse, struct dray_json_writer *json, MYSQL_ROW names,
                        const struct my_table *table) {
  dray_json_begin_object(json);
  dray_json_key(json, "name");
  if (warehouse->as_source) {
    write_stream_name(json, names, warehouse->session.settings.database);
  } else {
    dray_json_write_text(json, names[1]);
  }
  dray_json_key(json, "schema");
  dray_json_write_text(json, names[0]);
  write_columns(json, table);
  write_key(json, table);
  dray_json_key(json, "cursor");
  dray_json_write_null(json);
  dray_json_key(json, "modes");
  dray_json_begin_array(json);
  dray_json_write_text(json, "full");
  dray_json_end_array(json);
  dray_json_key(json, "description");
  dray_json_write_text(json, strcmp(names[2], "VIEW") == 0 ? "view" : "table");
  dray_json_end_object(json);
}

// A view that does not work any more, or a table of which only some columns may be read, is not listed.
static int32_t write_tables(struct dray_warehouse *warehouse, MYSQL_RES *names, struct dray_json_writer *json,
                            struct dray_error *error) {
  for (MYSQL_ROW row = mysql_fetch_row(names); row != NULL; row = mysql_fetch_row(names)) {
    struct my_table table = {.found = 0};
    struct dray_error why;
    dray_error_init(&why);
    DRAY_TRY(dray_cancel_check(&warehouse->session.services, error));
    const int32_t code = my_table_read(warehouse->link, dray_str_of(row[0]), dray_str_of(row[1]), &table, &why);
    if (my_link_broken(warehouse->link) || code == DRAY_E_OUT_OF_MEMORY || code == DRAY_E_CANCELLED) {
      if (error != NULL) *error = why;
      return code;
    }
    if (code == DRAY_OK && table.found) write_table(warehouse, json, row, &table);
    my_table_free(&table);
  }
  return DRAY_OK;
}

int32_t my_catalog_discover(struct dray_warehouse *warehouse, struct dray_str *out_json, struct dray_error *error) {
  static const char all[] =
      "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE FROM information_schema.TABLES WHERE TABLE_SCHEMA NOT IN "
      "('information_schema', 'mysql', 'performance_schema', 'sys') AND TABLE_NAME NOT LIKE '\\_dray\\_%' AND "
      "TABLE_TYPE "
      "IN ('BASE TABLE', 'VIEW', 'SYSTEM VERSIONED') ORDER BY 1, 2";
  struct dray_json_writer json;
  MYSQL_RES *names = NULL;
  DRAY_TRY(my_link_ask(warehouse->link, all, "listing tables", &names, error));
  dray_catalog_begin(&json, &warehouse->answer, "streams", error);
  const int32_t code = write_tables(warehouse, names, &json, error);
  mysql_free_result(names);
  DRAY_TRY(code);
  return dray_catalog_end(&json, NULL, out_json, error);
}
