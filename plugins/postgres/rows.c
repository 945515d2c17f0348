// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Changed rows on their way into a batch. They are kept as they came until there is a batch of them: then the server is
// asked once for what only it can say (types that it casts, so that a value is the same as in a query's result) and for
// large values that the log leaves out where the other side may not have them. Memory is that of a batch.
#include <stdlib.h>

#include "source.h"

#define RAW_BYTES_MAX (1u << 31)
#define SQL_BYTES_MAX (4u << 20)
#define ASKED_MAX 1000 // values in one statement
#define ASKED_BYTES_MAX (4u << 20)

struct kept {
  size_t first; // of its values in `values`
  int deleted, fetch;
};

struct value {
  size_t at; // in `raw`
  int32_t len;
  int32_t binary; // 2: cast, text
};

struct pg_rows {
  struct dray_source *source;
  const struct pg_table *table;
  struct ArrowSchema schema;
  struct dray_builder *builder;
  uint64_t bytes_max, rows_max;
  struct dray_buffer raw;
  struct kept *rows;
  struct value *values;
  size_t row_count, row_capacity, next;
  int casts;    // some column is cast by the server
  int prepared; // the server was asked for the rows that are kept
  struct dray_error why;
};

static int32_t no_memory(struct dray_error *error) {
  return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for changed rows");
}

// ---- life ----

static int32_t make_schema(struct pg_rows *rows, struct dray_error *error) {
  const struct pg_table *table = rows->table;
  const size_t count = table->column_count;
  struct dray_column_def *defs = calloc(count + 3, sizeof *defs);
  if (defs == NULL) return no_memory(error);
  for (size_t i = 0; i < count; i++) {
    defs[i] = (struct dray_column_def){table->columns[i].name, table->columns[i].type, 1};
    rows->casts |= table->columns[i].cast != PG_CAST_NONE;
  }
  defs[count] = (struct dray_column_def){DRAY_COLUMN_ERROR, {DRAY_TYPE_STRING, 0, 0}, 1};
  defs[count + 1] = (struct dray_column_def){DRAY_COLUMN_DELETED, {DRAY_TYPE_BOOL, 0, 0}, 1};
  defs[count + 2] = (struct dray_column_def){DRAY_COLUMN_ABSENT, {DRAY_TYPE_BYTES, 0, 0}, 1};
  const int32_t code = dray_schema_make(defs, count + 3, &rows->schema, error);
  free(defs);
  return code;
}

int32_t pg_rows_new(struct dray_source *source, const struct pg_table *table, uint64_t batch_bytes_max,
                    uint64_t batch_rows_max, struct pg_rows **out, struct dray_error *error) {
  struct pg_rows *rows = calloc(1, sizeof *rows);
  if (rows == NULL) return no_memory(error);
  rows->source = source;
  rows->table = table;
  rows->bytes_max = batch_bytes_max > 0 ? batch_bytes_max : 1u << 20;
  rows->rows_max = batch_rows_max > 0 ? batch_rows_max : 1u << 16;
  dray_buffer_init(&rows->raw, RAW_BYTES_MAX);
  dray_error_init(&rows->why);
  int32_t code = make_schema(rows, error);
  if (code == DRAY_OK) {
    code = dray_builder_new(&rows->schema, batch_rows_max, batch_bytes_max, &rows->builder, error);
  }
  if (code != DRAY_OK) {
    pg_rows_free(rows);
    return code;
  }
  *out = rows;
  return DRAY_OK;
}

void pg_rows_free(struct pg_rows *rows) {
  if (rows == NULL) return;
  dray_schema_release(&rows->schema);
  dray_builder_free(rows->builder);
  dray_buffer_free(&rows->raw);
  free(rows->rows);
  free(rows->values);
  free(rows);
}

const struct ArrowSchema *pg_rows_schema(const struct pg_rows *rows) {
  return &rows->schema;
}

// ---- keeping ----

static int32_t make_room(struct pg_rows *rows, struct dray_error *error) {
  if (rows->row_count < rows->row_capacity) return DRAY_OK;
  const size_t capacity = rows->row_capacity == 0 ? 64 : rows->row_capacity * 2;
  struct kept *kept = realloc(rows->rows, capacity * sizeof *kept);
  if (kept == NULL) return no_memory(error);
  rows->rows = kept;
  struct value *values = realloc(rows->values, capacity * rows->table->column_count * sizeof *values);
  if (values == NULL) return no_memory(error);
  rows->values = values;
  rows->row_capacity = capacity;
  return DRAY_OK;
}

