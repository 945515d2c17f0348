// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Texts of fields.
#include "compare/fields.h"

int32_t field_unescape(char quote, const char *from, const char *end, struct dray_buffer *out,
                       struct dray_error *error) {
  dray_buffer_clear(out);
  DRAY_TRY(dray_buffer_append(out, "", 0, error));
  if (from == end || *from != quote) return dray_buffer_append(out, from, (size_t)(end - from), error);
  for (from++; from < end;) {
    const char *next = memchr(from, quote, (size_t)(end - from));
    if (next == NULL) next = end;
    DRAY_TRY(dray_buffer_append(out, from, (size_t)(next - from), error));
    from = next;
    if (from == end) return DRAY_OK;
    from++; // a quote: the first of two, or what ends the quoted part
    if (from == end || *from != quote) break;
    DRAY_TRY(dray_buffer_append_char(out, quote, error));
    from++;
  }
  return dray_buffer_append(out, from, (size_t)(end - from), error);
}

int field_is_null(const char *const *null_values, size_t null_count, struct dray_str text) {
  for (size_t i = 0; i < null_count; i++) {
    if (dray_str_is(text, null_values[i])) return 1;
  }
  return 0;
}
