// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Loading: one COPY ... FROM STDIN in binary, kept open from batch to batch. It ends with the next call of another
// slot, which is where the server's last word about it (a double key, say) is heard.
#include <stdlib.h>

#include "warehouse.h"

#define SQL_BYTES_MAX (1u << 21)
#define CHUNK_BYTES (1u << 18) // what libpq is given at a time: it copies, so this is what it holds
#define DOING "loading"

static const char copy_head[] = "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0"; // and the NUL of the literal is its 19th byte

static void forget(struct pg_load *load) {
  free(load->target);
  free(load->wires);
  *load = (struct pg_load){.open = 0};
}

// ---- sending ----

// A refusal of the server is known only when its message has been read: sending then fails, and the result says why.
static int32_t stopped(struct dray_warehouse *warehouse, struct dray_error *error) {
  struct pg_link *link = warehouse->link;
  const int32_t code = pg_link_finish(link, 1, PG_FOR_LOAD, NULL, DOING, NULL, error);
  return code != DRAY_OK ? code : pg_fail_lost(link, DOING, error);
}

static int32_t send_bytes(struct dray_warehouse *warehouse, const char *data, size_t len, struct dray_error *error) {
  struct pg_link *link = warehouse->link;
  while (len > 0) {
    const size_t part = len < CHUNK_BYTES ? len : CHUNK_BYTES;
    const int put = PQputCopyData(link->conn, data, (int)part);
    if (put < 0) return stopped(warehouse, error);
    DRAY_TRY(pg_link_flush(link, DOING, error));
    if (put == 0) continue; // it held too much
    data += part;
    len -= part;
  }
  return DRAY_OK;
}

static int32_t send_rows(struct dray_warehouse *warehouse, const struct dray_view *view, struct dray_error *error) {
  struct pg_encoder *encoder = &warehouse->encoder;
  for (uint64_t row = 0; row < view->row_count;) {
    DRAY_TRY(pg_encode(encoder, view, warehouse->load.wires, &row, error));
    DRAY_TRY(send_bytes(warehouse, encoder->out.data, encoder->out.len, error));
  }
  return DRAY_OK;
}

// ---- the end of a load ----

static int32_t end_copy(struct dray_warehouse *warehouse, const char *why, struct dray_error *error) {
  struct pg_link *link = warehouse->link;
  static const char trailer[2] = {'\377', '\377'};
  if (why == NULL) DRAY_TRY(send_bytes(warehouse, trailer, sizeof trailer, error));
  int put = 0;
  while (put == 0) {
    put = PQputCopyEnd(link->conn, why);
    if (put < 0) return stopped(warehouse, error);
    if (put == 0) DRAY_TRY(pg_link_flush(link, DOING, error));
  }
  return pg_link_finish(link, 1, PG_FOR_LOAD, NULL, DOING, NULL, error);
}

int32_t pg_load_end(struct dray_warehouse *warehouse, struct dray_error *error) {
  struct pg_load *load = &warehouse->load;
  if (!load->open) return DRAY_OK;
  const int own = load->own;
  int32_t code = end_copy(warehouse, NULL, error);
  forget(load);
  pg_link_settle(warehouse->link);
  if (code == DRAY_E_NET_CLOSED && warehouse->in_transaction) warehouse->lost = 1;
  code = pg_own_end(warehouse, own, code, error);
  return code;
}

void pg_load_abandon(struct dray_warehouse *warehouse) {
  struct pg_load *load = &warehouse->load;
  struct dray_error ignored;
  dray_error_init(&ignored);
  if (!load->open) return;
  const int own = load->own;
  if (!pg_link_broken(warehouse->link)) (void)end_copy(warehouse, "the load was given up", &ignored);
  forget(load);
  pg_link_settle(warehouse->link);
  if (own) pg_link_rollback(warehouse->link);
}

// ---- its beginning ----

static int32_t write_copy(struct dray_buffer *sql, struct dray_str schema, struct dray_str table,
                          const struct dray_view *view, struct dray_error *error) {
  DRAY_TRY(dray_buffer_append_str(sql, "COPY ", error));
  if (schema.len > 0) {
    DRAY_TRY(pg_quote(schema, sql, error));
    DRAY_TRY(dray_buffer_append_char(sql, '.', error));
  }
  DRAY_TRY(pg_quote(table, sql, error));
  for (size_t i = 0; i < view->column_count; i++) {
    DRAY_TRY(dray_buffer_append_str(sql, i == 0 ? " (" : ", ", error));
    DRAY_TRY(pg_quote(dray_str_of(view->columns[i].name), sql, error));
  }
  return dray_buffer_append_str(sql, ") FROM STDIN (FORMAT binary)", error);
}

