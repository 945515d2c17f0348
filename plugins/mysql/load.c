// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Loading: lines are collected over batches and sent by LOAD DATA LOCAL INFILE, whose "file" is a buffer of this
// process. A load ends with the next call of another slot, which is where its last lines are sent. Where the server
// refuses LOCAL, rows go by INSERTs of many rows.
#include <mysqld_error.h>
#include <stdio.h>
#include <stdlib.h>

#include "warehouse.h"

#define SQL_BYTES_MAX (1u << 21)
#define LINES_BYTES_MAX (UINT64_C(1) << 31)
#define SENT_BYTES (4u << 20) // collected before a statement is run
#define PARAMS_MAX 8192u      // of one INSERT
#define INSERT_BYTES_MAX (1u << 20)
#define DOING "loading"

void my_load_init(struct my_load *load) {
  memset(load, 0, sizeof *load);
  dray_buffer_init(&load->lines, LINES_BYTES_MAX);
}

static void forget(struct dray_warehouse *warehouse) {
  struct my_load *load = &warehouse->load;
  for (size_t i = 0; i < MY_STATEMENTS_KEPT; i++) my_stmt_close(warehouse->link, load->statements[i]);
  free(load->target);
  free(load->sql);
  free(load->no_nulls);
  dray_buffer_free(&load->lines);
  my_load_init(load);
}

// ---- the "file": libmariadb asks for it while the statement runs ----

// While a load is sent, what the server asks for is what was collected, whatever the name.
static int file_open(void **out, const char *name, void *userdata) {
  (void)name;
  struct my_load *load = userdata;
  load->sent = 0;
  *out = load;
  return 0;
}

static int file_read(void *handle, char *out, unsigned int room) {
  struct my_load *load = handle;
  const size_t left = load->lines.len - load->sent, part = left < room ? left : room;
  if (part > 0) memcpy(out, load->lines.data + load->sent, part);
  load->sent += part;
  return (int)part;
}

static void file_close(void *handle) {
  (void)handle;
}

static int file_error(void *handle, char *out, unsigned int room) {
  (void)handle;
  (void)snprintf(out, room, "no load is going on");
  return ER_UNKNOWN_ERROR;
}

// ---- what the server made of it ----

// LOCAL makes warnings of errors and leaves rows out or changes them; here every warning is one.
static int32_t fail_warned(struct my_link *link, struct dray_error *error) {
  DRAY_TRY(my_link_warned(link, 0, MY_FOR_LOAD, DOING, error));
  return dray_fail(error, DRAY_E_INTERNAL, DOING ": the server warned of something and did not say what");
}

static int32_t judge(struct my_link *link, uint64_t rows, struct dray_error *error) {
  const my_ulonglong loaded = mysql_affected_rows(link->conn);
  if (mysql_warning_count(link->conn) > 0) return fail_warned(link, error);
  if (loaded == rows) return DRAY_OK;
  return dray_fail(error, DRAY_E_INTERNAL, DOING ": of %llu rows the server took %llu, and did not say why",
                   (unsigned long long)rows, (unsigned long long)loaded);
}

// Sends what was collected.
static int32_t send_lines(struct dray_warehouse *warehouse, struct dray_error *error) {
  struct my_load *load = &warehouse->load;
  struct my_link *link = warehouse->link;
  const uint64_t rows = load->rows;
  if (rows == 0) return DRAY_OK;
  mysql_set_local_infile_handler(link->conn, file_open, file_read, file_close, file_error, load);
  my_link_start(link);
  int32_t code = my_link_query(link, dray_str_of(load->sql), MY_FOR_LOAD, DOING, error);
  my_link_settle(link);
  my_link_refuse_files(link->conn);
  load->rows = 0;
  dray_buffer_clear(&load->lines);
  return code == DRAY_OK ? judge(link, rows, error) : code;
}

// ---- INSERTs, where there is no other way ----

static int32_t write_insert(const struct my_load *load, uint64_t rows, struct dray_buffer *sql,
                            struct dray_error *error) {
  DRAY_TRY(dray_buffer_append_str(sql, "INSERT INTO ", error));
  DRAY_TRY(dray_buffer_append_str(sql, load->target, error));
  DRAY_TRY(dray_buffer_append_str(sql, " VALUES ", error));
  for (uint64_t row = 0; row < rows; row++) {
    for (size_t i = 0; i < load->column_count; i++) {
      DRAY_TRY(dray_buffer_append_str(sql, i > 0 ? ",?" : row > 0 ? ",(?" : "(?", error));
    }
    DRAY_TRY(dray_buffer_append_char(sql, ')', error));
  }
  return DRAY_OK;
}

