// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// CSV as it exists: RFC 4180 plus CRLF, LF or CR line ends, embedded newlines, a BOM, quotes in the middle of a
// field, other delimiters. Push bytes in, get records out.
//
// How the cases are read that RFC 4180 leaves open:
//  - A record ends at LF, CRLF or a lone CR. Lines without a byte are skipped, so CR CR LF is one line end as well.
//  - A quote that does not stand at the very start of a field is text: a"b"c is five characters.
//  - Text between a closing quote and the next delimiter is appended as it is: "ab"cd is abcd, "ab"c"d" is abc"d".
//  - A UTF-8 BOM is dropped at the start of the input only.
//  - Bytes are not judged: NUL and invalid UTF-8 come out as they went in; that is for the caller to refuse.
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
  uint64_t field_bytes_max;  // unescaped; 0: 1 MiB
  uint64_t record_bytes_max; // as they stand in the input, without the line end; 0: 16 MiB
  uint64_t fields_max;       // 0: 4096
};

struct dray_csv_field {
  struct dray_str text; // unescaped; valid until the next call on the reader
  int32_t quoted;       // 1 when it stood in quotes: "" is the empty string; what a bare nothing is, the caller says
  int32_t reserved;
};

struct dray_csv_record {
  const struct dray_csv_field *fields; // valid until the next call on the reader
  size_t field_count;
  uint64_t line;        // where the record begins, from 1
  uint64_t byte_offset; // of the record's first byte in the input
  int32_t code;         // 0, or DRAY_E_DATA_TOO_LARGE (a limit above), DRAY_E_DATA_SHAPE (the input ended inside
                        // quotes): the record is unusable, has no fields, and reading goes on at the next one
  int32_t reserved;
};

struct dray_csv_reader; // opaque

// Makes a reader; NULL options are all defaults. Memory stays within record_bytes_max and fields_max, whatever is fed.
// @owner free with dray_csv_reader_free. @errors CONFIG_VALUE (delimiter and quote equal, or a line end),
// OUT_OF_MEMORY.
DRAY_NODISCARD int32_t dray_csv_reader_new(const struct dray_csv_options *options, struct dray_csv_reader **out,
                                           struct dray_error *error);
void dray_csv_reader_free(struct dray_csv_reader *reader); // NULL is allowed
// Takes bytes until one record is whole. *out_used bytes were consumed; *out_record = 1 when `record` holds one. Call
// again with the rest. `end` marks the last bytes: an unfinished record without a newline is then delivered, an
// unclosed quote is a record with code DATA_SHAPE. Everything is told when all bytes are used and *out_record is 0.
// @errors OUT_OF_MEMORY only, and then the reader can only be freed: what is wrong with a record is said in the record.
DRAY_NODISCARD int32_t dray_csv_reader_feed(struct dray_csv_reader *reader, const char *data, size_t len, int32_t end,
                                            size_t *out_used, struct dray_csv_record *record, int32_t *out_record,
                                            struct dray_error *error);

// Appends one field, quoted when it must be (delimiter, quote, CR, LF, leading or trailing blank, a leading BOM, or
// the empty string when `quote_empty`). The reader gives back the same bytes, with one exception that is the
// format's own: a record whose only field is empty and not quoted is an empty line. @errors LIMIT, OUT_OF_MEMORY; `out`
// is then unchanged.
DRAY_NODISCARD int32_t dray_csv_write_field(struct dray_buffer *out, const struct dray_csv_options *options,
                                            struct dray_str text, int32_t quote_empty, struct dray_error *error);

#ifdef __cplusplus
}
#endif

#endif // DRAY_SDK_CSV_H
