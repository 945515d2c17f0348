// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Other types for columns of a table. SQLite has no ALTER COLUMN, and drops no column that an index, a view, a trigger
// or a CHECK names: the table is made anew beside itself, from its own CREATE TABLE with other types in it, gets all
// rows, and takes the old one's name (https://www.sqlite.org/lang_altertable.html, 7). What hangs on the table is in
// sqlite_master and is made again; views and other tables' keys know it by its name. The statements are only written
// here; the new table is tried as a temporary one, so that what SQLite would refuse is refused before anything changes.
#include <stdlib.h>

#include "connection.h"

#define SQL_BYTES_MAX (16u << 20)
#define TRIAL "\"temp\".\"_dray_rebuilt\""
#define REBUILT "\"_dray_rebuilt\""
#define PATIENT "the catalogue"

// ---- the words of a CREATE TABLE ----

enum { TOKEN_END = 0, TOKEN_WORD, TOKEN_QUOTED, TOKEN_SIGN };

struct token {
  int kind;
  const char *start;
  size_t len;
};

static int is_word(char c) {
  const unsigned char byte = (unsigned char)c;
  return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') || byte == '_' ||
         byte == '$' || byte >= 0x80;
}

static const char *skip_blanks(const char *at) {
  for (;;) {
    if (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r' || *at == '\f') {
      at++;
    } else if (at[0] == '-' && at[1] == '-') {
      while (*at != '\0' && *at != '\n') at++;
    } else if (at[0] == '/' && at[1] == '*') {
      const char *end = strstr(at + 2, "*/");
      at = end != NULL ? end + 2 : at + strlen(at);
    } else {
      return at;
    }
  }
}

// Quotes are doubled to stand for themselves, but for brackets.
static const char *quoted_end(const char *at) {
  const char close = *at == '[' ? ']' : *at;
  for (at++; *at != '\0'; at++) {
    if (*at != close) continue;
    if (close == ']' || at[1] != close) return at + 1;
    at++;
  }
  return at;
}

static struct token next_token(const char **at) {
  const char *start = skip_blanks(*at), *end = start;
  int kind = TOKEN_SIGN;
  if (*start == '\0') {
    kind = TOKEN_END;
  } else if (memchr("\"'`[", *start, 4) != NULL) {
    kind = TOKEN_QUOTED;
    end = quoted_end(start);
  } else if (is_word(*start)) {
    kind = TOKEN_WORD;
    while (is_word(*end)) end++;
  } else {
    end++;
  }
  *at = end;
  return (struct token){kind, start, (size_t)(end - start)};
}

static int is_sign(struct token token, char sign) {
  return token.kind == TOKEN_SIGN && *token.start == sign;
}

static int is_one_of(struct token token, const char *const *words) {
  for (; token.kind == TOKEN_WORD && *words != NULL; words++) {
    if (strlen(*words) == token.len && sqlite3_strnicmp(*words, token.start, (int)token.len) == 0) return 1;
  }
  return 0;
}

// Whether the token is this name, in any case of A to Z.
static int names(struct token token, struct dray_str name) {
  if (token.kind == TOKEN_WORD) {
    return token.len == name.len && sqlite3_strnicmp(token.start, name.data, (int)name.len) == 0;
  }
  if (token.kind != TOKEN_QUOTED || token.len < 2) return 0;
  const char close = *token.start == '[' ? ']' : *token.start;
  uint64_t at = 0;
  for (size_t i = 1; i + 1 < token.len; i++, at++) {
    if (at >= name.len || sqlite3_strnicmp(token.start + i, name.data + at, 1) != 0) return 0;
    if (token.start[i] == close && close != ']') i++;
  }
  return at == name.len;
}

// Where the type of a column stands: from behind its name to its first constraint.
struct place {
  const char *from, *to;
};

static const char *const constraints[] = {"CONSTRAINT", "PRIMARY", "NOT",        "NULL",      "UNIQUE", "CHECK",
                                          "DEFAULT",    "COLLATE", "REFERENCES", "GENERATED", "AS",     NULL};
