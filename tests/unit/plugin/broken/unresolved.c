// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Needs a symbol that no library has.
#include "slots.h"

static const struct dray_source_vtable source = SOURCE_VTABLE(sizeof(source));

extern int vendor_client_connect(void);

int32_t dray_plugin_entry_v1(const struct dray_host *host, struct dray_plugin *out, struct dray_error *error) {
  (void)host, (void)error;
  return vendor_client_connect() + introduce(out, "unresolved", &source);
}
