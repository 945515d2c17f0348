// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Rows that were not taken: why, how often, and whether they still are sent. Written by core/sync for every rejected
// row, read by `dray rows`.
#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"
#include "dray/sdk/error.h"
#include "store/db.h"

static_assert(DRAY_E_STATE_IN_DOUBT == 606 && DRAY_E_DATA_KEY_NULL == 409, "statements.def names these numbers");

static int32_t reject_row(struct dr_store *store, const char *sync, struct dr_row_record *row, uint32_t attempts_max,
                          struct dray_error *error) {
  struct dr_db_call call;
  int there = 0;
  const int64_t now = dr_now_us();
  DRAY_TRY(dr_db_call(store, DR_DB_ROW_REJECT, &call, error));
  dr_db_text(&call, sync);
  dr_db_blob(&call, row->key_hash, sizeof row->key_hash);
  dr_db_u64(&call, row->row_hash);
  dr_db_int(&call, row->op);
  dr_db_int(&call, row->code);
  dr_db_int(&call, row->run);
  dr_db_int(&call, now);
  dr_db_masked(&call, row->key);
  dr_db_masked(&call, row->column);
  dr_db_masked(&call, row->text);
  dr_db_int(&call, attempts_max);
  DRAY_TRY(dr_db_step(&call, &there, error));
  assert(there); // RETURNING gives one row for one row
  const uint32_t attempts = (uint32_t)dr_db_get_int(&call);
  const int parked = (int)dr_db_get_int(&call);
  DRAY_TRY(dr_db_done(&call, error)); // only the step after the last row completes the change
  row->attempts = attempts;
  row->parked = parked;
  row->seen_us = now;
  return DRAY_OK;
}

int32_t dr_store_row_reject(struct dr_store *store, const char *sync, struct dr_row_record *row, uint32_t attempts_max,
                            struct dray_error *error) {
  DRAY_TRY(dr_db_write_begin(store, error));
  struct dr_row_record result = *row;
  const int32_t code = dr_db_write_end(store, reject_row(store, sync, &result, attempts_max, error), error);
  if (code == DRAY_OK) *row = result;
  return code;
}

static void read_row(struct dr_db_call *call, struct dr_row_record *row) {
  *row = (struct dr_row_record){0};
  const struct dray_str key_hash = dr_db_get_blob(call);
  memcpy(row->key_hash, key_hash.data, key_hash.len < sizeof row->key_hash ? key_hash.len : sizeof row->key_hash);
  row->row_hash = dr_db_get_u64(call);
  row->op = (int)dr_db_get_int(call);
  row->code = (int32_t)dr_db_get_int(call);
  row->attempts = (uint32_t)dr_db_get_int(call);
  row->parked = (int)dr_db_get_int(call);
  row->run = dr_db_get_int(call);
  row->seen_us = dr_db_get_int(call);
  dr_db_get_text(call, row->key, sizeof row->key);
  dr_db_get_text(call, row->column, sizeof row->column);
  dr_db_get_text(call, row->text, sizeof row->text);
}

int32_t dr_store_row_find(struct dr_store *store, const char *sync, const uint8_t key_hash[16],
                          struct dr_row_record *out, int *out_found, struct dray_error *error) {
  struct dr_db_call call;
  int there = 0;
  DRAY_TRY(dr_db_call(store, DR_DB_ROW_FIND, &call, error));
  dr_db_text(&call, sync);
  dr_db_blob(&call, key_hash, 16);
  DRAY_TRY(dr_db_step(&call, &there, error));
  if (there) {
    read_row(&call, out);
    dr_db_reset(&call);
  }
  *out_found = there;
  return DRAY_OK;
}

// Runs one statement on a sync as a change; `number`, if any, is its second parameter.
static int32_t change_rows(struct dr_store *store, enum dr_db_statement id, const char *sync, const int64_t *number,
                           uint64_t *out_count, struct dray_error *error) {
  DRAY_TRY(dr_db_write_begin(store, error));
  struct dr_db_call call;
  uint64_t count = 0;
  int32_t code = dr_db_call(store, id, &call, error);
  if (code == DRAY_OK) {
    dr_db_text(&call, sync);
    if (number != NULL) dr_db_int(&call, *number);
    code = dr_db_done(&call, error);
    count = (uint64_t)sqlite3_changes64(store->db);
  }
  code = dr_db_write_end(store, code, error);
  if (code == DRAY_OK && out_count != NULL) *out_count = count;
  return code;
}

