// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Reads JSON into columns and shows the rows as text, whatever the cuts of the input and the size of the batches.
#ifndef DRAY_TEST_JSON_ROWS_HARNESS_H
#define DRAY_TEST_JSON_ROWS_HARNESS_H

#include "dray/sdk/json.h"

#define HARNESS_COLUMNS_MAX 16

struct harness {
  const char
      *columns; // "path:type path:type ...": the column's name is its path; "!" adds _dray_error, "?" _dray_absent
  struct dray_json_rows_options options;
  uint64_t rows_max;  // 0: no bound
  size_t piece_bytes; // of every feed; 0: all at once
};

// Appends every row to `out`: values between '|', "~" for null, "-" for absent, a newline behind. Returns what
// feeding returned.
DRAY_NODISCARD int32_t harness_read(const struct harness *harness, const char *data, size_t len,
                                    struct dray_buffer *out, uint64_t *out_bad, struct dray_error *error);

// Reads at once, byte by byte and in batches of one and two rows: all must give `expected`.
void harness_expect(const struct harness *harness, const char *data, const char *expected);
void harness_expect_bytes(const struct harness *harness, const char *data, size_t len, const char *expected);
// Likewise, and feeding must fail with `code` and a text that holds `words`, after the rows of `expected`.
void harness_expect_failure(const struct harness *harness, const char *data, const char *expected, int32_t code,
                            const char *words);

#endif // DRAY_TEST_JSON_ROWS_HARNESS_H