// The statement that inserts 2^power rows.
static int32_t keep_insert(struct dray_warehouse *warehouse, int power, MYSQL_STMT **out, struct dray_error *error) {
  struct my_load *load = &warehouse->load;
  struct dray_buffer sql;
  *out = load->statements[power];
  if (*out != NULL) return DRAY_OK;
  dray_buffer_init(&sql, SQL_BYTES_MAX);
  int32_t code = write_insert(load, UINT64_C(1) << power, &sql, error);
  if (code == DRAY_OK) {
    code =
        my_stmt_prepare(warehouse->link, dray_buffer_view(&sql), MY_FOR_LOAD, DOING, &load->statements[power], error);
  }
  dray_buffer_free(&sql);
  *out = load->statements[power];
  return code;
}

static int32_t insert_rows(struct dray_warehouse *warehouse, const struct dray_view *view, uint64_t first, int power,
                           MYSQL_BIND *binds, struct my_param *params, struct dray_error *error) {
  struct my_link *link = warehouse->link;
  MYSQL_STMT *statement = NULL;
  size_t n = 0;
  for (uint64_t row = first; row < first + (UINT64_C(1) << power); row++) {
    for (size_t i = 0; i < view->column_count; i++, n++) {
      DRAY_TRY(my_bind(&view->columns[i], row, &binds[n], &params[n], error));
    }
  }
  DRAY_TRY(keep_insert(warehouse, power, &statement, error));
  if (mysql_stmt_bind_param(statement, binds) != 0) {
    return dray_fail(error, DRAY_E_INTERNAL, DOING ": %s", mysql_stmt_error(statement));
  }
  DRAY_TRY(my_stmt_execute(link, statement, MY_FOR_LOAD, DOING, error));
  return mysql_stmt_warning_count(statement) > 0 ? fail_warned(link, error) : DRAY_OK;
}

static uint64_t bytes_of(const struct dray_view *view, uint64_t row) {
  uint64_t bytes = 0;
  for (size_t i = 0; i < view->column_count; i++) {
    const struct dray_column_view *column = &view->columns[i];
    const int32_t type = column->type.id;
    if (dray_column_is_null(column, row)) continue;
    const int sized = type != DRAY_TYPE_STRING && type != DRAY_TYPE_BYTES && type != DRAY_TYPE_JSON;
    bytes += sized ? 16 : dray_column_bytes(column, row).len;
  }
  return bytes;
}

// As many rows, a power of two, as go into one statement.
static int choose_power(const struct dray_view *view, uint64_t first) {
  const uint64_t most = PARAMS_MAX / view->column_count;
  uint64_t bytes = bytes_of(view, first), counted = 1;
  int power = 0;
  while (power + 1 < MY_STATEMENTS_KEPT && first + (UINT64_C(2) << power) <= view->row_count &&
         (UINT64_C(2) << power) <= most) {
    for (; counted < (UINT64_C(2) << power); counted++) bytes += bytes_of(view, first + counted);
    if (bytes > INSERT_BYTES_MAX) break;
    power++;
  }
  return power;
}

static int32_t insert_batch(struct dray_warehouse *warehouse, const struct dray_view *view, struct dray_error *error) {
  const size_t most = PARAMS_MAX > view->column_count ? PARAMS_MAX : view->column_count;
  MYSQL_BIND *binds = calloc(most, sizeof *binds);
  struct my_param *params = calloc(most, sizeof *params);
  int32_t code = DRAY_OK;
  if (binds == NULL || params == NULL) code = dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a load");
  for (uint64_t row = 0; code == DRAY_OK && row < view->row_count;) {
    const int power = choose_power(view, row);
    my_link_start(warehouse->link);
    code = insert_rows(warehouse, view, row, power, binds, params, error);
    my_link_settle(warehouse->link);
    row += UINT64_C(1) << power;
  }
  free(binds);
  free(params);
  return code;
}

// ---- the end of a load ----

