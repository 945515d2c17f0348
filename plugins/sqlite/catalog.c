// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What is in the file: tables and views with their columns, keys and types. Answers discover and describe.
#include <stdlib.h>

#include "stream.h"

#define SQL_BYTES_MAX (1u << 20)
#define OWN_PREFIX "_dray_"

// Tables that hold data: no internal tables, no shadow tables of virtual ones, not dray's own.
static const char list_sql[] = "SELECT name, type FROM pragma_table_list WHERE schema = 'main' AND type IN ('table', "
                               "'view', 'virtual') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' "
                               "AND name NOT LIKE '\\_dray\\_%' ESCAPE '\\' ORDER BY name COLLATE BINARY";
static const char has_sql[] = "SELECT 1 FROM pragma_table_list WHERE schema = 'main' AND name = ?1 COLLATE BINARY";
// hidden 1: a hidden column of a virtual table, which SELECT * does not show either.
static const char columns_sql[] = "SELECT name, type, \"notnull\", pk FROM pragma_table_xinfo(?1) WHERE hidden <> 1";
static const char columns_of_schema_sql[] =
    "SELECT name, type, \"notnull\", pk FROM pragma_table_xinfo(?1, ?2) WHERE hidden <> 1";
// Unique indexes over whole rows; expression columns have no name.
static const char indexes_sql[] =
    "SELECT l.name, i.name FROM pragma_index_list(?1) AS l, pragma_index_info(l.name) AS i "
    "WHERE l.\"unique\" AND NOT l.partial ORDER BY l.seq DESC, i.seqno";

int32_t catalog_quote(struct dray_str name, struct dray_buffer *out, struct dray_error *error) {
  DRAY_TRY(dray_buffer_append_char(out, '"', error));
  for (uint64_t i = 0; i < name.len; i++) {
    if (name.data[i] == '"') DRAY_TRY(dray_buffer_append_char(out, '"', error));
    DRAY_TRY(dray_buffer_append_char(out, name.data[i], error));
  }
  return dray_buffer_append_char(out, '"', error);
}

// Prepares one of the statements above with up to two names bound.
static int32_t prepare(struct connection *connection, const char *sql, struct dray_str first, struct dray_str second,
                       sqlite3_stmt **out, struct dray_error *error) {
  sqlite3_stmt *statement = NULL;
  int rc = sqlite3_prepare_v2(connection->db, sql, -1, &statement, NULL);
  const int parameters = rc == SQLITE_OK ? sqlite3_bind_parameter_count(statement) : 0;
  if (parameters > 0) rc = sqlite3_bind_text(statement, 1, first.data, (int)first.len, SQLITE_TRANSIENT);
  if (rc == SQLITE_OK && parameters > 1) {
    rc = sqlite3_bind_text(statement, 2, second.data, (int)second.len, SQLITE_TRANSIENT);
  }
  if (rc != SQLITE_OK) {
    const int32_t code = connection_fail(connection, rc, DRAY_E_INTERNAL, "reading the catalogue", error);
    (void)sqlite3_finalize(statement);
    return code;
  }
  *out = statement;
  return DRAY_OK;
}

// *out_row = 0 at the end.
static int32_t next_row(struct connection *connection, sqlite3_stmt *statement, int *out_row,
                        struct dray_error *error) {
  const int rc = sqlite3_step(statement);
  *out_row = rc == SQLITE_ROW;
  if (rc == SQLITE_ROW || rc == SQLITE_DONE) return DRAY_OK;
  return connection_fail(connection, rc, DRAY_E_INTERNAL, "reading the catalogue", error);
}

static struct dray_str text_at(sqlite3_stmt *statement, int column) {
  const char *text = (const char *)sqlite3_column_text(statement, column);
  return dray_str_make(text, text != NULL ? (uint64_t)sqlite3_column_bytes(statement, column) : 0);
}

int32_t catalog_has(struct connection *connection, struct dray_str name, int *out_found, struct dray_error *error) {
  sqlite3_stmt *statement = NULL;
  DRAY_TRY(prepare(connection, has_sql, name, name, &statement, error));
  const int32_t code = next_row(connection, statement, out_found, error);
  (void)sqlite3_finalize(statement);
  return code;
}

