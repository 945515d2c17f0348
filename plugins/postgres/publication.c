// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Publications: one that dray makes for a table, or one that was made by hand. What a publication leaves out is not in
// the stream, and nothing in the stream says so: so it must leave out nothing, and must have been so since the
// checkpoint.
#include "source.h"

#include <stdio.h>
#include <stdlib.h>

#define SQL_BYTES_MAX 4096
#define NAMES_BYTES_MAX (1u << 18)

// ---- whether it publishes all that is read ----

// $1: the publication, $2 and $3: the table, $4: its oid. The mark changes with whatever is done to the publication
// itself or to the table's place in it. Row filters and lists of columns are of version 15.
#define CHECK_SQL(more)                                                                                                \
  "SELECT t.tablename IS NOT NULL, p.pubinsert AND p.pubupdate AND p.pubdelete AND p.pubtruncate, "                    \
  "pg_catalog.to_jsonb(t) ->> 'rowfilter', pg_catalog.to_jsonb(t) ->> 'attnames', t.tablename IS NULL AND EXISTS "     \
  "(SELECT 1 FROM pg_catalog.pg_partition_tree($4::pg_catalog.oid) r JOIN pg_catalog.pg_class c ON c.oid = r.relid "   \
  "JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace JOIN pg_catalog.pg_publication_tables x ON x.pubname = "   \
  "p.pubname AND x.schemaname = n.nspname AND x.tablename = c.relname), "                                              \
  "pg_catalog.concat_ws('.', p.oid, p.xmin, (SELECT m.xmin FROM pg_catalog.pg_publication_rel m WHERE m.prpubid = "    \
  "p.oid AND m.prrelid = $4::pg_catalog.oid)" more ") "                                                                \
  "FROM pg_catalog.pg_publication p LEFT JOIN pg_catalog.pg_publication_tables t ON t.pubname = p.pubname AND "        \
  "t.schemaname = $2 AND t.tablename = $3 WHERE p.pubname = $1"
#define OF_SCHEMA                                                                                                      \
  ", (SELECT s.xmin FROM pg_catalog.pg_publication_namespace s JOIN pg_catalog.pg_namespace n ON n.oid = s.pnnspid "   \
  "WHERE s.pnpubid = p.oid AND n.nspname = $2)"

enum { CHECK_LISTED, CHECK_WHOLE, CHECK_FILTER, CHECK_COLUMNS, CHECK_PARTITIONS, CHECK_MARK };

static int is_true(const PGresult *result, int field) {
  return PQgetvalue(result, 0, field)[0] == 't';
}

static int has_name(const struct dray_json *names, const char *name) {
  for (const struct dray_json *each = names->child; each != NULL; each = each->next) {
    if (dray_str_is(each->text, name)) return 1;
  }
  return 0;
}

static int32_t check_columns(const struct pg_table *table, const char *publication, const char *names,
                             struct dray_error *error) {
  struct dray_json *json = NULL;
  const char *lacks = NULL;
  DRAY_TRY(dray_json_parse(dray_str_of(names), NAMES_BYTES_MAX, &json, error));
  for (size_t i = 0; lacks == NULL && i < table->column_count; i++) {
    if (!has_name(json, table->columns[i].name)) lacks = table->columns[i].name;
  }
  dray_json_free(json);
  if (lacks == NULL) return DRAY_OK;
  return dray_fail_field(error, DRAY_E_CONFIG_VALUE, "publication",
                         "the publication %s has a list of columns for %.*s without '%s', which would never arrive: "
                         "publish the table without a list, or leave the column out of the sync's `columns`",
                         publication, DRAY_STR_ARG(table->stream), lacks);
}

static int32_t check_listed(const PGresult *result, const struct pg_table *table, const char *publication,
                            struct dray_error *error) {
  if (!is_true(result, CHECK_WHOLE)) {
    return dray_fail_field(error, DRAY_E_CONFIG_VALUE, "publication",
                           "the publication %s does not publish insert, update, delete and truncate: ALTER PUBLICATION "
                           "\"%s\" SET (publish = 'insert, update, delete, truncate')",
                           publication, publication);
  }
  if (!PQgetisnull(result, 0, CHECK_FILTER)) {
    return dray_fail_field(error, DRAY_E_CONFIG_VALUE, "publication",
                           "the publication %s has a row filter for %.*s, WHERE %s: rows outside it are read at first "
                           "and never change afterwards. Publish the table without WHERE, and filter in a model",
                           publication, DRAY_STR_ARG(table->stream), PQgetvalue(result, 0, CHECK_FILTER));
  }
  if (PQgetisnull(result, 0, CHECK_COLUMNS)) return DRAY_OK;
  return check_columns(table, publication, PQgetvalue(result, 0, CHECK_COLUMNS), error);
}