int32_t my_load_end(struct dray_warehouse *warehouse, struct dray_error *error) {
  struct my_load *load = &warehouse->load;
  if (!load->open) return DRAY_OK;
  const int own = load->own;
  const int32_t code = send_lines(warehouse, error);
  forget(warehouse);
  return my_own_end(warehouse, own, code, error);
}

void my_load_abandon(struct dray_warehouse *warehouse) {
  struct my_load *load = &warehouse->load;
  const int own = load->open && load->own;
  if (!load->open) return;
  forget(warehouse);
  if (own) my_link_rollback(warehouse->link);
}

// ---- its beginning ----

// `schema`.`table` (`a`, `b`)
static int32_t write_target(struct dray_buffer *out, struct dray_str schema, struct dray_str table,
                            const struct dray_view *view, struct dray_error *error) {
  DRAY_TRY(my_quote_table(schema, table, out, error));
  for (size_t i = 0; i < view->column_count; i++) {
    DRAY_TRY(dray_buffer_append_str(out, i == 0 ? " (" : ", ", error));
    DRAY_TRY(my_quote(dray_str_of(view->columns[i].name), out, error));
  }
  return dray_buffer_append_char(out, ')', error);
}

// Bytes come as hex into a variable each, and are turned back.
static int32_t write_load(struct dray_buffer *out, struct dray_str schema, struct dray_str table,
                          const struct dray_view *view, struct dray_error *error) {
  const char *between = " SET ";
  DRAY_TRY(dray_buffer_append_str(out, "LOAD DATA LOCAL INFILE 'dray' INTO TABLE ", error));
  DRAY_TRY(my_quote_table(schema, table, out, error));
  DRAY_TRY(dray_buffer_append_str(out,
                                  " CHARACTER SET utf8mb4 FIELDS TERMINATED BY '\\t' ENCLOSED BY '' ESCAPED BY '\\\\' "
                                  "LINES TERMINATED BY '\\n' STARTING BY ''",
                                  error));
  for (size_t i = 0; i < view->column_count; i++) {
    DRAY_TRY(dray_buffer_append_str(out, i == 0 ? " (" : ", ", error));
    if (view->columns[i].type.id == DRAY_TYPE_BYTES) {
      DRAY_TRY(dray_buffer_printf(out, error, "@v%zu", i));
    } else {
      DRAY_TRY(my_quote(dray_str_of(view->columns[i].name), out, error));
    }
  }
  DRAY_TRY(dray_buffer_append_char(out, ')', error));
  for (size_t i = 0; i < view->column_count; i++) {
    if (view->columns[i].type.id != DRAY_TYPE_BYTES) continue;
    DRAY_TRY(dray_buffer_append_str(out, between, error));
    DRAY_TRY(my_quote(dray_str_of(view->columns[i].name), out, error));
    DRAY_TRY(dray_buffer_printf(out, error, " = UNHEX(@v%zu)", i));
    between = ", ";
  }
  return DRAY_OK;
}

static int32_t check_column(const struct dray_column_view *column, const struct my_table *table, struct dray_str name,
                            uint8_t *out_no_nulls, struct dray_error *error) {
  for (size_t i = 0; i < table->column_count; i++) {
    const struct my_column *target = &table->columns[i];
    if (strcmp(target->name, column->name) != 0) continue;
    *out_no_nulls = target->fills_null != 0;
    if (my_encodes(column->type.id, target)) return DRAY_OK;
    return dray_fail_field(error, DRAY_E_SCHEMA_TYPE, column->name,
                           "column '%s' of table %.*s is %s, into which dray does not write %s", column->name,
                           DRAY_STR_ARG(name), target->row->name, dray_type_name(column->type.id));
  }
  return dray_fail_field(error, DRAY_E_SCHEMA_FIELD, column->name, "table %.*s has no column '%s'", DRAY_STR_ARG(name),
                         column->name);
}

static int32_t check_columns(struct dray_warehouse *warehouse, struct dray_str schema, struct dray_str name,
                             const struct dray_view *view, struct dray_error *error) {
  struct my_table table = {.found = 0};
  DRAY_TRY(my_table_read(warehouse->link, schema, name, &table, error));
  int32_t code = DRAY_OK;
  if (!table.found) code = dray_fail(error, DRAY_E_SCHEMA_OBJECT, "there is no table %.*s", DRAY_STR_ARG(name));
  for (size_t i = 0; code == DRAY_OK && i < view->column_count; i++) {
    code = check_column(&view->columns[i], &table, name, &warehouse->load.no_nulls[i], error);
  }
  my_table_free(&table);
  return code;
}