// ---- one table ----

struct catalog_column {
  char *name; // owned
  struct dray_type type;
  int not_null;
  int key;   // its place in the primary key, from 1; 0: not in it
  int loose; // of another collation than BINARY
};

struct catalog_table {
  struct catalog_column *columns; // owned
  size_t column_count;
};

static void table_free(struct catalog_table *table) {
  for (size_t i = 0; i < table->column_count; i++) free(table->columns[i].name);
  free(table->columns);
  *table = (struct catalog_table){NULL, 0};
}

static struct catalog_column *find_column(const struct catalog_table *table, struct dray_str name) {
  for (size_t i = 0; i < table->column_count; i++) {
    if (dray_str_is(name, table->columns[i].name)) return &table->columns[i];
  }
  return NULL;
}

static int32_t add_column(struct catalog_table *table, struct dray_str name, struct dray_error *error) {
  struct catalog_column *grown = realloc(table->columns, (table->column_count + 1) * sizeof *grown);
  if (grown == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a column");
  table->columns = grown;
  grown[table->column_count] = (struct catalog_column){.name = dray_str_dup(name)};
  if (grown[table->column_count].name == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a column");
  table->column_count++;
  return DRAY_OK;
}

// What the engine knows of the columns; types as they are for writing.
static int32_t read_columns(struct connection *connection, struct dray_str schema, struct dray_str name,
                            struct catalog_table *table, struct dray_error *error) {
  sqlite3_stmt *statement = NULL;
  int row = 0;
  DRAY_TRY(prepare(connection, schema.len > 0 ? columns_of_schema_sql : columns_sql, name, schema, &statement, error));
  int32_t code = next_row(connection, statement, &row, error);
  while (code == DRAY_OK && row) {
    code = add_column(table, text_at(statement, 0), error);
    if (code != DRAY_OK) break;
    struct catalog_column *column = &table->columns[table->column_count - 1];
    column->type = sqlite_type_of((const char *)sqlite3_column_text(statement, 1), 1);
    if (column->type.id == 0) column->type.id = DRAY_TYPE_STRING; // undeclared: kept as it is given
    column->not_null = sqlite3_column_int(statement, 2) != 0;
    column->key = sqlite3_column_int(statement, 3);
    code = next_row(connection, statement, &row, error);
  }
  (void)sqlite3_finalize(statement);
  return code;
}

static int has_key(const struct catalog_table *table) {
  for (size_t i = 0; i < table->column_count; i++) {
    if (table->columns[i].key > 0) return 1;
  }
  return 0;
}

// Without a primary key, the first unique index over columns that are never null is as good as one.
static int32_t find_unique_key(struct connection *connection, struct dray_str name, struct catalog_table *table,
                               struct dray_error *error) {
  sqlite3_stmt *statement = NULL;
  char *index = NULL; // the one whose columns are being numbered
  int row = 0, place = 0, whole = 0;
  DRAY_TRY(prepare(connection, indexes_sql, name, name, &statement, error));
  int32_t code = next_row(connection, statement, &row, error);
  while (code == DRAY_OK) {
    if (index != NULL && (!row || !dray_str_is(text_at(statement, 0), index))) {
      if (whole) break;
      for (size_t i = 0; i < table->column_count; i++) table->columns[i].key = 0;
      free(index);
      index = NULL;
    }
    if (!row) break;
    if (index == NULL) {
      index = dray_str_dup(text_at(statement, 0));
      if (index == NULL) code = dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for an index");
      whole = 1;
      place = 0;
    }
    struct catalog_column *column = find_column(table, text_at(statement, 1));
    if (column != NULL && column->not_null && strncmp(column->name, OWN_PREFIX, strlen(OWN_PREFIX)) != 0) {
      column->key = ++place;
    } else {
      whole = 0;
    }
    if (code == DRAY_OK) code = next_row(connection, statement, &row, error);
  }
  free(index);
  (void)sqlite3_finalize(statement);
  return code;
}

static int32_t read_table(struct connection *connection, struct dray_str schema, struct dray_str name,
                          struct catalog_table *out, struct dray_error *error) {
  struct catalog_table table = {NULL, 0};
  int32_t code = read_columns(connection, schema, name, &table, error);
  if (code == DRAY_OK && schema.len == 0 && !has_key(&table)) {
    code = find_unique_key(connection, name, &table, error);
  }
  if (code != DRAY_OK) {
    table_free(&table);
    return code;
  }
  *out = table;
  return DRAY_OK;
}

// ---- describe ----

// No pragma tells collations. A view has none to tell.
static int32_t read_collations(struct connection *connection, struct dray_str schema, struct dray_str name,
                               struct catalog_table *table, struct dray_error *error) {
  char *schema_text = dray_str_dup(schema), *name_text = dray_str_dup(name);
  int32_t code = DRAY_OK;
  if (schema_text == NULL || name_text == NULL) {
    code = dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for the name of a table");
  }
  for (size_t i = 0; code == DRAY_OK && i < table->column_count; i++) {
    struct catalog_column *column = &table->columns[i];
    const char *collation = NULL;
    const int rc = sqlite3_table_column_metadata(connection->db, schema.len > 0 ? schema_text : NULL, name_text,
                                                 column->name, NULL, &collation, NULL, NULL, NULL);
    column->loose = rc == SQLITE_OK && collation != NULL && sqlite3_stricmp(collation, "BINARY") != 0;
  }
  free(schema_text);
  free(name_text);
  return code;
}

static int32_t make_schema(const struct catalog_table *table, struct ArrowSchema *out, struct dray_error *error) {
  struct dray_column_def *defs = calloc(table->column_count, sizeof *defs);
  if (defs == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a schema");
  for (size_t i = 0; i < table->column_count; i++) {
    const struct catalog_column *column = &table->columns[i];
    defs[i] = (struct dray_column_def){column->name, column->type, !column->not_null};
  }
  struct ArrowSchema schema = {.release = NULL};
  int32_t code = dray_schema_make(defs, table->column_count, &schema, error);
  for (size_t i = 0; code == DRAY_OK && i < table->column_count; i++) {
    if (table->columns[i].key > 0) code = dray_schema_mark_key(schema.children[i], error);
    if (code == DRAY_OK && table->columns[i].loose) code = dray_schema_mark_loose(schema.children[i], error);
  }
  free(defs);
  if (code != DRAY_OK) {
    dray_schema_release(&schema);
    return code;
  }
  *out = schema;
  return DRAY_OK;
}

int32_t catalog_describe(struct connection *connection, struct dray_str schema, struct dray_str name,
                         struct ArrowSchema *out, uint32_t *out_found, struct dray_error *error) {
  struct catalog_table table;
  DRAY_TRY(read_table(connection, schema, name, &table, error));
  const uint32_t found = table.column_count > 0;
  int32_t code = found ? read_collations(connection, schema, name, &table, error) : DRAY_OK;
  if (code == DRAY_OK && found) code = make_schema(&table, out, error);
  table_free(&table);
  if (code == DRAY_OK) *out_found = found;
  return code;
}

// ---- discover ----

static int is_own(const char *name) {
  return strncmp(name, OWN_PREFIX, strlen(OWN_PREFIX)) == 0;
}

static void write_columns(struct dray_json_writer *json, const struct stream_column *columns, size_t count,
                          const struct catalog_table *table) {
  char type[24];
  dray_json_key(json, "columns");
  dray_json_begin_array(json);
  for (size_t i = 0; i < count; i++) {
    const struct catalog_column *known = find_column(table, dray_str_of(columns[i].name));
    if (is_own(columns[i].name)) continue;
    dray_json_begin_object(json);
    dray_json_key(json, "name");
    dray_json_write_text(json, columns[i].name);
    dray_json_key(json, "type");
    dray_json_write_text(json, dray_type_format(columns[i].type, type, sizeof type));
    dray_json_key(json, "nullable");
    dray_json_write_bool(json, known == NULL || !known->not_null);
    dray_json_end_object(json);
  }
  dray_json_end_array(json);
}

static void write_key(struct dray_json_writer *json, const struct catalog_table *table) {
  dray_json_key(json, "primary_key");
  dray_json_begin_array(json);
  for (int place = 1; place <= (int)table->column_count; place++) {
    for (size_t i = 0; i < table->column_count; i++) {
      if (table->columns[i].key == place) dray_json_write_text(json, table->columns[i].name);
    }
  }
  dray_json_end_array(json);
}

static void write_stream(struct dray_json_writer *json, struct dray_str name, struct dray_str kind,
                         const struct stream_column *columns, size_t count, const struct catalog_table *table) {
  dray_json_begin_object(json);
  dray_json_key(json, "name");
  dray_json_write_str(json, name);
  write_columns(json, columns, count, table);
  write_key(json, table);
  // No column is known to grow with every change: a table is read in full unless the sync names a cursor.
  dray_json_key(json, "cursor");
  dray_json_write_null(json);
  dray_json_key(json, "modes");
  dray_json_begin_array(json);
  dray_json_write_text(json, "full");
  dray_json_end_array(json);
  dray_json_key(json, "description");
  dray_json_write_str(json, dray_str_is(kind, "virtual") ? dray_str_of("virtual table") : kind);
  dray_json_end_object(json);
}

// The columns as a read of the whole table gives them out. A view whose tables are gone, or a virtual table whose
// module is not here, cannot be read: *out_statement is then NULL.
static int32_t open_all(struct connection *connection, struct dray_str name, sqlite3_stmt **out_statement,
                        struct dray_error *error) {
  struct dray_buffer sql;
  sqlite3_stmt *statement = NULL;
  dray_buffer_init(&sql, SQL_BYTES_MAX);
  int32_t code = dray_buffer_append_str(&sql, "SELECT * FROM ", error);
  if (code == DRAY_OK) code = catalog_quote(name, &sql, error);
  if (code == DRAY_OK) {
    const int rc = sqlite3_prepare_v2(connection->db, sql.data, (int)sql.len, &statement, NULL);
    if (rc == SQLITE_ERROR) {
      dray_log_printf(&connection->services, DRAY_LOG_WARN, "%.*s cannot be read and is left out: %s",
                      DRAY_STR_ARG(name), sqlite3_errmsg(connection->db));
    } else if (rc != SQLITE_OK) {
      code = connection_fail(connection, rc, DRAY_E_INTERNAL, "reading the catalogue", error);
    }
  }
  dray_buffer_free(&sql);
  if (code == DRAY_OK) *out_statement = statement;
  return code;
}

static int32_t discover_table(struct connection *connection, struct dray_json_writer *json, struct dray_str name,
                              struct dray_str kind, struct dray_error *error) {
  struct catalog_table table = {NULL, 0};
  struct stream_column *columns = NULL;
  size_t count = 0;
  sqlite3_stmt *statement = NULL;
  DRAY_TRY(open_all(connection, name, &statement, error));
  if (statement == NULL) return DRAY_OK;
  int32_t code = read_table(connection, dray_str_make(NULL, 0), name, &table, error);
  if (code == DRAY_OK) code = stream_columns(connection, statement, &columns, &count, error);
  if (code == DRAY_OK) write_stream(json, name, kind, columns, count, &table);
  stream_columns_free(columns, count);
  table_free(&table);
  (void)sqlite3_finalize(statement);
  return code == DRAY_OK ? DRAY_OK : dray_error_prefix(error, "%.*s", DRAY_STR_ARG(name));
}

int32_t catalog_discover(struct connection *connection, struct dray_str *out_json, struct dray_error *error) {
  struct dray_json_writer json;
  sqlite3_stmt *statement = NULL;
  const struct dray_str none = {NULL, 0};
  int row = 0;
  DRAY_TRY(prepare(connection, list_sql, none, none, &statement, error));
  dray_catalog_begin(&json, &connection->answer, "streams", error);
  int32_t code = next_row(connection, statement, &row, error);
  while (code == DRAY_OK && row) {
    code = discover_table(connection, &json, text_at(statement, 0), text_at(statement, 1), error);
    if (code == DRAY_OK) code = next_row(connection, statement, &row, error);
  }
  (void)sqlite3_finalize(statement);
  DRAY_TRY(code);
  return dray_catalog_end(&json, NULL, out_json, error);
}
