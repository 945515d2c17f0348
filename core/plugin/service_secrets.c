// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The secrets service: copies one secret into the plugin's buffer, after it was registered for masking. The host's own
// copy is wiped. Secrets that the plugin got from the other side are registered as it says.
#include <string.h>

#include "base/redact.h"
#include "plugin/services.h"

static void wipe(struct dray_buffer *buffer) {
  if (buffer->data != NULL) explicit_bzero(buffer->data, buffer->capacity);
  dray_buffer_free(buffer);
}

static int32_t get(void *ctx, struct dray_str setting, char *buffer, uint64_t capacity, uint64_t *out_bytes,
                   struct dray_error *error) {
  const struct dr_host *host = ctx;
  if (host->options.secret == NULL) {
    return dray_fail(error, DRAY_E_CONFIG_MISSING, "connection %s has no secret %.*s", host->connection,
                     DRAY_STR_ARG(setting));
  }
  struct dray_buffer value;
  dray_buffer_init(&value, DR_SECRET_BYTES_MAX);
  int32_t rc = host->options.secret(host->options.ctx, setting, &value, error);
  if (rc == DRAY_OK) {
    dr_redact_add(dray_buffer_view(&value));
    if (value.len > capacity) {
      rc = dray_fail(error, DRAY_E_LIMIT, "the secret %.*s of connection %s has %zu bytes; there is room for %llu",
                     DRAY_STR_ARG(setting), host->connection, value.len, (unsigned long long)capacity);
    }
  }
  if (rc == DRAY_OK) {
    if (value.len > 0) memcpy(buffer, value.data, value.len);
    *out_bytes = value.len;
  }
  wipe(&value);
  return rc;
}

static void mask(void *ctx, struct dray_str secret) {
  (void)ctx; // the list is the process's, as the log is
  dr_redact_add(secret);
}

void dr_service_secrets_init(struct dr_host *host) {
  host->secrets = (struct dray_secrets_service){sizeof(host->secrets), 0, host, get, mask};
}