static int32_t keep_value(struct pg_rows *rows, struct value *to, const char *data, int32_t len, int32_t binary,
                          struct dray_error *error) {
  const struct value value = {rows->raw.len, len, binary};
  if (len > 0) DRAY_TRY(dray_buffer_append(&rows->raw, data, (size_t)len, error));
  *to = value;
  return DRAY_OK;
}

int32_t pg_rows_add(struct pg_rows *rows, const struct pg_row *row, const uint8_t *identity, struct dray_error *error) {
  const size_t count = rows->table->column_count;
  DRAY_TRY(make_room(rows, error));
  struct kept kept = {rows->row_count * count, row->deleted, row->fetch};
  for (size_t i = 0; i < count; i++) {
    const struct pg_value *from = &row->values[i];
    // Of a row that is gone only what tells it apart is of use.
    const int32_t len = row->deleted && !identity[i] ? PG_TUPLE_MISSING : from->len;
    DRAY_TRY(keep_value(rows, &rows->values[kept.first + i], from->data, len, from->binary, error));
  }
  rows->rows[rows->row_count++] = kept;
  rows->prepared = 0;
  return DRAY_OK;
}

int pg_rows_full(const struct pg_rows *rows) {
  if (rows->row_count >= rows->rows_max || rows->raw.len >= rows->bytes_max) return 2;
  return rows->row_count >= rows->rows_max / 2 + 1 || rows->raw.len >= rows->bytes_max / 2;
}

int pg_rows_empty(const struct pg_rows *rows) {
  return rows->next == rows->row_count;
}

// ---- asking the server ----

struct question {
  struct dray_buffer sql;
  int count;
  size_t bytes;
  Oid types[ASKED_MAX];
  const char *values[ASKED_MAX];
  int lengths[ASKED_MAX], formats[ASKED_MAX];
  struct value *answers[ASKED_MAX];
};

static int32_t ask(struct pg_link *link, const struct question *question, const char *doing, int binary, PGresult **out,
                   struct dray_error *error) {
  if (link->conn == NULL) return pg_fail_lost(link, doing, error);
  pg_link_start(link);
  const int ok = PQsendQueryParams(link->conn, question->sql.data, question->count, question->types, question->values,
                                   question->lengths, question->formats, binary);
  const int32_t code = pg_link_finish(link, ok, PG_FOR_OURSELVES, NULL, doing, out, error);
  pg_link_settle(link);
  return code;
}

// The texts of the values in the question, in its order.
static int32_t cast_some(struct pg_rows *rows, struct question *question, struct dray_error *error) {
  PGresult *result = NULL;
  if (question->count == 0) return DRAY_OK;
  int32_t code = dray_buffer_append_str(&question->sql, ") AS v(i, t) ORDER BY v.i", error);
  if (code == DRAY_OK) code = ask(rows->source->engine->link, question, "casting changed values", 0, &result, error);
  if (code == DRAY_OK && PQntuples(result) != question->count) {
    code = dray_fail(error, DRAY_E_INTERNAL, "%d values were cast to %d", question->count, PQntuples(result));
  }
  for (int i = 0; code == DRAY_OK && i < question->count; i++) {
    code = keep_value(rows, question->answers[i], PQgetvalue(result, i, 0), PQgetlength(result, i, 0), 2, error);
  }
  PQclear(result);
  question->count = 0;
  question->bytes = 0;
  dray_buffer_clear(&question->sql);
  return code;
}

static int32_t add_cast(struct pg_rows *rows, struct question *question, const struct pg_column *column,
                        struct value *value, struct dray_error *error) {
  const int n = question->count;
  DRAY_TRY(dray_buffer_printf(&question->sql, error, "%s(%d, ", n == 0 ? "SELECT t FROM (VALUES " : ", ", n));
  DRAY_TRY(dray_buffer_printf(
      &question->sql, error,
      column->cast == PG_CAST_JSON ? "pg_catalog.to_json($%d)::pg_catalog.text)" : "$%d::pg_catalog.text)", n + 1));
  question->types[n] = column->oid;
  question->lengths[n] = value->len;
  question->formats[n] = value->binary;
  question->answers[n] = value;
  question->bytes += (size_t)value->len;
  question->count++;
  if (question->count < ASKED_MAX && question->bytes < ASKED_BYTES_MAX) return DRAY_OK;
  return cast_some(rows, question, error);
}

static void free_copies(struct question *question, int count) {
  for (int i = 0; i < count; i++) {
    free((void *)(uintptr_t)question->values[i]);
    question->values[i] = NULL;
  }
}