static const char *const table_constraints[] = {"CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN", NULL};

// Goes to the end of the definition at hand: its comma, or the parenthesis that ends the list.
static struct token skip_definition(const char **at) {
  int depth = 0;
  for (;;) {
    const struct token token = next_token(at);
    if (token.kind == TOKEN_END) return token;
    if (depth == 0 && (is_sign(token, ',') || is_sign(token, ')'))) return token;
    if (is_sign(token, '(')) depth++;
    if (is_sign(token, ')')) depth--;
  }
}

static struct place type_place(const char *behind_name) {
  struct place place = {behind_name, behind_name};
  const char *at = behind_name;
  struct token token = next_token(&at);
  while ((token.kind == TOKEN_WORD || token.kind == TOKEN_QUOTED) && !is_one_of(token, constraints)) {
    place.to = at;
    token = next_token(&at);
  }
  if (place.to == place.from || !is_sign(token, '(')) return place;
  while (token.kind != TOKEN_END && !is_sign(token, ')')) token = next_token(&at);
  place.to = at;
  return place;
}

// Behind the parenthesis that opens the list of columns; NULL: none.
static const char *open_list(const char *sql) {
  for (const char *at = sql;;) {
    const struct token token = next_token(&at);
    if (token.kind == TOKEN_END) return NULL;
    if (is_sign(token, '(')) return at;
  }
}

static int find_type(const char *list, struct dray_str column, struct place *out) {
  for (const char *at = list;;) {
    const struct token name = next_token(&at);
    if (name.kind == TOKEN_END || is_one_of(name, table_constraints)) return 0;
    if (names(name, column)) {
      *out = type_place(at);
      return 1;
    }
    if (!is_sign(skip_definition(&at), ',')) return 0;
  }
}

static int has_check(const char *list) {
  static const char *const check[] = {"CHECK", NULL};
  for (const char *at = list;;) {
    const struct token token = next_token(&at);
    if (token.kind == TOKEN_END) return 0;
    if (is_one_of(token, check)) return 1;
  }
}

// ---- what there is ----

struct wanted {
  const struct dray_str *columns, *types;
  uint64_t count;
};

// A table that is to be made anew.
struct rebuild {
  struct connection *connection;
  struct dray_str name; // as it was asked for, then as the table spells it
  struct wanted wanted;
  char *spelling;                     // what `name` shows then; owned
  char *sql;                          // its CREATE TABLE; owned
  char *body;                         // "(...) ..." of it with the other types; owned
  struct dray_buffer columns, values; // what is copied, and from what
  int counts;                         // it has its own row in sqlite_sequence
  struct dray_error *error;
};

static int32_t cannot(const struct rebuild *rebuild, const char *why) {
  return dray_fail(rebuild->error, DRAY_E_SCHEMA_DRIFT,
                   "the columns of table %.*s cannot get other types: %s. Make it anew by hand, or choose another "
                   "table",
                   DRAY_STR_ARG(rebuild->name), why);
}

static int32_t no_memory(const struct rebuild *rebuild) {
  return dray_fail(rebuild->error, DRAY_E_OUT_OF_MEMORY, "no memory for the statements of a table");
}

static int32_t prepare(const struct rebuild *rebuild, const char *sql, sqlite3_stmt **out) {
  sqlite3_stmt *statement = NULL;
  int rc = sqlite3_prepare_v2(rebuild->connection->db, sql, -1, &statement, NULL);
  if (rc == SQLITE_OK && sqlite3_bind_parameter_count(statement) > 0) {
    rc = sqlite3_bind_text(statement, 1, rebuild->name.data, (int)rebuild->name.len, SQLITE_TRANSIENT);
  }
  if (rc == SQLITE_OK) {
    *out = statement;
    return DRAY_OK;
  }
  const int32_t code = connection_fail(rebuild->connection, rc, DRAY_E_INTERNAL, "reading " PATIENT, rebuild->error);
  (void)sqlite3_finalize(statement);
  return code;
}

