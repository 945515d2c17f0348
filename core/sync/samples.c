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

static int is_key(const struct dr_context *run, size_t column) {
  for (size_t k = 0; k < run->mapping.key_count; k++) {
    if (strcmp(run->mapping.key[k], run->mapping.schema->fields[column].name) == 0) return 1;
  }
  return 0;
}

static int32_t describe(const struct dr_context *run, const struct dr_changes *changes, size_t i,
                        struct dray_buffer *out, struct dray_error *error) {
  int first = 1;
  const uint8_t *changed = changes->changed + i * changes->changed_stride;
  for (size_t c = 0; c < changes->rows->schema->field_count && out->len < TEXT_BYTES_MAX / 2; c++) {
    const int update = changes->op[i] == DRAY_OP_UPDATE;
    if (update ? ((changed[c >> 3] >> (c & 7)) & 1) == 0 : is_key(run, c)) continue;
    DRAY_TRY(dray_buffer_printf(out, error, "%s%s: ", first ? "" : ", ", changes->rows->schema->fields[c].name));
    first = 0;
    if (update) {
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

int32_t dr_samples_take(struct dr_context *run, struct dr_changeset *set, struct dray_error *error) {
  struct dr_run_report *report = run->report;
  const size_t each = run->options->samples_max;
  static const int kinds[] = {DRAY_OP_INSERT, DRAY_OP_UPDATE, DRAY_OP_DELETE, DR_OP_REJECT};
  const size_t kind_count = sizeof(kinds) / sizeof(kinds[0]);
  size_t taken[sizeof(kinds) / sizeof(kinds[0])] = {0};
  if (each == 0 || report->samples != NULL) return DRAY_OK;
  report->samples = calloc(each * kind_count, sizeof(*report->samples));
  if (report->samples == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for samples");
  uint64_t seq = 0;
  for (;;) {
    struct dr_changes *changes = NULL;
    DRAY_TRY(dr_changeset_next(set, seq, PAGE_ROWS, PAGE_BYTES, 1, &changes, error));
    if (changes == NULL) return DRAY_OK;
    seq = changes->first_seq + changes->count;
    int32_t rc = DRAY_OK;
    for (size_t i = 0; rc == DRAY_OK && i < changes->count; i++) {
      size_t k = 0;
      while (k < kind_count && kinds[k] != changes->op[i]) k++;
      if (k == kind_count || taken[k] == each) continue;
      taken[k]++;
      rc = take_one(run, changes, i, &report->samples[report->sample_count++], error);
    }
    dr_changes_free(changes);
    if (rc != DRAY_OK) return rc;
  }
}

int32_t dr_guard_and_samples(struct dr_context *run, const struct dr_pass *pass, struct dray_error *error) {
  const int32_t rc = dr_guard_check(run, pass, error);
  if (!dr_planning(run) || (rc != DRAY_OK && rc != DRAY_E_GUARD)) return rc;
  const int32_t taken = dr_samples_take(run, pass->set, rc == DRAY_OK ? error : NULL);
  return rc != DRAY_OK ? rc : taken;
}
