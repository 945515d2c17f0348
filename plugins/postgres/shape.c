// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// A table that is followed, as the server's catalogue has it: whether it is in the log at all, its columns, and what
// the log tells of a row that is gone or was another one before: the replica identity. By that alone a reader can find
// the row again, so it has to hold the reader's key, in the table and in each of its partitions.
#include "source.h"

#include <stdio.h>
#include <stdlib.h>

#define SQL_BYTES_MAX 4096
#define NAMES_BYTES_MAX (1u << 20)
#define VERSION_MIN 140000

static int32_t no_memory(struct dray_error *error) {
  return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to follow a table");
}

void pg_shape_free(struct pg_shape *shape) {
  for (size_t i = 0; shape->columns != NULL && i < shape->column_count; i++) free(shape->columns[i].name);
  free(shape->columns);
  *shape = (struct pg_shape){.table = 0};
}

const struct pg_shape_column *pg_shape_find(const struct pg_shape *shape, struct dray_str name) {
  for (size_t i = 0; i < shape->column_count; i++) {
    if (dray_str_is(name, shape->columns[i].name)) return &shape->columns[i];
  }
  return NULL;
}

// Whether a column is told of an old row: of the table `rel` the column `att`. A deferrable key is no identity, and
// what an index only includes is no part of it.
#define IS_IDENTITY(rel, att)                                                                                          \
  "(" rel ".relreplident = 'f' OR EXISTS (SELECT 1 FROM pg_catalog.pg_index i WHERE i.indrelid = " rel ".oid AND "     \
  "i.indisvalid AND i.indimmediate AND CASE " rel ".relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN "          \
  "i.indisreplident ELSE false END AND " att ".attnum = ANY ((i.indkey::pg_catalog.int2[])[0:i.indnkeyatts - 1])))"

#define SHAPE_SQL                                                                                                      \
  "SELECT a.attname, a.attnum, a.atttypid, a.atttypmod, a.atthasdef OR a.atthasmissing OR a.attidentity <> '',"        \
  " a.attgenerated <> '', a.attlen = -1 AND a.attstorage <> 'p', " IS_IDENTITY(                                        \
      "c",                                                                                                             \
      "a") ", c.oid, c.relkind,"                                                                                       \
           " c.relpersistence, c.relreplident, c.relkind = 'r' AND EXISTS (SELECT 1 FROM pg_catalog.pg_inherits h "    \
           "WHERE "                                                                                                    \
           "h.inhparent = c.oid), pg_catalog.current_setting('wal_level'), "                                           \
           "pg_catalog.current_setting('server_version_num'), pg_catalog.pg_is_in_recovery() "                         \
           "FROM pg_catalog.pg_class c JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT " \
           "a.attisdropped WHERE c.oid = $1::pg_catalog.regclass ORDER BY a.attnum"

enum {
  SHAPE_NAME,
  SHAPE_NUMBER,
  SHAPE_TYPE,
  SHAPE_MODIFIER,
  SHAPE_DEFAULT,
  SHAPE_GENERATED,
  SHAPE_LARGE,
  SHAPE_TELLS,
  SHAPE_OID,
  SHAPE_RELKIND,
  SHAPE_PERSISTENCE,
  SHAPE_IDENTITY,
  SHAPE_CHILDREN,
  SHAPE_WAL_LEVEL,
  SHAPE_VERSION,
  SHAPE_RECOVERY
};

static int is_true(const PGresult *result, int field) {
  return PQgetvalue(result, 0, field)[0] == 't';
}

static int32_t check_server(const PGresult *result, struct dray_error *error) {
  if (strtol(PQgetvalue(result, 0, SHAPE_VERSION), NULL, 10) < VERSION_MIN) {
    return dray_fail_field(error, DRAY_E_CONFIG_VALUE, "replication",
                           "following a table needs PostgreSQL 14 or newer: read it by a cursor");
  }
  if (is_true(result, SHAPE_RECOVERY)) {
    return dray_fail_field(error, DRAY_E_CONFIG_VALUE, "replication",
                           "the server is a replica, whose log is not followed: name the primary server in host");
  }
  if (strcmp(PQgetvalue(result, 0, SHAPE_WAL_LEVEL), "logical") != 0) {
    return dray_fail_field(
        error, DRAY_E_CONFIG_VALUE, "replication",
        "the server's wal_level is %s: ALTER SYSTEM SET wal_level = 'logical', and restart the server",
        PQgetvalue(result, 0, SHAPE_WAL_LEVEL));
  }
  return DRAY_OK;
}

