// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The log service: a plugin's lines in the host's log, under the connection's name. Masking and escaping are dr_log's.
#include "base/log.h"
#include "plugin/services.h"

static void write_line(void *ctx, uint32_t level, struct dray_str message) {
  const struct dr_host *host = ctx;
  if (level < DRAY_LOG_ERROR) level = DRAY_LOG_ERROR; // an unknown level is shown rather than lost
  if (level > DRAY_LOG_DEBUG) level = DRAY_LOG_DEBUG;
  if (message.data == NULL) message.len = 0;
  dr_log_str(level, host->connection, message);
}

void dr_service_log_init(struct dr_host *host) {
  host->log = (struct dray_log_service){sizeof(host->log), dr_log_level(), host, write_line};
}
