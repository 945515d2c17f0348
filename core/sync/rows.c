// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Rows that were not taken: recorded with their reason, so that `dray rows` can show every one of them.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "sync/recorded.h"

#define KEY_BYTES_MAX 4096
#define PAGE_ROWS 1024
#define PAGE_BYTES (4u << 20)
#define TRANSACTION_ROWS 50000

static void copy_text(char *out, size_t out_bytes, struct dray_str text) {
  const size_t n = text.len < out_bytes ? (size_t)text.len : out_bytes - 1;
  if (n > 0) memcpy(out, text.data, n);
  out[n] = '\0';
}

// Of a folded key the field that it was folded from tells it, unless the mirror does not hold that.
static const char *key_name(const struct dr_context *run, const struct dr_batch *rows, size_t k, size_t i) {
  const char *told = run->mapping.told[k];
  const ptrdiff_t column = dr_schema_find(rows->schema, dray_str_of(told));
  return column >= 0 && !dray_column_is_null(&rows->view.columns[column], i) ? told : run->mapping.key[k];
}

int32_t dr_rows_key(const struct dr_context *run, const struct dr_batch *rows, size_t i, struct dray_buffer *out,
                    struct dray_error *error) {
  const struct dr_mapping *mapping = &run->mapping;
  if (mapping->folded_count == 0) return dr_batch_key(rows, mapping->key, mapping->key_count, i, out, NULL, error);
  for (size_t k = 0; k < mapping->key_count; k++) {
    const char *name = key_name(run, rows, k, i);
    if (k > 0) DRAY_TRY(dray_buffer_append_char(out, ' ', error));
    DRAY_TRY(dr_batch_key(rows, &name, 1, i, out, NULL, error));
  }
  return DRAY_OK;
}

static int32_t fill_key(const struct dr_context *run, const struct dr_batch *rows, size_t i, struct dr_row_record *row,
                        struct dray_error *error) {
  struct dray_buffer key;
  dray_buffer_init(&key, KEY_BYTES_MAX);
  int32_t rc = dr_rows_key(run, rows, i, &key, error);
  if (rc == DRAY_E_LIMIT) rc = DRAY_OK; // a long key is shown cut
  if (rc == DRAY_OK) copy_text(row->key, sizeof(row->key), dray_buffer_view(&key));
  dray_buffer_free(&key);
  return rc;
}

void dr_rows_window(struct dr_context *run, struct dray_str checkpoint) {
  const int incremental = dr_reader_incremental(run->reader); // a full read always begins at the same place
  run->window_mark = incremental ? dr_hash_bytes(checkpoint, 0).low : 0;
  run->window_first = run->report->rows_read;
  dr_recorded_begin(run);
}

// Records that are not a keyed change are told apart by a hash of where they stood.
static void place_key(const struct dr_context *run, struct dr_row_record *row, const char *kind, uint64_t number) {
  char place[64];
  const int n = snprintf(place, sizeof(place), "%s %llu %llx", kind, (unsigned long long)number,
                         (unsigned long long)run->window_mark);
  const struct dr_hash128 hash = dr_hash_bytes(dray_str_make(place, (uint64_t)n), 0);
  memcpy(row->key_hash, &hash, sizeof(row->key_hash));
}

// The first refused column in which the row has a value; -1: none.
static ptrdiff_t refused_column(const struct dr_context *run, const struct dr_batch *batch, uint64_t row) {
  if (dr_batch_is_deleted(batch, row)) return -1;
  for (size_t c = 0; c < batch->schema->field_count; c++) {
    if (run->refused_columns[c] && !dray_column_is_null(&batch->view.columns[c], row)) return (ptrdiff_t)c;
  }
  return -1;
}

// The first key column that is null in the row; -1: none.
static ptrdiff_t null_key(const struct dr_context *run, const struct dr_batch *batch, uint64_t row) {
  for (size_t k = 0; k < run->mapping.key_count; k++) {
    const ptrdiff_t c = dr_schema_find(batch->schema, dray_str_of(run->mapping.key[k]));
    if (c >= 0 && dray_column_is_null(&batch->view.columns[c], row)) return c;
  }
  return -1;
}

