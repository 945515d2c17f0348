// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Built when the vtable ended before open, which this minor requires.
#include "slots.h"

static const struct dray_source_vtable source = SOURCE_VTABLE(offsetof(struct dray_source_vtable, open));

int32_t dray_plugin_entry_v1(const struct dray_host *host, struct dray_plugin *out, struct dray_error *error) {
  (void)host, (void)error;
  return introduce(out, "too_old", &source);
}
