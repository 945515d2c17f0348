// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// CSV as it exists: RFC 4180 plus CRLF or LF, embedded newlines, a BOM, quotes in the middle of a
// field, other delimiters. Push bytes in, get records out.
#ifndef DRAY_SDK_CSV_H
#define DRAY_SDK_CSV_H

#include "dray/sdk/error.h"
#include "dray/sdk/text.h"

#ifdef __cplusplus
extern "C" {
#endif

struct dray_csv_options {
  char delimiter;            // 0: ','
  char quote;                // 0: '"'
  uint64_t field_bytes_max;  // 0: 1 MiB
  uint64_t record_bytes_max; // 0: 16 MiB
  uint64_t fields_max;       // 0: 4096
};

struct dray_csv_field {
  struct dray_str text; // unescaped; valid until the next call on the reader
  int32_t quoted;       // 1 when it stood in quotes: "" is the empty string, an unquoted nothing is null by the caller's choice
  int32_t reserved;
};

struct dray_csv_record {
  const struct dray_csv_field *fields; // valid until the next call on the reader
  size_t field_count;
  uint64_t line;        // where the record begins, from 1
  uint64_t byte_offset; // of the record's first byte in the input
  int32_t code;         // 0, or DRAY_E_DATA_TOO_LARGE etc.: the record is unusable, reading goes on at the next one
  int32_t reserved;
};

struct dray_csv_reader; // opaque

DRAY_NODISCARD int32_t dray_csv_reader_new(const struct dray_csv_options *options, struct dray_csv_reader **out,
                                           struct dray_error *error);
void dray_csv_reader_free(struct dray_csv_reader *reader);
// Takes bytes until one record is whole. *out_used bytes were consumed; *out_record = 1 when `record` holds one. Call again with the rest. `end` marks the
// last bytes: an unfinished record without a newline is then delivered, an unclosed quote is a record with code DATA_SHAPE. Empty lines are skipped.
// @errors OUT_OF_MEMORY only: what is wrong with a record is said in the record.
DRAY_NODISCARD int32_t dray_csv_reader_feed(struct dray_csv_reader *reader, const char *data, size_t len, int32_t end,
                                            size_t *out_used, struct dray_csv_record *record, int32_t *out_record,
                                            struct dray_error *error);

// Appends one field, quoted when it must be (delimiter, quote, CR, LF, leading or trailing blank, or the empty string when `quote_empty`).
DRAY_NODISCARD int32_t dray_csv_write_field(struct dray_buffer *out, const struct dray_csv_options *options, struct dray_str text,
                                            int32_t quote_empty, struct dray_error *error);

#ifdef __cplusplus
}
#endif

#endif // DRAY_SDK_CSV_H
