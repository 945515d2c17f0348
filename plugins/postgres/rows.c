// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Changed rows on their way into a batch. Of a row that changes again and again only its last version stays, with what
// that leaves out from the one before it. They are kept as they came until there is a batch of them: then the server is
// asked for what only it can say (types that it casts, so that a value is the same as in a query's result) and for
// large values that the log leaves out where the other side may not have them. Memory is that of a batch.
#include <stdlib.h>

#include "source.h"

#define RAW_BYTES_MAX (1u << 31)
#define SQL_BYTES_MAX (4u << 20)
#define ASKED_MAX 1000 // values in one statement
#define ASKED_BYTES_MAX (4u << 20)
#define FETCHED_ROWS_MAX 64 // rows whose large values are held at once
#define PREPARED_ROWS_MAX 4096

struct kept {
  size_t first; // of its values in `values`
  uint64_t hash;
  int deleted, fetch;
  int dead; // a later version is kept
};

enum { TEXT = 0, BINARY = 1, ANSWER = 2 }; // ANSWER: of the server, in `answers`
struct value {
  size_t at; // in `raw` or `answers`
  int32_t len;
  int32_t form;
};

struct pg_rows {
  struct dray_source *source;
  const struct pg_table *table;
  struct ArrowSchema schema;
  struct dray_builder *builder;
  uint64_t bytes_max, rows_max;
  struct dray_buffer raw, answers;
  struct kept *rows;
  struct value *values;
  uint8_t *wanted; // of the table's columns, in one question
  size_t *index;   // rows by key: number + 1, 0: free; twice as long as row_capacity
  size_t row_count, row_capacity, next;
  size_t ready; // rows before it are prepared
  int casts;    // some column is cast by the server
  int own;      // the transaction in which the server is asked is open
  struct dray_error why;
};

static int32_t no_memory(struct dray_error *error) {
  return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for changed rows");
}

static const char *data_of(const struct pg_rows *rows, const struct value *value) {
  if (value->len <= 0) return "";
  return (value->form == ANSWER ? rows->answers.data : rows->raw.data) + value->at;
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
  dray_buffer_init(&rows->answers, RAW_BYTES_MAX);
  dray_error_init(&rows->why);
  rows->wanted = calloc(table->column_count, 1);
  int32_t code = rows->wanted == NULL ? no_memory(error) : make_schema(rows, error);
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
  dray_buffer_free(&rows->answers);
  free(rows->rows);
  free(rows->values);
  free(rows->index);
  free(rows->wanted);
  free(rows);
}

const struct ArrowSchema *pg_rows_schema(const struct pg_rows *rows) {
  return &rows->schema;
}

// ---- keeping ----

uint64_t pg_row_hash(const struct pg_table *table, const uint8_t *identity, const struct pg_value *values) {
  uint64_t hash = UINT64_C(14695981039346656037); // FNV-1a, over lengths and bytes
  for (size_t i = 0; i < table->column_count; i++) {
    if (!identity[i]) continue;
    hash = (hash ^ (uint64_t)(uint32_t)values[i].len) * UINT64_C(1099511628211);
    for (int32_t k = 0; k < values[i].len; k++) {
      hash = (hash ^ (unsigned char)values[i].data[k]) * UINT64_C(1099511628211);
    }
  }
  hash ^= hash >> 29;
  return hash != 0 ? hash : 1;
}

static void put_index(struct pg_rows *rows, size_t row) {
  const size_t mask = 2 * rows->row_capacity - 1;
  size_t at = (size_t)rows->rows[row].hash & mask;
  while (rows->index[at] != 0) at = (at + 1) & mask;
  rows->index[at] = row + 1;
}

static int32_t make_room(struct pg_rows *rows, struct dray_error *error) {
  if (rows->row_count < rows->row_capacity) return DRAY_OK;
  const size_t capacity = rows->row_capacity == 0 ? 64 : rows->row_capacity * 2;
  struct kept *kept = realloc(rows->rows, capacity * sizeof *kept);
  if (kept == NULL) return no_memory(error);
  rows->rows = kept;
  struct value *values = realloc(rows->values, capacity * rows->table->column_count * sizeof *values);
  if (values == NULL) return no_memory(error);
  rows->values = values;
  size_t *index = calloc(2 * capacity, sizeof *index);
  if (index == NULL) return no_memory(error);
  free(rows->index);
  rows->index = index;
  rows->row_capacity = capacity;
  for (size_t row = 0; row < rows->row_count; row++) {
    if (!rows->rows[row].dead) put_index(rows, row);
  }
  return DRAY_OK;
}