// A publication of a table without identity would have the server refuse UPDATE and DELETE to everybody: never made.
static int32_t check_table(const PGresult *result, const struct pg_table *table, struct dray_error *error) {
  const char kind = PQgetvalue(result, 0, SHAPE_RELKIND)[0], identity = PQgetvalue(result, 0, SHAPE_IDENTITY)[0];
  if ((kind != 'r' && kind != 'p') || PQgetvalue(result, 0, SHAPE_PERSISTENCE)[0] != 'p' ||
      is_true(result, SHAPE_CHILDREN)) {
    return dray_fail_field(error, DRAY_E_CONFIG_VALUE, "replication",
                           "%.*s is %s, which is not in the server's log: read it by a cursor, or in full",
                           DRAY_STR_ARG(table->stream),
                           is_true(result, SHAPE_CHILDREN) ? "a table that others inherit from"
                           : kind == 'r' || kind == 'p'    ? "a temporary or unlogged table"
                                                           : "no table");
  }
  for (int row = 0; row < PQntuples(result); row++) {
    if (PQgetvalue(result, row, SHAPE_TELLS)[0] == 't') return DRAY_OK;
  }
  return dray_fail_field(
      error, DRAY_E_CONFIG_VALUE, "replication",
      "%.*s has no %s, so the log does not say which rows change: ALTER TABLE %.*s %s, or ALTER TABLE %.*s REPLICA "
      "IDENTITY FULL",
      DRAY_STR_ARG(table->stream), identity == 'd' ? "primary key (that is not deferrable)" : "replica identity",
      DRAY_STR_ARG(table->stream),
      identity == 'd' ? "ADD PRIMARY KEY (...)" : "REPLICA IDENTITY DEFAULT (or USING INDEX ...)",
      DRAY_STR_ARG(table->stream));
}

static int32_t take_shape(const PGresult *result, struct pg_shape *shape, struct dray_error *error) {
  const int count = PQntuples(result);
  shape->columns = calloc((size_t)count + 1, sizeof *shape->columns);
  if (shape->columns == NULL) return no_memory(error);
  shape->table = (Oid)strtoul(PQgetvalue(result, 0, SHAPE_OID), NULL, 10);
  shape->partitioned = PQgetvalue(result, 0, SHAPE_RELKIND)[0] == 'p';
  shape->identity_whole = PQgetvalue(result, 0, SHAPE_IDENTITY)[0] == 'f';
  for (int row = 0; row < count; row++) {
    struct pg_shape_column *column = &shape->columns[row];
    column->name = dray_str_dup(dray_str_of(PQgetvalue(result, row, SHAPE_NAME)));
    if (column->name == NULL) return no_memory(error);
    shape->column_count++;
    column->number = (int)strtol(PQgetvalue(result, row, SHAPE_NUMBER), NULL, 10);
    column->type = (Oid)strtoul(PQgetvalue(result, row, SHAPE_TYPE), NULL, 10);
    column->modifier = (int32_t)strtol(PQgetvalue(result, row, SHAPE_MODIFIER), NULL, 10);
    column->has_default = PQgetvalue(result, row, SHAPE_DEFAULT)[0] == 't';
    column->generated = PQgetvalue(result, row, SHAPE_GENERATED)[0] == 't';
    column->large = PQgetvalue(result, row, SHAPE_LARGE)[0] == 't';
    column->tells = PQgetvalue(result, row, SHAPE_TELLS)[0] == 't';
    shape->large |= column->large;
  }
  return DRAY_OK;
}

int32_t pg_shape_learn(struct dray_source *source, const struct pg_table *table, struct pg_shape *shape,
                       struct dray_error *error) {
  PGresult *result = NULL;
  struct dray_buffer name;
  dray_buffer_init(&name, SQL_BYTES_MAX);
  int32_t code = pg_table_write_name(table, &name, error);
  if (code == DRAY_OK) {
    const char *const params[] = {name.data};
    code = pg_log_ask(source, SHAPE_SQL, 1, params, &result, error);
  }
  if (code == DRAY_OK && PQntuples(result) == 0) {
    code = dray_fail(error, DRAY_E_SCHEMA_STREAM, "there is no table %.*s any more", DRAY_STR_ARG(table->stream));
  }
  if (code == DRAY_OK) code = check_server(result, error);
  if (code == DRAY_OK) code = check_table(result, table, error);
  if (code == DRAY_OK) code = take_shape(result, shape, error);
  PQclear(result);
  dray_buffer_free(&name);
  return code;
}