static int32_t choose_wire(const struct dray_column_view *column, const PGresult *columns, struct dray_str table,
                           int *out, struct dray_error *error) {
  for (int row = 0; row < PQntuples(columns); row++) {
    if (strcmp(PQgetvalue(columns, row, 0), column->name) != 0) continue;
    const struct pg_type *type = pg_type_find((Oid)strtoul(PQgetvalue(columns, row, 1), NULL, 10));
    if (type != NULL && type->writes != 0 && pg_encodes(column->type.id, type->wire)) {
      *out = type->wire;
      return DRAY_OK;
    }
    return dray_fail_field(error, DRAY_E_SCHEMA_TYPE, column->name,
                           "column '%s' of table %.*s is %s, into which dray does not write %s", column->name,
                           DRAY_STR_ARG(table), type != NULL ? type->name : "of a type that is not in its table",
                           dray_type_name(column->type.id));
  }
  return dray_fail_field(error, DRAY_E_SCHEMA_FIELD, column->name, "table %.*s has no column '%s'", DRAY_STR_ARG(table),
                         column->name);
}

static int32_t choose_wires(struct dray_warehouse *warehouse, struct dray_str schema, struct dray_str table,
                            const struct dray_view *view, struct dray_error *error) {
  PGresult *columns = NULL;
  warehouse->load.wires = calloc(view->column_count + 1, sizeof *warehouse->load.wires);
  if (warehouse->load.wires == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a load");
  DRAY_TRY(pg_catalog_columns(warehouse->link, schema, table, &columns, error));
  int32_t code = DRAY_OK;
  if (PQntuples(columns) == 0) {
    code = dray_fail(error, DRAY_E_SCHEMA_OBJECT, "there is no table %.*s", DRAY_STR_ARG(table));
  }
  for (size_t i = 0; code == DRAY_OK && i < view->column_count; i++) {
    code = choose_wire(&view->columns[i], columns, table, &warehouse->load.wires[i], error);
  }
  PQclear(columns);
  return code;
}

static int32_t begin_copy(struct dray_warehouse *warehouse, const char *sql, struct dray_error *error) {
  struct pg_link *link = warehouse->link;
  PGresult *result = NULL;
  pg_link_start(link);
  int32_t code = pg_link_finish(link, PQsendQuery(link->conn, sql), PG_FOR_LOAD, NULL, DOING, &result, error);
  if (code == DRAY_OK && PQresultStatus(result) != PGRES_COPY_IN) code = pg_fail_lost(link, DOING, error);
  PQclear(result);
  if (code != DRAY_OK) {
    pg_link_settle(link);
    return code;
  }
  warehouse->load.open = 1;
  return send_bytes(warehouse, copy_head, sizeof copy_head, error);
}

static int32_t begin_load(struct dray_warehouse *warehouse, struct dray_str schema, struct dray_str table,
                          const struct dray_view *view, struct dray_buffer *sql, struct dray_error *error) {
  struct pg_load *load = &warehouse->load;
  DRAY_TRY(pg_load_end(warehouse, error));
  DRAY_TRY(pg_enter(warehouse, error));
  int own = 0;
  DRAY_TRY(pg_own_begin(warehouse, 0, &own, error));
  load->target = dray_str_dup(dray_buffer_view(sql));
  int32_t code = load->target == NULL ? dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a load") : DRAY_OK;
  if (code == DRAY_OK) code = choose_wires(warehouse, schema, table, view, error);
  if (code == DRAY_OK) {
    load->own = own;
    code = begin_copy(warehouse, sql->data, error);
  }
  if (code == DRAY_OK) return DRAY_OK;
  if (!load->open) {
    forget(load);
    code = pg_own_end(warehouse, own, code, error);
  }
  return code;
}

static int32_t go_on(struct dray_warehouse *warehouse, struct dray_str schema, struct dray_str table,
                     const struct dray_view *view, struct dray_error *error) {
  const struct pg_load *load = &warehouse->load;
  struct dray_buffer sql;
  dray_buffer_init(&sql, SQL_BYTES_MAX);
  int32_t code = write_copy(&sql, schema, table, view, error);
  if (code == DRAY_OK && !(load->open && strcmp(load->target, sql.data) == 0)) {
    code = begin_load(warehouse, schema, table, view, &sql, error);
  }
  dray_buffer_free(&sql);
  return code;
}

int32_t pg_load_batch(struct dray_warehouse *warehouse, struct dray_str schema, struct dray_str table,
                      const struct ArrowSchema *batch_schema, const struct ArrowArray *batch,
                      struct dray_error *error) {
  struct dray_view view;
  DRAY_TRY(dray_view_init(&view, batch_schema, batch, error));
  int32_t code = dray_cancel_check(&warehouse->session.services, error);
  if (code == DRAY_OK) code = go_on(warehouse, schema, table, &view, error);
  if (code == DRAY_OK) code = send_rows(warehouse, &view, error);
  if (code != DRAY_OK) {
    if (code == DRAY_E_NET_CLOSED && warehouse->in_transaction) warehouse->lost = 1;
    pg_load_abandon(warehouse);
  }
  dray_view_free(&view);
  return code;
}
