// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Calls to warehouses: functions for the host, and the same as a vtable for core/warehouse, which knows only the
// public header.
#include <string.h>

#include "dray/sdk/column.h"
#include "plugin/calls.h"
#include "plugin/catalogue.h"
#include "plugin/stream_slots.h"

#define DIALECT_FLAGS_KNOWN                                                                                            \
  ((uint32_t)(DRAY_DIALECT_TRANSACTIONAL_DDL | DRAY_DIALECT_TEMP_TABLES | DRAY_DIALECT_SCHEMAS |                       \
              DRAY_DIALECT_UPDATE_FROM | DRAY_DIALECT_DELETE_USING | DRAY_DIALECT_NULL_SAFE_IS |                       \
              DRAY_DIALECT_RENAME_TABLE | DRAY_DIALECT_WIDEN_TYPE | DRAY_DIALECT_NULL_SAFE_EQUAL |                     \
              DRAY_DIALECT_JOIN_WRITES | DRAY_DIALECT_MODIFY_COLUMN | DRAY_DIALECT_DROP_TEMPORARY |                    \
              DRAY_DIALECT_NAMES_BMP | DRAY_DIALECT_JSON_IS_TEXT | DRAY_DIALECT_ADD_KEY | DRAY_DIALECT_COPY_NOT_NULL | \
              DRAY_DIALECT_FINITE_FLOATS | DRAY_DIALECT_TABLES_NOCASE | DRAY_DIALECT_LOOSE_MARKED |                    \
              DRAY_DIALECT_LIKE_TABLES))

static const struct dray_warehouse_vtable *vtable_of(const struct dr_warehouse_instance *warehouse) {
  return &warehouse->plugin->warehouse;
}

int32_t dr_warehouse_check(struct dr_warehouse_instance *warehouse, struct dray_str *out_json,
                           struct dray_error *error) {
  struct dr_call call;
  struct dray_str json = {NULL, 0};
  DRAY_TRY(dr_call_begin(&call, warehouse->label, "warehouse.check", error));
  DRAY_TRY(dr_call_end(&call, vtable_of(warehouse)->check(warehouse->self, &json, &call.inner)));
  DRAY_TRY(dr_catalogue_check(&call, DR_CATALOGUE_CHECK, json));
  *out_json = json;
  return DRAY_OK;
}

int32_t dr_warehouse_open(struct dr_warehouse_instance *warehouse, struct dray_error *error) {
  struct dr_call call;
  DRAY_TRY(dr_call_begin(&call, warehouse->label, "warehouse.open", error));
  return dr_call_end(&call, vtable_of(warehouse)->open(warehouse->self, &call.inner));
}

int32_t dr_warehouse_discover(struct dr_warehouse_instance *warehouse, struct dray_str *out_json,
                              struct dray_error *error) {
  struct dr_call call;
  struct dray_str json = {NULL, 0};
  DRAY_TRY(dr_call_begin(&call, warehouse->label, "warehouse.discover", error));
  DRAY_TRY(dr_call_end(&call, vtable_of(warehouse)->discover(warehouse->self, &json, &call.inner)));
  DRAY_TRY(dr_catalogue_check(&call, DR_CATALOGUE_STREAMS, json));
  *out_json = json;
  return DRAY_OK;
}

int32_t dr_warehouse_query(struct dr_warehouse_instance *warehouse, struct dray_str sql, uint64_t batch_bytes_max,
                           uint64_t batch_rows_max, struct dray_stream *out, struct dray_error *error) {
  struct dr_call call;
  DRAY_TRY(dr_call_begin(&call, warehouse->label, "warehouse.query", error));
  dr_stream_prepare(out);
  int32_t rc = vtable_of(warehouse)->query(warehouse->self, sql, batch_bytes_max, batch_rows_max, out, &call.inner);
  rc = dr_call_end(&call, rc);
  if (rc != DRAY_OK) {
    memset(out, 0, sizeof(*out));
    return rc;
  }
  return dr_stream_complete(&call, out, 0);
}

// ---- the rest of the slots, reached through the guarded vtable ----

static struct dr_warehouse_instance *instance_of(struct dray_warehouse *self) {
  return (struct dr_warehouse_instance *)(void *)self;
}

static int32_t refuse_spec(struct dray_str *out_json, struct dray_error *error) {
  (void)out_json;
  return dray_fail(error, DRAY_E_INTERNAL, "spec was asked of an instance; ask dr_plugin_spec");
}

