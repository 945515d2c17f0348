// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The canonical schema of a plugin's schema: what its batches can be cast to without a loss.
#include <stdlib.h>

#include "table/schema.h"
#include "table/source.h"

static int32_t read_column(const struct ArrowSchema *column, struct dray_column_def *out, struct dray_error *error) {
  struct dr_source source;
  DRAY_TRY(dr_source_parse(column, &source, error));
  out->name = column->name;
  out->type = source.type;
  out->nullable = (column->flags & ARROW_FLAG_NULLABLE) != 0 || source.kind == DR_KIND_NULL;
  dr_source_free(&source);
  return DRAY_OK;
}

int32_t dr_schema_from_arrow(const struct ArrowSchema *arrow, struct dr_schema **out, struct dray_error *error) {
  if (arrow == NULL || arrow->format == NULL || strcmp(arrow->format, "+s") != 0 || arrow->n_children < 0 ||
      (arrow->n_children > 0 && arrow->children == NULL)) {
    return dray_fail(error, DRAY_E_PLUGIN_CONTRACT, "the schema of a stream is not a struct of columns");
  }
  if (arrow->n_children > DRAY_COLUMNS_MAX) {
    return dray_fail(error, DRAY_E_LIMIT, "%lld columns are more than the %d that a schema may have",
                     (long long)arrow->n_children, DRAY_COLUMNS_MAX);
  }
  struct dray_column_def *defs = calloc((size_t)arrow->n_children + 1, sizeof(*defs));
  size_t count = 0;
  int32_t code = DRAY_OK;
  if (defs == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a schema");
  for (int64_t i = 0; i < arrow->n_children && code == DRAY_OK; i++) {
    const struct ArrowSchema *column = arrow->children[i];
    if (column != NULL && dray_column_reserved(column->name)) continue;
    code = read_column(column, &defs[count++], error);
  }
  if (code == DRAY_OK) code = dr_schema_new(defs, count, out, error);
  free(defs);
  return code;
}
