// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Typed access to the host's services, for plugins.
#include "dray/sdk/services.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define LOG_LINE_BYTES_MAX 4096
#define SECRET_BYTES_MAX 65536
#define FETCH_PULL_BYTES 16384

int32_t dray_services_init(struct dray_services *services, const struct dray_host *host, struct dray_error *error) {
  const struct dray_services found = {
      .log = host->service(host->ctx, DRAY_SERVICE_LOG),
      .cancel = host->service(host->ctx, DRAY_SERVICE_CANCEL),
      .clock = host->service(host->ctx, DRAY_SERVICE_CLOCK),
      .http = host->service(host->ctx, DRAY_SERVICE_HTTP),
      .secrets = host->service(host->ctx, DRAY_SERVICE_SECRETS),
      .state = host->service(host->ctx, DRAY_SERVICE_STATE),
      .metrics = host->service(host->ctx, DRAY_SERVICE_METRICS),
      .random = host->service(host->ctx, DRAY_SERVICE_RANDOM),
      .pace = host->abi_minor >= 2 ? host->service(host->ctx, DRAY_SERVICE_PACE) : NULL,
      .shared_state = host->abi_minor >= 2 ? host->service(host->ctx, DRAY_SERVICE_SHARED_STATE) : NULL,
  };
  if (found.log == NULL || found.cancel == NULL || found.clock == NULL || found.http == NULL || found.secrets == NULL ||
      found.state == NULL || found.metrics == NULL || found.random == NULL) {
    return dray_fail(error, DRAY_E_PLUGIN_ABI, "the host (ABI %d.%u) lacks a service that ABI %d.%d promises",
                     DRAY_ABI_MAJOR, host->abi_minor, DRAY_ABI_MAJOR, DRAY_ABI_MINOR);
  }
  *services = found;
  return DRAY_OK;
}

void dray_log_printf(const struct dray_services *services, uint32_t level, const char *format, ...) {
  if (level > services->log->level) return;
  char line[LOG_LINE_BYTES_MAX];
  va_list args;
  va_start(args, format);
  const int n = vsnprintf(line, sizeof(line), format, args);
  va_end(args);
  if (n < 0) return;
  const size_t len = (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1;
  services->log->write(services->log->ctx, level, dray_str_make(line, len));
}

int dray_cancelled(const struct dray_services *services) {
  return services->cancel->cancelled(services->cancel->ctx) != 0;
}

int32_t dray_cancel_check(const struct dray_services *services, struct dray_error *error) {
  if (!dray_cancelled(services)) return DRAY_OK;
  return dray_fail(error, DRAY_E_CANCELLED, "the run was asked to end");
}

int32_t dray_http_fetch(const struct dray_services *services, const struct dray_http_request *request,
                        struct dray_buffer *body, int32_t *out_status, struct dray_error *error) {
  const struct dray_http_service *http = services->http;
  struct dray_http_response *response = NULL;
  DRAY_TRY(http->open(http->ctx, request, &response, error));
  int32_t rc = DRAY_OK;
  for (;;) {
    char pulled[FETCH_PULL_BYTES];
    uint64_t n = 0;
    rc = http->read(response, pulled, sizeof(pulled), &n, error);
    if (rc != DRAY_OK || n == 0) break;
    rc = dray_buffer_append(body, pulled, (size_t)n, error);
    if (rc != DRAY_OK) break;
  }
  if (rc == DRAY_OK && out_status != NULL) *out_status = http->status(response);
  http->close(response);
  return rc;
}

int32_t dray_secret_get(const struct dray_services *services, const char *setting, char **out,
                        struct dray_error *error) {
  char *secret = calloc(1, SECRET_BYTES_MAX + 1);
  if (secret == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for the secret of %s", setting);
  uint64_t n = 0;
  const int32_t rc =
      services->secrets->get(services->secrets->ctx, dray_str_of(setting), secret, SECRET_BYTES_MAX, &n, error);
  if (rc != DRAY_OK) {
    dray_secret_free(secret);
    return rc;
  }
  secret[n] = '\0';
  *out = secret;
  return DRAY_OK;
}

void dray_secret_free(char *secret) {
  if (secret == NULL) return;
  explicit_bzero(secret, strlen(secret));
  free(secret);
}