int32_t pg_publication_check(struct dray_source *source, const struct pg_table *table, const struct pg_shape *shape,
                             const char *publication, char out_mark[PG_MARK_BYTES], struct dray_error *error) {
  static const char old_sql[] = CHECK_SQL(""), sql[] = CHECK_SQL(OF_SCHEMA);
  char oid[24];
  PGresult *result = NULL;
  int32_t code = DRAY_OK;
  (void)snprintf(oid, sizeof oid, "%lu", (unsigned long)shape->table);
  const char *const params[] = {publication, table->schema, table->name, oid};
  DRAY_TRY(pg_enter(source->engine, error));
  const int old = PQserverVersion(source->engine->link->conn) < 150000;
  DRAY_TRY(pg_log_ask(source, old ? old_sql : sql, 4, params, &result, error));
  const int found = PQntuples(result) > 0;
  const int listed = found && is_true(result, CHECK_LISTED);
  if (listed) {
    code = check_listed(result, table, publication, error);
  } else if (found && is_true(result, CHECK_PARTITIONS)) {
    code = dray_fail_field(error, DRAY_E_CONFIG_VALUE, "publication",
                           "the publication %s publishes the partitions of %.*s each by itself: ALTER PUBLICATION "
                           "\"%s\" SET (publish_via_partition_root = true)",
                           publication, DRAY_STR_ARG(table->stream), publication);
  }
  if (code == DRAY_OK) (void)snprintf(out_mark, PG_MARK_BYTES, "%s", listed ? PQgetvalue(result, 0, CHECK_MARK) : "");
  PQclear(result);
  return code;
}

int32_t pg_publication_check_own(struct dray_source *source, const struct pg_table *table, const struct pg_shape *shape,
                                 struct dray_error *error) {
  const char *own = source->engine->session.settings.publication;
  char mark[PG_MARK_BYTES];
  if (own == NULL) return DRAY_OK;
  DRAY_TRY(pg_publication_check(source, table, shape, own, mark, error));
  if (mark[0] != '\0') return DRAY_OK;
  return dray_fail_field(error, DRAY_E_CONFIG_VALUE, "publication",
                         "there is no publication %s with the table %.*s: ALTER PUBLICATION \"%s\" ADD TABLE %.*s", own,
                         DRAY_STR_ARG(table->stream), own, DRAY_STR_ARG(table->stream));
}

// ---- making and removing ----

int32_t pg_publication_make(struct dray_source *source, const struct pg_table *table, const char *name,
                            struct dray_error *error) {
  struct dray_buffer sql;
  dray_buffer_init(&sql, SQL_BYTES_MAX);
  int32_t code = dray_buffer_printf(
      &sql, error, "DROP PUBLICATION IF EXISTS \"%s\"; CREATE PUBLICATION \"%s\" FOR TABLE ", name, name);
  if (code == DRAY_OK) code = pg_table_write_name(table, &sql, error);
  if (code == DRAY_OK) code = dray_buffer_append_str(&sql, " WITH (publish_via_partition_root = true)", error);
  if (code == DRAY_OK) code = pg_enter(source->engine, error);
  if (code == DRAY_OK) code = pg_link_run(source->engine->link, sql.data, "making a publication", error);
  dray_buffer_free(&sql);
  if (code != DRAY_E_AUTH_FORBIDDEN) return code;
  return dray_fail_field(error, code, "publication",
                         "only the owner of %.*s with CREATE on the database may publish it. Have it made: CREATE "
                         "PUBLICATION dray FOR TABLE %.*s WITH (publish_via_partition_root = true); and name it: "
                         "`publication: dray`",
                         DRAY_STR_ARG(table->stream), DRAY_STR_ARG(table->stream));
}

int32_t pg_publication_drop(struct dray_source *source, const char *name, int *out_dropped, struct dray_error *error) {
  const char *const params[] = {name};
  PGresult *result = NULL;
  char sql[2 * PG_SLOT_BYTES];
  *out_dropped = 0;
  DRAY_TRY(pg_log_ask(source, "SELECT 1 FROM pg_catalog.pg_publication WHERE pubname = $1", 1, params, &result, error));
  const int found = PQntuples(result) > 0;
  PQclear(result);
  if (!found) return DRAY_OK;
  (void)snprintf(sql, sizeof sql, "DROP PUBLICATION IF EXISTS \"%s\"", name); // a name of our making: no quotes in it
  DRAY_TRY(pg_link_run(source->engine->link, sql, "removing a publication", error));
  *out_dropped = 1;
  return DRAY_OK;
}