int32_t dr_store_row_clear(struct dr_store *store, const char *sync, const uint8_t key_hash[16],
                           struct dray_error *error) {
  DRAY_TRY(dr_db_write_begin(store, error));
  struct dr_db_call call;
  int32_t code = dr_db_call(store, DR_DB_ROW_CLEAR, &call, error);
  if (code == DRAY_OK) {
    dr_db_text(&call, sync);
    dr_db_blob(&call, key_hash, 16);
    code = dr_db_done(&call, error);
  }
  return dr_db_write_end(store, code, error);
}

int32_t dr_store_row_touch(struct dr_store *store, const char *sync, const uint8_t key_hash[16], int64_t run,
                           struct dray_error *error) {
  DRAY_TRY(dr_db_write_begin(store, error));
  struct dr_db_call call;
  int32_t code = dr_db_call(store, DR_DB_ROW_TOUCH, &call, error);
  if (code == DRAY_OK) {
    dr_db_int(&call, run);
    dr_db_text(&call, sync);
    dr_db_blob(&call, key_hash, 16);
    code = dr_db_done(&call, error);
  }
  return dr_db_write_end(store, code, error);
}

int32_t dr_store_rows_resolve(struct dr_store *store, const char *sync, int applied, uint64_t *out_count,
                              struct dray_error *error) {
  return change_rows(store, applied ? DR_DB_ROWS_APPLIED : DR_DB_ROWS_RESEND, sync, NULL, out_count, error);
}

int32_t dr_store_rows_clear_before(struct dr_store *store, const char *sync, int64_t run, struct dray_error *error) {
  return change_rows(store, DR_DB_ROWS_CLEAR_BEFORE, sync, &run, NULL, error);
}

int32_t dr_store_rows_unpark(struct dr_store *store, const char *sync, uint64_t *out_count, struct dray_error *error) {
  return change_rows(store, DR_DB_ROWS_UNPARK, sync, NULL, out_count, error);
}

int32_t dr_store_rows_count(struct dr_store *store, const char *sync, uint64_t *out_rejected, uint64_t *out_parked,
                            struct dray_error *error) {
  struct dr_db_call call;
  int there = 0;
  DRAY_TRY(dr_db_call(store, DR_DB_ROWS_COUNT, &call, error));
  dr_db_text(&call, sync);
  DRAY_TRY(dr_db_step(&call, &there, error));
  assert(there); // an aggregate without GROUP BY gives one row
  *out_rejected = dr_db_get_u64(&call);
  *out_parked = dr_db_get_u64(&call);
  dr_db_reset(&call);
  return DRAY_OK;
}

int32_t dr_store_rows(struct dr_store *store, const char *sync, size_t offset, size_t count_max,
                      struct dr_row_record **out, size_t *out_count, struct dray_error *error) {
  struct dr_db_call call;
  void *items = NULL;
  size_t count = 0, capacity = 0;
  int there = 0;
  DRAY_TRY(dr_db_call(store, DR_DB_ROWS_PAGE, &call, error));
  dr_db_text(&call, sync);
  dr_db_int(&call, count_max > INT64_MAX ? INT64_MAX : (int64_t)count_max);
  dr_db_int(&call, offset > INT64_MAX ? INT64_MAX : (int64_t)offset);
  int32_t code = dr_db_step(&call, &there, error);
  while (code == DRAY_OK && there) {
    code = dr_db_grow(&items, sizeof(struct dr_row_record), count, &capacity, error);
    if (code != DRAY_OK) {
      dr_db_reset(&call);
      break;
    }
    read_row(&call, (struct dr_row_record *)items + count);
    count++;
    code = dr_db_step(&call, &there, error);
  }
  if (code != DRAY_OK) {
    free(items);
    return code;
  }
  *out = items;
  *out_count = count;
  return DRAY_OK;
}

int32_t dr_store_row_keys(struct dr_store *store, const char *sync, size_t most,
                          void (*take)(void *ctx, const uint8_t key_hash[16], struct dray_str key), void *ctx,
                          struct dray_error *error) {
  struct dr_db_call call;
  int there = 0;
  DRAY_TRY(dr_db_call(store, DR_DB_ROW_KEYS, &call, error));
  dr_db_text(&call, sync);
  dr_db_int(&call, most > INT64_MAX ? INT64_MAX : (int64_t)most);
  int32_t code = dr_db_step(&call, &there, error);
  while (code == DRAY_OK && there) {
    uint8_t key_hash[16] = {0};
    char key[sizeof(((struct dr_row_record *)NULL)->key)];
    const struct dray_str hash = dr_db_get_blob(&call);
    memcpy(key_hash, hash.data, hash.len < sizeof(key_hash) ? hash.len : sizeof(key_hash));
    dr_db_get_text(&call, key, sizeof(key));
    take(ctx, key_hash, dray_str_of(key));
    code = dr_db_step(&call, &there, error);
  }
  return code;
}
