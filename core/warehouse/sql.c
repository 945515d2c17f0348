// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// How SQL is spelt in a dialect: identifiers through the one quoting function, places, types, parameters. Called by the
// other files of core/warehouse and by readers of a table; never executes anything.
#include "warehouse/sql.h"

#include <inttypes.h>
#include <stdlib.h>

#include "dray/sdk/fold.h"

#define SCHEMA_PREFIX_SEPARATOR "__"

// ---- the quoting function ----

// Engines count bytes, or characters as well. `name` is UTF-8.
static int32_t check_characters(const struct dray_dialect *dialect, struct dray_str name, struct dray_error *error) {
  uint64_t count = 0;
  int beyond = 0;
  for (uint64_t i = 0; i < name.len; i++) {
    const unsigned char byte = (unsigned char)name.data[i];
    count += (byte & 0xC0) != 0x80;
    beyond |= byte >= 0xF0;
  }
  if (beyond && dr_dialect_has(dialect, DRAY_DIALECT_NAMES_BMP)) {
    return dray_fail(
        error, DRAY_E_SCHEMA_NAME,
        "the name '%.*s' holds a character beyond U+FFFF (an emoji, say), which %.*s does not take in names",
        DRAY_STR_ARG(name), DRAY_STR_ARG(dialect->name));
  }
  if (dialect->identifier_chars_max > 0 && count > dialect->identifier_chars_max) {
    return dray_fail(error, DRAY_E_SCHEMA_NAME, "the name '%.*s' has %llu characters; %.*s takes at most %u",
                     DRAY_STR_ARG(name), (unsigned long long)count, DRAY_STR_ARG(dialect->name),
                     dialect->identifier_chars_max);
  }
  return DRAY_OK;
}

int32_t dr_sql_identifier(const struct dray_dialect *dialect, struct dray_str name, struct dray_buffer *out,
                          struct dray_error *error) {
  const char quote = (char)dialect->quote;
  if (name.len == 0) return dray_fail(error, DRAY_E_SCHEMA_NAME, "an empty name cannot name a table or a column");
  if (memchr(name.data, '\0', name.len) != NULL || !dray_utf8_valid(name.data, name.len)) {
    return dray_fail(error, DRAY_E_SCHEMA_NAME, "a table or column name of %llu bytes holds a NUL or is not UTF-8",
                     (unsigned long long)name.len);
  }
  if (name.len > dialect->identifier_bytes_max) {
    return dray_fail(error, DRAY_E_SCHEMA_NAME, "the name '%.*s' has %llu bytes; %.*s takes at most %u",
                     DRAY_STR_ARG(name), (unsigned long long)name.len, DRAY_STR_ARG(dialect->name),
                     dialect->identifier_bytes_max);
  }
  DRAY_TRY(check_characters(dialect, name, error));
  DRAY_TRY(dray_buffer_append_char(out, quote, error));
  for (uint64_t i = 0; i < name.len; i++) {
    if (name.data[i] == quote) DRAY_TRY(dray_buffer_append_char(out, quote, error));
    DRAY_TRY(dray_buffer_append_char(out, name.data[i], error));
  }
  return dray_buffer_append_char(out, quote, error);
}

// ---- places ----

static char *join3(const char *a, const char *b, const char *c) {
  const size_t a_len = strlen(a), b_len = strlen(b), c_len = strlen(c);
  char *text = malloc(a_len + b_len + c_len + 1);
  if (text == NULL) return NULL;
  memcpy(text, a, a_len);
  memcpy(text + a_len, b, b_len);
  memcpy(text + a_len + b_len, c, c_len + 1);
  return text;
}

int32_t dr_place_make(const struct dray_dialect *dialect, const char *schema, const char *table, struct dr_place *out,
                      struct dray_error *error) {
  struct dr_place place = {NULL, NULL};
  const int has_schema = schema != NULL && schema[0] != '\0';
  if (has_schema && dr_dialect_has(dialect, DRAY_DIALECT_SCHEMAS)) {
    place.schema = join3(schema, "", "");
    place.table = join3(table, "", "");
  } else if (has_schema) {
    place.table = join3(schema, SCHEMA_PREFIX_SEPARATOR, table);
  } else {
    place.table = join3(table, "", "");
  }
  if (place.table == NULL || (has_schema && dr_dialect_has(dialect, DRAY_DIALECT_SCHEMAS) && place.schema == NULL)) {
    dr_place_free(&place);
    return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for the name of a table");
  }
  *out = place;
  return DRAY_OK;
}

void dr_place_free(struct dr_place *place) {
  free(place->schema);
  free(place->table);
  *place = (struct dr_place){NULL, NULL};
}

static int32_t append_place(const struct dray_dialect *dialect, const struct dr_place *place, struct dray_buffer *out,
                            struct dray_error *error) {
  if (place->schema != NULL) {
    DRAY_TRY(dr_sql_identifier(dialect, dray_str_of(place->schema), out, error));
    DRAY_TRY(dray_buffer_append_char(out, '.', error));
  }
  return dr_sql_identifier(dialect, dray_str_of(place->table), out, error);
}

int32_t dr_sql_table(const struct dray_dialect *dialect, const struct dr_table_name *name, struct dray_buffer *out,
                     struct dray_error *error) {
  struct dr_place place = {NULL, NULL};
  if (name->table == NULL || name->table[0] == '\0')
    return dray_fail(error, DRAY_E_SCHEMA_NAME, "the table has no name");
  DRAY_TRY(dr_place_make(dialect, name->schema, name->table, &place, error));
  const int32_t code = append_place(dialect, &place, out, error);
  dr_place_free(&place);
  return code;
}

