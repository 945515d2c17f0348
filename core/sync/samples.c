// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Samples for `dray plan`: some changes of each kind, in words.
#include <stdlib.h>
#include <string.h>

#include "sync/context.h"

#define TEXT_BYTES_MAX 600
#define VALUE_CHARS_MAX 60
#define PAGE_ROWS 256
#define PAGE_BYTES (1u << 20)

// Appends a value, shortened; never fails for being long.
static int32_t append_value(struct dray_buffer *out, const struct dr_batch *batch, size_t column, size_t row,
                            struct dray_error *error) {
  if (batch == NULL || dr_batch_is_absent(batch, column, row)) return dray_buffer_append_str(out, "(none)", error);
  const struct dray_column_view *view = &batch->view.columns[column];
  if (dray_column_is_null(view, row)) return dray_buffer_append_str(out, "null", error);
  struct dray_buffer text;
  dray_buffer_init(&text, 1u << 26);
  int32_t rc = dray_column_text(view, row, &text, error);
  if (rc == DRAY_OK) {
    size_t n = text.len;
    if (n > VALUE_CHARS_MAX) {
      n = VALUE_CHARS_MAX;
      while (n > 0 && ((unsigned char)text.data[n] & 0xC0) == 0x80) n--; // not inside a character
    }
    rc = dray_buffer_append(out, text.data, n, error);
    if (rc == DRAY_OK && n < text.len) rc = dray_buffer_append_str(out, "...", error);
  }
  dray_buffer_free(&text);
  return rc;
}

// A folded key is told by the field it was folded from; how that is spelled may change.
static int is_key(const struct dr_context *run, size_t column, int update) {
  const struct dr_mapping *mapping = &run->mapping;
  const char *name = mapping->schema->fields[column].name;
  for (size_t k = 0; k < mapping->key_count; k++) {
    if (strcmp(mapping->key[k], name) == 0 || (!update && strcmp(mapping->told[k], name) == 0)) return 1;
  }
  return 0;
}

// "rfm: 544 -> 555"; "rfm: 555" where the mirror does not hold what was there before, and then nothing of a delete.
static int32_t describe(const struct dr_context *run, const struct dr_changes *changes, size_t i,
                        struct dray_buffer *out, struct dray_error *error) {
  struct dr_mirror_info info;
  dr_mirror_info(run->mirror, &info);
  if (changes->op[i] == DRAY_OP_DELETE && info.keep != DR_KEEP_ROW) return DRAY_OK;
  int first = 1;
  const uint8_t *changed = changes->changed + i * changes->changed_stride;
  for (size_t c = 0; c < changes->rows->schema->field_count && out->len < TEXT_BYTES_MAX / 2; c++) {
    const int update = changes->op[i] == DRAY_OP_UPDATE;
    if (is_key(run, c, update) || (update && ((changed[c >> 3] >> (c & 7)) & 1) == 0)) continue;
    DRAY_TRY(dray_buffer_printf(out, error, "%s%s: ", first ? "" : ", ", changes->rows->schema->fields[c].name));
    first = 0;
    if (update && info.keep == DR_KEEP_ROW) {
      DRAY_TRY(append_value(out, changes->before, c, i, error));
      DRAY_TRY(dray_buffer_append_str(out, " -> ", error));
    }
    DRAY_TRY(append_value(out, changes->rows, c, i, error));
  }
  return DRAY_OK;
}

// A cell must neither move the terminal's cursor nor forge a line.
static void make_plain(struct dray_buffer *text) {
  for (size_t i = 0; i < text->len; i++) {
    if ((unsigned char)text->data[i] < 0x20 || text->data[i] == 0x7F) text->data[i] = ' ';
  }
}

static int32_t take_one(struct dr_context *run, const struct dr_changes *changes, size_t i, struct dr_sample *out,
                        struct dray_error *error) {
  struct dray_buffer key, text;
  dray_buffer_init(&key, 1u << 16);
  dray_buffer_init(&text, 1u << 20);
  int32_t rc = dr_rows_key(run, changes->rows, i, &key, error);
  if (rc == DRAY_OK) rc = describe(run, changes, i, &text, error);
  if (rc == DRAY_OK) {
    make_plain(&key);
    make_plain(&text);
    *out = (struct dr_sample){changes->op[i], changes->op[i] == DR_OP_REJECT ? changes->code[i] : 0,
                              dray_str_dup(dray_buffer_view(&key)), dray_str_dup(dray_buffer_view(&text))};
    if (out->key == NULL || out->text == NULL) rc = dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a sample");
  }
  dray_buffer_free(&key);
  dray_buffer_free(&text);
  return rc;
}

enum { KIND_DELETE, KIND_INSERT, KIND_UPDATE, KIND_REJECT, KIND_COUNT };
static const int kinds[KIND_COUNT] = {DRAY_OP_DELETE, DRAY_OP_INSERT, DRAY_OP_UPDATE, DR_OP_REJECT};

// Takes from a run of changes what is still wanted of each kind.
static int32_t take_from(struct dr_context *run, const struct dr_changes *changes, uint64_t *wanted,
                         struct dray_error *error) {
  struct dr_run_report *report = run->report;
  for (size_t i = 0; i < changes->count; i++) {
    size_t k = 0;
    while (k < KIND_COUNT && kinds[k] != changes->op[i]) k++;
    if (k == KIND_COUNT || wanted[k] == 0) continue;
    wanted[k]--;
    DRAY_TRY(take_one(run, changes, i, &report->samples[report->sample_count++], error));
  }
  return DRAY_OK;
}

int32_t dr_samples_take(struct dr_context *run, const struct dr_pass *pass, struct dray_error *error) {
  struct dr_run_report *report = run->report;
  const size_t each = run->options->samples_max;
  const uint64_t count = dr_changeset_count(pass->set), moved = pass->inserts + pass->updates + pass->deletes;
  uint64_t wanted[KIND_COUNT] = {pass->deletes - pass->withheld, pass->inserts, pass->updates, count - moved};
  if (each == 0 || report->samples != NULL) return DRAY_OK;
  for (size_t k = 0; k < KIND_COUNT; k++) wanted[k] = wanted[k] < each ? wanted[k] : each;
  report->samples = calloc(each * KIND_COUNT, sizeof(*report->samples));
  if (report->samples == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for samples");
  uint64_t seq = 0;
  while (seq < count) {
    struct dr_changes *changes = NULL;
    const int rest = wanted[KIND_INSERT] + wanted[KIND_UPDATE] + wanted[KIND_REJECT] > 0;
    if (!rest && wanted[KIND_DELETE] == 0) break;
    if (!rest && seq < count - pass->deletes) seq = count - pass->deletes; // deletes are the last of a set
    DRAY_TRY(dr_changeset_next(pass->set, seq, PAGE_ROWS, PAGE_BYTES, 1, &changes, error));
    if (changes == NULL) break;
    seq = changes->first_seq + changes->count;
    const int32_t rc = take_from(run, changes, wanted, error);
    dr_changes_free(changes);
    if (rc != DRAY_OK) return rc;
  }
  return DRAY_OK;
}

int32_t dr_guard_and_samples(struct dr_context *run, const struct dr_pass *pass, struct dray_error *error) {
  const int32_t rc = dr_guard_check(run, pass, error);
  if (!dr_planning(run) || (rc != DRAY_OK && rc != DRAY_E_GUARD)) return rc;
  const int32_t taken = dr_samples_take(run, pass, rc == DRAY_OK ? error : NULL);
  return rc != DRAY_OK ? rc : taken;
}
