// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Any bytes through the CSV reader: a cut never shows, and what was read and written again reads the same.
#include <stdlib.h>

#include "dray/sdk/csv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)                                                                                                \
  do {                                                                                                                 \
    if (!(condition)) abort();                                                                                         \
  } while (0)

static const struct dray_csv_options options = {.field_bytes_max = 64, .record_bytes_max = 200, .fields_max = 8};

// Reads all and appends every good record as written CSV to `out`; bad ones as a code that no field can be mistaken
// for.
static void read_all(const char *data, size_t len, size_t piece, const struct dray_csv_options *limits,
                     struct dray_buffer *out) {
  struct dray_csv_reader *reader = NULL;
  MUST(dray_csv_reader_new(limits, &reader, NULL) == DRAY_OK);
  size_t at = 0;
  int32_t had = 1;
  while (at < len || had) {
    const size_t n = len - at < piece ? len - at : piece;
    struct dray_csv_record record;
    size_t used = 0;
    MUST(dray_csv_reader_feed(reader, data + at, n, at + n == len, &used, &record, &had, NULL) == DRAY_OK);
    MUST(used <= n && (used == n || had));
    at += used;
    if (!had) continue;
    MUST(record.byte_offset < len && record.line >= 1);
    MUST(record.code != 0 ? record.field_count == 0 : record.field_count >= 1);
    for (size_t i = 0; i < record.field_count; i++) {
      if (i > 0) MUST(dray_buffer_append_char(out, ',', NULL) == DRAY_OK);
      MUST(dray_csv_write_field(out, NULL, record.fields[i].text, 1, NULL) == DRAY_OK);
    }
    if (record.code != 0) MUST(dray_buffer_printf(out, NULL, "bad %d", record.code) == DRAY_OK);
    MUST(dray_buffer_append_char(out, '\n', NULL) == DRAY_OK);
  }
  dray_csv_reader_free(reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 1) return 0;
  const size_t piece = 1 + data[0] % 16;
  const char *text = (const char *)data + 1;
  const size_t len = size - 1;
  struct dray_buffer whole;
  struct dray_buffer cut;
  struct dray_buffer again;
  dray_buffer_init(&whole, 1 << 24);
  dray_buffer_init(&cut, 1 << 24);
  dray_buffer_init(&again, 1 << 24);
  read_all(text, len, len + 1, &options, &whole);
  read_all(text, len, piece, &options, &cut);
  MUST(dray_str_equal(dray_buffer_view(&whole), dray_buffer_view(&cut)));
  if (whole.len > 0) read_all(whole.data, whole.len, piece, NULL, &again);
  MUST(dray_str_equal(dray_buffer_view(&whole), dray_buffer_view(&again)));
  dray_buffer_free(&whole);
  dray_buffer_free(&cut);
  dray_buffer_free(&again);
  return 0;
}
