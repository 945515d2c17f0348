// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Other types for columns of a table. MODIFY COLUMN says all of a column anew, and what is not said of it is gone: its
// default, its comment, NOT NULL. So it is said as the server itself says it in SHOW CREATE TABLE, one line a column,
// with another type in place of the old one. Whether the server takes that is tried by the host, on a temporary table;
// foreign keys, which those do not have, are asked for here.
#include <stdio.h>
#include <strings.h>

#include "warehouse.h"

#define SQL_BYTES_MAX (4u << 20)
#define DOING "looking at how a table was made"

static int32_t cannot(struct dray_str column, const char *why, struct dray_error *error) {
  char name[256];
  (void)snprintf(name, sizeof name, "%.*s", DRAY_STR_ARG(column));
  return dray_fail_field(error, DRAY_E_SCHEMA_DRIFT, name, "column '%s' cannot get another type: %s", name, why);
}

// ---- a line of SHOW CREATE TABLE ----

// Behind "  `name`" of the line that is the column's, or NULL.
static const char *find_line(const char *sql, const char *quoted) {
  const size_t len = strlen(quoted);
  for (const char *line = strchr(sql, '\n'); line != NULL; line = strchr(line, '\n')) {
    line++;
    while (*line == ' ') line++;
    if (strncmp(line, quoted, len) == 0) return line + len;
  }
  return NULL;
}

// Goes past 'text' with quotes doubled, or (...) with whatever is in it; else one byte.
static const char *skip_item(const char *at) {
  int depth = 0;
  do {
    if (*at == '\'' || *at == '`') {
      const char quote = *at;
      for (at++; *at != '\0' && *at != quote; at++) {
        if (*at == '\\' && quote == '\'' && at[1] != '\0') at++;
      }
      if (*at == '\0') return at;
    } else if (*at == '(') {
      depth++;
    } else if (*at == ')') {
      depth--;
    }
    at++;
  } while (depth > 0 && *at != '\0');
  return at;
}

static int is_blank(char c) {
  return c == ' ' || c == '\t';
}

static const char *skip_word(const char *at) {
  while (is_blank(*at)) at++;
  while (*at != '\0' && *at != '\n' && *at != ',' && !is_blank(*at)) at = skip_item(at);
  return at;
}

static int begins(const char *at, const char *word) {
  const size_t len = strlen(word);
  while (is_blank(*at)) at++;
  return strncasecmp(at, word, len) == 0 && (at[len] == '\0' || strchr(" ,\n", at[len]) != NULL);
}

// What stands behind a type and belongs to it.
static const struct {
  const char *words;
  int count;
} attributes[] = {{"unsigned", 1}, {"zerofill", 1}, {"CHARACTER SET", 3}, {"COLLATE", 2}};

static const char *skip_type(const char *at) {
  at = skip_word(at);
  for (size_t i = 0; i < sizeof attributes / sizeof attributes[0];) {
    if (!begins(at, attributes[i].words)) {
      i++;
      continue;
    }
    for (int n = 0; n < attributes[i].count; n++) at = skip_word(at);
    i = 0;
  }
  return at;
}

static const char *end_of_line(const char *at) {
  while (*at != '\0' && *at != '\n' && *at != ',') at = skip_item(at);
  return at;
}

// MariaDB's JSON is a text with a CHECK that it is one, which a column of texts does not have.
static int32_t append_rest(struct dray_buffer *out, const char *from, const char *to, const char *quoted,
                           struct dray_error *error) {
  struct dray_buffer check;
  dray_buffer_init(&check, SQL_BYTES_MAX);
  int32_t code = dray_buffer_printf(&check, error, " CHECK (json_valid(%s))", quoted);
  const char *found = code == DRAY_OK ? memmem(from, (size_t)(to - from), check.data, check.len) : NULL;
  if (code == DRAY_OK) code = dray_buffer_append(out, from, (size_t)((found != NULL ? found : to) - from), error);
  if (code == DRAY_OK && found != NULL) {
    code = dray_buffer_append(out, found + check.len, (size_t)(to - found) - check.len, error);
  }
  dray_buffer_free(&check);
  return code;
}

static int32_t append_modify(const char *sql, struct dray_str column, struct dray_str type, struct dray_buffer *out,
                             struct dray_error *error) {
  struct dray_buffer quoted;
  dray_buffer_init(&quoted, SQL_BYTES_MAX);
  int32_t code = my_quote(column, &quoted, error);
  const char *line = code == DRAY_OK ? find_line(sql, quoted.data) : NULL;
  if (code == DRAY_OK && line == NULL) code = cannot(column, "the server does not say how it was made", error);
  if (code == DRAY_OK) {
    const char *rest = skip_type(line);
    code = dray_buffer_printf(out, error, "MODIFY COLUMN %s %.*s", quoted.data, DRAY_STR_ARG(type));
    if (code == DRAY_OK) code = append_rest(out, rest, end_of_line(rest), quoted.data, error);
  }
  dray_buffer_free(&quoted);
  return code;
}

// ---- foreign keys ----

// X'...': a text whatever is in it.
static int32_t append_hex(struct dray_buffer *out, struct dray_str text, struct dray_error *error) {
  DRAY_TRY(dray_buffer_append_str(out, "CONVERT(X'", error));
  for (uint64_t i = 0; i < text.len; i++) {
    DRAY_TRY(dray_buffer_printf(out, error, "%02X", (unsigned)(unsigned char)text.data[i]));
  }
  return dray_buffer_append_str(out, "' USING utf8mb4)", error);
}