// The log does not hold generated columns.
int32_t pg_shape_leave_out(struct dray_source *source, const struct dray_read_request *request,
                           const struct pg_shape *shape, struct pg_table *table, struct dray_error *error) {
  size_t kept = 0;
  for (size_t i = 0; i < table->column_count; i++) {
    const struct pg_shape_column *column = pg_shape_find(shape, dray_str_of(table->columns[i].name));
    if (column != NULL && !column->generated) {
      table->not_null[kept] = table->not_null[i];
      table->columns[kept++] = table->columns[i];
      continue;
    }
    dray_log_printf(&source->engine->session.services, DRAY_LOG_WARN,
                    "%.*s: the column '%s' is generated, and the server's log does not hold it: it is left out",
                    DRAY_STR_ARG(request->stream), table->columns[i].name);
    free(table->columns[i].name);
  }
  table->column_count = kept;
  if (kept > 0) return DRAY_OK;
  return dray_fail(error, DRAY_E_SCHEMA_STREAM, "%.*s has no column in the log", DRAY_STR_ARG(request->stream));
}

// ---- the reader's key ----

static ptrdiff_t find_read(const struct pg_table *table, struct dray_str name) {
  for (size_t i = 0; i < table->column_count; i++) {
    if (dray_str_is(name, table->columns[i].name)) return (ptrdiff_t)i;
  }
  return -1;
}

static int32_t take_key(const struct dray_read_request *request, struct pg_table *table, struct dray_error *error) {
  const size_t needed = offsetof(struct dray_read_request, key_count) + sizeof request->key_count;
  const uint64_t count = request->struct_size >= needed ? request->key_count : 0;
  table->key = calloc(table->column_count + 1, 1);
  if (table->key == NULL) return no_memory(error);
  for (uint64_t k = 0; k < count; k++) {
    const ptrdiff_t at = find_read(table, request->key[k]);
    if (at < 0) {
      return dray_fail_field(error, DRAY_E_SCHEMA_COLUMN, "key",
                             "%.*s: the key column '%.*s' is not among the columns that are read from the log",
                             DRAY_STR_ARG(table->stream), DRAY_STR_ARG(request->key[k]));
    }
    table->key[at] = 1;
    table->keyed = 1;
  }
  return DRAY_OK;
}

// With REPLICA IDENTITY FULL every column is told: the reader's key tells better, or the table's, where there is one.
void pg_identity_narrow(const struct pg_table *table, uint8_t *identity) {
  int has_key = table->keyed;
  if (table->keyed) memcpy(identity, table->key, table->column_count);
  for (int pass = has_key ? 2 : 0; pass < 2; pass++) {
    for (size_t i = 0; i < table->column_count; i++) {
      for (int row = 0; row < PQntuples(table->all); row++) {
        if (strcmp(PQgetvalue(table->all, row, PG_COLUMN_NAME), table->columns[i].name) != 0) continue;
        const int key = strcmp(PQgetvalue(table->all, row, PG_COLUMN_KEY), "0") != 0;
        if (pass == 0) has_key |= key;
        if (pass == 1 && has_key) identity[i] = (uint8_t)key;
      }
    }
  }
}

const char *pg_identity_names(const struct pg_table *table, const uint8_t *marked, char out[PG_NAMES_BYTES]) {
  size_t len = 0;
  out[0] = '\0';
  for (size_t i = 0; i < table->column_count; i++) {
    if (!marked[i] || len >= PG_NAMES_BYTES) continue;
    const int more = snprintf(out + len, PG_NAMES_BYTES - len, "%s%s", len > 0 ? ", " : "", table->columns[i].name);
    len += more > 0 ? (size_t)more : 0;
  }
  return out;
}

// ---- whether the log tells it ----

static int32_t check_key(const struct pg_table *table, const struct pg_shape *shape, uint8_t *identity,
                         struct dray_error *error) {
  char told[PG_NAMES_BYTES], known[PG_NAMES_BYTES];
  int whole = 1;
  for (size_t i = 0; i < shape->column_count; i++) {
    const struct pg_shape_column *column = &shape->columns[i];
    const ptrdiff_t at = find_read(table, dray_str_of(column->name));
    if (at >= 0) identity[at] = (uint8_t)column->tells;
    if (at >= 0 || !column->tells || shape->identity_whole) continue;
    return dray_fail_field(error, DRAY_E_SCHEMA_COLUMN, "columns",
                           "%.*s: the column '%s' tells rows apart in the server's log (it is of the replica "
                           "identity): it must be read as well, or ALTER TABLE %.*s REPLICA IDENTITY FULL",
                           DRAY_STR_ARG(table->stream), column->name, DRAY_STR_ARG(table->stream));
  }
  for (size_t i = 0; i < table->column_count; i++) whole &= identity[i] || !table->key[i];
  if (whole) return DRAY_OK;
  (void)pg_identity_names(table, identity, told);
  (void)pg_identity_names(table, table->key, known);
  return dray_fail_field(error, DRAY_E_CONFIG_VALUE, "key",
                         "the log tells the rows of %.*s apart by %s (the replica identity), and this sync knows them "
                         "by %s: rows that are deleted or get another key would be lost. ALTER TABLE %.*s REPLICA "
                         "IDENTITY FULL, or USING INDEX of a unique index with %s in it, or `key: [%s]`",
                         DRAY_STR_ARG(table->stream), told, known, DRAY_STR_ARG(table->stream), known, told);
}

