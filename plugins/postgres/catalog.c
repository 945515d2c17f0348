// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What tables there are, and of what columns: pg_catalog's answers as dray's schemas and catalogue.
#include <stdlib.h>

#include "source.h"

#define OWN_PREFIX "_dray_"
#define NAME_BYTES_MAX 1024
enum {
  OID_INT2 = 21,
  OID_INT4 = 23,
  OID_VARCHAR = 1043,
  OID_TIMESTAMP = 1114,
  OID_TIMESTAMPTZ = 1184,
  OID_NUMERIC = 1700,
  OID_JSONB = 3802
};

// A column of a domain is one of the type below it, which domains may stand on in several layers; the innermost one's
// modifier counts. The key is the primary key, or else the first unique index over columns that are never null and are
// not dray's own. All collations are deterministic in servers before 12, which have no column that says so.
#define COLUMNS_SQL                                                                                                    \
  "WITH RECURSIVE base(oid, above, modifier, required, filled) AS ("                                                   \
  "  SELECT t.oid, t.oid, -1, false, false FROM pg_catalog.pg_type t WHERE t.typtype <> 'd'"                           \
  "  UNION ALL SELECT b.oid, t.oid, CASE WHEN b.above = b.oid THEN t.typtypmod ELSE b.modifier END,"                   \
  "   b.required OR t.typnotnull, b.filled OR t.typdefault IS NOT NULL"                                                \
  "  FROM base b JOIN pg_catalog.pg_type t ON t.typtype = 'd' AND t.typbasetype = b.above) "                           \
  "SELECT a.attname, b.oid, CASE WHEN b.oid = b.above THEN a.atttypmod ELSE b.modifier END, t.typcategory, t.typtype," \
  " a.attnotnull, coalesce(array_position(k.places, a.attnum), 0), n.nspname, c.relname, c.relkind, b.required,"       \
  " a.atthasdef OR a.attidentity <> '' OR b.filled,"                                                                   \
  " coalesce((to_jsonb(l) ->> 'collisdeterministic') = 'false', false) "                                               \
  "FROM pg_catalog.pg_class c"                                                                                         \
  " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"                                                          \
  " JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"                      \
  " JOIN base b ON b.above = a.atttypid"                                                                               \
  " JOIN pg_catalog.pg_type t ON t.oid = b.oid"                                                                        \
  " LEFT JOIN pg_catalog.pg_collation l ON l.oid = a.attcollation"                                                     \
  " LEFT JOIN LATERAL (SELECT (i.indkey::int2[])[0:i.indnkeyatts - 1] AS places FROM pg_catalog.pg_index i"            \
  "  WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL"         \
  "  AND (i.indisprimary OR NOT EXISTS (SELECT 1 FROM pg_catalog.pg_attribute x WHERE x.attrelid = c.oid"              \
  "   AND x.attnum = ANY((i.indkey::int2[])[0:i.indnkeyatts - 1])"                                                     \
  "   AND (NOT x.attnotnull OR x.attname LIKE '\\_dray\\_%')))"                                                        \
  "  ORDER BY i.indisprimary DESC, i.indexrelid LIMIT 1) k ON true "                                                   \
  "WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')"

int32_t pg_quote(struct dray_str name, struct dray_buffer *out, struct dray_error *error) {
  DRAY_TRY(dray_buffer_append_char(out, '"', error));
  for (uint64_t i = 0; i < name.len; i++) {
    if (name.data[i] == '\0') return dray_fail(error, DRAY_E_SCHEMA_NAME, "a name holds a NUL");
    if (name.data[i] == '"') DRAY_TRY(dray_buffer_append_char(out, '"', error));
    DRAY_TRY(dray_buffer_append_char(out, name.data[i], error));
  }
  return dray_buffer_append_char(out, '"', error);
}