static int same_key(const struct pg_rows *rows, const struct kept *kept, const struct pg_row *row,
                    const uint8_t *identity) {
  int keys = 0;
  for (size_t i = 0; i < rows->table->column_count; i++) {
    const struct value *value = &rows->values[kept->first + i];
    if (!identity[i]) continue;
    if (value->len != row->values[i].len) return 0;
    if (value->len > 0 && memcmp(data_of(rows, value), row->values[i].data, (size_t)value->len) != 0) return 0;
    keys++;
  }
  return keys > 0;
}

// The version before this one that is still to be given out. NULL: none.
static struct kept *find_version(const struct pg_rows *rows, const struct pg_row *row, uint64_t hash,
                                 const uint8_t *identity) {
  const size_t mask = 2 * rows->row_capacity - 1;
  for (size_t at = (size_t)hash & mask; rows->index[at] != 0; at = (at + 1) & mask) {
    struct kept *kept = &rows->rows[rows->index[at] - 1];
    if (!kept->dead && kept->hash == hash && same_key(rows, kept, row, identity)) return kept;
  }
  return NULL;
}

static int32_t keep_value(struct dray_buffer *in, struct value *to, const char *data, int32_t len, int32_t form,
                          struct dray_error *error) {
  const struct value value = {in->len, len, form};
  if (len > 0) DRAY_TRY(dray_buffer_append(in, data, (size_t)len, error));
  *to = value;
  return DRAY_OK;
}