static int32_t next_row(const struct rebuild *rebuild, sqlite3_stmt *statement, int *out_row) {
  const int rc = sqlite3_step(statement);
  *out_row = rc == SQLITE_ROW;
  if (rc == SQLITE_ROW || rc == SQLITE_DONE) return DRAY_OK;
  return connection_fail(rebuild->connection, rc, DRAY_E_INTERNAL, "reading " PATIENT, rebuild->error);
}

static struct dray_str text_at(sqlite3_stmt *statement, int column) {
  const char *text = (const char *)sqlite3_column_text(statement, column);
  return dray_str_make(text, text != NULL ? (uint64_t)sqlite3_column_bytes(statement, column) : 0);
}

// One number of the catalogue. `sql` is of the table's name, ?1.
static int32_t ask(const struct rebuild *rebuild, const char *sql, int64_t *out) {
  sqlite3_stmt *statement = NULL;
  int row = 0;
  DRAY_TRY(prepare(rebuild, sql, &statement));
  const int32_t code = next_row(rebuild, statement, &row);
  *out = row ? sqlite3_column_int64(statement, 0) : 0;
  (void)sqlite3_finalize(statement);
  return code;
}

// From here on the table is called as it spells itself: it keeps that name, and sqlite_sequence knows it by no other.
static int32_t read_sql(struct rebuild *rebuild) {
  sqlite3_stmt *statement = NULL;
  int row = 0;
  DRAY_TRY(prepare(rebuild,
                   "SELECT sql, name FROM main.sqlite_master WHERE type = 'table' AND name = ?1 COLLATE NOCASE",
                   &statement));
  int32_t code = next_row(rebuild, statement, &row);
  if (code == DRAY_OK && row) {
    rebuild->sql = dray_str_dup(text_at(statement, 0));
    rebuild->spelling = dray_str_dup(text_at(statement, 1));
    if (rebuild->sql == NULL || rebuild->spelling == NULL) code = no_memory(rebuild);
    if (code == DRAY_OK) rebuild->name = dray_str_of(rebuild->spelling);
  }
  (void)sqlite3_finalize(statement);
  DRAY_TRY(code);
  if (rebuild->sql == NULL) return cannot(rebuild, "it is a view");
  if (sqlite3_strnicmp(rebuild->sql, "CREATE VIRTUAL", 14) == 0) return cannot(rebuild, "it is a virtual one");
  return DRAY_OK;
}

// ---- the new CREATE TABLE ----

static int compare_places(const void *a, const void *b) {
  const struct place *x = *(const struct place *const *)a, *y = *(const struct place *const *)b;
  return (x->from > y->from) - (x->from < y->from);
}

static int32_t append_body(struct rebuild *rebuild, const char *list, const struct place *places,
                           const struct place **sorted, struct dray_buffer *out) {
  struct dray_error *error = rebuild->error;
  const char *at = list - 1; // the parenthesis
  for (uint64_t i = 0; i < rebuild->wanted.count; i++) {
    const struct dray_str type = rebuild->wanted.types[sorted[i] - places];
    DRAY_TRY(dray_buffer_append(out, at, (size_t)(sorted[i]->from - at), error));
    DRAY_TRY(dray_buffer_append_char(out, ' ', error));
    DRAY_TRY(dray_buffer_append(out, type.data, (size_t)type.len, error));
    at = sorted[i]->to;
    if (is_word(*at)) DRAY_TRY(dray_buffer_append_char(out, ' ', error)); // BIGINT(20)DEFAULT 1
  }
  return dray_buffer_append_str(out, at, error);
}