// A name without a schema is what SQL would find by it: the search path, temporary tables first.
int32_t pg_catalog_columns(struct pg_link *link, struct dray_str schema, struct dray_str table, PGresult **out,
                           struct dray_error *error) {
  static const char in_schema[] = COLUMNS_SQL " AND n.nspname = $1 AND c.relname = $2 ORDER BY a.attnum";
  static const char in_path[] =
      COLUMNS_SQL " AND c.oid = pg_catalog.to_regclass(pg_catalog.quote_ident($1)) ORDER BY a.attnum";
  char *schema_text = dray_str_dup(schema), *table_text = dray_str_dup(table);
  int32_t code = DRAY_OK;
  if (schema_text == NULL || table_text == NULL) {
    code = dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for the name of a table");
  } else if (schema.len > 0) {
    const char *const params[] = {schema_text, table_text};
    code = pg_link_ask(link, in_schema, 2, params, "describing a table", out, error);
  } else {
    const char *const params[] = {table_text};
    code = pg_link_ask(link, in_path, 1, params, "describing a table", out, error);
  }
  free(schema_text);
  free(table_text);
  return code;
}

static int32_t number_at(const PGresult *result, int row, int column) {
  return (int32_t)strtol(PQgetvalue(result, row, column), NULL, 10);
}

struct pg_column pg_catalog_column(const PGresult *result, int row) {
  struct pg_column column = {.oid = (Oid)strtoul(PQgetvalue(result, row, PG_COLUMN_OID), NULL, 10),
                             .modifier = number_at(result, row, PG_COLUMN_MODIFIER)};
  pg_column_decide(&column, PQgetvalue(result, row, PG_COLUMN_CATEGORY)[0], PQgetvalue(result, row, PG_COLUMN_KIND)[0]);
  return column;
}

static int is_not_null(const PGresult *result, int row) {
  return PQgetvalue(result, row, PG_COLUMN_NOT_NULL)[0] == 't';
}

// ---- describe ----

static Oid oid_at(const PGresult *result, int row) {
  return (Oid)strtoul(PQgetvalue(result, row, PG_COLUMN_OID), NULL, 10);
}

// The type that a column takes without changing a value. id 0: none, and dray must not write there.
static struct dray_type writable_type(const PGresult *result, int row) {
  const struct pg_type *type = pg_type_find(oid_at(result, row));
  if (type == NULL || type->writes == 0) return (struct dray_type){0, 0, 0};
  if (type->writes != DRAY_TYPE_DECIMAL) return (struct dray_type){type->writes, 0, 0};
  const int32_t modifier = number_at(result, row, PG_COLUMN_MODIFIER);
  if (modifier < 4) return (struct dray_type){DRAY_TYPE_DECIMAL, DRAY_DECIMAL_PRECISION_MAX, 9};
  return pg_decimal_scale(modifier) < 0 ? (struct dray_type){0, 0, 0} : pg_decimal_of(modifier);
}

static int32_t mark_range(struct ArrowSchema *column, const char *min, const char *max, struct dray_error *error) {
  DRAY_TRY(dray_schema_mark(column, DRAY_MARK_VALUE_MIN, min, error));
  return dray_schema_mark(column, DRAY_MARK_VALUE_MAX, max, error);
}

// numeric(2,5) is read as decimal(5,5), of which it takes two digits, the last.
static int32_t mark_numeric(struct ArrowSchema *column, int32_t modifier, struct dray_error *error) {
  char text[DRAY_DECIMAL_PRECISION_MAX + 4] = "-0.";
  size_t n = 3;
  const int32_t precision = modifier < 4 ? 0 : ((modifier - 4) >> 16) & 0xffff, scale = pg_decimal_scale(modifier);
  if (modifier < 4 || scale <= precision || scale > DRAY_DECIMAL_PRECISION_MAX) return DRAY_OK;
  for (int32_t place = 1; place <= scale; place++) text[n++] = place <= scale - precision ? '0' : '9';
  text[n] = '\0';
  return mark_range(column, text, text + 1, error);
}