struct misfit {
  ptrdiff_t field; // -1: none
  int32_t code;
  char text[256];
};

// The limits that a value of the batch may be beyond.
struct heeded {
  const struct dr_value_limit **limits;
  size_t count;
  int all_new; // every row of the batch is, since nothing was there before, or since rows are not looked up
  int absent_seen;
  int may_be_long; // a row of the batch may have more bytes than there is room for
};

static int is_variable(const struct dray_column_view *column) {
  const int32_t type = column->type.id;
  return type == DRAY_TYPE_STRING || type == DRAY_TYPE_BYTES || type == DRAY_TYPE_JSON;
}

// All values of a batch together are rarely as long as one row may be.
static int may_be_long(const struct dr_batch *batch) {
  uint64_t bytes = 0;
  for (size_t c = 0; c < batch->schema->field_count; c++) {
    const struct dray_column_view *column = &batch->view.columns[c];
    const uint64_t first = (uint64_t)column->offset;
    if (!is_variable(column)) continue;
    bytes += (uint64_t)(column->offsets[first + dr_batch_rows(batch)] - column->offsets[first]);
  }
  return bytes > DR_ROW_VALUES_BYTES_MAX;
}

// A row that no mirror has room for, told by its longest value.
static void find_length(const struct dr_batch *batch, uint64_t row, struct misfit *out) {
  uint64_t bytes = 0, most = 0;
  ptrdiff_t longest = -1;
  for (size_t c = 0; c < batch->schema->field_count; c++) {
    const struct dray_column_view *column = &batch->view.columns[c];
    if (!is_variable(column) || dray_column_is_null(column, row)) continue;
    const uint64_t len = dray_column_bytes(column, row).len;
    bytes += len;
    if (len <= most) continue;
    most = len;
    longest = (ptrdiff_t)c;
  }
  if (bytes <= DR_ROW_VALUES_BYTES_MAX) return;
  out->field = longest;
  out->code = DRAY_E_DATA_TOO_LARGE;
  (void)snprintf(out->text, sizeof(out->text), "%llu bytes in a row of %llu, and a row has at most %llu (255 MiB)",
                 (unsigned long long)most, (unsigned long long)bytes, (unsigned long long)DR_ROW_VALUES_BYTES_MAX);
}

static int all_new(const struct dr_context *run, int keyed) {
  struct dr_mirror_info info = {.rows = 0};
  if (run->mirror != NULL) dr_mirror_info(run->mirror, &info);
  return !keyed && info.rows == 0;
}

