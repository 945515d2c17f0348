// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Typed access to the host's services, so that plugins do not cast, and shorthands for the common calls.
#ifndef DRAY_SDK_SERVICES_H
#define DRAY_SDK_SERVICES_H

#include "dray/host.h"
#include "dray/sdk/error.h"
#include "dray/sdk/text.h"

#ifdef __cplusplus
extern "C" {
#endif

// The services of a host, looked up once. All are non-NULL after dray_services_init succeeded, but `pace` and
// `shared_state` with a host that does not have them.
struct dray_services {
  const struct dray_log_service *log;
  const struct dray_cancel_service *cancel;
  const struct dray_clock_service *clock;
  const struct dray_http_service *http;
  const struct dray_secrets_service *secrets;
  const struct dray_state_service *state;
  const struct dray_metrics_service *metrics;
  const struct dray_random_service *random;
  const struct dray_pace_service *pace;
  const struct dray_state_service *shared_state; // of all connections of the project
};

// @errors PLUGIN_ABI when the host lacks one.
DRAY_NODISCARD int32_t dray_services_init(struct dray_services *services, const struct dray_host *host,
                                          struct dray_error *error);
void dray_log_printf(const struct dray_services *services, uint32_t level, const char *format, ...) DRAY_PRINTF(3, 4);
int dray_cancelled(const struct dray_services *services);
// Fills `error` with CANCELLED when the run was asked to end; DRAY_OK otherwise.
DRAY_NODISCARD int32_t dray_cancel_check(const struct dray_services *services, struct dray_error *error);
// Opens, pulls the whole body into `body` (its max is the bound) and closes; *out_status may be NULL.
DRAY_NODISCARD int32_t dray_http_fetch(const struct dray_services *services, const struct dray_http_request *request,
                                       struct dray_buffer *body, int32_t *out_status, struct dray_error *error);
// Reads a secret into a NUL-terminated heap string; free with dray_secret_free, which wipes it.
DRAY_NODISCARD int32_t dray_secret_get(const struct dray_services *services, const char *setting, char **out,
                                       struct dray_error *error);
void dray_secret_free(char *secret);

#ifdef __cplusplus
}
#endif

#endif // DRAY_SDK_SERVICES_H
