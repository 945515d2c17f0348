// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Sets a flag of the vtable that no minor has defined.
#include "slots.h"

int32_t dray_plugin_entry_v1(const struct dray_host *host, struct dray_plugin *out, struct dray_error *error) {
  static struct dray_source_vtable source = SOURCE_VTABLE(sizeof(source));
  (void)host, (void)error;
  source.flags = 0x40;
  return introduce(out, "flags", &source);
}