// What a column does not take of its type's values. Modifiers of texts and numbers count four more.
static int32_t mark_column(const PGresult *result, int row, struct ArrowSchema *column, struct dray_error *error) {
  const int32_t modifier = number_at(result, row, PG_COLUMN_MODIFIER);
  const char digits[2] = {(char)('0' + (modifier >= 0 && modifier < 6 ? modifier : 0)), '\0'};
  if (number_at(result, row, PG_COLUMN_KEY) > 0) DRAY_TRY(dray_schema_mark_key(column, error));
  if (PQgetvalue(result, row, PG_COLUMN_DEFAULT)[0] == 't') {
    DRAY_TRY(dray_schema_mark(column, DRAY_MARK_DEFAULT, "true", error));
  }
  switch (oid_at(result, row)) {
  case OID_INT2:
    return mark_range(column, "-32768", "32767", error);
  case OID_INT4:
    return mark_range(column, "-2147483648", "2147483647", error);
  case OID_NUMERIC:
    return mark_numeric(column, modifier, error);
  case OID_JSONB:
    return dray_schema_mark(column, DRAY_MARK_JSON, DRAY_JSON_POSTGRES_BINARY, error);
  case OID_TIMESTAMP:
  case OID_TIMESTAMPTZ: // the server would round, in silence
    return modifier >= 0 && modifier < 6 ? dray_schema_mark(column, DRAY_MARK_DIGITS, digits, error) : DRAY_OK;
  case OID_VARCHAR:
    return modifier > 4 ? dray_schema_mark_number(column, DRAY_MARK_LENGTH_MAX, (uint64_t)modifier - 4, error)
                        : DRAY_OK;
  default:
    return DRAY_OK;
  }
}