int32_t pg_rows_add(struct pg_rows *rows, const struct pg_row *row, const uint8_t *identity, struct dray_error *error) {
  const size_t count = rows->table->column_count;
  DRAY_TRY(make_room(rows, error));
  struct kept kept = {.first = rows->row_count * count,
                      .hash = pg_row_hash(rows->table, identity, row->values),
                      .deleted = row->deleted,
                      .fetch = row->fetch};
  struct kept *before = find_version(rows, row, kept.hash, identity);
  const int fill = before != NULL && !row->deleted && !before->deleted;
  for (size_t i = 0; i < count; i++) {
    const struct pg_value *from = &row->values[i];
    struct value *to = &rows->values[kept.first + i];
    if (fill && from->len < PG_TUPLE_NULL) {
      *to = rows->values[before->first + i];
      continue;
    }
    // Of a row that is gone only what tells it apart is of use.
    const int32_t len = row->deleted && !identity[i] ? PG_TUPLE_MISSING : from->len;
    DRAY_TRY(keep_value(&rows->raw, to, from->data, len, from->binary ? BINARY : TEXT, error));
    if (len >= 0 && !from->binary) DRAY_TRY(dray_buffer_append_char(&rows->raw, '\0', error)); // for a parameter
  }
  if (before != NULL) {
    // What the one before needed is needed still; else what is left out now was left out then, and is not known here.
    kept.fetch = fill ? before->fetch : kept.fetch;
    before->dead = 1;
  }
  rows->rows[rows->row_count] = kept;
  put_index(rows, rows->row_count++);
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

static void clear(struct question *question) {
  dray_buffer_clear(&question->sql);
  question->count = 0;
  question->bytes = 0;
}

static void add_param(struct question *question, const struct pg_rows *rows, const struct pg_column *column,
                      const struct value *value) {
  const int n = question->count++;
  question->types[n] = column->oid;
  question->values[n] = data_of(rows, value);
  question->lengths[n] = value->len;
  question->formats[n] = value->form == BINARY;
  question->bytes += (size_t)value->len;
}

static int32_t ask(struct pg_rows *rows, const struct question *question, const char *doing, int binary, PGresult **out,
                   struct dray_error *error) {
  struct pg_link *link = rows->source->engine->link;
  if (link->conn == NULL) return pg_fail_lost(link, doing, error);
  pg_link_start(link);
  const int ok = PQsendQueryParams(link->conn, question->sql.data, question->count, question->types, question->values,
                                   question->lengths, question->formats, binary);
  const int32_t code = pg_link_finish(link, ok, PG_FOR_OURSELVES, NULL, doing, out, error);
  pg_link_settle(link);
  return code;
}

// The transaction is begun where it is first needed.
static int32_t enter(struct pg_rows *rows, struct dray_error *error) {
  if (rows->own) return DRAY_OK;
  DRAY_TRY(pg_enter(rows->source->engine, error));
  return pg_own_begin(rows->source->engine, 1, &rows->own, error);
}

// The texts of the values in the question, in its order.
static int32_t cast_some(struct pg_rows *rows, struct question *question, struct dray_error *error) {
  PGresult *result = NULL;
  if (question->count == 0) return DRAY_OK;
  int32_t code = enter(rows, error);
  if (code == DRAY_OK) code = dray_buffer_append_str(&question->sql, ") AS v(i, t) ORDER BY v.i", error);
  if (code == DRAY_OK) code = ask(rows, question, "casting changed values", 0, &result, error);
  if (code == DRAY_OK && PQntuples(result) != question->count) {
    code = dray_fail(error, DRAY_E_INTERNAL, "%d values were cast to %d", question->count, PQntuples(result));
  }
  for (int i = 0; code == DRAY_OK && i < question->count; i++) {
    code = keep_value(&rows->answers, question->answers[i], PQgetvalue(result, i, 0), PQgetlength(result, i, 0), ANSWER,
                      error);
  }
  PQclear(result);
  clear(question);
  return code;
}

static int32_t add_cast(struct pg_rows *rows, struct question *question, const struct pg_column *column,
                        struct value *value, struct dray_error *error) {
  const int n = question->count;
  DRAY_TRY(dray_buffer_printf(&question->sql, error, "%s(%d, ", n == 0 ? "SELECT t FROM (VALUES " : ", ", n));
  DRAY_TRY(dray_buffer_printf(
      &question->sql, error,
      column->cast == PG_CAST_JSON ? "pg_catalog.to_json($%d)::pg_catalog.text)" : "$%d::pg_catalog.text)", n + 1));
  question->answers[n] = value;
  add_param(question, rows, column, value);
  if (question->count < ASKED_MAX && question->bytes < ASKED_BYTES_MAX) return DRAY_OK;
  return cast_some(rows, question, error);
}

static int32_t cast_values(struct pg_rows *rows, size_t end, struct question *question, struct dray_error *error) {
  const size_t count = rows->table->column_count;
  clear(question);
  for (size_t row = rows->ready; row < end; row++) {
    if (rows->rows[row].dead) continue;
    for (size_t i = 0; i < count; i++) {
      const struct pg_column *column = &rows->table->columns[i];
      struct value *value = &rows->values[rows->rows[row].first + i];
      if (column->cast == PG_CAST_NONE || value->len < 0 || value->form == ANSWER) continue;
      DRAY_TRY(add_cast(rows, question, column, value, error));
    }
  }
  return cast_some(rows, question, error);
}

// ---- large values that the log leaves out ----

static int misses(const struct pg_rows *rows, const struct kept *kept) {
  for (size_t i = 0; kept->fetch && !kept->dead && i < rows->table->column_count; i++) {
    if (rows->values[kept->first + i].len == PG_TUPLE_UNCHANGED) return 1;
  }
  return 0;
}

// Which columns are asked for: those that some of the rows miss.
static void find_wanted(struct pg_rows *rows, const size_t *missing, size_t count) {
  memset(rows->wanted, 0, rows->table->column_count);
  for (size_t k = 0; k < count; k++) {
    for (size_t i = 0; i < rows->table->column_count; i++) {
      rows->wanted[i] |= rows->values[rows->rows[missing[k]].first + i].len == PG_TUPLE_UNCHANGED;
    }
  }
}

static int32_t write_keys(struct pg_rows *rows, const size_t *missing, size_t count, const uint8_t *identity,
                          struct question *question, struct dray_error *error) {
  struct dray_buffer *sql = &question->sql;
  for (size_t k = 0; k < count; k++) {
    DRAY_TRY(dray_buffer_printf(sql, error, "%s(%zu", k == 0 ? "(VALUES " : ", ", k));
    for (size_t i = 0; i < rows->table->column_count; i++) {
      if (!identity[i]) continue;
      add_param(question, rows, &rows->table->columns[i], &rows->values[rows->rows[missing[k]].first + i]);
      DRAY_TRY(dray_buffer_printf(sql, error, ", $%d", question->count));
    }
    DRAY_TRY(dray_buffer_append_char(sql, ')', error));
  }
  DRAY_TRY(dray_buffer_append_str(sql, ") AS v(i", error));
  for (size_t i = 0; i < rows->table->column_count; i++) {
    if (identity[i]) DRAY_TRY(dray_buffer_printf(sql, error, ", k%zu", i));
  }
  return dray_buffer_append_char(sql, ')', error);
}

// SELECT v.i, t."large", ... FROM (VALUES (0, $1), ...) AS v(i, k0) JOIN "s"."t" AS t ON t."id" = v.k0
static int32_t write_fetch(struct pg_rows *rows, const size_t *missing, size_t count, const uint8_t *identity,
                           struct question *question, struct dray_error *error) {
  const struct pg_table *table = rows->table;
  struct dray_buffer *sql = &question->sql;
  const char *glue = " AS t ON t.";
  clear(question);
  DRAY_TRY(dray_buffer_append_str(sql, "SELECT v.i", error));
  for (size_t i = 0; i < table->column_count; i++) {
    const struct pg_column *column = &table->columns[i];
    if (!rows->wanted[i]) continue;
    DRAY_TRY(dray_buffer_append_str(sql, column->cast == PG_CAST_JSON ? ", pg_catalog.to_json(t." : ", (t.", error));
    DRAY_TRY(pg_quote(dray_str_of(column->name), sql, error));
    DRAY_TRY(dray_buffer_append_str(sql, column->cast == PG_CAST_TEXT ? ")::pg_catalog.text" : ")", error));
  }
  DRAY_TRY(dray_buffer_append_str(sql, " FROM ", error));
  DRAY_TRY(write_keys(rows, missing, count, identity, question, error));
  DRAY_TRY(dray_buffer_append_str(sql, " JOIN ", error));
  DRAY_TRY(pg_table_write_name(table, sql, error));
  for (size_t i = 0; i < table->column_count; i++) {
    if (!identity[i]) continue;
    DRAY_TRY(dray_buffer_append_str(sql, glue, error));
    DRAY_TRY(pg_quote(dray_str_of(table->columns[i].name), sql, error));
    DRAY_TRY(dray_buffer_printf(sql, error, " = v.k%zu", i));
    glue = " AND t.";
  }
  return DRAY_OK;
}

static int32_t take_fetched(struct pg_rows *rows, const size_t *missing, size_t count, const PGresult *result,
                            struct dray_error *error) {
  for (int line = 0; line < PQntuples(result); line++) {
    const uint32_t k = pg_get32(PQgetvalue(result, line, 0));
    int field = 1;
    if (k >= count) return dray_fail(error, DRAY_E_INTERNAL, "a large value came for no row");
    for (size_t i = 0; i < rows->table->column_count; i++) {
      struct value *value = &rows->values[rows->rows[missing[k]].first + i];
      if (!rows->wanted[i]) continue;
      const int32_t len = PQgetisnull(result, line, field) ? PG_TUPLE_NULL : PQgetlength(result, line, field);
      if (value->len == PG_TUPLE_UNCHANGED) {
        DRAY_TRY(keep_value(&rows->answers, value, PQgetvalue(result, line, field), len, ANSWER, error));
      }
      field++;
    }
  }
  return DRAY_OK;
}

// A row that is gone by now keeps its values absent: what became of it comes later in the log.
static int32_t fetch_rows(struct pg_rows *rows, const size_t *missing, size_t count, const uint8_t *identity,
                          struct question *question, struct dray_error *error) {
  PGresult *result = NULL;
  if (count == 0) return DRAY_OK;
  find_wanted(rows, missing, count);
  DRAY_TRY(enter(rows, error));
  DRAY_TRY(write_fetch(rows, missing, count, identity, question, error));
  int32_t code = ask(rows, question, "asking for large values", 1, &result, error);
  if (code == DRAY_OK) code = take_fetched(rows, missing, count, result, error);
  PQclear(result);
  return code;
}

// Whether every part of the key is there to be asked by.
static int has_key(const struct pg_rows *rows, const struct kept *kept, const uint8_t *identity, size_t *out_parts) {
  size_t parts = 0;
  for (size_t i = 0; i < rows->table->column_count; i++) {
    if (!identity[i]) continue;
    if (rows->values[kept->first + i].len < 0) return 0;
    parts++;
  }
  *out_parts = parts;
  return parts > 0;
}

// Prepares the next rows: as many as may be held with their large values.
static int32_t prepare(struct pg_rows *rows, const uint8_t *identity, struct question *question,
                       struct dray_error *error) {
  size_t missing[FETCHED_ROWS_MAX], count = 0, end = rows->ready, parts = 0, params = 0;
  dray_buffer_clear(&rows->answers);
  while (end < rows->row_count && end - rows->ready < PREPARED_ROWS_MAX && count < FETCHED_ROWS_MAX) {
    const struct kept *kept = &rows->rows[end];
    if (misses(rows, kept) && has_key(rows, kept, identity, &parts)) {
      if (params + parts > ASKED_MAX) break;
      params += parts;
      missing[count++] = end;
    }
    end++;
  }
  DRAY_TRY(fetch_rows(rows, missing, count, identity, question, error));
  if (rows->casts) DRAY_TRY(cast_values(rows, end, question, error));
  rows->ready = end;
  return DRAY_OK;
}

// ---- building ----

static int32_t put_value(struct pg_rows *rows, size_t column, const struct value *value, struct dray_error *error) {
  const char *data = data_of(rows, value);
  if (value->len == PG_TUPLE_UNCHANGED || value->len == PG_TUPLE_MISSING) return DRAY_OK; // absent
  if (value->len == PG_TUPLE_NULL) return dray_builder_null(rows->builder, column, error);
  if (value->form != TEXT && rows->table->columns[column].cast == PG_CAST_NONE) {
    return pg_decode(&rows->table->columns[column], data, value->len, rows->builder, column, error);
  }
  return pg_decode_text(data, value->len, rows->builder, column, error);
}

static int32_t build_row(struct pg_rows *rows, const struct kept *kept, int32_t *out_full, struct dray_error *error) {
  const size_t count = rows->table->column_count;
  for (size_t i = 0; i < count; i++) {
    const int32_t code = put_value(rows, i, &rows->values[kept->first + i], &rows->why);
    if (code != DRAY_OK) DRAY_TRY(dray_builder_misfit(rows->builder, i, &rows->why, error));
  }
  DRAY_TRY(dray_builder_bool(rows->builder, count + 1, kept->deleted, error));
  return dray_builder_end_row(rows->builder, out_full, error);
}

static int32_t build(struct pg_rows *rows, const uint8_t *identity, struct question *question,
                     struct dray_error *error) {
  int32_t full = 0;
  while (rows->next < rows->row_count && !full) {
    if (rows->next > rows->ready) rows->ready = rows->next;
    if (rows->next == rows->ready) DRAY_TRY(prepare(rows, identity, question, error));
    const struct kept *kept = &rows->rows[rows->next];
    if (!kept->dead) DRAY_TRY(build_row(rows, kept, &full, error));
    rows->next++;
  }
  return DRAY_OK;
}

int32_t pg_rows_take(struct pg_rows *rows, const uint8_t *identity, struct ArrowArray *out, struct dray_error *error) {
  if (pg_rows_empty(rows)) return dray_builder_finish(rows->builder, out, error);
  struct question *question = calloc(1, sizeof *question);
  if (question == NULL) return no_memory(error);
  dray_buffer_init(&question->sql, SQL_BYTES_MAX);
  int32_t code = build(rows, identity, question, error);
  if (rows->own) code = pg_own_end(rows->source->engine, 1, code, error);
  rows->own = 0;
  dray_buffer_free(&question->sql);
  free(question);
  if (code != DRAY_OK) return code;
  while (rows->next < rows->row_count && rows->rows[rows->next].dead) rows->next++; // or there would be nothing to give
  if (pg_rows_empty(rows)) {
    memset(rows->index, 0, 2 * rows->row_capacity * sizeof *rows->index);
    rows->row_count = rows->next = rows->ready = 0;
    dray_buffer_clear(&rows->raw);
  }
  return dray_builder_finish(rows->builder, out, error);
}
