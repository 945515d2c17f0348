// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Instances: a plugin's role with its settings and a host. Creation opens no connection.
#include <stdio.h>
#include <string.h>

#include "dray/sdk/json.h"
#include "plugin/call.h"
#include "plugin/plugin.h"

#define SPEC_BYTES_MAX (1u << 20)

static int32_t lacks_role(const struct dr_plugin *plugin, const char *role, struct dray_error *error) {
  char has[64] = "";
  size_t at = 0;
  const char *const names[] = {plugin->table.source != NULL ? "source" : NULL,
                               plugin->table.destination != NULL ? "destination" : NULL,
                               plugin->table.warehouse != NULL ? "warehouse" : NULL};
  for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
    if (names[i] == NULL) continue;
    at += (size_t)snprintf(has + at, sizeof(has) - at, "%sa %s", at > 0 ? " and " : "", names[i]);
  }
  return dray_fail(error, DRAY_E_PLUGIN_ROLE, "the plugin %s cannot be used as a %s; it is %s", plugin->manifest.name,
                   role, at > 0 ? has : "nothing");
}

static void make_label(const struct dr_plugin *plugin, const char *connection, char *out, size_t out_bytes) {
  (void)snprintf(out, out_bytes, "plugin %s (connection %.40s)", plugin->manifest.name,
                 connection != NULL ? connection : "-");
}

static int32_t made_nothing(const struct dr_call *call) {
  return dr_call_broken(call, "it returned success without an instance");
}

// ---- spec ----

static int32_t call_spec(const struct dr_plugin *plugin, int role, struct dray_str *out, struct dray_error *error) {
  switch (role) {
  case DR_ROLE_SOURCE:
    return plugin->source.spec(out, error);
  case DR_ROLE_DESTINATION:
    return plugin->destination.spec(out, error);
  default:
    return plugin->warehouse.spec(out, error);
  }
}

int32_t dr_plugin_spec(const struct dr_plugin *plugin, int role, struct dray_str *out_json, struct dray_error *error) {
  static const char *const names[] = {"", "source", "destination", "warehouse"};
  static const char *const slots[] = {"", "source.spec", "destination.spec", "warehouse.spec"};
  const int has[] = {0, plugin->table.source != NULL, plugin->table.destination != NULL,
                     plugin->table.warehouse != NULL};
  if (!has[role]) return lacks_role(plugin, names[role], error);
  char label[128];
  (void)snprintf(label, sizeof(label), "plugin %s", plugin->manifest.name);
  struct dr_call call;
  struct dray_str spec = {NULL, 0};
  DRAY_TRY(dr_call_begin(&call, label, slots[role], error));
  DRAY_TRY(dr_call_end(&call, call_spec(plugin, role, &spec, &call.inner)));
  struct dray_json *root = NULL;
  struct dray_error why;
  dray_error_init(&why);
  if (spec.data == NULL) return dr_call_broken(&call, "it wrote no JSON");
  const int32_t rc = dray_json_parse(spec, SPEC_BYTES_MAX, &root, &why);
  if (rc == DRAY_E_OUT_OF_MEMORY) return dray_fail(error, rc, "%s", why.text);
  const int is_object = rc == DRAY_OK && root->kind == DRAY_JSON_OBJECT;
  dray_json_free(root);
  if (rc != DRAY_OK) return dr_call_broken(&call, "%s", why.text);
  if (!is_object) return dr_call_broken(&call, "the JSON Schema is not an object");
  *out_json = spec;
  return DRAY_OK;
}

// ---- source ----

int32_t dr_source_create(const struct dr_plugin *plugin, struct dr_host *host, const char *connection,
                         struct dray_str config_json, struct dr_source_instance *out, struct dray_error *error) {
  if (plugin->table.source == NULL) return lacks_role(plugin, "source", error);
  struct dr_source_instance made = {.plugin = plugin, .host = host};
  make_label(plugin, connection, made.label, sizeof(made.label));
  struct dr_call call;
  DRAY_TRY(dr_call_begin(&call, made.label, "source.create", error));
  const int32_t rc = plugin->source.create(dr_host_abi(host), config_json, &made.self, &call.inner);
  DRAY_TRY(dr_call_end(&call, rc));
  if (made.self == NULL) return made_nothing(&call);
  *out = made;
  return DRAY_OK;
}

void dr_source_destroy(struct dr_source_instance *instance) {
  if (instance->self == NULL) return;
  struct dr_call call;
  dr_call_enter(&call, instance->label, "source.destroy", NULL);
  instance->plugin->source.destroy(instance->self);
  dr_call_leave(&call);
  instance->self = NULL;
}

// ---- destination ----

int32_t dr_destination_create(const struct dr_plugin *plugin, struct dr_host *host, const char *connection,
                              struct dray_str config_json, struct dr_destination_instance *out,
                              struct dray_error *error) {
  if (plugin->table.destination == NULL) return lacks_role(plugin, "destination", error);
  struct dr_destination_instance made = {.plugin = plugin, .host = host};
  make_label(plugin, connection, made.label, sizeof(made.label));
  struct dr_call call;
  DRAY_TRY(dr_call_begin(&call, made.label, "destination.create", error));
  const int32_t rc = plugin->destination.create(dr_host_abi(host), config_json, &made.self, &call.inner);
  DRAY_TRY(dr_call_end(&call, rc));
  if (made.self == NULL) return made_nothing(&call);
  *out = made;
  return DRAY_OK;
}

void dr_destination_destroy(struct dr_destination_instance *instance) {
  dray_buffer_free(&instance->texts);
  if (instance->self == NULL) return;
  struct dr_call call;
  dr_call_enter(&call, instance->label, "destination.destroy", NULL);
  instance->plugin->destination.destroy(instance->self);
  dr_call_leave(&call);
  instance->self = NULL;
}

// ---- warehouse ----

int32_t dr_warehouse_create(const struct dr_plugin *plugin, struct dr_host *host, const char *connection,
                            struct dray_str config_json, struct dr_warehouse_instance *out, struct dray_error *error) {
  if (plugin->table.warehouse == NULL) return lacks_role(plugin, "warehouse", error);
  struct dr_warehouse_instance made = {.plugin = plugin, .host = host};
  make_label(plugin, connection, made.label, sizeof(made.label));
  struct dr_call call;
  DRAY_TRY(dr_call_begin(&call, made.label, "warehouse.create", error));
  const int32_t rc = plugin->warehouse.create(dr_host_abi(host), config_json, &made.self, &call.inner);
  DRAY_TRY(dr_call_end(&call, rc));
  if (made.self == NULL) return made_nothing(&call);
  *out = made;
  return DRAY_OK;
}

void dr_warehouse_destroy(struct dr_warehouse_instance *instance) {
  if (instance->self == NULL) return;
  struct dr_call call;
  dr_call_enter(&call, instance->label, "warehouse.destroy", NULL);
  instance->plugin->warehouse.destroy(instance->self);
  dr_call_leave(&call);
  instance->self = NULL;
}
