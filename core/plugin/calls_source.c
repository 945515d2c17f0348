// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Calls to sources.
#include <assert.h>
#include <string.h>

#include "plugin/calls.h"
#include "plugin/catalogue.h"
#include "plugin/stream_slots.h"

int32_t dr_source_check(struct dr_source_instance *source, struct dray_str *out_json, struct dray_error *error) {
  struct dr_call call;
  struct dray_str json = {NULL, 0};
  DRAY_TRY(dr_call_begin(&call, source->label, "source.check", error));
  DRAY_TRY(dr_call_end(&call, source->plugin->source.check(source->self, &json, &call.inner)));
  DRAY_TRY(dr_catalogue_check(&call, DR_CATALOGUE_CHECK, json));
  *out_json = json;
  return DRAY_OK;
}

int32_t dr_source_discover(struct dr_source_instance *source, struct dray_str *out_json, struct dray_error *error) {
  struct dr_call call;
  struct dray_str json = {NULL, 0};
  DRAY_TRY(dr_call_begin(&call, source->label, "source.discover", error));
  DRAY_TRY(dr_call_end(&call, source->plugin->source.discover(source->self, &json, &call.inner)));
  DRAY_TRY(dr_catalogue_check(&call, DR_CATALOGUE_STREAMS, json));
  *out_json = json;
  return DRAY_OK;
}

int32_t dr_source_open(struct dr_source_instance *source, const struct dray_read_request *request,
                       struct dray_stream *out, struct dray_error *error) {
  assert(request->struct_size == sizeof(*request));
  assert(request->mode == DRAY_READ_FULL || request->mode == DRAY_READ_INCREMENTAL);
  struct dr_call call;
  DRAY_TRY(dr_call_begin(&call, source->label, "source.open", error));
  dr_stream_prepare(out); // not a copy: a plugin may keep the stream's address
  const int32_t rc = dr_call_end(&call, source->plugin->source.open(source->self, request, out, &call.inner));
  if (rc != DRAY_OK) {
    memset(out, 0, sizeof(*out));
    return rc;
  }
  return dr_stream_complete(&call, out, 1);
}

int32_t dr_source_drop(struct dr_source_instance *source, const struct dray_read_request *request,
                       struct dray_str *out_json, struct dray_error *error) {
  assert(request->struct_size == sizeof(*request));
  struct dr_call call;
  struct dray_str json = {NULL, 0};
  DRAY_TRY(dr_call_begin(&call, source->label, "source.drop", error));
  DRAY_TRY(dr_call_end(&call, source->plugin->source.drop(source->self, request, &json, &call.inner)));
  DRAY_TRY(dr_catalogue_check(&call, DR_CATALOGUE_DROPPED, json));
  *out_json = json;
  return DRAY_OK;
}

int32_t dr_source_wait(struct dr_source_instance *source, const struct dray_read_request *request, uint64_t timeout_ms,
                       uint32_t *out_news, struct dray_error *error) {
  assert(request->struct_size == sizeof(*request));
  struct dr_call call;
  uint32_t news = 1;
  DRAY_TRY(dr_call_begin(&call, source->label, "source.wait", error));
  DRAY_TRY(dr_call_end(&call, source->plugin->source.wait(source->self, request, timeout_ms, &news, &call.inner)));
  if (news > 1) return dr_call_broken(&call, "it says %u where 0 or 1 belongs", news);
  *out_news = news;
  return DRAY_OK;
}