static int32_t begin_load(struct dray_warehouse *warehouse, struct dray_str schema, struct dray_str table,
                          const struct dray_view *view, const struct dray_buffer *target, struct dray_error *error) {
  struct my_load *load = &warehouse->load;
  struct dray_buffer sql;
  int own = 0;
  DRAY_TRY(my_enter(warehouse, error));
  DRAY_TRY(my_own_begin(warehouse, 0, &own, error));
  dray_buffer_init(&sql, SQL_BYTES_MAX);
  int32_t code = write_load(&sql, schema, table, view, error);
  if (code == DRAY_OK) {
    load->column_count = view->column_count;
    load->target = dray_str_dup(dray_buffer_view(target));
    load->sql = dray_str_dup(dray_buffer_view(&sql));
    load->no_nulls = calloc(view->column_count + 1, 1);
    if (load->target == NULL || load->sql == NULL || load->no_nulls == NULL) {
      code = dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a load");
    }
  }
  if (code == DRAY_OK) code = check_columns(warehouse, schema, table, view, error);
  dray_buffer_free(&sql);
  load->open = 1; // from here on the failure of a batch ends it
  load->own = own;
  return code;
}

static int32_t go_on(struct dray_warehouse *warehouse, struct dray_str schema, struct dray_str table,
                     const struct dray_view *view, struct dray_error *error) {
  const struct my_load *load = &warehouse->load;
  struct dray_buffer target;
  dray_buffer_init(&target, SQL_BYTES_MAX);
  int32_t code = write_target(&target, schema, table, view, error);
  if (code == DRAY_OK && !(load->open && strcmp(load->target, target.data) == 0)) {
    code = begin_load(warehouse, schema, table, view, &target, error);
  }
  dray_buffer_free(&target);
  return code;
}

// ---- batches ----

// LOAD DATA writes the time of day for a null in a timestamp that is NOT NULL, and the next number where there is an
// AUTO_INCREMENT, without a warning.
static int32_t check_nulls(const struct my_load *load, const struct dray_view *view, struct dray_error *error) {
  for (size_t i = 0; i < view->column_count; i++) {
    const struct dray_column_view *column = &view->columns[i];
    for (uint64_t row = 0; load->no_nulls[i] && row < view->row_count; row++) {
      if (!dray_column_is_null(column, row)) continue;
      return dray_fail_field(error, DRAY_E_DATA_REJECTED, column->name,
                             DOING ": column '%s' cannot be null: the server would write a value of its own",
                             column->name);
    }
  }
  return DRAY_OK;
}

static int32_t collect(struct dray_warehouse *warehouse, const struct dray_view *view, struct dray_error *error) {
  struct my_load *load = &warehouse->load;
  for (uint64_t row = 0; row < view->row_count; row++) {
    DRAY_TRY(my_encode_row(view, row, &load->lines, error));
    load->rows++;
    if (load->lines.len < SENT_BYTES) continue;
    DRAY_TRY(send_lines(warehouse, error));
    DRAY_TRY(dray_cancel_check(&warehouse->session.services, error));
  }
  return DRAY_OK;
}

int32_t my_load_batch(struct dray_warehouse *warehouse, struct dray_str schema, struct dray_str table,
                      const struct ArrowSchema *batch_schema, const struct ArrowArray *batch,
                      struct dray_error *error) {
  struct dray_view view;
  DRAY_TRY(dray_view_init(&view, batch_schema, batch, error));
  int32_t code = dray_cancel_check(&warehouse->session.services, error);
  if (code == DRAY_OK) code = go_on(warehouse, schema, table, &view, error);
  if (code == DRAY_OK) code = check_nulls(&warehouse->load, &view, error);
  if (code == DRAY_OK) {
    code = warehouse->link->no_infile ? insert_batch(warehouse, &view, error) : collect(warehouse, &view, error);
  }
  if (code != DRAY_OK) {
    code = my_own_end(warehouse, 0, code, error);
    my_load_abandon(warehouse);
  }
  dray_view_free(&view);
  return code;
}