static int same_word(const struct dray_dialect *dialect, struct dray_str a, struct dray_str b) {
  return dr_dialect_has(dialect, DRAY_DIALECT_TABLES_NOCASE) ? dray_fold_same(a, b) : dray_str_equal(a, b);
}

static struct dray_str schema_of(const struct dray_dialect *dialect, const struct dr_place *place) {
  return place->schema != NULL ? dray_str_of(place->schema) : dialect->default_schema;
}

int32_t dr_table_name_same(const struct dray_dialect *dialect, const struct dr_table_name *a,
                           const struct dr_table_name *b, int *out_same, struct dray_error *error) {
  struct dr_place x = {NULL, NULL}, y = {NULL, NULL};
  int32_t code = dr_place_make(dialect, a->schema, a->table, &x, error);
  if (code == DRAY_OK) code = dr_place_make(dialect, b->schema, b->table, &y, error);
  if (code == DRAY_OK) {
    *out_same = same_word(dialect, dray_str_of(x.table), dray_str_of(y.table)) &&
                same_word(dialect, schema_of(dialect, &x), schema_of(dialect, &y));
  }
  dr_place_free(&x);
  dr_place_free(&y);
  return code;
}

// ---- statements in pieces ----

void dr_sql_begin(struct dr_sql *sql, const struct dray_dialect *dialect, struct dray_buffer *out,
                  struct dray_error *error) {
  dray_buffer_clear(out);
  *sql = (struct dr_sql){.dialect = dialect, .out = out, .error = error};
}

void dr_sql_text(struct dr_sql *sql, const char *text) {
  if (sql->code == DRAY_OK) sql->code = dray_buffer_append_str(sql->out, text, sql->error);
}

void dr_sql_name(struct dr_sql *sql, const char *name) {
  if (sql->code == DRAY_OK) sql->code = dr_sql_identifier(sql->dialect, dray_str_of(name), sql->out, sql->error);
}

void dr_sql_column(struct dr_sql *sql, const char *alias, const char *name) {
  if (alias != NULL) {
    dr_sql_text(sql, alias);
    dr_sql_text(sql, ".");
  }
  dr_sql_name(sql, name);
}

void dr_sql_place(struct dr_sql *sql, const struct dr_place *place) {
  if (sql->code == DRAY_OK) sql->code = append_place(sql->dialect, place, sql->out, sql->error);
}

void dr_sql_number(struct dr_sql *sql, uint64_t number) {
  if (sql->code == DRAY_OK) sql->code = dray_buffer_printf(sql->out, sql->error, "%" PRIu64, number);
}

void dr_sql_create_staging(struct dr_sql *sql) {
  dr_sql_flag(sql, DRAY_DIALECT_TEMP_TABLES, "CREATE TEMPORARY TABLE ", "CREATE TABLE ");
}

void dr_sql_drop_staging(struct dr_sql *sql) {
  dr_sql_flag(sql, DRAY_DIALECT_DROP_TEMPORARY, "DROP TEMPORARY TABLE ", "DROP TABLE ");
}

void dr_sql_param(struct dr_sql *sql) {
  sql->param_count++;
  if (sql->dialect->param_style == DRAY_PARAM_QUESTION) {
    dr_sql_text(sql, "?");
  } else if (sql->code == DRAY_OK) {
    sql->code = dray_buffer_printf(sql->out, sql->error, "$%u", sql->param_count);
  }
}

// The dialect's text for a type, with {p}, {s} and {n} replaced.
static void put_type(struct dr_sql *sql, struct dray_str spelling, struct dray_type type, uint64_t chars) {
  for (uint64_t i = 0; i < spelling.len && sql->code == DRAY_OK; i++) {
    const int named = spelling.data[i] == '{' && i + 2 < spelling.len && spelling.data[i + 2] == '}';
    const char letter = named ? spelling.data[i + 1] : '\0';
    if (letter == 'p' || letter == 's' || letter == 'n') {
      dr_sql_number(sql, letter == 'n' ? chars : (uint64_t)(letter == 'p' ? type.precision : type.scale));
      i += 2;
    } else {
      sql->code = dray_buffer_append_char(sql->out, spelling.data[i], sql->error);
    }
  }
}

void dr_sql_type(struct dr_sql *sql, struct dray_type type) {
  put_type(sql, sql->dialect->types[type.id], type, 0);
}

void dr_sql_key_type(struct dr_sql *sql, struct dray_type type, size_t key_count) {
  const struct dray_str spelling = sql->dialect->key_types[type.id];
  const uint64_t chars = sql->dialect->key_chars_max / (key_count > 0 ? key_count : 1);
  put_type(sql, spelling.len > 0 ? spelling : sql->dialect->types[type.id], type, chars);
}

void dr_sql_formed(struct dr_sql *sql, struct dray_str form, const char *alias, const char *name) {
  static const char column[] = "{c}";
  const char *at = form.len > 0 ? memmem(form.data, form.len, column, sizeof column - 1) : NULL;
  if (at == NULL) {
    dr_sql_column(sql, alias, name);
    return;
  }
  const size_t before = (size_t)(at - form.data), after = before + sizeof column - 1;
  if (sql->code == DRAY_OK) sql->code = dray_buffer_append(sql->out, form.data, before, sql->error);
  dr_sql_column(sql, alias, name);
  if (sql->code == DRAY_OK) {
    sql->code = dray_buffer_append(sql->out, form.data + after, (size_t)form.len - after, sql->error);
  }
}

void dr_sql_exact(struct dr_sql *sql, const char *alias, const char *name) {
  dr_sql_formed(sql, sql->dialect->exact_text, alias, name);
}

void dr_sql_beside(struct dr_sql *sql, const char *alias, const char *name) {
  dr_sql_formed(sql, sql->dialect->beside_text, alias, name);
}
