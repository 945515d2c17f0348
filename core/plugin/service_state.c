// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The state services: small values that belong to one connection, or to all of a project. Here are the limits; the
// store behind the callbacks makes them durable. A lock is one on a file of the folder where the processes of a project
// meet, so that it ends with its holder.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/board.h"
#include "base/cancel.h"
#include "base/clock.h"
#include "base/file.h"
#include "plugin/services.h"

#define LOCK_SLICE_MS 20 // how soon a free lock, or a cancel, is noticed
#define LOCK_WAIT_MS_MAX INT64_C(86400000)

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
  const struct dr_state_scope *scope = ctx;
  const struct dr_host *host = scope->host;
  DRAY_TRY(check_key(host, key, error));
  struct dray_buffer value;
  dray_buffer_init(&value, DRAY_STATE_VALUE_BYTES_MAX);
  int32_t rc = DRAY_OK; // without a store nothing was ever put
  if (host->options.state_get != NULL)
    rc = host->options.state_get(host->options.ctx, scope->shared, key, &value, error);
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
  const struct dr_state_scope *scope = ctx;
  const struct dr_host *host = scope->host;
  DRAY_TRY(check_key(host, key, error));
  if (value.len > DRAY_STATE_VALUE_BYTES_MAX) {
    return dray_fail(error, DRAY_E_LIMIT, "the state %.*s of connection %s has %llu bytes; at most %d are allowed",
                     DRAY_STR_ARG(key), host->connection, (unsigned long long)value.len, DRAY_STATE_VALUE_BYTES_MAX);
  }
  if (host->options.state_put == NULL) { // never a silent loss
    return dray_fail(error, DRAY_E_LIMIT, "the state %.*s of connection %s cannot be kept here: there is no store",
                     DRAY_STR_ARG(key), host->connection);
  }
  return host->options.state_put(host->options.ctx, scope->shared, key, value, error);
}

// ---- locks ----

static int32_t open_lock(const struct dr_state_scope *scope, struct dray_str key, int *out, struct dray_error *error) {
  char name[64];
  const struct dr_host *host = scope->host;
  const size_t owner_bytes = scope->shared ? 0 : strlen(host->connection); // no connection has an empty name
  const uint64_t hash = XXH3_64bits_withSeed(key.data, key.len, XXH3_64bits(host->connection, owner_bytes));
  (void)snprintf(name, sizeof(name), "state-%016llx", (unsigned long long)hash);
  DRAY_TRY(dr_folder_make(host->shared_folder, error));
  char *path = dr_path_join(host->shared_folder, name);
  if (path == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a lock");
  const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  const int32_t code = fd >= 0 ? DRAY_OK : dr_fail_errno(error, "open", path);
  free(path);
  *out = fd;
  return code;
}

static int32_t wait_for_lock(const struct dr_state_scope *scope, struct dray_str key, int fd, int64_t timeout_ms,
                             struct dray_error *error) {
  const struct dr_host *host = scope->host;
  const int64_t until = dr_monotonic_ms() + (timeout_ms < LOCK_WAIT_MS_MAX ? timeout_ms : LOCK_WAIT_MS_MAX);
  int shown = 0;
  int32_t code = DRAY_OK;
  for (;;) {
    const int locked = dr_fd_lock(fd, 0);
    if (locked == 1) break;
    if (locked < 0) {
      code = dr_fail_errno(error, "lock a state of", host->shared_folder);
      break;
    }
    if (dr_monotonic_ms() >= until) {
      code = dray_fail(error, DRAY_E_BUSY, "the state %.*s of connection %s is held by another process for too long",
                       DRAY_STR_ARG(key), host->connection);
      break;
    }
    if (!shown++)
      dr_board_wait(timeout_ms,
                    scope->shared ? "another process of this project" : "another process of this connection");
    code = dr_cancel_sleep(LOCK_SLICE_MS, error);
    if (code != DRAY_OK) break;
  }
  if (shown) dr_board_wait(0, NULL);
  return code;
}

static int is_lock_of(const struct dr_state_lock *lock, const struct dr_state_scope *scope, struct dray_str key) {
  return lock->shared == scope->shared && dray_str_is(key, lock->key);
}

static int32_t lock(void *ctx, struct dray_str key, int64_t timeout_ms, struct dray_error *error) {
  const struct dr_state_scope *scope = ctx;
  struct dr_host *host = scope->host;
  int fd = -1;
  DRAY_TRY(check_key(host, key, error));
  if (host->shared_folder == NULL) {
    return dray_fail(error, DRAY_E_LIMIT, "the state %.*s of connection %s cannot be locked here: there is no store",
                     DRAY_STR_ARG(key), host->connection);
  }
  for (size_t i = 0; i < host->state_lock_count; i++) {
    if (!is_lock_of(&host->state_lock[i], scope, key)) continue;
    return dray_fail(error, DRAY_E_PLUGIN_CONTRACT, "the state %.*s is locked twice by one instance",
                     DRAY_STR_ARG(key));
  }
  if (host->state_lock_count == DR_STATE_LOCKS_MAX) {
    return dray_fail(error, DRAY_E_LIMIT, "an instance of connection %s holds %d state locks already", host->connection,
                     DR_STATE_LOCKS_MAX);
  }
  int32_t code = open_lock(scope, key, &fd, error);
  if (code == DRAY_OK) code = wait_for_lock(scope, key, fd, timeout_ms, error);
  if (code != DRAY_OK) {
    if (fd >= 0) (void)close(fd);
    return code;
  }
  struct dr_state_lock *taken = &host->state_lock[host->state_lock_count++];
  taken->fd = fd;
  taken->shared = scope->shared;
  memcpy(taken->key, key.data, key.len);
  taken->key[key.len] = '\0';
  return DRAY_OK;
}

static void unlock(void *ctx, struct dray_str key) {
  const struct dr_state_scope *scope = ctx;
  struct dr_host *host = scope->host;
  for (size_t i = 0; i < host->state_lock_count; i++) {
    if (!is_lock_of(&host->state_lock[i], scope, key)) continue;
    (void)close(host->state_lock[i].fd);
    host->state_lock[i] = host->state_lock[--host->state_lock_count];
    return;
  }
}

void dr_service_state_end(struct dr_host *host) {
  while (host->state_lock_count > 0) (void)close(host->state_lock[--host->state_lock_count].fd);
}

void dr_service_state_init(struct dr_host *host) {
  host->own_scope = (struct dr_state_scope){host, 0};
  host->shared_scope = (struct dr_state_scope){host, 1};
  host->state = (struct dray_state_service){sizeof(host->state), 0, &host->own_scope, get, put, lock, unlock};
  host->shared_state = (struct dray_state_service){sizeof(host->state), 0, &host->shared_scope, get, put, lock, unlock};
}