static int32_t append_match(struct dray_buffer *out, const char *prefix, const struct dray_str *place,
                            struct dray_str column, struct dray_error *error) {
  const struct {
    const char *name;
    struct dray_str value;
  } parts[] = {{"TABLE_SCHEMA", place[0]}, {"TABLE_NAME", place[1]}, {"COLUMN_NAME", column}};
  for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
    DRAY_TRY(dray_buffer_printf(out, error, "%s%s%s = ", i == 0 ? "(" : " AND ", prefix, parts[i].name));
    DRAY_TRY(append_hex(out, parts[i].value, error));
  }
  return dray_buffer_append_char(out, ')', error);
}

static int32_t refuse_foreign_keys(struct my_link *link, const struct dray_str *place, struct dray_str column,
                                   struct dray_error *error) {
  struct dray_buffer sql;
  MYSQL_RES *result = NULL;
  dray_buffer_init(&sql, SQL_BYTES_MAX);
  int32_t code = dray_buffer_append_str(
      &sql,
      "SELECT CONSTRAINT_NAME, TABLE_NAME FROM information_schema.KEY_COLUMN_USAGE WHERE REFERENCED_TABLE_NAME IS NOT "
      "NULL AND (",
      error);
  if (code == DRAY_OK) code = append_match(&sql, "", place, column, error);
  if (code == DRAY_OK) code = dray_buffer_append_str(&sql, " OR ", error);
  if (code == DRAY_OK) {
    // REFERENCED_TABLE_SCHEMA and so on
    code = append_match(&sql, "REFERENCED_", place, column, error);
  }
  if (code == DRAY_OK) code = dray_buffer_append_str(&sql, ") LIMIT 1", error);
  if (code == DRAY_OK) code = my_link_ask(link, sql.data, DOING, &result, error);
  MYSQL_ROW row = code == DRAY_OK ? mysql_fetch_row(result) : NULL;
  if (row != NULL) {
    char why[300];
    (void)snprintf(why, sizeof why, "the foreign key %s of table %s hangs on it; drop it, run the sync, make it anew",
                   row[0], row[1]);
    code = cannot(column, why, error);
  }
  mysql_free_result(result);
  dray_buffer_free(&sql);
  return code;
}

// ---- the statement ----

static int32_t show_create(struct my_link *link, struct dray_str schema, struct dray_str table, MYSQL_RES **out,
                           const char **out_sql, struct dray_error *error) {
  struct dray_buffer sql;
  dray_buffer_init(&sql, SQL_BYTES_MAX);
  int32_t code = dray_buffer_append_str(&sql, "SHOW CREATE TABLE ", error);
  if (code == DRAY_OK) code = my_quote_table(schema, table, &sql, error);
  if (code == DRAY_OK) code = my_link_ask(link, sql.data, DOING, out, error);
  dray_buffer_free(&sql);
  DRAY_TRY(code);
  MYSQL_ROW row = mysql_fetch_row(*out);
  *out_sql = row != NULL && mysql_num_fields(*out) > 1 && row[1] != NULL ? row[1] : "";
  return DRAY_OK;
}

static int32_t write_statement(struct dray_warehouse *warehouse, const struct dray_str *place, const char *made,
                               const struct my_retyped *wanted, struct dray_buffer *out, struct dray_error *error) {
  DRAY_TRY(dray_buffer_append_str(out, "ALTER TABLE ", error));
  DRAY_TRY(my_quote_table(wanted->schema, wanted->table, out, error));
  for (uint64_t i = 0; i < wanted->count; i++) {
    DRAY_TRY(refuse_foreign_keys(warehouse->link, place, wanted->columns[i], error));
    DRAY_TRY(dray_buffer_append_str(out, i == 0 ? " " : ", ", error));
    DRAY_TRY(append_modify(made, wanted->columns[i], wanted->types[i], out, error));
  }
  return DRAY_OK;
}

int32_t my_retype(struct dray_warehouse *warehouse, const struct my_retyped *wanted, struct dray_str *out_json,
                  struct dray_error *error) {
  const struct dray_str database = dray_str_of(warehouse->session.settings.database);
  const struct dray_str place[2] = {wanted->schema.len > 0 ? wanted->schema : database, wanted->table};
  struct dray_buffer text;
  struct dray_json_writer json;
  MYSQL_RES *result = NULL;
  const char *made = "";
  dray_buffer_init(&text, SQL_BYTES_MAX);
  int32_t code = show_create(warehouse->link, wanted->schema, wanted->table, &result, &made, error);
  if (code == DRAY_OK) code = write_statement(warehouse, place, made, wanted, &text, error);
  if (code == DRAY_OK) {
    dray_buffer_clear(&warehouse->answer);
    dray_json_writer_init(&json, &warehouse->answer, error);
    dray_json_begin_array(&json);
    dray_json_write_str(&json, dray_buffer_view(&text));
    dray_json_end_array(&json);
    code = dray_json_writer_finish(&json);
  }
  mysql_free_result(result);
  dray_buffer_free(&text);
  if (code == DRAY_OK) *out_json = dray_buffer_view(&warehouse->answer);
  return code;
}
