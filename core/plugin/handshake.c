// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The handshake: what a loaded library says of itself, checked against the ABI's rules and against its manifest.
// A plugin built with an older minor has smaller vtables: the slots it does not know are as if left NULL.
#include "plugin/handshake.h"

#include <stdio.h>
#include <string.h>

#define VTABLE_BYTES_MAX 65536 // a size beyond this is no size
#define SLOT_BYTES sizeof(void (*)(void))

// ---- what stands in for optional slots ----

static void source_interrupt(struct dray_source *source) {
  (void)source;
}

static int32_t source_drop(struct dray_source *source, const struct dray_read_request *request,
                           struct dray_str *out_json, struct dray_error *error) {
  (void)source, (void)request, (void)error;
  *out_json = dray_str_of("[]");
  return DRAY_OK;
}

static int32_t source_wait(struct dray_source *source, const struct dray_read_request *request, uint64_t timeout_ms,
                           uint32_t *out_news, struct dray_error *error) {
  (void)source, (void)request, (void)timeout_ms, (void)error;
  *out_news = 1;
  return DRAY_OK;
}

static void destination_interrupt(struct dray_destination *destination) {
  (void)destination;
}

static void warehouse_interrupt(struct dray_warehouse *warehouse) {
  (void)warehouse;
}

// The host's own way.
static int32_t warehouse_retype(struct dray_warehouse *warehouse, struct dray_str schema, struct dray_str table,
                                const struct dray_str *columns, const struct dray_str *types, uint64_t count,
                                struct dray_str *out_json, struct dray_error *error) {
  (void)warehouse, (void)schema, (void)table, (void)columns, (void)types, (void)count, (void)error;
  *out_json = (struct dray_str){NULL, 0};
  return DRAY_OK;
}

static int32_t destination_poll(struct dray_destination *destination, struct dray_str handle, const int64_t *rows,
                                uint64_t row_count, struct dray_receipts *out, struct dray_error *error) {
  (void)destination, (void)handle, (void)rows, (void)row_count, (void)out;
  return dray_fail(error, DRAY_E_PLUGIN_CONTRACT, "the destination has no slot poll");
}

static int32_t destination_read_back(struct dray_destination *destination, const struct ArrowArray *batch,
                                     struct dray_receipts *out, struct dray_error *error) {
  (void)destination, (void)batch, (void)out;
  return dray_fail(error, DRAY_E_PLUGIN_CONTRACT, "the destination has no slot read_back");
}

static const struct dray_source_vtable source_defaults = {
    .interrupt = source_interrupt, .drop = source_drop, .wait = source_wait};
static const struct dray_destination_vtable destination_defaults = {
    .poll = destination_poll, .read_back = destination_read_back, .interrupt = destination_interrupt};
static const struct dray_warehouse_vtable warehouse_defaults = {.interrupt = warehouse_interrupt,
                                                                .retype = warehouse_retype};

int dr_destination_lacks_poll(const struct dray_destination_vtable *vtable) {
  return vtable->poll == destination_poll;
}

int dr_destination_lacks_read_back(const struct dray_destination_vtable *vtable) {
  return vtable->read_back == destination_read_back;
}

// ---- vtables ----

struct slot {
  const char *name;
  size_t offset;
};

