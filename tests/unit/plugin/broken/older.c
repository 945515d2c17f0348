// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Built when the vtable ended before interrupt: the host must fill the slot, not read behind the struct.
#include "slots.h"

static struct dray_source_vtable source; // the bytes behind its claimed size are poison

static void poison(struct dray_source *ignored) {
  (void)ignored;
  __builtin_trap();
}

int32_t dray_plugin_entry_v1(const struct dray_host *host, struct dray_plugin *out, struct dray_error *error) {
  static const struct dray_source_vtable whole = SOURCE_VTABLE(offsetof(struct dray_source_vtable, interrupt));
  (void)host, (void)error;
  source = whole;
  source.interrupt = poison;
  return introduce(out, "older", &source);
}