static int32_t make_body(struct rebuild *rebuild) {
  const uint64_t count = rebuild->wanted.count;
  const char *list = open_list(rebuild->sql);
  struct place *places = calloc(count, sizeof *places);
  const struct place **sorted = calloc(count, sizeof *sorted);
  struct dray_buffer text;
  int32_t code = places != NULL && sorted != NULL ? DRAY_OK : no_memory(rebuild);
  dray_buffer_init(&text, SQL_BYTES_MAX);
  for (uint64_t i = 0; code == DRAY_OK && i < count; i++) {
    sorted[i] = &places[i];
    if (list == NULL || !find_type(list, rebuild->wanted.columns[i], &places[i])) {
      code = cannot(rebuild, "its CREATE TABLE is not understood");
    }
  }
  if (code == DRAY_OK) {
    qsort(sorted, count, sizeof *sorted, compare_places);
    code = append_body(rebuild, list, places, sorted, &text);
  }
  if (code == DRAY_OK) {
    rebuild->body = dray_str_dup(dray_buffer_view(&text));
    if (rebuild->body == NULL) code = no_memory(rebuild);
  }
  dray_buffer_free(&text);
  free(sorted);
  free(places);
  return code;
}

// ---- what is copied ----

static ptrdiff_t find_wanted(const struct rebuild *rebuild, struct dray_str name) {
  for (uint64_t i = 0; i < rebuild->wanted.count; i++) {
    if (dray_str_equal(rebuild->wanted.columns[i], name)) return (ptrdiff_t)i;
  }
  return -1;
}

// What becomes of a value is decided by its own storage class: SQLite lets every row hold another one. A column is only
// widened to types that are kept as text. Such a column takes texts and blobs as they are, and would print a real with
// 15 digits itself: `dray_text` (cell.c) prints as many as read back as the same number. Booleans become the words,
// which is how they are written as text.
static int32_t append_value(struct rebuild *rebuild, struct dray_str name, const char *declared) {
  struct dray_buffer *out = &rebuild->values;
  struct dray_error *error = rebuild->error;
  if (find_wanted(rebuild, name) < 0) return catalog_quote(name, out, error);
  if (sqlite_type_of(declared, 1).id != DRAY_TYPE_BOOL) {
    DRAY_TRY(dray_buffer_append_str(out, "dray_text(", error));
    DRAY_TRY(catalog_quote(name, out, error));
    return dray_buffer_append_char(out, ')', error);
  }
  DRAY_TRY(dray_buffer_append_str(out, "CASE ", error));
  DRAY_TRY(catalog_quote(name, out, error));
  DRAY_TRY(dray_buffer_append_str(out, " WHEN 0 THEN 'false' WHEN 1 THEN 'true' ELSE dray_text(", error));
  DRAY_TRY(catalog_quote(name, out, error));
  return dray_buffer_append_str(out, ") END", error);
}

static int32_t append_comma(struct rebuild *rebuild) {
  if (rebuild->columns.len == 0) return DRAY_OK;
  DRAY_TRY(dray_buffer_append_str(&rebuild->columns, ", ", rebuild->error));
  return dray_buffer_append_str(&rebuild->values, ", ", rebuild->error);
}

// Rows keep their numbers, which other tables of the operator's may know them by, where these are no column and can be
// named.
static int32_t copy_rowid(struct rebuild *rebuild) {
  static const char *const rowids[] = {"rowid", "_rowid_", "oid"};
  int64_t without = 0, keys = 0, indexed = 0;
  sqlite3_stmt *statement = NULL;
  int32_t code = DRAY_OK;
  DRAY_TRY(
      ask(rebuild, "SELECT wr FROM pragma_table_list WHERE schema = 'main' AND name = ?1 COLLATE NOCASE", &without));
  DRAY_TRY(ask(rebuild, "SELECT COUNT(*) FROM pragma_table_info(?1) WHERE pk > 0", &keys));
  DRAY_TRY(ask(rebuild, "SELECT COUNT(*) FROM pragma_index_list(?1) WHERE origin = 'pk'", &indexed));
  if (without != 0) return DRAY_OK;
  if (keys > 0 && indexed == 0) { // a column is the number: of another type it would be none, and give out none
    int row = 0;
    DRAY_TRY(prepare(rebuild, "SELECT name FROM pragma_table_info(?1) WHERE pk > 0", &statement));
    code = next_row(rebuild, statement, &row);
    if (code == DRAY_OK && row && find_wanted(rebuild, text_at(statement, 0)) >= 0) {
      code = cannot(rebuild, "the INTEGER PRIMARY KEY is among them, which is the number of the row");
    }
    (void)sqlite3_finalize(statement);
    return code;
  }
  for (size_t i = 0; i < sizeof rowids / sizeof rowids[0]; i++) {
    struct place ignored;
    if (find_type(open_list(rebuild->sql), dray_str_of(rowids[i]), &ignored)) continue;
    DRAY_TRY(dray_buffer_append_str(&rebuild->columns, rowids[i], rebuild->error));
    return dray_buffer_append_str(&rebuild->values, rowids[i], rebuild->error);
  }
  return DRAY_OK;
}

