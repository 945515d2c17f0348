// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What a plan cannot know yet: a model whose tables other syncs of the project have still to make. On the first day its
// query is refused, which is no mistake of anybody's; the plan says what it waits for and goes on. A query that is
// refused for another reason is wrong today as it will be then.
#include <string.h>
#include <strings.h>

#include "sync/context.h"

#define TEXT_BYTES_MAX (64u << 10)

const char *dr_context_table(const struct dr_project *project, const struct dr_sync *sync) {
  if (sync->table != NULL) return sync->table;
  return sync->model >= 0 ? project->models[sync->model].name : sync->stream;
}

static int is_word(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

// Whether the engine's words name the table. "__" ends what stands for a schema where there are none.
static int names_table(const char *words, const char *table) {
  const size_t len = strlen(table);
  for (const char *at = words; len > 0 && *at != '\0'; at++) {
    if (strncasecmp(at, table, len) != 0 || is_word(at[len])) continue;
    const size_t before = (size_t)(at - words);
    if (before == 0 || !is_word(at[-1]) || (before > 1 && at[-1] == '_' && at[-2] == '_')) return 1;
  }
  return 0;
}

// Whether the sync writes a table of the warehouse that is not there.
static int32_t makes_table(const struct dr_project *project, struct dr_warehouse *warehouse, size_t connection,
                           const struct dr_sync *sync, int *out_makes, struct dray_error *error) {
  struct ArrowSchema schema;
  uint32_t found = 0;
  *out_makes = 0;
  if (sync->object != NULL || sync->to_connection != connection) return DRAY_OK;
  memset(&schema, 0, sizeof(schema));
  const struct dr_table_name name = {sync->schema, dr_context_table(project, sync)};
  DRAY_TRY(dr_table_describe(warehouse, &name, &schema, &found, error));
  dray_schema_release(&schema);
  *out_makes = found == 0;
  return DRAY_OK;
}

int32_t dr_context_unknown(struct dr_context *run, const struct dray_error *why, char **out, struct dray_error *error) {
  const struct dr_project *project = dr_session_project(run->session);
  const size_t connection = project->models[run->sync->model].warehouse;
  struct dr_warehouse *warehouse = NULL;
  struct dray_buffer text;
  size_t count = 0;
  dray_buffer_init(&text, TEXT_BYTES_MAX);
  int32_t rc = dr_session_warehouse(run->session, connection, &warehouse, NULL, error);
  for (size_t i = 0; rc == DRAY_OK && i < project->sync_count; i++) {
    const struct dr_sync *sync = &project->syncs[i];
    int makes = 0;
    if (sync == run->sync || !names_table(why->text, dr_context_table(project, sync))) continue;
    rc = makes_table(project, warehouse, connection, sync, &makes, error);
    if (rc != DRAY_OK || !makes) continue;
    rc = dray_buffer_printf(&text, error, "%s%s (by sync %s)", count++ > 0 ? ", " : "", dr_context_table(project, sync),
                            sync->name);
  }
  if (rc == DRAY_OK && count > 0) {
    rc = dray_buffer_printf(&text, error, " %s not there yet, and the model's query is refused until %s: %s",
                            count > 1 ? "are" : "is", count > 1 ? "they are" : "it is", why->text);
  }
  char *made = rc == DRAY_OK && count > 0 ? dray_str_dup(dray_buffer_view(&text)) : NULL;
  if (rc == DRAY_OK && count > 0 && made == NULL) rc = dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a plan");
  dray_buffer_free(&text);
  if (rc == DRAY_OK) *out = made;
  return rc;
}
