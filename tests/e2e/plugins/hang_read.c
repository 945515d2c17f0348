// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Never comes back from a read.
#include <unistd.h>

#include "stream.h"

static void misbehave(void) {
  for (;;) (void)pause(); // not by a service of the host: nobody can ask it to stop
}

int32_t dray_plugin_entry_v1(const struct dray_host *host, struct dray_plugin *out, struct dray_error *error) {
  (void)host, (void)error;
  return introduce(out, "hang_read");
}