// All but generated columns, which make themselves.
static int32_t copy_columns(struct rebuild *rebuild) {
  sqlite3_stmt *statement = NULL;
  int row = 0;
  DRAY_TRY(prepare(rebuild, "SELECT name, type FROM pragma_table_xinfo(?1) WHERE hidden = 0", &statement));
  int32_t code = next_row(rebuild, statement, &row);
  while (code == DRAY_OK && row) {
    const struct dray_str name = text_at(statement, 0);
    code = append_comma(rebuild);
    if (code == DRAY_OK) code = catalog_quote(name, &rebuild->columns, rebuild->error);
    if (code == DRAY_OK) code = append_value(rebuild, name, (const char *)sqlite3_column_text(statement, 1));
    if (code == DRAY_OK) code = next_row(rebuild, statement, &row);
  }
  (void)sqlite3_finalize(statement);
  return code;
}

// ---- trying ----

static int32_t append_insert(const struct rebuild *rebuild, const char *into, struct dray_buffer *out) {
  struct dray_error *error = rebuild->error;
  DRAY_TRY(dray_buffer_printf(out, error, "INSERT INTO %s (", into));
  DRAY_TRY(dray_buffer_append(out, rebuild->columns.data, rebuild->columns.len, error));
  DRAY_TRY(dray_buffer_append_str(out, ") SELECT ", error));
  DRAY_TRY(dray_buffer_append(out, rebuild->values.data, rebuild->values.len, error));
  DRAY_TRY(dray_buffer_append_str(out, " FROM \"main\".", error));
  return catalog_quote(rebuild->name, out, error);
}

// Runs one statement of the trial. A refusal is the table's.
static int32_t try_statement(const struct rebuild *rebuild, const struct dray_buffer *sql) {
  char *message = NULL;
  const int rc = sqlite3_exec(rebuild->connection->db, sql->data, NULL, NULL, &message);
  int32_t code = DRAY_OK;
  if (rc == SQLITE_ERROR || (rc & 0xff) == SQLITE_CONSTRAINT || (rc & 0xff) == SQLITE_MISMATCH) {
    code = cannot(rebuild, message != NULL ? message : sqlite3_errstr(rc));
  } else if (rc != SQLITE_OK) {
    code = connection_fail(rebuild->connection, rc, DRAY_E_INTERNAL, "trying a table", rebuild->error);
  }
  sqlite3_free(message);
  return code;
}

// The new table has the old one's columns but for the types that are asked for: what was understood of CREATE TABLE is
// what SQLite understands.
static const char same_sql[] =
    "SELECT COUNT(*) FROM pragma_table_xinfo(?1, 'main') AS a LEFT JOIN pragma_table_xinfo('_dray_rebuilt', 'temp') AS "
    "b "
    "ON a.cid = b.cid WHERE b.cid IS NULL OR a.name <> b.name OR a.\"notnull\" <> b.\"notnull\" OR a.pk <> b.pk OR "
    "a.hidden <> b.hidden OR a.dflt_value IS NOT b.dflt_value";