static int32_t refuse_create(const struct dray_host *host, struct dray_str config_json, struct dray_warehouse **out,
                             struct dray_error *error) {
  (void)host, (void)config_json, (void)out;
  return dray_fail(error, DRAY_E_INTERNAL, "create was asked of an instance; ask dr_warehouse_create");
}

static void guarded_destroy(struct dray_warehouse *self) {
  if (self != NULL) dr_warehouse_destroy(instance_of(self));
}

static int32_t guarded_check(struct dray_warehouse *self, struct dray_str *out_json, struct dray_error *error) {
  return dr_warehouse_check(instance_of(self), out_json, error);
}

static int32_t guarded_open(struct dray_warehouse *self, struct dray_error *error) {
  return dr_warehouse_open(instance_of(self), error);
}

static int32_t check_dialect(const struct dr_call *call, const struct dray_dialect *dialect) {
  if ((dialect->flags & ~DIALECT_FLAGS_KNOWN) != 0) {
    return dr_call_broken(call, "the dialect holds the unknown flags 0x%x", dialect->flags & ~DIALECT_FLAGS_KNOWN);
  }
  if (dialect->param_style != DRAY_PARAM_QUESTION && dialect->param_style != DRAY_PARAM_DOLLAR) {
    return dr_call_broken(call, "the dialect's param_style %u is not defined", dialect->param_style);
  }
  if (dialect->quote != '"' && dialect->quote != '`') {
    return dr_call_broken(call, "the dialect's quote is neither \" nor `");
  }
  if (dialect->identifier_bytes_max == 0 || dialect->columns_max == 0 || dialect->name.len == 0 ||
      dialect->name.data == NULL) {
    return dr_call_broken(call, "the dialect lacks its name, identifier_bytes_max or columns_max");
  }
  for (int type = DRAY_TYPE_BOOL; type <= DRAY_TYPE_JSON; type++) {
    if (dialect->types[type].len == 0 || dialect->types[type].data == NULL) {
      return dr_call_broken(call, "the dialect has no column type for %s", dray_type_name(type));
    }
    if (dialect->key_types[type].len > 0 && dialect->key_types[type].data == NULL) {
      return dr_call_broken(call, "the dialect's key type for %s has a length and no text", dray_type_name(type));
    }
  }
  if (dialect->keyed_table_options.len > 0 && dialect->keyed_table_options.data == NULL) {
    return dr_call_broken(call, "the dialect's keyed_table_options have a length and no text");
  }
  if ((dialect->exact_text.len > 0 && dialect->exact_text.data == NULL) ||
      (dialect->beside_text.len > 0 && dialect->beside_text.data == NULL)) {
    return dr_call_broken(call, "the dialect's exact_text or beside_text has a length and no text");
  }
  return DRAY_OK;
}

static int32_t guarded_dialect(struct dray_warehouse *self, struct dray_dialect *out, struct dray_error *error) {
  const struct dr_warehouse_instance *warehouse = instance_of(self);
  struct dr_call call;
  struct dray_dialect dialect;
  memset(&dialect, 0, sizeof(dialect));
  dialect.struct_size = sizeof(dialect);
  DRAY_TRY(dr_call_begin(&call, warehouse->label, "warehouse.dialect", error));
  DRAY_TRY(dr_call_end(&call, vtable_of(warehouse)->dialect(warehouse->self, &dialect, &call.inner)));
  DRAY_TRY(check_dialect(&call, &dialect));
  dialect.struct_size = sizeof(dialect);
  *out = dialect;
  return DRAY_OK;
}

static int32_t guarded_discover(struct dray_warehouse *self, struct dray_str *out_json, struct dray_error *error) {
  return dr_warehouse_discover(instance_of(self), out_json, error);
}

static int32_t guarded_describe(struct dray_warehouse *self, struct dray_str schema, struct dray_str table,
                                struct ArrowSchema *out, uint32_t *out_found, struct dray_error *error) {
  const struct dr_warehouse_instance *warehouse = instance_of(self);
  struct dr_call call;
  struct ArrowSchema found_schema;
  uint32_t found = 0;
  memset(&found_schema, 0, sizeof(found_schema));
  DRAY_TRY(dr_call_begin(&call, warehouse->label, "warehouse.describe", error));
  int32_t rc = vtable_of(warehouse)->describe(warehouse->self, schema, table, &found_schema, &found, &call.inner);
  DRAY_TRY(dr_call_end(&call, rc));
  if (found != 0) rc = dr_stream_check_schema(&call, &found_schema);
  if (rc != DRAY_OK || found == 0) dray_schema_release(&found_schema);
  if (rc != DRAY_OK) return rc;
  if (found != 0) *out = found_schema;
  *out_found = found != 0;
  return DRAY_OK;
}

