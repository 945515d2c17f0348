// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The calls into a warehouse plugin. The slots are the guarded ones of core/plugin, which name the call on the board,
// check what comes back and mask secrets. Nothing else in core/warehouse touches the vtable.
#include "warehouse/table.h"

#include "base/log.h"
#include "dray/sdk/json.h"
#include "table/cast.h"

#define QUERY_BYTES_MAX (1u << 20)
#define QUERY_ROWS_MAX 4096u

int32_t dr_warehouse_bind(struct dr_warehouse *warehouse, struct dray_error *error) {
  struct dray_dialect dialect = {.struct_size = sizeof dialect};
  const int32_t code = warehouse->vtable->dialect(warehouse->self, &dialect, error);
  if (code != DRAY_OK) return code;
  int whole = (dialect.quote == '"' || dialect.quote == '`') && dialect.identifier_bytes_max > 0 &&
              dialect.columns_max > 0 && dialect.name.len > 0 &&
              (dialect.param_style == DRAY_PARAM_QUESTION || dialect.param_style == DRAY_PARAM_DOLLAR);
  for (int type = DRAY_TYPE_BOOL; type <= DRAY_TYPE_JSON; type++) whole = whole && dialect.types[type].len > 0;
  if (!whole) {
    return dray_fail(error, DRAY_E_PLUGIN_CONTRACT,
                     "%s gives an incomplete dialect: it needs a name, a quote character, limits, a parameter style "
                     "and a column type for each of the nine types",
                     warehouse->label);
  }
  warehouse->dialect = dialect;
  return DRAY_OK;
}

int32_t dr_engine_execute(struct dr_warehouse *warehouse, struct dray_str sql, const struct ArrowSchema *params_schema,
                          const struct ArrowArray *params, int64_t *out_rows, struct dray_error *error) {
  int64_t rows = -1;
  dr_log_str(DRAY_LOG_DEBUG, warehouse->label, sql);
  const int32_t code = warehouse->vtable->execute(warehouse->self, sql, params_schema, params, &rows, error);
  if (code == DRAY_OK && out_rows != NULL) *out_rows = rows;
  return code;
}

int32_t dr_engine_load(struct dr_warehouse *warehouse, const struct dr_place *place, const struct ArrowSchema *schema,
                       const struct ArrowArray *batch, struct dray_error *error) {
  return warehouse->vtable->load(warehouse->self, dray_str_of(place->schema), dray_str_of(place->table), schema, batch,
                                 error);
}

int32_t dr_engine_begin(struct dr_warehouse *warehouse, struct dray_error *error) {
  return warehouse->vtable->begin(warehouse->self, error);
}

int32_t dr_engine_commit(struct dr_warehouse *warehouse, struct dray_error *error) {
  return warehouse->vtable->commit(warehouse->self, error);
}

void dr_engine_rollback(struct dr_warehouse *warehouse) {
  warehouse->vtable->rollback(warehouse->self);
}

#define RETYPE_BYTES_MAX (16u << 20)

int32_t dr_engine_retype(struct dr_warehouse *warehouse, const struct dr_place *place, const struct dray_str *columns,
                         const struct dray_str *types, size_t count, char ***list, size_t *list_count, int *out_said,
                         struct dray_error *error) {
  struct dray_str json = {NULL, 0};
  struct dray_json *root = NULL;
  int32_t code = DRAY_OK;
  *out_said = 0;
  if (warehouse->vtable->retype == NULL) return DRAY_OK; // not the guarded one
  DRAY_TRY(warehouse->vtable->retype(warehouse->self, dray_str_of(place->schema), dray_str_of(place->table), columns,
                                     types, count, &json, error));
  if (json.len == 0) return DRAY_OK;
  DRAY_TRY(dray_json_parse(json, RETYPE_BYTES_MAX, &root, error));
  const struct dray_json *statement = root->kind == DRAY_JSON_ARRAY ? root->child : NULL;
  if (statement == NULL) {
    code = dray_fail(error, DRAY_E_PLUGIN_CONTRACT, "%s: retype gives no statements", warehouse->label);
  }
  for (; code == DRAY_OK && statement != NULL; statement = statement->next) {
    code = statement->kind == DRAY_JSON_STRING
               ? dr_statement_add(list, list_count, statement->text, error)
               : dray_fail(error, DRAY_E_PLUGIN_CONTRACT, "%s: retype gives what is no text", warehouse->label);
  }
  dray_json_free(root);
  if (code == DRAY_OK) *out_said = 1;
  return code;
}

// ---- queries ----