static const char others_sql[] =
    "SELECT COUNT(*) FROM pragma_table_xinfo(?1, 'main') AS a JOIN pragma_table_xinfo('_dray_rebuilt', 'temp') AS b "
    "ON a.cid = b.cid WHERE a.type <> b.type";

// A CHECK may look at the column, so that the rows say whether it holds; in a transaction the statements are next.
static int32_t try_table(struct rebuild *rebuild) {
  struct connection *connection = rebuild->connection;
  struct dray_buffer text;
  int64_t differ = 0, others = 0;
  dray_buffer_init(&text, SQL_BYTES_MAX);
  int32_t code = dray_buffer_printf(&text, rebuild->error, "DROP TABLE IF EXISTS " TRIAL "; CREATE TABLE " TRIAL " %s",
                                    rebuild->body);
  if (code == DRAY_OK) code = try_statement(rebuild, &text);
  if (code == DRAY_OK) code = ask(rebuild, same_sql, &differ);
  if (code == DRAY_OK) code = ask(rebuild, others_sql, &others);
  if (code == DRAY_OK && (differ > 0 || others > (int64_t)rebuild->wanted.count)) {
    code = cannot(rebuild, "its CREATE TABLE is not understood");
  }
  if (code == DRAY_OK && has_check(rebuild->body) && sqlite3_get_autocommit(connection->db)) {
    dray_buffer_clear(&text);
    code = append_insert(rebuild, TRIAL, &text);
    if (code == DRAY_OK) code = try_statement(rebuild, &text);
  }
  dray_buffer_free(&text);
  (void)sqlite3_exec(connection->db, "DROP TABLE IF EXISTS " TRIAL, NULL, NULL, NULL);
  return code;
}

// ---- the statements ----

static int32_t say(const struct rebuild *rebuild, struct dray_json_writer *json, struct dray_buffer *text,
                   int32_t code) {
  if (code != DRAY_OK) return code;
  (void)rebuild;
  dray_json_write_str(json, dray_buffer_view(text));
  dray_buffer_clear(text);
  return DRAY_OK;
}

static int32_t append_named(const struct rebuild *rebuild, const char *before, const char *behind,
                            struct dray_buffer *out) {
  DRAY_TRY(dray_buffer_append_str(out, before, rebuild->error));
  DRAY_TRY(catalog_quote(rebuild->name, out, rebuild->error));
  return dray_buffer_append_str(out, behind, rebuild->error);
}

// 'name' as a text.
static int32_t append_text(const struct rebuild *rebuild, struct dray_buffer *out) {
  DRAY_TRY(dray_buffer_append_char(out, '\'', rebuild->error));
  for (uint64_t i = 0; i < rebuild->name.len; i++) {
    if (rebuild->name.data[i] == '\'') DRAY_TRY(dray_buffer_append_char(out, '\'', rebuild->error));
    DRAY_TRY(dray_buffer_append_char(out, rebuild->name.data[i], rebuild->error));
  }
  return dray_buffer_append_char(out, '\'', rebuild->error);
}

// The greatest number that AUTOINCREMENT gave out, also to rows that are gone.
static int32_t say_counter(const struct rebuild *rebuild, struct dray_json_writer *json, struct dray_buffer *text) {
  if (!rebuild->counts) return DRAY_OK;
  DRAY_TRY(say(
      rebuild, json, text,
      dray_buffer_append_str(text, "DELETE FROM main.sqlite_sequence WHERE name = '_dray_rebuilt'", rebuild->error)));
  DRAY_TRY(dray_buffer_append_str(text,
                                  "INSERT INTO main.sqlite_sequence (name, seq) SELECT '_dray_rebuilt', seq FROM "
                                  "main.sqlite_sequence WHERE name = ",
                                  rebuild->error));
  return say(rebuild, json, text, append_text(rebuild, text));
}

