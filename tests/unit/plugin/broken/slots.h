// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// A source role that does next to nothing but keeps every rule: what the broken plugins beside this file break one by
// one. Included by each of them.
#ifndef DRAY_TEST_BROKEN_SLOTS_H
#define DRAY_TEST_BROKEN_SLOTS_H

#include "dray/sdk.h"

static int instance; // only its address is used

static int32_t source_spec(struct dray_str *out_json, struct dray_error *error) {
  (void)error;
  *out_json = dray_str_of("{\"type\":\"object\",\"properties\":{},\"additionalProperties\":false}");
  return DRAY_OK;
}

static int32_t source_create(const struct dray_host *host, struct dray_str config_json, struct dray_source **out,
                             struct dray_error *error) {
  (void)host, (void)config_json, (void)error;
  *out = (struct dray_source *)(void *)&instance;
  return DRAY_OK;
}

static void source_destroy(struct dray_source *source) {
  (void)source;
}

static int32_t source_check(struct dray_source *source, struct dray_str *out_json, struct dray_error *error) {
  (void)source, (void)error;
  *out_json = dray_str_of("[{\"name\":\"reach\",\"ok\":true}]");
  return DRAY_OK;
}

static int32_t source_discover(struct dray_source *source, struct dray_str *out_json, struct dray_error *error) {
  (void)source, (void)error;
  *out_json = dray_str_of("{\"streams\":[]}");
  return DRAY_OK;
}

static int32_t source_open(struct dray_source *source, const struct dray_read_request *request, struct dray_stream *out,
                           struct dray_error *error) {
  (void)source, (void)out;
  return dray_fail(error, DRAY_E_SCHEMA_STREAM, "there is no stream %.*s", DRAY_STR_ARG(request->stream));
}

// `size` is what the plugin claims as its vtable's struct_size.
#define SOURCE_VTABLE(size)                                                                                            \
  {                                                                                                                    \
    .struct_size = (uint32_t)(size), .spec = source_spec, .create = source_create, .destroy = source_destroy,          \
    .check = source_check, .discover = source_discover, .open = source_open                                            \
  }

static inline int32_t introduce(struct dray_plugin *out, const char *name, const struct dray_source_vtable *source) {
  out->abi_minor = DRAY_ABI_MINOR;
  out->name = dray_str_of(name);
  out->version = dray_str_of("1.2.3");
  out->source = source;
  return DRAY_OK;
}

#endif // DRAY_TEST_BROKEN_SLOTS_H
