// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Writes CSV fields so that the reader, and every other one, gives the same bytes back.
#include "dray/sdk/csv.h"

static int is_blank(char c) {
  return c == ' ' || c == '\t';
}

// Counts the quotes in *out_quotes; returns whether the field must stand in quotes.
static int must_quote(struct dray_str text, char delimiter, char quote, size_t *out_quotes) {
  int special = is_blank(text.data[0]) || is_blank(text.data[text.len - 1]) ||
                (text.len >= 3 && memcmp(text.data, "\xEF\xBB\xBF", 3) == 0);
  size_t quotes = 0;
  for (uint64_t i = 0; i < text.len; i++) {
    const char c = text.data[i];
    quotes += c == quote;
    special |= c == delimiter || c == '\n' || c == '\r';
  }
  *out_quotes = quotes;
  return special || quotes > 0;
}

int32_t dray_csv_write_field(struct dray_buffer *out, const struct dray_csv_options *options, struct dray_str text,
                             int32_t quote_empty, struct dray_error *error) {
  const char delimiter = options != NULL && options->delimiter != '\0' ? options->delimiter : ',';
  const char quote = options != NULL && options->quote != '\0' ? options->quote : '"';
  const char pair[2] = {quote, quote};
  if (text.len == 0) return quote_empty ? dray_buffer_append(out, pair, 2, error) : DRAY_OK;
  size_t quotes = 0;
  if (!must_quote(text, delimiter, quote, &quotes)) return dray_buffer_append(out, text.data, text.len, error);

  char *to = NULL;
  DRAY_TRY(dray_buffer_reserve(out, text.len + quotes + 2, &to, error));
  *to++ = quote;
  for (uint64_t i = 0; i < text.len; i++) {
    if (text.data[i] == quote) *to++ = quote;
    *to++ = text.data[i];
  }
  *to++ = quote;
  *to = '\0';
  out->len += text.len + quotes + 2;
  return DRAY_OK;
}