static int32_t say_what_hangs_on_it(const struct rebuild *rebuild, struct dray_json_writer *json) {
  sqlite3_stmt *statement = NULL;
  int row = 0;
  DRAY_TRY(prepare(rebuild,
                   "SELECT sql FROM main.sqlite_master WHERE tbl_name = ?1 COLLATE NOCASE AND type IN ('index', "
                   "'trigger') AND sql IS NOT NULL ORDER BY rowid",
                   &statement));
  int32_t code = next_row(rebuild, statement, &row);
  while (code == DRAY_OK && row) {
    dray_json_write_str(json, text_at(statement, 0));
    code = next_row(rebuild, statement, &row);
  }
  (void)sqlite3_finalize(statement);
  return code;
}

// legacy_alter_table: else a new name is given only where all views can be read, and those of this table cannot without
// it.
static int32_t say_all(const struct rebuild *rebuild, struct dray_json_writer *json, struct dray_buffer *text) {
  struct dray_error *error = rebuild->error;
  DRAY_TRY(say(rebuild, json, text, dray_buffer_printf(text, error, "CREATE TABLE " REBUILT " %s", rebuild->body)));
  DRAY_TRY(say(rebuild, json, text, append_insert(rebuild, REBUILT, text)));
  DRAY_TRY(say_counter(rebuild, json, text));
  DRAY_TRY(say(rebuild, json, text, append_named(rebuild, "DROP TABLE ", "", text)));
  dray_json_write_text(json, "PRAGMA legacy_alter_table = ON");
  DRAY_TRY(say(rebuild, json, text, append_named(rebuild, "ALTER TABLE " REBUILT " RENAME TO ", "", text)));
  dray_json_write_text(json, "PRAGMA legacy_alter_table = OFF");
  return say_what_hangs_on_it(rebuild, json);
}

static int32_t write_statements(struct rebuild *rebuild, struct dray_str *out_json) {
  struct dray_buffer *answer = &rebuild->connection->answer, text;
  struct dray_json_writer json;
  dray_buffer_init(&text, SQL_BYTES_MAX);
  dray_buffer_clear(answer);
  dray_json_writer_init(&json, answer, rebuild->error);
  dray_json_begin_array(&json);
  int32_t code = say_all(rebuild, &json, &text);
  dray_json_end_array(&json);
  if (code == DRAY_OK) code = dray_json_writer_finish(&json);
  dray_buffer_free(&text);
  if (code == DRAY_OK) *out_json = dray_buffer_view(answer);
  return code;
}

static int32_t run(struct rebuild *rebuild, struct dray_str *out_json) {
  int64_t has_counters = 0, counts = 0;
  DRAY_TRY(read_sql(rebuild));
  DRAY_TRY(make_body(rebuild));
  DRAY_TRY(ask(rebuild, "SELECT COUNT(*) FROM main.sqlite_master WHERE name = 'sqlite_sequence'", &has_counters));
  if (has_counters != 0) DRAY_TRY(ask(rebuild, "SELECT COUNT(*) FROM main.sqlite_sequence WHERE name = ?1", &counts));
  rebuild->counts = counts > 0;
  DRAY_TRY(copy_rowid(rebuild));
  DRAY_TRY(copy_columns(rebuild));
  DRAY_TRY(try_table(rebuild));
  return write_statements(rebuild, out_json);
}

int32_t retype_columns(struct connection *connection, struct dray_str table, const struct dray_str *columns,
                       const struct dray_str *types, uint64_t count, struct dray_str *out_json,
                       struct dray_error *error) {
  struct rebuild rebuild = {.connection = connection, .name = table, .wanted = {columns, types, count}, .error = error};
  dray_buffer_init(&rebuild.columns, SQL_BYTES_MAX);
  dray_buffer_init(&rebuild.values, SQL_BYTES_MAX);
  const int32_t code = run(&rebuild, out_json);
  dray_buffer_free(&rebuild.columns);
  dray_buffer_free(&rebuild.values);
  free(rebuild.body);
  free(rebuild.sql);
  free(rebuild.spelling);
  return code;
}