// `raw` moves while it grows, and a parameter in text form ends with a NUL: the values of a question are copied first.
static int32_t cast_values(struct pg_rows *rows, struct question *question, struct dray_error *error) {
  const size_t count = rows->table->column_count;
  for (size_t i = rows->next * count; i < rows->row_count * count; i++) {
    const struct pg_column *column = &rows->table->columns[i % count];
    struct value *value = &rows->values[i];
    if (column->cast == PG_CAST_NONE || value->len < 0 || value->binary == 2) continue;
    const int n = question->count;
    const char *data = value->len > 0 ? rows->raw.data + value->at : "";
    char *copy = dray_str_dup(dray_str_make(data, (uint64_t)value->len));
    question->values[n] = copy;
    const int32_t code = copy == NULL ? no_memory(error) : add_cast(rows, question, column, value, error);
    if (code != DRAY_OK || question->count == 0) free_copies(question, n + 1); // asked: they are of no more use
    if (code != DRAY_OK) return code;
  }
  const int left = question->count;
  const int32_t code = cast_some(rows, question, error);
  free_copies(question, left);
  return code;
}

// ---- large values that the log leaves out ----

static int32_t write_fetch(const struct pg_rows *rows, const struct kept *kept, const uint8_t *identity,
                           struct question *question, struct dray_error *error) {
  const struct pg_table *table = rows->table;
  struct dray_buffer *sql = &question->sql;
  const char *glue = "SELECT ";
  dray_buffer_clear(sql);
  question->count = 0;
  for (size_t i = 0; i < table->column_count; i++) {
    const struct pg_column *column = &table->columns[i];
    if (rows->values[kept->first + i].len != PG_TUPLE_UNCHANGED) continue;
    DRAY_TRY(dray_buffer_append_str(sql, glue, error));
    if (column->cast == PG_CAST_JSON) DRAY_TRY(dray_buffer_append_str(sql, "pg_catalog.to_json(", error));
    DRAY_TRY(pg_quote(dray_str_of(column->name), sql, error));
    if (column->cast == PG_CAST_JSON) DRAY_TRY(dray_buffer_append_char(sql, ')', error));
    if (column->cast == PG_CAST_TEXT) DRAY_TRY(dray_buffer_append_str(sql, "::pg_catalog.text", error));
    glue = ", ";
  }
  DRAY_TRY(dray_buffer_append_str(sql, " FROM ", error));
  DRAY_TRY(pg_table_write_name(table, sql, error));
  glue = " WHERE ";
  for (size_t i = 0; i < table->column_count; i++) {
    const struct value *value = &rows->values[kept->first + i];
    if (!identity[i]) continue;
    if (value->len < 0 || value->binary != 1 || question->count == ASKED_MAX) {
      question->count = 0;
      return DRAY_OK;
    }
    DRAY_TRY(dray_buffer_append_str(sql, glue, error));
    DRAY_TRY(pg_quote(dray_str_of(table->columns[i].name), sql, error));
    DRAY_TRY(dray_buffer_printf(sql, error, " = $%d", question->count + 1));
    question->types[question->count] = table->columns[i].oid;
    question->values[question->count] = value->len > 0 ? rows->raw.data + value->at : "";
    question->lengths[question->count] = value->len;
    question->formats[question->count++] = 1;
    glue = " AND ";
  }
  return DRAY_OK;
}

// A row that is gone by now keeps its values absent: what became of it comes later in the log.
static int32_t fetch_row(struct pg_rows *rows, const struct kept *kept, const uint8_t *identity,
                         struct question *question, struct dray_error *error) {
  PGresult *result = NULL;
  int field = 0;
  DRAY_TRY(write_fetch(rows, kept, identity, question, error));
  if (question->count == 0) return DRAY_OK; // nothing tells it apart
  int32_t code = ask(rows->source->engine->link, question, "asking for a large value", 1, &result, error);
  for (size_t i = 0; code == DRAY_OK && PQntuples(result) == 1 && i < rows->table->column_count; i++) {
    struct value *value = &rows->values[kept->first + i];
    if (value->len != PG_TUPLE_UNCHANGED) continue;
    const int32_t len = PQgetisnull(result, 0, field) ? PG_TUPLE_NULL : PQgetlength(result, 0, field);
    const int cast = rows->table->columns[i].cast != PG_CAST_NONE;
    code = keep_value(rows, value, PQgetvalue(result, 0, field), len, cast ? 2 : 1, error);
    field++;
  }
  PQclear(result);
  return code;
}

static int misses(const struct pg_rows *rows, const struct kept *kept) {
  for (size_t i = 0; kept->fetch && i < rows->table->column_count; i++) {
    if (rows->values[kept->first + i].len == PG_TUPLE_UNCHANGED) return 1;
  }
  return 0;
}

