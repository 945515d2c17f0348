// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Exports a second symbol, and a third that is weak.
#include "slots.h"

static const struct dray_source_vtable source = SOURCE_VTABLE(sizeof(source));

DRAY_EXPORT int json_parse_everything(void);
DRAY_EXPORT __attribute__((weak)) int leaked_data = 7;

int json_parse_everything(void) {
  return leaked_data;
}

int32_t dray_plugin_entry_v1(const struct dray_host *host, struct dray_plugin *out, struct dray_error *error) {
  (void)host, (void)error;
  return introduce(out, "extra_export", &source);
}
