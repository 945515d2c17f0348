// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Entry point and settings, with the faults of exports, manifest, spec, create and secrets.
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "memory.h"

static const struct dray_setting table[] = {
    {.name = "rows",
     .kind = DRAY_SETTING_INT,
     .offset = offsetof(struct settings, rows),
     .default_json = "950",
     .minimum = 1,
     .maximum = 1000000,
     .description = "rows of the stream numbers"},
    {.name = "token",
     .kind = DRAY_SETTING_SECRET,
     .offset = offsetof(struct settings, has_token),
     .description = "opens nothing, and must never be seen"},
};
#define TABLE_COUNT (sizeof(table) / sizeof(table[0]))

// Hidden by the SDK's export map; FAULT_EXPORTS is linked with another one.
DRAY_EXPORT extern int surplus_symbol;
int surplus_symbol = 1;

int32_t dray_plugin_entry_v1(const struct dray_host *host, struct dray_plugin *out, struct dray_error *error) {
  (void)host;
  (void)error;
  out->abi_minor = DRAY_ABI_MINOR;
  out->name = dray_str_of(PLUGIN_NAME);
  out->version = dray_str_of(HAS(MANIFEST) ? "1.0.1" : "1.0.0");
  out->source = &source_vtable;
  out->destination = &destination_vtable;
  return DRAY_OK;
}

int32_t settings_spec(struct dray_str *out_json, struct dray_error *error) {
  (void)error;
  static const char closed[] =
      "{\"type\":\"object\",\"properties\":{\"rows\":{\"type\":\"integer\",\"minimum\":1,"
      "\"maximum\":1000000,\"default\":950},\"token\":{\"type\":\"string\",\"writeOnly\":true}},"
      "\"additionalProperties\":false}";
  static const char open[] =
      "{\"type\":\"object\",\"properties\":{\"rows\":{\"type\":\"integer\",\"minimum\":1,"
      "\"maximum\":1000000,\"default\":950},\"token\":{\"type\":\"string\",\"writeOnly\":true}}}";
  static const char shown[] = "{\"type\":\"object\",\"properties\":{\"rows\":{\"type\":\"integer\",\"minimum\":1,"
                              "\"maximum\":1000000,\"default\":950},\"token\":{\"type\":\"string\"}},"
                              "\"additionalProperties\":false}";
  *out_json = dray_str_of(HAS(SPEC_OPEN) ? open : HAS(SPEC_SECRET) ? shown : closed);
  return DRAY_OK;
}

int32_t settings_bind(struct dray_str json, struct settings *out, struct dray_error *error) {
  *out = (struct settings){0, 0};
  const int32_t rc = dray_config_bind(table, TABLE_COUNT, json, out, error);
  if (!HAS(UNKNOWN_SETTING) || rc != DRAY_E_CONFIG_UNKNOWN_KEY) return rc;
  out->rows = 950;
  return DRAY_OK;
}

int32_t settings_token(const struct dray_services *services, const struct settings *settings, char **out_token,
                       struct dray_error *error) {
  *out_token = NULL;
  if (!settings->has_token) return DRAY_OK;
  DRAY_TRY(dray_secret_get(services, "token", out_token, error));
  if (HAS(CANARY_PRINT)) (void)fprintf(stderr, "using %s\n", *out_token);
  if (HAS(CANARY_LOG)) dray_log_printf(services, DRAY_LOG_ERROR, "using %s", *out_token);
  if (HAS(CANARY_DEBUG)) dray_log_printf(services, DRAY_LOG_DEBUG, "using %s", *out_token);
  return DRAY_OK;
}

int32_t settings_check(const struct dray_services *services, const struct settings *settings, struct dray_buffer *out,
                       struct dray_error *error) {
  struct dray_json_writer writer;
  char *token = NULL;
  DRAY_TRY(settings_token(services, settings, &token, error));
  dray_buffer_clear(out);
  dray_json_writer_init(&writer, out, error);
  dray_json_begin_array(&writer);
  dray_json_begin_object(&writer);
  dray_json_key(&writer, "name");
  dray_json_write_text(&writer, "reach");
  dray_json_key(&writer, "ok");
  dray_json_write_bool(&writer, 1);
  dray_json_key(&writer, "text");
  dray_json_write_text(&writer, HAS(CANARY_TEXT) && token != NULL ? token : "memory is near");
  dray_json_end_object(&writer);
  dray_json_end_array(&writer);
  dray_secret_free(token);
  return dray_json_writer_finish(&writer);
}

int32_t settings_cancelled(const struct dray_services *services, int broken, struct dray_error *error) {
  const struct timespec nap = {5, 0};
  if (!broken) return dray_cancel_check(services, error);
  if (!HAS(CANCEL_HANG) && dray_cancelled(services)) (void)nanosleep(&nap, NULL);
  return DRAY_OK;
}