static int32_t guarded_query(struct dray_warehouse *self, struct dray_str sql, uint64_t batch_bytes_max,
                             uint64_t batch_rows_max, struct dray_stream *out, struct dray_error *error) {
  return dr_warehouse_query(instance_of(self), sql, batch_bytes_max, batch_rows_max, out, error);
}

static int32_t guarded_execute(struct dray_warehouse *self, struct dray_str sql,
                               const struct ArrowSchema *params_schema, const struct ArrowArray *params,
                               int64_t *out_rows, struct dray_error *error) {
  const struct dr_warehouse_instance *warehouse = instance_of(self);
  struct dr_call call;
  int64_t rows = -1;
  DRAY_TRY(dr_call_begin(&call, warehouse->label, "warehouse.execute", error));
  const int32_t rc = vtable_of(warehouse)->execute(warehouse->self, sql, params_schema, params, &rows, &call.inner);
  DRAY_TRY(dr_call_end(&call, rc));
  if (out_rows != NULL) *out_rows = rows < -1 ? -1 : rows;
  return DRAY_OK;
}

static int32_t guarded_load(struct dray_warehouse *self, struct dray_str schema, struct dray_str table,
                            const struct ArrowSchema *batch_schema, const struct ArrowArray *batch,
                            struct dray_error *error) {
  const struct dr_warehouse_instance *warehouse = instance_of(self);
  struct dr_call call;
  DRAY_TRY(dr_call_begin(&call, warehouse->label, "warehouse.load", error));
  const int32_t rc = vtable_of(warehouse)->load(warehouse->self, schema, table, batch_schema, batch, &call.inner);
  return dr_call_end(&call, rc);
}

static int32_t guarded_begin(struct dray_warehouse *self, struct dray_error *error) {
  const struct dr_warehouse_instance *warehouse = instance_of(self);
  struct dr_call call;
  DRAY_TRY(dr_call_begin(&call, warehouse->label, "warehouse.begin", error));
  return dr_call_end(&call, vtable_of(warehouse)->begin(warehouse->self, &call.inner));
}

static int32_t guarded_commit(struct dray_warehouse *self, struct dray_error *error) {
  const struct dr_warehouse_instance *warehouse = instance_of(self);
  struct dr_call call;
  dr_call_enter(&call, warehouse->label, "warehouse.commit", error);
  return dr_call_end(&call, vtable_of(warehouse)->commit(warehouse->self, &call.inner));
}

static void guarded_rollback(struct dray_warehouse *self) {
  const struct dr_warehouse_instance *warehouse = instance_of(self);
  struct dr_call call;
  dr_call_enter(&call, warehouse->label, "warehouse.rollback", NULL);
  vtable_of(warehouse)->rollback(warehouse->self);
  dr_call_leave(&call);
}

static void guarded_interrupt(struct dray_warehouse *self) { // from another thread: the board is not its own
  const struct dr_warehouse_instance *warehouse = instance_of(self);
  vtable_of(warehouse)->interrupt(warehouse->self);
}

static int32_t guarded_retype(struct dray_warehouse *self, struct dray_str schema, struct dray_str table,
                              const struct dray_str *columns, const struct dray_str *types, uint64_t count,
                              struct dray_str *out_json, struct dray_error *error) {
  const struct dr_warehouse_instance *warehouse = instance_of(self);
  struct dr_call call;
  struct dray_str json = {NULL, 0};
  DRAY_TRY(dr_call_begin(&call, warehouse->label, "warehouse.retype", error));
  DRAY_TRY(dr_call_end(
      &call, vtable_of(warehouse)->retype(warehouse->self, schema, table, columns, types, count, &json, &call.inner)));
  if (json.len > 0 && json.data == NULL) return dr_call_broken(&call, "the answer has a length and no text");
  *out_json = json;
  return DRAY_OK;
}

const struct dray_warehouse_vtable *dr_warehouse_guarded(void) {
  static const struct dray_warehouse_vtable guarded = {
      .struct_size = sizeof(guarded),
      .spec = refuse_spec,
      .create = refuse_create,
      .destroy = guarded_destroy,
      .check = guarded_check,
      .open = guarded_open,
      .dialect = guarded_dialect,
      .discover = guarded_discover,
      .describe = guarded_describe,
      .query = guarded_query,
      .execute = guarded_execute,
      .load = guarded_load,
      .begin = guarded_begin,
      .commit = guarded_commit,
      .rollback = guarded_rollback,
      .interrupt = guarded_interrupt,
      .retype = guarded_retype,
  };
  return &guarded;
}