// The log holds the old rows of a partition as the partition's own identity says, whatever the table's is.
#define PARTITION_SQL                                                                                                  \
  "SELECT c.oid::pg_catalog.regclass, c.relkind <> 'r' OR c.relpersistence <> 'p' "                                    \
  "FROM pg_catalog.pg_partition_tree($1::pg_catalog.oid) p JOIN pg_catalog.pg_class c ON c.oid = p.relid "             \
  "WHERE p.isleaf AND (c.relkind <> 'r' OR c.relpersistence <> 'p' OR EXISTS (SELECT 1 FROM "                          \
  "pg_catalog.json_array_elements_text($2::pg_catalog.json) AS u(name) WHERE NOT EXISTS (SELECT 1 FROM "               \
  "pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attname = u.name::pg_catalog.name AND NOT a.attisdropped " \
  "AND " IS_IDENTITY("c", "a") "))) ORDER BY 1 LIMIT 1"

static int32_t write_names(const struct pg_table *table, const uint8_t *identity, struct dray_buffer *out,
                           struct dray_error *error) {
  struct dray_json_writer json;
  dray_json_writer_init(&json, out, error);
  dray_json_begin_array(&json);
  for (size_t i = 0; i < table->column_count; i++) {
    if (identity[i]) dray_json_write_text(&json, table->columns[i].name);
  }
  dray_json_end_array(&json);
  return dray_json_writer_finish(&json);
}

static int32_t fail_partition(const PGresult *result, const struct pg_table *table, const uint8_t *identity,
                              struct dray_error *error) {
  char names[PG_NAMES_BYTES];
  const char *partition = PQgetvalue(result, 0, 0);
  if (is_true(result, 1)) {
    return dray_fail_field(error, DRAY_E_CONFIG_VALUE, "replication",
                           "the partition %s of %.*s is unlogged or foreign, and what changes in it is not in the "
                           "server's log: read the table by a cursor, or in full",
                           partition, DRAY_STR_ARG(table->stream));
  }
  return dray_fail_field(error, DRAY_E_CONFIG_VALUE, "key",
                         "the partition %s of %.*s has a replica identity of its own, without %s, by which rows are "
                         "known: those that are deleted or get another key would be lost. ALTER TABLE %s REPLICA "
                         "IDENTITY FULL",
                         partition, DRAY_STR_ARG(table->stream), pg_identity_names(table, identity, names), partition);
}

static int32_t check_partitions(struct dray_source *source, const struct pg_table *table, const struct pg_shape *shape,
                                const uint8_t *identity, struct dray_error *error) {
  struct dray_buffer names;
  PGresult *result = NULL;
  char oid[24];
  if (!shape->partitioned) return DRAY_OK;
  (void)snprintf(oid, sizeof oid, "%lu", (unsigned long)shape->table);
  dray_buffer_init(&names, NAMES_BYTES_MAX);
  int32_t code = write_names(table, identity, &names, error);
  if (code == DRAY_OK) {
    const char *const params[] = {oid, names.data};
    code = pg_log_ask(source, PARTITION_SQL, 2, params, &result, error);
  }
  if (code == DRAY_OK && PQntuples(result) > 0) code = fail_partition(result, table, identity, error);
  PQclear(result);
  dray_buffer_free(&names);
  return code;
}

int32_t pg_identity_check(struct dray_source *source, const struct dray_read_request *request,
                          const struct pg_shape *shape, struct pg_table *table, struct dray_error *error) {
  DRAY_TRY(take_key(request, table, error));
  uint8_t *identity = calloc(table->column_count + 1, 1);
  if (identity == NULL) return no_memory(error);
  int32_t code = check_key(table, shape, identity, error);
  if (code == DRAY_OK && shape->identity_whole) pg_identity_narrow(table, identity);
  if (code == DRAY_OK) code = check_partitions(source, table, shape, identity, error);
  free(identity);
  return code;
}
