// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Fields and their texts. Nearly all are plain: a field's canonical text is its own bytes, which are not copied.
#include "compare/record.h"

#include <stdlib.h>

#define TEXT_BYTES_MAX (SIZE_MAX / 4)

int32_t record_row_init(struct record_row *row, const struct record_plan *plan, struct dray_error *error) {
  dray_buffer_init(&row->field, TEXT_BYTES_MAX);
  dray_buffer_init(&row->scratch, TEXT_BYTES_MAX);
  dray_buffer_init(&row->own, TEXT_BYTES_MAX);
  row->raw = calloc(plan->column_count + 1u, sizeof(*row->raw));
  row->texts = calloc(plan->field_count + 1, sizeof(*row->texts));
  row->offsets = calloc(plan->field_count + 1, sizeof(*row->offsets));
  if (row->raw != NULL && row->texts != NULL && row->offsets != NULL) return DRAY_OK;
  return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a row of %zu fields", plan->field_count);
}

void record_row_free(struct record_row *row) {
  free(row->raw);
  free(row->texts);
  free(row->offsets);
  dray_buffer_free(&row->field);
  dray_buffer_free(&row->scratch);
  dray_buffer_free(&row->own);
  memset(row, 0, sizeof(*row));
}

// ---- splitting ----

static void split_any(const struct record_plan *plan, struct dray_str record, struct record_row *row) {
  const char *from = record.data, *end = record.data + record.len;
  for (uint32_t i = 0; i < plan->column_count; i++) {
    int quoted = 0;
    const char *next = from != NULL ? field_end(plan->delimiter, plan->quote, from, end, &quoted) : NULL;
    const char *to = next != NULL ? next - 1 : end;
    row->raw[i] = dray_str_make(from != NULL ? from : end, (uint64_t)(to - (from != NULL ? from : end)));
    from = next;
  }
}

#if defined(__x86_64__)

// Returns 0 at a quote.
static int split_plain(const struct record_plan *plan, struct dray_str record, struct record_row *row) {
  const __m128i delimiter = _mm_set1_epi8(plan->delimiter), quote = _mm_set1_epi8(plan->quote);
  const char *field = record.data, *end = record.data + record.len;
  uint32_t column = 0;
  for (const char *at = record.data; at < end; at += 16) {
    __m128i bytes;
    memcpy(&bytes, at, sizeof(bytes));
    const uint32_t valid = end - at >= 16 ? 0xFFFFu : (1u << (end - at)) - 1;
    if (((uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, quote)) & valid) != 0) return 0;
    uint32_t found = (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, delimiter)) & valid;
    for (; found != 0 && column + 1 < plan->column_count; found &= found - 1) {
      const char *to = at + __builtin_ctz(found);
      row->raw[column++] = dray_str_make(field, (uint64_t)(to - field));
      field = to + 1;
    }
  }
  row->raw[column++] = dray_str_make(field, (uint64_t)(end - field));
  return column == plan->column_count;
}

void record_split(const struct record_plan *plan, struct dray_str record, struct record_row *row) {
  if (!split_plain(plan, record, row)) split_any(plan, record, row);
}

#else

void record_split(const struct record_plan *plan, struct dray_str record, struct record_row *row) {
  split_any(plan, record, row);
}

#endif

// ---- texts ----

int32_t record_text(const struct record_plan *plan, struct record_row *row, size_t field, struct dray_str *out,
                    int *out_reads, struct dray_error *error) {
  const struct dr_reading *reading = &plan->readings[field];
  struct dray_str text = row->raw[plan->places[field]];
  *out_reads = 1;
  if (text.len > 0 && text.data[0] == plan->quote) {
    DRAY_TRY(field_unescape(plan->quote, text.data, text.data + text.len, &row->field, error));
    text = dray_buffer_view(&row->field);
  } else if (field_is_null(plan->null_values, plan->null_count, text)) {
    *out = dray_str_make(NULL, 0);
    return DRAY_OK;
  }
  *out = text;
  if (!dr_reading_is_plain(reading)) {
    DRAY_TRY(dr_reading_text(reading, text, &row->scratch, out, out_reads, error));
  }
  if (out->data == NULL) out->data = "";
  return DRAY_OK;
}

static int same_raw(const struct record_row *a, const struct record_row *b, uint32_t column) {
  const struct dray_str x = a->raw[column], y = b->raw[column];
  return x.len == y.len && memcmp(x.data, y.data, (size_t)x.len) == 0;
}

int32_t record_texts(const struct record_plan *plan, struct record_row *row, const struct record_row *like,
                     struct dray_error *error) {
  dray_buffer_clear(&row->own);
  for (size_t f = 0; f < plan->field_count; f++) {
    struct dray_str *text = &row->texts[f];
    int reads = 0;
    row->offsets[f] = SIZE_MAX;
    if (like != NULL && same_raw(row, like, plan->places[f])) {
      *text = like->texts[f];
      continue;
    }
    DRAY_TRY(record_text(plan, row, f, text, &reads, error));
    const int is_own = text->len > 0 && (text->data == row->field.data || text->data == row->scratch.data);
    if (!is_own) continue;
    row->offsets[f] = row->own.len;
    DRAY_TRY(dray_buffer_append(&row->own, text->data, (size_t)text->len, error));
  }
  for (size_t f = 0; f < plan->field_count; f++) {
    if (row->offsets[f] != SIZE_MAX) row->texts[f].data = row->own.data + row->offsets[f];
  }
  return DRAY_OK;
}

int32_t record_compare(const struct record_plan *plan, struct record_row *old, struct record_row *new, uint8_t *changed,
                       size_t *out_count, struct dray_error *error) {
  *out_count = 0;
  memset(changed, 0, (plan->field_count + 7) / 8);
  for (size_t f = 0; f < plan->field_count; f++) {
    struct dray_str before, after;
    int reads = 0;
    if (same_raw(old, new, plan->places[f])) continue;
    DRAY_TRY(record_text(plan, old, f, &before, &reads, error));
    DRAY_TRY(record_text(plan, new, f, &after, &reads, error));
    if ((before.data == NULL) == (after.data == NULL) && dray_str_equal(before, after)) continue;
    changed[f >> 3] |= (uint8_t)(1u << (f & 7));
    (*out_count)++;
  }
  return DRAY_OK;
}
