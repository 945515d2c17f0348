// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Opening and closing the store, what a sync has reached, and the plugins' private state. Called by core/sync and the
// command line.
#include "store/store.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "dray/host.h"
#include "dray/sdk/error.h"
#include "store/db.h"

// state.db holds what plugins keep for themselves, e.g. refreshed tokens: nobody else's business.
static void tighten(const char *path) {
  struct stat info;
  if (stat(path, &info) != 0 || (info.st_mode & 077) == 0) return;
  if (chmod(path, 0600) != 0)
    dr_log(DRAY_LOG_WARN, "store", "%s can be read by others and its mode cannot be changed", path);
}

static int32_t read_seed(struct dr_store *store, struct dray_error *error) {
  struct dr_db_call call;
  int row = 0;
  DRAY_TRY(dr_db_call(store, DR_DB_META_GET, &call, error));
  dr_db_text(&call, "seed");
  DRAY_TRY(dr_db_step(&call, &row, error));
  if (!row) {
    return dray_fail(error, DRAY_E_STATE_CORRUPT, "%s has lost the project's seed: move it aside and restore a backup",
                     store->path);
  }
  store->seed = dr_db_get_u64(&call);
  dr_db_reset(&call);
  return DRAY_OK;
}

int32_t dr_store_open(const char *folder, struct dr_store **out, struct dray_error *error) {
  struct dr_store *store = NULL;
  char *path = NULL;
  DRAY_TRY(dr_folder_make(folder, error));
  int32_t code = DRAY_OK;
  store = calloc(1, sizeof *store);
  path = dr_path_join(folder, "state.db");
  if (store == NULL || path == NULL) {
    code = dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to open the state in %s", folder);
    goto done;
  }
  code = dr_db_make(folder, path, error);
  if (code != DRAY_OK) goto done;
  tighten(path);
  code = dr_db_open(store, path, error);
  if (code == DRAY_OK) code = read_seed(store, error);
done:
  free(path);
  if (code == DRAY_OK) {
    *out = store;
  } else {
    dr_store_close(store);
  }
  return code;
}

void dr_store_close(struct dr_store *store) {
  if (store == NULL) return;
  dr_store_rollback(store);
  dr_db_close(store);
  free(store);
}

uint64_t dr_store_seed(const struct dr_store *store) {
  return store->seed;
}

// ---- what a sync has reached ----

int32_t dr_store_sync_get(struct dr_store *store, const char *sync, struct dr_sync_state *out,
                          struct dray_error *error) {
  struct dr_db_call call;
  struct dr_sync_state state = {0};
  int row = 0;
  dray_buffer_init(&state.checkpoint, DR_CHECKPOINT_BYTES_MAX);
  DRAY_TRY(dr_db_call(store, DR_DB_SYNC_GET, &call, error));
  dr_db_text(&call, sync);
  DRAY_TRY(dr_db_step(&call, &row, error));
  if (row) {
    state.generation = dr_db_get_u64(&call);
    const struct dray_str checkpoint = dr_db_get_blob(&call);
    const int32_t code = dray_buffer_append(&state.checkpoint, checkpoint.data, checkpoint.len, error);
    if (code != DRAY_OK) {
      dr_db_reset(&call);
      dray_buffer_free(&state.checkpoint);
      return code;
    }
    dr_db_get_text(&call, state.identity, sizeof state.identity);
    dr_db_reset(&call);
  }
  *out = state;
  return DRAY_OK;
}

int32_t dr_store_sync_put(struct dr_store *store, const char *sync, const struct dr_sync_state *state,
                          struct dray_error *error) {
  if (state->checkpoint.len > DR_CHECKPOINT_BYTES_MAX) {
    return dray_fail(error, DRAY_E_LIMIT, "the checkpoint of sync %s has %zu bytes; the limit is %d", sync,
                     state->checkpoint.len, DR_CHECKPOINT_BYTES_MAX);
  }
  DRAY_TRY(dr_db_write_begin(store, error));
  struct dr_db_call call;
  int32_t code = dr_db_call(store, DR_DB_SYNC_PUT, &call, error);
  if (code == DRAY_OK) {
    dr_db_text(&call, sync);
    dr_db_u64(&call, state->generation);
    dr_db_blob(&call, state->checkpoint.data, state->checkpoint.len);
    dr_db_text(&call, state->identity);
    dr_db_int(&call, dr_now_us());
    code = dr_db_done(&call, error);
  }
  return dr_db_write_end(store, code, error);
}

int32_t dr_store_sync_forget(struct dr_store *store, const char *sync, struct dray_error *error) {
  static const enum dr_db_statement forgets[] = {DR_DB_SYNC_FORGET, DR_DB_BATCHES_FORGET, DR_DB_ROWS_FORGET};
  DRAY_TRY(dr_db_write_begin(store, error));
  int32_t code = DRAY_OK;
  for (size_t i = 0; i < sizeof forgets / sizeof forgets[0] && code == DRAY_OK; i++) {
    struct dr_db_call call;
    code = dr_db_call(store, forgets[i], &call, error);
    if (code != DRAY_OK) break;
    dr_db_text(&call, sync);
    code = dr_db_done(&call, error);
  }
  return dr_db_write_end(store, code, error);
}

// ---- a plugin's own state ----

int32_t dr_store_plugin_get(struct dr_store *store, const char *connection, struct dray_str key,
                            struct dray_buffer *out, struct dray_error *error) {
  struct dr_db_call call;
  int row = 0;
  if (key.len > DRAY_STATE_KEY_BYTES_MAX) {
    return dray_fail(error, DRAY_E_LIMIT, "a state key of connection %s has %llu bytes; the limit is %d", connection,
                     (unsigned long long)key.len, DRAY_STATE_KEY_BYTES_MAX);
  }
  DRAY_TRY(dr_db_call(store, DR_DB_PLUGIN_GET, &call, error));
  dr_db_text(&call, connection);
  dr_db_blob(&call, key.data, key.len);
  DRAY_TRY(dr_db_step(&call, &row, error));
  dray_buffer_clear(out);
  if (!row) return DRAY_OK;
  const struct dray_str value = dr_db_get_blob(&call);
  const int32_t code = dray_buffer_append(out, value.data, value.len, error);
  dr_db_reset(&call);
  return code;
}

int32_t dr_store_plugin_put(struct dr_store *store, const char *connection, struct dray_str key, struct dray_str value,
                            struct dray_error *error) {
  if (key.len > DRAY_STATE_KEY_BYTES_MAX || value.len > DRAY_STATE_VALUE_BYTES_MAX) {
    return dray_fail(
        error, DRAY_E_LIMIT,
        "a state entry of connection %s has a key of %llu and a value of %llu bytes; the limits are %d and %d",
        connection, (unsigned long long)key.len, (unsigned long long)value.len, DRAY_STATE_KEY_BYTES_MAX,
        DRAY_STATE_VALUE_BYTES_MAX);
  }
  DRAY_TRY(dr_db_write_begin(store, error));
  struct dr_db_call call;
  int32_t code = dr_db_call(store, value.len > 0 ? DR_DB_PLUGIN_PUT : DR_DB_PLUGIN_REMOVE, &call, error);
  if (code == DRAY_OK) {
    dr_db_text(&call, connection);
    dr_db_blob(&call, key.data, key.len);
    if (value.len > 0) dr_db_blob(&call, value.data, value.len);
    code = dr_db_done(&call, error);
  }
  return dr_db_write_end(store, code, error);
}
