// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Two syncs of the project into one table. The config has refused those that name it by the same words; here the engine
// is known, to which other words may be the same table: names that differ by case, a schema that is a part of the name
// where there are no schemas, or the one that is meant when none is named.
#include "sync/ingest.h"

int32_t dr_ingest_sharer(const struct dr_project *project, const struct dr_warehouse *warehouse,
                         const struct dr_sync *sync, int takers, const struct dr_sync **out, struct dray_error *error) {
  const struct dr_table_name own = {sync->schema, dr_context_table(project, sync)};
  const struct dr_sync *found = NULL;
  for (size_t i = 0; i < project->sync_count && found == NULL; i++) {
    const struct dr_sync *other = &project->syncs[i];
    int same = 0;
    if (other == sync || other->object != NULL || other->to_connection != sync->to_connection) continue;
    if (takers && other->mode != DR_MODE_MIRROR && other->mode != DR_MODE_REPLACE) continue;
    const struct dr_table_name name = {other->schema, dr_context_table(project, other)};
    DRAY_TRY(dr_table_name_same(&warehouse->dialect, &own, &name, &same, error));
    if (same) found = other;
  }
  *out = found;
  return DRAY_OK;
}

int32_t dr_ingest_alone(struct dr_session *session, const struct dr_sync *sync, const struct dr_warehouse *warehouse,
                        struct dray_error *error) {
  const struct dr_project *project = dr_session_project(session);
  const int takes_all = sync->mode == DR_MODE_MIRROR || sync->mode == DR_MODE_REPLACE;
  const struct dr_sync *other = NULL;
  DRAY_TRY(dr_ingest_sharer(project, warehouse, sync, !takes_all, &other, error));
  if (other == NULL) return DRAY_OK;
  return dray_fail_field(error, DRAY_E_CONFIG_VALUE, "table",
                         "sync \"%s\" writes the table %s%s%s, and sync \"%s\" the table %s%s%s: to %.*s that is one "
                         "table. `mode: mirror` and `mode: replace` want one for themselves: they would delete each "
                         "other's rows",
                         sync->name, sync->schema != NULL ? sync->schema : "", sync->schema != NULL ? "." : "",
                         dr_context_table(project, sync), other->name, other->schema != NULL ? other->schema : "",
                         other->schema != NULL ? "." : "", dr_context_table(project, other),
                         DRAY_STR_ARG(warehouse->dialect.name));
}
