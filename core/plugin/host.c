// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The host as one plugin instance sees it: a table of services by id. The services themselves are one file each.
#include <stdio.h>
#include <stdlib.h>

#include "plugin/services.h"

static const void *find_service(void *ctx, uint32_t id) {
  const struct dr_host *host = ctx;
  switch (id) {
  case DRAY_SERVICE_LOG:
    return &host->log;
  case DRAY_SERVICE_CANCEL:
    return &host->cancel;
  case DRAY_SERVICE_CLOCK:
    return &host->clock;
  case DRAY_SERVICE_HTTP:
    return dr_http_service(host->http);
  case DRAY_SERVICE_SECRETS:
    return &host->secrets;
  case DRAY_SERVICE_STATE:
    return &host->state;
  case DRAY_SERVICE_METRICS:
    return &host->metrics;
  case DRAY_SERVICE_RANDOM:
    return &host->random;
  case DRAY_SERVICE_PACE:
    return &host->pace;
  case DRAY_SERVICE_SHARED_STATE:
    return &host->shared_state;
  default:
    return NULL; // of a newer minor
  }
}

int32_t dr_host_new(const struct dr_host_options *options, struct dr_host **out, struct dray_error *error) {
  struct dr_host *host = calloc(1, sizeof(*host));
  if (host == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for the services of a plugin");
  host->options = *options;
  const char *connection = options->connection != NULL ? options->connection : "plugin";
  (void)snprintf(host->connection, sizeof(host->connection), "%s", connection);
  host->options.connection = host->connection;
  const char *folder = options->shared_folder;
  host->shared_folder = folder != NULL ? dray_str_dup(dray_str_of(folder)) : NULL;
  host->options.shared_folder = host->shared_folder;
  if (folder == NULL || host->shared_folder != NULL) host->http = dr_http_new(host->connection, host->shared_folder);
  if (host->http == NULL || pthread_mutex_init(&host->lock, NULL) != 0) {
    dr_http_free(host->http);
    free(host->shared_folder);
    free(host);
    return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for the services of connection %s", connection);
  }
  dr_service_log_init(host);
  dr_service_cancel_init(host);
  dr_service_clock_init(host);
  dr_service_secrets_init(host);
  dr_service_state_init(host);
  dr_service_metrics_init(host);
  dr_service_random_init(host);
  dr_service_pace_init(host);
  host->abi = (struct dray_host){sizeof(host->abi), DRAY_ABI_MINOR, host, find_service};
  *out = host;
  return DRAY_OK;
}

void dr_host_free(struct dr_host *host) {
  if (host == NULL) return;
  dr_service_state_end(host);
  dr_http_free(host->http);
  (void)pthread_mutex_destroy(&host->lock);
  free(host->shared_folder);
  free(host);
}

const struct dray_host *dr_host_abi(const struct dr_host *host) {
  return &host->abi;
}