struct query {
  struct dr_warehouse *warehouse;
  struct dray_stream stream;
  struct ArrowSchema arrow;
  struct dr_caster *caster;
  uint64_t row_count;
};

static void query_close(struct query *query) {
  dr_caster_free(query->caster);
  dray_schema_release(&query->arrow);
  if (query->stream.close == NULL) return;
  query->stream.close(&query->stream);
}

static int32_t query_open(struct query *query, struct dray_str sql, struct dr_schema *schema,
                          struct dray_error *error) {
  struct dr_warehouse *warehouse = query->warehouse;
  struct dray_stream stream = {.struct_size = sizeof stream};
  dr_log_str(DRAY_LOG_DEBUG, warehouse->label, sql);
  DRAY_TRY(warehouse->vtable->query(warehouse->self, sql, QUERY_BYTES_MAX, QUERY_ROWS_MAX, &stream, error));
  query->stream = stream;
  DRAY_TRY(query->stream.schema(&query->stream, &query->arrow, error));
  return dr_caster_new(&query->arrow, schema, NULL, DR_CAST_REJECT_ROW, &query->caster, error);
}

// One batch; *out = NULL at the end.
static int32_t query_next(struct query *query, struct dr_batch **out, struct dray_error *error) {
  struct ArrowArray array = {.release = NULL};
  struct dr_rejects rejects = {NULL, 0, 0};
  struct dr_batch *batch = NULL;
  *out = NULL;
  DRAY_TRY(query->stream.next(&query->stream, &array, error));
  if (array.release == NULL) return DRAY_OK;
  const uint64_t rows = (uint64_t)array.length;
  int32_t code = dr_caster_run(query->caster, &array, query->row_count, &batch, &rejects, error);
  if (code == DRAY_OK && rejects.count > 0) {
    code = dray_fail(error, rejects.items[0].code, "row %llu: %s", (unsigned long long)rejects.items[0].row,
                     rejects.items[0].text);
    dr_batch_free(batch);
  }
  dray_array_release(&array);
  dr_rejects_free(&rejects);
  if (code != DRAY_OK) return code;
  query->row_count += rows;
  *out = batch;
  return DRAY_OK;
}

int32_t dr_engine_query(struct dr_warehouse *warehouse, struct dray_str sql, struct dr_schema *schema,
                        int32_t (*take)(void *ctx, const struct dr_batch *batch, struct dray_error *error), void *ctx,
                        struct dray_error *error) {
  struct query query = {.warehouse = warehouse};
  struct dr_batch *batch = NULL;
  int32_t code = query_open(&query, sql, schema, error);
  while (code == DRAY_OK) {
    code = query_next(&query, &batch, error);
    if (code != DRAY_OK || batch == NULL) break;
    code = take(ctx, batch, error);
    dr_batch_free(batch);
  }
  query_close(&query);
  return code;
}

static int32_t take_number(void *ctx, const struct dr_batch *batch, struct dray_error *error) {
  (void)error;
  if (dr_batch_rows(batch) > 0) *(uint64_t *)ctx = (uint64_t)dray_column_int64(&batch->view.columns[0], 0);
  return DRAY_OK;
}

int32_t dr_engine_number(struct dr_warehouse *warehouse, struct dray_str sql, uint64_t *out, struct dray_error *error) {
  const struct dray_column_def def = {"n", {DRAY_TYPE_INT64, 0, 0}, 1};
  struct dr_schema *schema = NULL;
  uint64_t number = 0;
  DRAY_TRY(dr_schema_new(&def, 1, &schema, error));
  const int32_t code = dr_engine_query(warehouse, sql, schema, take_number, &number, error);
  dr_schema_unref(schema);
  if (code == DRAY_OK) *out = number;
  return code;
}

static int32_t saw_row(void *ctx, const struct dr_batch *batch, struct dray_error *error) {
  (void)error;
  if (dr_batch_rows(batch) > 0) *(int *)ctx = 1;
  return DRAY_OK;
}

int32_t dr_engine_has_rows(struct dr_warehouse *warehouse, struct dray_str sql, int *out_has_rows,
                           struct dray_error *error) {
  const struct dray_column_def def = {DR_COLUMN_ASKED, {DRAY_TYPE_INT64, 0, 0}, 1};
  struct dr_schema *schema = NULL;
  int has_rows = 0;
  DRAY_TRY(dr_schema_new(&def, 1, &schema, error));
  const int32_t code = dr_engine_query(warehouse, sql, schema, saw_row, &has_rows, error);
  dr_schema_unref(schema);
  if (code == DRAY_OK) *out_has_rows = has_rows;
  return code;
}
