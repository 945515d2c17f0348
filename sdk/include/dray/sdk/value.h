// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Single values of the canonical types: exact decimals, dates, timestamps; parsing and formatting.
// Nothing here rounds: what does not fit is an error.
#ifndef DRAY_SDK_VALUE_H
#define DRAY_SDK_VALUE_H

#include "dray/sdk/error.h"
#include "dray/sdk/text.h"
#include "dray/stream.h"

#ifdef __cplusplus
extern "C" {
#endif

// A canonical type with its parameters. precision and scale are 0 except for DECIMAL.
struct dray_type {
  int32_t id; // DRAY_TYPE_*
  int32_t precision;
  int32_t scale;
};

// "decimal(10,2)" and friends, as in discover. Spelling is exact, lower case; "decimal" alone is decimal(38,9).
DRAY_NODISCARD int32_t dray_type_parse(struct dray_str text, struct dray_type *out, struct dray_error *error);
// Writes the spelling into `out` (at least 24 bytes) and returns it.
const char *dray_type_format(struct dray_type type, char *out, size_t out_bytes);
const char *dray_type_name(int32_t id); // without parameters

// A 128-bit two's complement integer; the value is unscaled: 12.30 of decimal(4,2) is 1230. Same layout as Arrow's decimal128 on little endian.
struct dray_decimal {
  uint64_t low;
  int64_t high;
};

// Numbers as text: optional sign, digits, point, exponent (RFC 8259 number grammar, plus a leading '+' and leading zeros). Surrounding blanks are
// refused. @errors DATA_TYPE, DATA_OVERFLOW, DATA_PRECISION.
DRAY_NODISCARD int32_t dray_parse_int64(struct dray_str text, int64_t *out, struct dray_error *error);
DRAY_NODISCARD int32_t dray_parse_float64(struct dray_str text, double *out, struct dray_error *error);
DRAY_NODISCARD int32_t dray_parse_decimal(struct dray_str text, int32_t precision, int32_t scale, struct dray_decimal *out,
                                          struct dray_error *error);
// true/false, t/f, yes/no, 1/0 in any case.
DRAY_NODISCARD int32_t dray_parse_bool(struct dray_str text, int32_t *out, struct dray_error *error);
// YYYY-MM-DD, years 0001 to 9999, proleptic Gregorian. @errors DATA_DATE.
DRAY_NODISCARD int32_t dray_parse_date(struct dray_str text, int32_t *out_days, struct dray_error *error);
// ISO 8601 / RFC 3339: date, 'T' or blank, HH:MM[:SS[.fraction of 1-9 digits]], then Z, +HH:MM, +HHMM, +HH or nothing (UTC). A date alone is midnight.
// A fraction finer than a microsecond is DATA_PRECISION unless its rest is zeros. Leap seconds (:60) are DATA_DATE.
DRAY_NODISCARD int32_t dray_parse_timestamp(struct dray_str text, int64_t *out_us, struct dray_error *error);

// Rescales exactly. @errors DATA_PRECISION, DATA_OVERFLOW.
DRAY_NODISCARD int32_t dray_decimal_rescale(struct dray_decimal value, int32_t from_scale, int32_t to_precision, int32_t to_scale,
                                            struct dray_decimal *out, struct dray_error *error);
struct dray_decimal dray_decimal_of_int64(int64_t value);

// Formatters write into `out` (sizes below, with NUL) and return the length. Decimals keep their scale ("12.30"), floats are the shortest text that
// reads back as the same value, dates are ISO, timestamps RFC 3339 in UTC with 0, 3 or 6 fraction digits.
#define DRAY_FORMAT_BYTES_MAX 64
size_t dray_format_int64(int64_t value, char *out);
size_t dray_format_float64(double value, char *out); // NaN, Infinity, -Infinity
size_t dray_format_decimal(struct dray_decimal value, int32_t scale, char *out);
size_t dray_format_date(int32_t days, char *out);
size_t dray_format_timestamp(int64_t us, char *out);

#ifdef __cplusplus
}
#endif

#endif // DRAY_SDK_VALUE_H
