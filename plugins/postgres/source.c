// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The source role: its life and its slots. Connections, queries, checks and catalogues are the warehouse's, which is
// used read only.
#include "source.h"

#include <stdlib.h>

#define ANSWER_BYTES_MAX (1u << 16)

static int32_t source_spec(struct dray_str *out_json, struct dray_error *error) {
  return pg_settings_spec(out_json, error);
}

static void source_destroy(struct dray_source *source) {
  if (source == NULL) return;
  pg_warehouse_vtable.destroy(source->engine);
  dray_buffer_free(&source->answer);
  free(source);
}

static int32_t source_create(const struct dray_host *host, struct dray_str config_json, struct dray_source **out,
                             struct dray_error *error) {
  struct dray_source *source = calloc(1, sizeof *source);
  if (source == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a source");
  dray_buffer_init(&source->answer, ANSWER_BYTES_MAX);
  const int32_t code = pg_warehouse_vtable.create(host, config_json, &source->engine, error);
  if (code != DRAY_OK) {
    free(source);
    return code;
  }
  source->engine->session.settings.read_only = 1;
  source->engine->as_source = 1;
  *out = source;
  return DRAY_OK;
}

static int32_t source_check(struct dray_source *source, struct dray_str *out_json, struct dray_error *error) {
  return pg_warehouse_vtable.check(source->engine, out_json, error);
}

static int32_t source_discover(struct dray_source *source, struct dray_str *out_json, struct dray_error *error) {
  return pg_warehouse_vtable.discover(source->engine, out_json, error);
}

static int32_t source_open(struct dray_source *source, const struct dray_read_request *request, struct dray_stream *out,
                           struct dray_error *error) {
  struct pg_table table = {.schema = NULL};
  if (pg_log_wanted(source, request)) return pg_log_open(source, request, out, error);
  DRAY_TRY(pg_table_open(source, request, &table, error));
  const int32_t code = pg_table_read(source, request, &table, NULL, NULL, out, error);
  pg_table_free(&table);
  return code;
}

static void source_interrupt(struct dray_source *source) {
  pg_session_interrupt(&source->engine->session);
}

static int32_t source_drop(struct dray_source *source, const struct dray_read_request *request,
                           struct dray_str *out_json, struct dray_error *error) {
  return pg_log_drop(source, request, out_json, error);
}

static int32_t source_wait(struct dray_source *source, const struct dray_read_request *request, uint64_t timeout_ms,
                           uint32_t *out_news, struct dray_error *error) {
  if (!pg_log_wanted(source, request) || request->state.len == 0) {
    *out_news = 1; // whatever a query would say, asking costs as much as reading
    return DRAY_OK;
  }
  return pg_log_wait(source, request, timeout_ms, out_news, error);
}

const struct dray_source_vtable pg_source_vtable = {
    .struct_size = sizeof pg_source_vtable,
    .spec = source_spec,
    .create = source_create,
    .destroy = source_destroy,
    .check = source_check,
    .discover = source_discover,
    .open = source_open,
    .interrupt = source_interrupt,
    .drop = source_drop,
    .wait = source_wait,
};