static int32_t heed(const struct dr_context *run, const struct dr_batch *batch, int keyed, struct heeded *out,
                    struct dray_error *error) {
  *out = (struct heeded){.all_new = run->limit_count > 0 && all_new(run, keyed), .may_be_long = may_be_long(batch)};
  for (size_t i = 0; i < run->limit_count; i++) {
    const struct dr_value_limit *limit = &run->limits[i];
    if (!dr_limit_may_misfit(limit, &batch->view.columns[limit->field], dr_batch_rows(batch))) continue;
    if (out->limits == NULL) out->limits = malloc(run->limit_count * sizeof(*out->limits));
    if (out->limits == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a batch");
    out->limits[out->count++] = limit;
  }
  return DRAY_OK;
}

static void say_null(const struct dr_value_limit *limit, int absent, char *out, size_t out_bytes) {
  (void)snprintf(out, out_bytes, "%s, and the table's column takes no null%s", absent ? "absent" : "null",
                 limit->has_default ? " (its default is for rows that leave the column out, which dray never does)"
                                    : "");
}

// A value that is absent from a row that is there stays as it is: only of a row that is new is it a null.
static void judge_null(struct heeded *heeded, const struct dr_batch *batch, uint64_t row,
                       const struct dr_value_limit *limit, struct misfit *out) {
  const int absent = dr_batch_is_absent(batch, limit->field, row);
  if (limit->required && absent) heeded->absent_seen = 1;
  if (!limit->required || (absent && !heeded->all_new)) return;
  out->code = DRAY_E_DATA_REJECTED;
  say_null(limit, absent, out->text, sizeof(out->text));
}

// The first value that the table does not take. Of a row that is gone only the key is written, and that only where it
// is not looked up in the mirror first, which does not know what was never taken.
static int32_t find_misfit(const struct dr_context *run, struct heeded *heeded, const struct dr_batch *batch,
                           uint64_t row, int keyed, struct misfit *out, struct dray_error *error) {
  const int gone = heeded->count > 0 && dr_batch_is_deleted(batch, row);
  uint64_t key_bytes = 0;
  out->field = -1;
  for (size_t i = 0; i < heeded->count; i++) {
    const struct dr_value_limit *limit = heeded->limits[i];
    const struct dray_column_view *column = &batch->view.columns[limit->field];
    if (gone && !(keyed && dr_mapping_is_key(&run->mapping, column->name))) continue;
    out->code = DRAY_OK;
    if (dray_column_is_null(column, row)) {
      judge_null(heeded, batch, row, limit, out);
    } else {
      DRAY_TRY(dr_value_misfits(limit, column, row, &out->code, out->text, sizeof(out->text), error));
      key_bytes += limit->key_bytes_max > 0 ? dr_value_key_bytes(column, row) : 0;
    }
    if (out->code == DRAY_OK && limit->key_bytes_max > 0 && key_bytes > limit->key_bytes_max) {
      out->code = DRAY_E_DATA_TOO_LARGE;
      (void)snprintf(out->text, sizeof(out->text), "a key of %llu bytes, and its index takes %llu for certain",
                     (unsigned long long)key_bytes, (unsigned long long)limit->key_bytes_max);
    }
    if (out->code == DRAY_OK) continue;
    out->field = (ptrdiff_t)limit->field;
    return DRAY_OK;
  }
  return DRAY_OK;
}

static int32_t reject_misfit(const struct dr_context *run, const struct dr_batch *batch, uint64_t row, uint64_t place,
                             const struct misfit *misfit, struct dr_rejects *rejects, struct dray_error *error) {
  const char *name = batch->schema->fields[misfit->field].name;
  DRAY_TRY(dr_rejects_add(rejects, place, misfit->code, name, misfit->text, error));
  return dr_reject_tell(&rejects->items[rejects->count - 1], batch, run->mapping.told, run->mapping.key_count, row,
                        error);
}

// Whether the row is refused; then it is among the rejects.
static int32_t judge(const struct dr_context *run, struct heeded *heeded, const struct dr_batch *batch, uint64_t row,
                     uint64_t place, int keyed, struct dr_rejects *rejects, int *out_refused,
                     struct dray_error *error) {
  const struct dr_field *fields = batch->schema->fields;
  const ptrdiff_t refused = run->refused_columns != NULL ? refused_column(run, batch, row) : -1;
  struct misfit misfit = {.field = -1};
  if (refused < 0) DRAY_TRY(find_misfit(run, heeded, batch, row, keyed, &misfit, error));
  if (refused < 0 && misfit.field < 0 && heeded->may_be_long) find_length(batch, row, &misfit);
  const ptrdiff_t key = refused < 0 && misfit.field < 0 && keyed ? null_key(run, batch, row) : -1;
  *out_refused = refused >= 0 || misfit.field >= 0 || key >= 0;
  if (refused >= 0) {
    return dr_rejects_add(rejects, place, DRAY_E_DATA_SHAPE, fields[refused].name,
                          "the table does not have this column as it is now, and the drift policy is discard_row",
                          error);
  }
  if (misfit.field >= 0) return reject_misfit(run, batch, row, place, &misfit, rejects, error);
  if (key < 0) return DRAY_OK;
  return dr_rejects_add(rejects, place, DRAY_E_DATA_KEY_NULL, fields[key].name, "a key column is null", error);
}

static int32_t refuse(const struct dr_context *run, struct heeded *heeded, int keyed, struct dr_batch **batch,
                      struct dr_rejects *rejects, struct dray_error *error) {
  const uint64_t count = dr_batch_rows(*batch);
  uint32_t *kept = malloc(count * sizeof(*kept));
  if (kept == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a batch");
  size_t kept_count = 0;
  int32_t rc = DRAY_OK;
  const size_t left_out = rejects->count; // by the cast, in the order of their rows
  size_t before = 0;
  for (uint64_t row = 0; rc == DRAY_OK && row < count; row++) {
    const uint64_t place = (*batch)->first_row + row;
    int refused = 0;
    while (before < left_out && rejects->items[before].row <= place + before) before++;
    rc = judge(run, heeded, *batch, row, place + before, keyed, rejects, &refused, error);
    if (rc == DRAY_OK && !refused) kept[kept_count++] = (uint32_t)row;
  }
  struct dr_batch *rest = NULL;
  if (rc == DRAY_OK && kept_count < count) rc = dr_batch_gather(*batch, kept, kept_count, &rest, error);
  free(kept);
  if (rc != DRAY_OK || rest == NULL) return rc;
  dr_batch_free(*batch);
  *batch = rest;
  return DRAY_OK;
}

int32_t dr_rows_refuse(struct dr_context *run, int keyed, struct dr_batch **batch, struct dr_rejects *rejects,
                       struct dray_error *error) {
  if (*batch == NULL || dr_batch_rows(*batch) == 0) return DRAY_OK;
  struct heeded heeded;
  DRAY_TRY(heed(run, *batch, keyed, &heeded, error));
  int32_t rc = DRAY_OK;
  if (run->refused_columns != NULL || heeded.count > 0 || heeded.may_be_long || keyed) {
    rc = refuse(run, &heeded, keyed, batch, rejects, error);
  }
  free(heeded.limits);
  run->absent_seen |= heeded.absent_seen;
  return rc == DRAY_OK ? dr_recorded_meet(run, *batch, error) : rc;
}

int32_t dr_rows_unreadable(struct dr_context *run, const struct dr_rejects *rejects, struct dray_error *error) {
  if (dr_planning(run)) return DRAY_OK;
  DRAY_TRY(dr_store_begin(run->store, error));
  for (size_t i = 0; i < rejects->count; i++) {
    const struct dr_reject *reject = &rejects->items[i];
    struct dr_row_record row = {.code = reject->code, .run = run->record.id, .seen_us = dr_now_us()};
    place_key(run, &row, "row", reject->row - run->window_first);
    if (reject->key[0] == '\0') {
      (void)snprintf(row.key, sizeof(row.key), "row %llu", (unsigned long long)reject->row + 1);
    } else {
      copy_text(row.key, sizeof(row.key), dray_str_of(reject->key));
      // Read again by the next window, it is the same record. A whole read shows all rows that have a key in common.
      if (run->window_mark != 0) memcpy(row.key_hash, &reject->key_hash, sizeof(row.key_hash));
    }
    copy_text(row.column, sizeof(row.column), dray_str_of(reject->column));
    copy_text(row.text, sizeof(row.text), dray_str_of(reject->text));
    const int32_t rc = dr_store_row_reject(run->store, run->sync->name, &row, 0, error);
    if (rc != DRAY_OK) {
      dr_store_rollback(run->store);
      return rc;
    }
    if (reject->key[0] != '\0') dr_recorded_refused(run, row.key_hash, dray_str_of(row.key));
  }
  return dr_store_commit(run->store, error);
}

static int32_t record_withheld(struct dr_context *run, const struct dr_changes *changes, size_t i,
                               struct dray_error *error) {
  struct dr_row_record row = {
      .code = changes->code[i], .row_hash = changes->row_hash[i], .run = run->record.id, .seen_us = dr_now_us()};
  // Null keys have no key to be told apart by, and all copies of a duplicate share theirs.
  place_key(run, &row, "change", changes->first_seq + i);
  DRAY_TRY(fill_key(run, changes->rows, i, &row, error));
  const char *same =
      run->mapping.folded_count > 0
          ? "another row has the same key, in which neither the case of letters nor blanks around it count; all copies "
            "are withheld"
          : "another row has the same key; all copies are withheld";
  (void)snprintf(row.text, sizeof(row.text), "%s",
                 changes->code[i] == DRAY_E_DATA_KEY_NULL ? "a key column is null" : same);
  DRAY_TRY(dr_store_row_reject(run->store, run->sync->name, &row, 0, error));
  if (row.code != DRAY_E_DATA_KEY_NULL) dr_recorded_refused(run, row.key_hash, dray_str_of(row.key));
  return DRAY_OK;
}

// Rejects stand between changes, often alone: many pages share one transaction of the store.
static int32_t record_pages(struct dr_context *run, struct dr_changeset *set, uint64_t *seq, int *out_ended,
                            struct dray_error *error) {
  uint64_t recorded = 0;
  while (recorded < TRANSACTION_ROWS) {
    struct dr_changes *changes = NULL;
    DRAY_TRY(dr_changeset_next(set, *seq, PAGE_ROWS, PAGE_BYTES, 0, &changes, error));
    if (changes == NULL) {
      *out_ended = 1;
      return DRAY_OK;
    }
    *seq = changes->first_seq + changes->count;
    int32_t rc = DRAY_OK;
    for (size_t i = 0; rc == DRAY_OK && i < changes->count && changes->op[0] == DR_OP_REJECT; i++) {
      rc = record_withheld(run, changes, i, error);
      recorded++;
    }
    dr_changes_free(changes);
    if (rc != DRAY_OK) return rc;
  }
  return DRAY_OK;
}

int32_t dr_rows_withheld(struct dr_context *run, struct dr_changeset *set, struct dray_error *error) {
  if (dr_planning(run)) return DRAY_OK;
  int ended = run->report->null_keys == 0 && run->report->duplicate_keys == 0;
  uint64_t seq = 0;
  while (!ended) {
    DRAY_TRY(dr_store_begin(run->store, error));
    const int32_t rc = record_pages(run, set, &seq, &ended, error);
    if (rc != DRAY_OK) {
      dr_store_rollback(run->store);
      return rc;
    }
    DRAY_TRY(dr_store_commit(run->store, error));
  }
  return DRAY_OK;
}

// ---- new rows that lack a value ----

// Whether it is a new row was not known on its way to the diff. The limit whose column it does not say; NULL: none.
static const struct dr_value_limit *lacks(const struct dr_context *run, const struct dr_changes *changes, size_t i) {
  const struct dr_batch *rows = changes->rows;
  if (changes->op[i] != DRAY_OP_INSERT) return NULL;
  for (size_t k = 0; k < run->limit_count; k++) {
    const struct dr_value_limit *limit = &run->limits[k];
    if (!limit->required) continue;
    const ptrdiff_t at = dr_schema_find(rows->schema, dray_str_of(run->mapping.schema->fields[limit->field].name));
    if (at >= 0 && dr_batch_is_absent(rows, (size_t)at, i)) return limit;
  }
  return NULL;
}

size_t dr_rows_skip_lacking(const struct dr_context *run, struct dr_changes *changes) {
  size_t count = 0;
  for (size_t i = 0; i < changes->count; i++) {
    if (lacks(run, changes, i) == NULL) continue;
    changes->op[i] = DR_OP_REJECT;
    count++;
  }
  return count;
}

static int32_t record_lacking(struct dr_context *run, const struct dr_changes *changes, size_t i,
                              const struct dr_value_limit *limit, struct dray_error *error) {
  struct dr_row_record row = {
      .code = DRAY_E_DATA_REJECTED, .row_hash = changes->row_hash[i], .run = run->record.id, .seen_us = dr_now_us()};
  place_key(run, &row, "change", changes->first_seq + i);
  DRAY_TRY(fill_key(run, changes->rows, i, &row, error));
  copy_text(row.column, sizeof(row.column), dray_str_of(run->mapping.schema->fields[limit->field].name));
  say_null(limit, 1, row.text, sizeof(row.text));
  DRAY_TRY(dr_store_row_reject(run->store, run->sync->name, &row, 0, error));
  dr_recorded_refused(run, row.key_hash, dray_str_of(row.key));
  return DRAY_OK;
}

static int32_t take_lacking(struct dr_context *run, const struct dr_changes *changes, uint64_t *count,
                            struct dray_error *error) {
  int32_t rc = DRAY_OK;
  if (!dr_planning(run)) DRAY_TRY(dr_store_begin(run->store, error));
  for (size_t i = 0; rc == DRAY_OK && i < changes->count; i++) {
    const struct dr_value_limit *limit = lacks(run, changes, i);
    if (limit == NULL) continue;
    (*count)++;
    if (!dr_planning(run)) rc = record_lacking(run, changes, i, limit, error);
  }
  if (dr_planning(run)) return rc;
  if (rc == DRAY_OK) return dr_store_commit(run->store, error);
  dr_store_rollback(run->store);
  return rc;
}

int32_t dr_rows_lacking(struct dr_context *run, struct dr_pass *pass, struct dray_error *error) {
  struct dr_run_report *report = run->report;
  const int looks = run->absent_seen && pass->inserts > 0 && (run->options->flags & DR_RUN_BASELINE) == 0;
  const uint64_t count = looks ? dr_changeset_count(pass->set) : 0;
  for (uint64_t seq = 0; seq < count;) {
    struct dr_changes *changes = NULL;
    DRAY_TRY(dr_changeset_next(pass->set, seq, PAGE_ROWS, PAGE_BYTES, 0, &changes, error));
    if (changes == NULL) break;
    seq = changes->first_seq + changes->count;
    const int32_t rc = take_lacking(run, changes, &pass->lacking, error);
    dr_changes_free(changes);
    if (rc != DRAY_OK) return rc;
  }
  if (pass->lacking == 0) return DRAY_OK;
  pass->plain = 0;
  pass->inserts -= pass->lacking;
  report->inserts -= pass->lacking;
  report->unreadable_rows += pass->lacking;
  report->rejected_rows += pass->lacking;
  return DRAY_OK;
}

static int32_t record_change(struct dr_context *run, const struct dr_changes *changes, size_t i, int32_t code,
                             struct dray_str text, uint32_t attempts_max, int *out_parked, struct dray_error *error) {
  struct dr_row_record row = {.row_hash = changes->row_hash[i],
                              .op = changes->op[i],
                              .code = code != 0 ? code : DRAY_E_DATA_REJECTED,
                              .run = run->record.id,
                              .seen_us = dr_now_us()};
  memcpy(row.key_hash, &changes->key_hash[i], sizeof(row.key_hash));
  DRAY_TRY(fill_key(run, changes->rows, i, &row, error));
  copy_text(row.text, sizeof(row.text), text);
  DRAY_TRY(dr_store_row_reject(run->store, run->sync->name, &row, attempts_max, error));
  *out_parked = row.parked;
  return DRAY_OK;
}

int32_t dr_rows_refused(struct dr_context *run, const struct dr_changes *changes, size_t i, int32_t code,
                        struct dray_str text, uint32_t attempts_max, int *out_parked, struct dray_error *error) {
  return record_change(run, changes, i, code, text, attempts_max, out_parked, error);
}

int32_t dr_rows_put_off(struct dr_context *run, const struct dr_changes *changes, size_t i, int32_t code,
                        struct dray_str text, struct dray_error *error) {
  int parked = 0;
  return record_change(run, changes, i, code, text, 0, &parked, error);
}

int32_t dr_rows_doubtful(struct dr_context *run, const struct dr_changes *changes, size_t i, struct dray_str text,
                         struct dray_error *error) {
  int parked = 0;
  return record_change(run, changes, i, DRAY_E_STATE_IN_DOUBT, text, 1, &parked, error);
}

int32_t dr_rows_keep_doubtful(struct dr_context *run, struct dray_error *error) {
  uint64_t rejected = 0, parked = 0;
  DRAY_TRY(dr_store_rows_count(run->store, run->sync->name, &rejected, &parked, error));
  size_t count = parked > 0 ? PAGE_ROWS : 0;
  for (size_t offset = 0; count == PAGE_ROWS; offset += count) {
    struct dr_row_record *rows = NULL;
    DRAY_TRY(dr_store_rows(run->store, run->sync->name, offset, PAGE_ROWS, &rows, &count, error));
    int32_t rc = DRAY_OK;
    for (size_t i = 0; rc == DRAY_OK && i < count; i++) {
      if (rows[i].parked != DR_ROW_PARKED || rows[i].code != DRAY_E_STATE_IN_DOUBT || rows[i].run == run->record.id)
        continue;
      rc = dr_store_row_touch(run->store, run->sync->name, rows[i].key_hash, run->record.id, error);
    }
    free(rows);
    if (rc != DRAY_OK) return rc;
  }
  return DRAY_OK;
}
