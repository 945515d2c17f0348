// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The cancel service: the process's one flag, as a plugin sees it.
#include "base/cancel.h"
#include "plugin/services.h"

static uint32_t cancelled(void *ctx) {
  (void)ctx;
  return dr_cancelled() != 0;
}

void dr_service_cancel_init(struct dr_host *host) {
  host->cancel = (struct dray_cancel_service){sizeof(host->cancel), 0, host, cancelled};
}
