// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Built with a newer minor: its vtable has a slot that this host does not know.
#include "slots.h"

struct newer_vtable {
  struct dray_source_vtable known;
  void (*unknown)(void);
};

static void never_called(void) {
  __builtin_trap();
}

static const struct newer_vtable source = {SOURCE_VTABLE(sizeof(source)), never_called};

int32_t dray_plugin_entry_v1(const struct dray_host *host, struct dray_plugin *out, struct dray_error *error) {
  (void)host, (void)error;
  (void)introduce(out, "newer", &source.known);
  out->abi_minor = DRAY_ABI_MINOR + 1;
  return DRAY_OK;
}