#define SOURCE(slot)                                                                                                   \
  { #slot, offsetof(struct dray_source_vtable, slot) }
#define DESTINATION(slot)                                                                                              \
  { #slot, offsetof(struct dray_destination_vtable, slot) }
#define WAREHOUSE(slot)                                                                                                \
  { #slot, offsetof(struct dray_warehouse_vtable, slot) }
// Every slot in the order of the headers. A slot is optional when the defaults above have one for it.
static const struct slot source_slots[] = {SOURCE(spec),      SOURCE(create),   SOURCE(destroy),
                                           SOURCE(check),     SOURCE(discover), SOURCE(open),
                                           SOURCE(interrupt), SOURCE(drop),     SOURCE(wait)};
static const struct slot destination_slots[] = {
    DESTINATION(spec), DESTINATION(create), DESTINATION(destroy),  DESTINATION(check), DESTINATION(discover),
    DESTINATION(caps), DESTINATION(begin),  DESTINATION(write),    DESTINATION(poll),  DESTINATION(read_back),
    DESTINATION(end),  DESTINATION(abort),  DESTINATION(interrupt)};
static const struct slot warehouse_slots[] = {
    WAREHOUSE(spec),   WAREHOUSE(create),   WAREHOUSE(destroy),   WAREHOUSE(check),
    WAREHOUSE(open),   WAREHOUSE(dialect),  WAREHOUSE(discover),  WAREHOUSE(describe),
    WAREHOUSE(query),  WAREHOUSE(execute),  WAREHOUSE(load),      WAREHOUSE(begin),
    WAREHOUSE(commit), WAREHOUSE(rollback), WAREHOUSE(interrupt), WAREHOUSE(retype)};

// One role: where the plugin's vtable is, and where the host's copy goes.
struct role {
  const char *name;
  const void *given;
  void *copy;
  size_t size; // of the host's struct
  const void *defaults;
  const struct slot *slots;
  size_t slot_count;
};

#define HEAD_BYTES (2 * sizeof(uint32_t)) // struct_size and flags

static int slot_is_empty(const void *vtable, size_t offset) {
  static const char zero[SLOT_BYTES];
  return memcmp((const char *)vtable + offset, zero, SLOT_BYTES) == 0;
}

static int32_t take_role(const struct dr_plugin *plugin, const struct role *role, struct dray_error *error) {
  uint32_t head[2];
  memcpy(head, role->given, sizeof(head));
  if (head[0] < HEAD_BYTES + SLOT_BYTES || head[0] > VTABLE_BYTES_MAX) {
    return dray_fail(error, DRAY_E_PLUGIN_CONTRACT, "%s: the %s's struct_size is %u, which is no size of its vtable",
                     plugin->manifest.library, role->name, head[0]);
  }
  if (head[1] != 0) {
    return dray_fail(error, DRAY_E_PLUGIN_CONTRACT, "%s: the %s sets the unknown flags 0x%x; ABI %d.%d defines none",
                     plugin->manifest.library, role->name, head[1], DRAY_ABI_MAJOR, DRAY_ABI_MINOR);
  }
  const size_t common = head[0] < role->size ? head[0] : role->size;
  memset(role->copy, 0, role->size);
  memcpy(role->copy, role->given, common - common % SLOT_BYTES); // a slot cut in two is none
  const uint32_t size = (uint32_t)role->size;
  memcpy(role->copy, &size, sizeof(size));
  for (size_t i = 0; i < role->slot_count; i++) {
    const size_t offset = role->slots[i].offset;
    if (!slot_is_empty(role->copy, offset)) continue;
    if (slot_is_empty(role->defaults, offset)) {
      return dray_fail(error, DRAY_E_PLUGIN_CONTRACT, "%s: the %s lacks the slot %s, which ABI %d.%d requires",
                       plugin->manifest.library, role->name, role->slots[i].name, DRAY_ABI_MAJOR, DRAY_ABI_MINOR);
    }
    memcpy((char *)role->copy + offset, (const char *)role->defaults + offset, SLOT_BYTES);
  }
  return DRAY_OK;
}

// ---- names and roles ----

static int32_t compare_text(const struct dr_plugin *plugin, const char *what, struct dray_str said,
                            const char *manifest, struct dray_error *error) {
  if (said.data != NULL && dray_str_is(said, manifest)) return DRAY_OK;
  return dray_fail_field(
      error, DRAY_E_PLUGIN_MANIFEST, what,
      "%s says its %s is \"%.*s\", its manifest says \"%s\": they belong to different builds; install "
      "the plugin again",
      plugin->manifest.library, what, (int)(said.len < 64 ? said.len : 64), said.data != NULL ? said.data : "",
      manifest);
}

static int32_t compare_role(const struct dr_plugin *plugin, const char *role, int has, int manifest_has,
                            struct dray_error *error) {
  if (has == manifest_has) return DRAY_OK;
  return dray_fail_field(error, DRAY_E_PLUGIN_MANIFEST, "roles",
                         "%s %s the role %s, its manifest %s; correct \"roles\"", plugin->manifest.library,
                         has ? "has" : "lacks", role, manifest_has ? "names it" : "does not name it");
}

static int32_t compare_manifest(const struct dr_plugin *plugin, const struct dray_plugin *given,
                                struct dray_error *error) {
  const struct dr_manifest *manifest = &plugin->manifest;
  DRAY_TRY(compare_text(plugin, "name", given->name, manifest->name, error));
  DRAY_TRY(compare_text(plugin, "version", given->version, manifest->version, error));
  DRAY_TRY(compare_role(plugin, "source", given->source != NULL, manifest->has_source, error));
  DRAY_TRY(compare_role(plugin, "destination", given->destination != NULL, manifest->has_destination, error));
  return compare_role(plugin, "warehouse", given->warehouse != NULL, manifest->has_warehouse, error);
}

int32_t dr_handshake(struct dr_plugin *plugin, const struct dray_plugin *given, struct dray_error *error) {
  DRAY_TRY(compare_manifest(plugin, given, error));
  const struct role roles[] = {
      {"source", given->source, &plugin->source, sizeof(plugin->source), &source_defaults, source_slots,
       sizeof(source_slots) / sizeof(source_slots[0])},
      {"destination", given->destination, &plugin->destination, sizeof(plugin->destination), &destination_defaults,
       destination_slots, sizeof(destination_slots) / sizeof(destination_slots[0])},
      {"warehouse", given->warehouse, &plugin->warehouse, sizeof(plugin->warehouse), &warehouse_defaults,
       warehouse_slots, sizeof(warehouse_slots) / sizeof(warehouse_slots[0])},
  };
  for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
    if (roles[i].given != NULL) DRAY_TRY(take_role(plugin, &roles[i], error));
  }
  plugin->table = (struct dray_plugin){
      .struct_size = sizeof(plugin->table),
      .abi_minor = given->abi_minor,
      .name = dray_str_of(plugin->manifest.name),
      .version = dray_str_of(plugin->manifest.version),
      .source = given->source != NULL ? &plugin->source : NULL,
      .destination = given->destination != NULL ? &plugin->destination : NULL,
      .warehouse = given->warehouse != NULL ? &plugin->warehouse : NULL,
  };
  return DRAY_OK;
}