static int32_t prepare(struct pg_rows *rows, const uint8_t *identity, struct dray_error *error) {
  struct dray_warehouse *engine = rows->source->engine;
  int wanted = rows->casts, own = 0;
  for (size_t i = rows->next; i < rows->row_count && !wanted; i++) wanted = misses(rows, &rows->rows[i]);
  if (!wanted) return DRAY_OK;
  struct question *question = calloc(1, sizeof *question);
  if (question == NULL) return no_memory(error);
  dray_buffer_init(&question->sql, SQL_BYTES_MAX);
  int32_t code = pg_enter(engine, error);
  if (code == DRAY_OK) code = pg_own_begin(engine, 1, &own, error);
  for (size_t i = rows->next; code == DRAY_OK && i < rows->row_count; i++) {
    if (misses(rows, &rows->rows[i])) code = fetch_row(rows, &rows->rows[i], identity, question, error);
  }
  question->count = 0;
  dray_buffer_clear(&question->sql);
  if (code == DRAY_OK && rows->casts) code = cast_values(rows, question, error);
  code = pg_own_end(engine, own, code, error);
  dray_buffer_free(&question->sql);
  free(question);
  return code;
}

// ---- building ----

static int32_t end_bad_row(struct pg_rows *rows, size_t column, int deleted, int32_t *out_full,
                           struct dray_error *error) {
  struct dray_buffer text;
  const size_t count = rows->table->column_count;
  dray_buffer_init(&text, 2 * DRAY_ERROR_TEXT_MAX);
  dray_builder_abandon_row(rows->builder);
  int32_t code = dray_buffer_printf(&text, error, "%s: column '%s': %s", dray_error_info(rows->why.code)->name,
                                    rows->table->columns[column].name, rows->why.text);
  if (code == DRAY_OK) code = dray_builder_bytes(rows->builder, count, dray_buffer_view(&text), error);
  if (code == DRAY_OK) code = dray_builder_bool(rows->builder, count + 1, deleted, error);
  for (size_t i = 0; code == DRAY_OK && i < count; i++) code = dray_builder_null(rows->builder, i, error);
  dray_buffer_free(&text);
  return code == DRAY_OK ? dray_builder_end_row(rows->builder, out_full, error) : code;
}

static int32_t put_value(struct pg_rows *rows, size_t column, const struct value *value, struct dray_error *error) {
  const char *data = value->len > 0 ? rows->raw.data + value->at : "";
  if (value->len == PG_TUPLE_UNCHANGED || value->len == PG_TUPLE_MISSING) return DRAY_OK; // absent
  if (value->len == PG_TUPLE_NULL) return dray_builder_null(rows->builder, column, error);
  if (value->binary != 0 && rows->table->columns[column].cast == PG_CAST_NONE) {
    return pg_decode(&rows->table->columns[column], data, value->len, rows->builder, column, error);
  }
  return pg_decode_text(data, value->len, rows->builder, column, error);
}

static int32_t build_row(struct pg_rows *rows, const struct kept *kept, int32_t *out_full, struct dray_error *error) {
  const size_t count = rows->table->column_count;
  for (size_t i = 0; i < count; i++) {
    const int32_t code = put_value(rows, i, &rows->values[kept->first + i], &rows->why);
    if (code == DRAY_OK) continue;
    if (dray_error_info(code)->error_class == DRAY_CLASS_DATA)
      return end_bad_row(rows, i, kept->deleted, out_full, error);
    dray_builder_abandon_row(rows->builder);
    if (error != NULL) *error = rows->why;
    return code;
  }
  DRAY_TRY(dray_builder_null(rows->builder, count, error));
  DRAY_TRY(dray_builder_bool(rows->builder, count + 1, kept->deleted, error));
  return dray_builder_end_row(rows->builder, out_full, error);
}

int32_t pg_rows_take(struct pg_rows *rows, const uint8_t *identity, struct ArrowArray *out, struct dray_error *error) {
  int32_t full = 0;
  if (!rows->prepared) DRAY_TRY(prepare(rows, identity, error));
  rows->prepared = 1;
  while (rows->next < rows->row_count && !full) {
    DRAY_TRY(build_row(rows, &rows->rows[rows->next], &full, error));
    rows->next++;
  }
  if (pg_rows_empty(rows)) {
    rows->row_count = rows->next = 0;
    dray_buffer_clear(&rows->raw);
  }
  return dray_builder_finish(rows->builder, out, error);
}