// Columns that are not for writing get a format that is none of the nine: an operator's own column, to be left alone.
static int32_t make_schema(const PGresult *result, struct ArrowSchema *out, struct dray_error *error) {
  const int count = PQntuples(result);
  struct dray_column_def *defs = calloc((size_t)count, sizeof *defs);
  struct ArrowSchema schema = {.release = NULL};
  if (defs == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a schema");
  for (int i = 0; i < count; i++) {
    const struct dray_type type = writable_type(result, i);
    const struct dray_type text = {DRAY_TYPE_STRING, 0, 0};
    const int required = is_not_null(result, i) || PQgetvalue(result, i, PG_COLUMN_REQUIRED)[0] == 't';
    defs[i] = (struct dray_column_def){PQgetvalue(result, i, PG_COLUMN_NAME), type.id != 0 ? type : text, !required};
  }
  int32_t code = dray_schema_make(defs, (size_t)count, &schema, error);
  for (int i = 0; code == DRAY_OK && i < count; i++) {
    if (writable_type(result, i).id == 0) schema.children[i]->format = "vu"; // Arrow's string view
    code = mark_column(result, i, schema.children[i], error);
    const int loose = PQgetvalue(result, i, PG_COLUMN_LOOSE)[0] == 't';
    if (code == DRAY_OK && loose) code = dray_schema_mark_loose(schema.children[i], error);
  }
  free(defs);
  if (code != DRAY_OK) {
    dray_schema_release(&schema);
    return code;
  }
  *out = schema;
  return DRAY_OK;
}

int32_t pg_catalog_describe(struct dray_warehouse *warehouse, struct dray_str schema, struct dray_str table,
                            struct ArrowSchema *out, uint32_t *out_found, struct dray_error *error) {
  PGresult *columns = NULL;
  DRAY_TRY(pg_catalog_columns(warehouse->link, schema, table, &columns, error));
  const uint32_t found = PQntuples(columns) > 0;
  const int32_t code = found ? make_schema(columns, out, error) : DRAY_OK;
  PQclear(columns);
  if (code == DRAY_OK) *out_found = found;
  return code;
}

// ---- columns of another type ----

// What ALTER COLUMN ... TYPE is refused for: views and rules, triggers, policies, publications and generated columns
// that name the column. Indexes, keys, defaults and CHECKs the server makes anew itself.
static const char holds_sql[] =
    "SELECT pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid) FROM pg_catalog.pg_depend d JOIN "
    "pg_catalog.pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid LEFT JOIN pg_catalog.pg_attrdef "
    "e "
    "ON d.classid = 'pg_catalog.pg_attrdef'::regclass AND e.oid = d.objid WHERE d.refclassid = "
    "'pg_catalog.pg_class'::regclass AND d.refobjid = pg_catalog.to_regclass($1) AND a.attname = $2 AND (d.classid IN "
    "(SELECT c.oid FROM pg_catalog.pg_class c WHERE c.relnamespace = 'pg_catalog'::regnamespace AND c.relname IN "
    "('pg_rewrite', 'pg_trigger', 'pg_policy', 'pg_publication_rel')) OR e.adnum <> a.attnum) LIMIT 1";

static int32_t refuse_held(struct pg_link *link, const char *table, struct dray_str column, struct dray_error *error) {
  PGresult *result = NULL;
  char *name = dray_str_dup(column);
  const char *const params[] = {table, name};
  int32_t code = name != NULL ? DRAY_OK : dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a name");
  if (code == DRAY_OK) code = pg_link_ask(link, holds_sql, 2, params, "looking at what names a column", &result, error);
  if (code == DRAY_OK && PQntuples(result) > 0) {
    code = dray_fail_field(error, DRAY_E_SCHEMA_DRIFT, name,
                           "column '%s' cannot get another type: %s hangs on it. Drop the view, trigger, policy or "
                           "generated column, run the sync, and make it anew (`dray plan` shows the statements)",
                           name, PQgetvalue(result, 0, 0));
  }
  PQclear(result);
  free(name);
  return code;
}

int32_t pg_catalog_retype(struct pg_link *link, struct dray_str schema, struct dray_str table,
                          const struct dray_str *columns, uint64_t count, struct dray_error *error) {
  struct dray_buffer name;
  dray_buffer_init(&name, NAME_BYTES_MAX);
  int32_t code = schema.len > 0 ? pg_quote(schema, &name, error) : DRAY_OK;
  if (code == DRAY_OK && schema.len > 0) code = dray_buffer_append_char(&name, '.', error);
  if (code == DRAY_OK) code = pg_quote(table, &name, error);
  for (uint64_t i = 0; code == DRAY_OK && i < count; i++) code = refuse_held(link, name.data, columns[i], error);
  dray_buffer_free(&name);
  return code;
}

// ---- discover ----

static const char *kind_name(char relkind) {
  switch (relkind) {
  case 'v':
    return "view";
  case 'm':
    return "materialized view";
  case 'f':
    return "foreign table";
  case 'p':
    return "partitioned table";
  default:
    return "table";
  }
}

struct pg_listing {
  int as_source, replication;
  const char *schema; // the first of the search path
};

static int is_own(const char *name) {
  return strncmp(name, OWN_PREFIX, strlen(OWN_PREFIX)) == 0;
}

// Rows [first, end) are the columns of one table.
static void write_columns(struct dray_json_writer *json, const PGresult *result, int first, int end) {
  char type[24];
  dray_json_key(json, "columns");
  dray_json_begin_array(json);
  for (int row = first; row < end; row++) {
    const struct pg_column column = pg_catalog_column(result, row);
    if (is_own(PQgetvalue(result, row, PG_COLUMN_NAME))) continue;
    dray_json_begin_object(json);
    dray_json_key(json, "name");
    dray_json_write_text(json, PQgetvalue(result, row, PG_COLUMN_NAME));
    dray_json_key(json, "type");
    dray_json_write_text(json, dray_type_format(column.type, type, sizeof type));
    dray_json_key(json, "nullable");
    dray_json_write_bool(json, !is_not_null(result, row));
    dray_json_end_object(json);
  }
  dray_json_end_array(json);
}

static void write_key(struct dray_json_writer *json, const PGresult *result, int first, int end) {
  dray_json_key(json, "primary_key");
  dray_json_begin_array(json);
  for (int place = 1; place <= end - first; place++) {
    for (int row = first; row < end; row++) {
      if (number_at(result, row, PG_COLUMN_KEY) == place)
        dray_json_write_text(json, PQgetvalue(result, row, PG_COLUMN_NAME));
    }
  }
  dray_json_end_array(json);
}

static int has_key(const PGresult *result, int first, int end) {
  int found = 0;
  for (int row = first; row < end; row++) found |= number_at(result, row, PG_COLUMN_KEY) > 0;
  return found;
}

// How a source's stream of this table is called and read: names of the first schema stand alone.
static void write_stream(struct dray_json_writer *json, const PGresult *result, int first, int end,
                         const struct pg_listing *listing) {
  const char *schema = PQgetvalue(result, first, PG_COLUMN_SCHEMA);
  const char kind = PQgetvalue(result, first, PG_COLUMN_RELKIND)[0];
  const int log = listing->replication && (kind == 'r' || kind == 'p') && has_key(result, first, end);
  struct dray_buffer name;
  dray_buffer_init(&name, PG_STREAM_BYTES_MAX);
  const int32_t code =
      dray_table_name_write(dray_str_of(strcmp(schema, listing->schema) == 0 ? "" : schema),
                            dray_str_of(PQgetvalue(result, first, PG_COLUMN_TABLE)), &name, json->error);
  if (code != DRAY_OK && json->failed == DRAY_OK) json->failed = code;
  dray_json_key(json, "name");
  dray_json_write_str(json, dray_buffer_view(&name));
  dray_buffer_free(&name);
  dray_json_key(json, "modes");
  dray_json_begin_array(json);
  dray_json_write_text(json, "full");
  if (log) dray_json_write_text(json, "incremental");
  dray_json_end_array(json);
  dray_json_key(json, "changes");
  dray_json_write_bool(json, log);
}

static void write_table(struct dray_json_writer *json, const PGresult *result, int first, int end,
                        const struct pg_listing *listing) {
  dray_json_begin_object(json);
  if (listing->as_source) {
    write_stream(json, result, first, end, listing);
  } else {
    dray_json_key(json, "name");
    dray_json_write_text(json, PQgetvalue(result, first, PG_COLUMN_TABLE));
    dray_json_key(json, "modes");
    dray_json_begin_array(json);
    dray_json_write_text(json, "full");
    dray_json_end_array(json);
  }
  dray_json_key(json, "schema");
  dray_json_write_text(json, PQgetvalue(result, first, PG_COLUMN_SCHEMA));
  write_columns(json, result, first, end);
  write_key(json, result, first, end);
  dray_json_key(json, "cursor");
  dray_json_write_null(json);
  dray_json_key(json, "description");
  dray_json_write_text(json, kind_name(PQgetvalue(result, first, PG_COLUMN_RELKIND)[0]));
  dray_json_end_object(json);
}

static int same_table(const PGresult *result, int a, int b) {
  return strcmp(PQgetvalue(result, a, PG_COLUMN_SCHEMA), PQgetvalue(result, b, PG_COLUMN_SCHEMA)) == 0 &&
         strcmp(PQgetvalue(result, a, PG_COLUMN_TABLE), PQgetvalue(result, b, PG_COLUMN_TABLE)) == 0;
}

int32_t pg_catalog_discover(struct dray_warehouse *warehouse, struct dray_str *out_json, struct dray_error *error) {
  static const char all[] =
      COLUMNS_SQL " AND NOT c.relispartition AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'"
                  " AND c.relname NOT LIKE '\\_dray\\_%' AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')"
                  " AND pg_catalog.has_any_column_privilege(c.oid, 'SELECT')"
                  " ORDER BY n.nspname, c.relname, a.attnum";
  struct dray_json_writer json;
  PGresult *result = NULL, *path = NULL;
  DRAY_TRY(pg_link_ask(warehouse->link, all, 0, NULL, "listing tables", &result, error));
  const int32_t code = pg_link_ask(warehouse->link, "SELECT coalesce(pg_catalog.current_schema(), '')", 0, NULL,
                                   "listing tables", &path, error);
  if (code != DRAY_OK) {
    PQclear(result);
    return code;
  }
  const struct pg_listing listing = {warehouse->as_source, warehouse->session.settings.replication,
                                     PQgetvalue(path, 0, 0)};
  dray_catalog_begin(&json, &warehouse->answer, "streams", error);
  for (int first = 0, end = 0; first < PQntuples(result); first = end) {
    for (end = first + 1; end < PQntuples(result) && same_table(result, first, end);) end++;
    write_table(&json, result, first, end, &listing);
  }
  PQclear(result);
  PQclear(path);
  return dray_catalog_end(&json, NULL, out_json, error);
}
