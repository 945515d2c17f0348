// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// A plugin with nothing wrong: what the others differ from.
#include "slots.h"

static const struct dray_source_vtable source = SOURCE_VTABLE(sizeof(source));

int32_t dray_plugin_entry_v1(const struct dray_host *host, struct dray_plugin *out, struct dray_error *error) {
  struct dray_services services;
  DRAY_TRY(dray_services_init(&services, host, error)); // the host must be whole already here
  return introduce(out, "good", &source);
}
