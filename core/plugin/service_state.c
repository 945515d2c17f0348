// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The state service: small values that belong to one connection. Here are the limits; the store behind the callbacks
// makes them durable.
#include <string.h>

#include "plugin/services.h"

static int32_t check_key(const struct dr_host *host, struct dray_str key, struct dray_error *error) {
  if (key.len == 0 || key.len > DRAY_STATE_KEY_BYTES_MAX) {
    return dray_fail(error, DRAY_E_LIMIT, "a state key of connection %s has %llu bytes; 1 to %d are allowed",
                     host->connection, (unsigned long long)key.len, DRAY_STATE_KEY_BYTES_MAX);
  }
  if (!dray_utf8_valid(key.data, key.len) || memchr(key.data, '\0', key.len) != NULL) {
    return dray_fail(error, DRAY_E_LIMIT, "a state key of connection %s is not UTF-8 text", host->connection);
  }
  return DRAY_OK;
}

static int32_t get(void *ctx, struct dray_str key, char *buffer, uint64_t capacity, uint64_t *out_bytes,
                   struct dray_error *error) {
  const struct dr_host *host = ctx;
  DRAY_TRY(check_key(host, key, error));
  struct dray_buffer value;
  dray_buffer_init(&value, DRAY_STATE_VALUE_BYTES_MAX);
  int32_t rc = DRAY_OK; // without a store nothing was ever put
  if (host->options.state_get != NULL) rc = host->options.state_get(host->options.ctx, key, &value, error);
  if (rc == DRAY_OK && value.len > capacity) {
    rc = dray_fail(error, DRAY_E_LIMIT, "the state %.*s of connection %s has %zu bytes; there is room for %llu",
                   DRAY_STR_ARG(key), host->connection, value.len, (unsigned long long)capacity);
  }
  if (rc == DRAY_OK) {
    if (value.len > 0) memcpy(buffer, value.data, value.len);
    *out_bytes = value.len;
  }
  if (value.data != NULL) explicit_bzero(value.data, value.capacity); // refresh tokens live here
  dray_buffer_free(&value);
  return rc;
}

static int32_t put(void *ctx, struct dray_str key, struct dray_str value, struct dray_error *error) {
  const struct dr_host *host = ctx;
  DRAY_TRY(check_key(host, key, error));
  if (value.len > DRAY_STATE_VALUE_BYTES_MAX) {
    return dray_fail(error, DRAY_E_LIMIT, "the state %.*s of connection %s has %llu bytes; at most %d are allowed",
                     DRAY_STR_ARG(key), host->connection, (unsigned long long)value.len, DRAY_STATE_VALUE_BYTES_MAX);
  }
  if (host->options.state_put == NULL) { // never a silent loss
    return dray_fail(error, DRAY_E_LIMIT, "the state %.*s of connection %s cannot be kept here: there is no store",
                     DRAY_STR_ARG(key), host->connection);
  }
  return host->options.state_put(host->options.ctx, key, value, error);
}

void dr_service_state_init(struct dr_host *host) {
  host->state = (struct dray_state_service){sizeof(host->state), 0, host, get, put};
}
