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

#define DRAY_DECIMAL_PRECISION_MAX 38

// For messages: "%.*s", DRAY_VALUE_ARG(view). Shows at most 80 bytes of a value, up to the first that is not UTF-8
// and never half a character.
#define DRAY_VALUE_ARG(view) ((int)dray_value_shown(view)), ((view).data != NULL ? (view).data : "")
uint64_t dray_value_shown(struct dray_str value);

// "decimal(10,2)" and friends, as in discover. Spelling is exact, lower case; "decimal" alone is decimal(38,9).
// @errors SCHEMA_TYPE.
DRAY_NODISCARD int32_t dray_type_parse(struct dray_str text, struct dray_type *out, struct dray_error *error);
// Writes the spelling into `out` (at least 24 bytes) and returns it.
const char *dray_type_format(struct dray_type type, char *out, size_t out_bytes);
const char *dray_type_name(int32_t id); // without parameters

// 1 when STRING columns take these bytes: valid UTF-8 without a NUL. Fast for ASCII.
int dray_text_valid(struct dray_str text);
// For loops over text, eight bytes at a time: 0 when all of them are ASCII and none is NUL. Any other answer only means
// that a closer look is needed.
static inline uint64_t dray_text_odd(uint64_t word) {
  return (word | (word - UINT64_C(0x0101010101010101))) & UINT64_C(0x8080808080808080);
}

// A 128-bit two's complement integer; the value is unscaled: 12.30 of decimal(4,2) is 1230. Same layout as Arrow's
// decimal128 on little endian.
struct dray_decimal {
  uint64_t low;
  int64_t high;
};

// Numbers as text: optional sign, digits, point, exponent (RFC 8259 number grammar, plus a leading '+' and leading
// zeros). Surrounding blanks are refused. An int64 is sign and digits alone: "1.0" and "1e3" are DATA_TYPE, because a
// column that shows them does not hold integers. A float64 is the nearest double (also NaN, Infinity, -Infinity,
// spelt so); too large is DATA_OVERFLOW, not zero but read as zero is DATA_PRECISION. A decimal is exact: too many
// digits before the point are DATA_OVERFLOW, too many after it (zeros do not count) DATA_PRECISION. @errors
// DATA_TYPE, DATA_OVERFLOW, DATA_PRECISION, OUT_OF_MEMORY (numbers of more than 255 bytes only).
DRAY_NODISCARD int32_t dray_parse_int64(struct dray_str text, int64_t *out, struct dray_error *error);
DRAY_NODISCARD int32_t dray_parse_float64(struct dray_str text, double *out, struct dray_error *error);
DRAY_NODISCARD int32_t dray_parse_decimal(struct dray_str text, int32_t precision, int32_t scale,
                                          struct dray_decimal *out, struct dray_error *error);
// true/false, t/f, yes/no, 1/0 in any case.
DRAY_NODISCARD int32_t dray_parse_bool(struct dray_str text, int32_t *out, struct dray_error *error);
// YYYY-MM-DD, years 0001 to 9999, proleptic Gregorian. @errors DATA_DATE.
DRAY_NODISCARD int32_t dray_parse_date(struct dray_str text, int32_t *out_days, struct dray_error *error);
// ISO 8601 / RFC 3339: date, 'T' or blank, HH:MM[:SS[.fraction of 1-9 digits]], then Z, +HH:MM, +HHMM, +HH or nothing
// (UTC). A date alone is midnight. A fraction finer than a microsecond is DATA_PRECISION unless its rest is zeros.
// Leap seconds (:60) are DATA_DATE, as is an instant outside the years 0001 to 9999 of UTC.
DRAY_NODISCARD int32_t dray_parse_timestamp(struct dray_str text, int64_t *out_us, struct dray_error *error);

// Rescales exactly. @errors DATA_PRECISION, DATA_OVERFLOW.
DRAY_NODISCARD int32_t dray_decimal_rescale(struct dray_decimal value, int32_t from_scale, int32_t to_precision,
                                            int32_t to_scale, struct dray_decimal *out, struct dray_error *error);
struct dray_decimal dray_decimal_of_int64(int64_t value);
// 1 when the value has at most `precision` digits.
int dray_decimal_fits(struct dray_decimal value, int32_t precision);

// What DATE and TIMESTAMP columns hold: 0001-01-01 to 9999-12-31 (23:59:59.999999) UTC.
#define DRAY_DATE_MIN (-719162)
#define DRAY_DATE_MAX 2932896
#define DRAY_TIMESTAMP_MIN (-INT64_C(62135596800000000))
#define DRAY_TIMESTAMP_MAX INT64_C(253402300799999999)

// Formatters write into `out` (sizes below, with NUL) and return the length. Decimals keep their scale ("12.30"),
// floats are the text with the fewest of 15, 16 or 17 significant digits that reads back as the same value, without
// trailing zeros (subnormal ones: of 1 to 17), dates are ISO, timestamps RFC 3339 in UTC with 0, 3 or 6 fraction
// digits. Independent of the locale.
#define DRAY_FORMAT_BYTES_MAX 64
size_t dray_format_int64(int64_t value, char *out);
size_t dray_format_float64(double value, char *out); // NaN, Infinity, -Infinity
size_t dray_format_decimal(struct dray_decimal value, int32_t scale, char *out);
size_t dray_format_date(int32_t days, char *out);
size_t dray_format_timestamp(int64_t us, char *out);

// Bytes as text: base64 of RFC 4648 section 4, with padding; decoding is strict. @errors DATA_TYPE (decode), LIMIT,
// OUT_OF_MEMORY.
DRAY_NODISCARD int32_t dray_base64_encode(struct dray_str bytes, struct dray_buffer *out, struct dray_error *error);
DRAY_NODISCARD int32_t dray_base64_decode(struct dray_str text, struct dray_buffer *out, struct dray_error *error);

#ifdef __cplusplus
}
#endif

#endif // DRAY_SDK_VALUE_H
