// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Between canonical types. One function per wanted type; each names the types it can be made from, and everything else
// is refused. README.md shows the matrix. Nothing is rounded: what a reader of the new value would see must be what a
// reader of the old one saw.
#include "table/coerce.h"

#include <math.h>

#include "dray/sdk/json.h"

#define DAY_US INT64_C(86400000000)

// The value as text, as messages, string columns and parsers see it.
static int32_t value_text(const struct dr_value *value, struct dr_scratch *scratch, char *small, struct dray_str *out,
                          struct dray_error *error) {
  size_t len = 0;
  switch (value->id) {
  case DRAY_TYPE_BOOL:
    *out = dray_str_of(value->integer ? "true" : "false");
    return DRAY_OK;
  case DRAY_TYPE_INT64:
    len = dray_format_int64(value->integer, small);
    break;
  case DRAY_TYPE_FLOAT64:
    len = dray_format_float64(value->real, small);
    break;
  case DRAY_TYPE_DECIMAL:
    len = dray_format_decimal(value->decimal, value->scale, small);
    break;
  case DRAY_TYPE_DATE:
    len = dray_format_date((int32_t)value->integer, small);
    break;
  case DRAY_TYPE_TIMESTAMP:
    len = dray_format_timestamp(value->integer, small);
    break;
  case DRAY_TYPE_BYTES:
    dray_buffer_clear(&scratch->json);
    DRAY_TRY(dray_base64_encode(value->text, &scratch->json, error));
    *out = dray_buffer_view(&scratch->json);
    return DRAY_OK;
  default:
    *out = value->text;
    return DRAY_OK;
  }
  *out = dray_str_make(small, len);
  return DRAY_OK;
}

static int is_text(const struct dr_value *value) {
  return value->id == DRAY_TYPE_STRING || value->id == DRAY_TYPE_JSON;
}

static int32_t refuse(const struct dr_value *value, struct dr_fill *fill, struct dr_scratch *scratch, int32_t code,
                      const char *why, struct dray_error *error) {
  char small[DRAY_FORMAT_BYTES_MAX], type[24];
  struct dray_str text;
  DRAY_TRY(value_text(value, scratch, small, &text, error));
  return dray_fail(error, code, "'%.*s' is a value of type %s and %s %s", DRAY_VALUE_ARG(text),
                   dray_type_name(value->id), why, dray_type_format(fill->type, type, sizeof(type)));
}

static const char no_way[] = "cannot become one of type";
static const char not_exact[] = "cannot be kept exactly by";

static int32_t to_bool(const struct dr_value *value, struct dr_fill *fill, struct dr_scratch *scratch,
                       struct dray_error *error) {
  int32_t parsed = 0;
  if (value->id == DRAY_TYPE_BOOL || (value->id == DRAY_TYPE_INT64 && (value->integer == 0 || value->integer == 1))) {
    parsed = value->integer != 0;
  } else if (is_text(value)) {
    DRAY_TRY(dray_parse_bool(value->text, &parsed, error));
  } else {
    return refuse(value, fill, scratch, DRAY_E_DATA_TYPE, no_way, error);
  }
  dr_fill_bool(fill, parsed);
  return DRAY_OK;
}

// 2^63 and beyond do not fit; the comparison is exact, since -2^63 and 2^63 are doubles.
static int float_is_int64(double value) {
  return value >= -0x1p63 && value < 0x1p63 && value == floor(value);
}

static int32_t to_int64(const struct dr_value *value, struct dr_fill *fill, struct dr_scratch *scratch,
                        struct dray_error *error) {
  int64_t parsed = value->integer;
  struct dray_decimal whole;
  switch (value->id) {
  case DRAY_TYPE_BOOL:
  case DRAY_TYPE_INT64:
    break;
  case DRAY_TYPE_STRING:
  case DRAY_TYPE_JSON:
    DRAY_TRY(dray_parse_int64(value->text, &parsed, error));
    break;
  case DRAY_TYPE_FLOAT64:
    if (!float_is_int64(value->real)) {
      const int outside = !isfinite(value->real) || value->real == floor(value->real);
      const int32_t code = outside ? DRAY_E_DATA_OVERFLOW : DRAY_E_DATA_PRECISION;
      return refuse(value, fill, scratch, code, not_exact, error);
    }
    parsed = (int64_t)value->real;
    break;
  case DRAY_TYPE_DECIMAL:
    DRAY_TRY(dray_decimal_rescale(value->decimal, value->scale, DRAY_DECIMAL_PRECISION_MAX, 0, &whole, error));
    if (whole.high != ((int64_t)whole.low < 0 ? -1 : 0)) {
      return refuse(value, fill, scratch, DRAY_E_DATA_OVERFLOW, not_exact, error);
    }
    parsed = (int64_t)whole.low;
    break;
  default:
    return refuse(value, fill, scratch, DRAY_E_DATA_TYPE, no_way, error);
  }
  dr_fill_int64(fill, parsed);
  return DRAY_OK;
}

// A decimal is kept when the double that is nearest to it is written as the same decimal again.
static int32_t decimal_to_float(const struct dr_value *value, double *out) {
  char text[DRAY_FORMAT_BYTES_MAX];
  struct dray_decimal back;
  const size_t len = dray_format_decimal(value->decimal, value->scale, text);
  DRAY_TRY(dray_parse_float64(dray_str_make(text, len), out, NULL));
  const size_t shortest = dray_format_float64(*out, text);
  DRAY_TRY(dray_parse_decimal(dray_str_make(text, shortest), DRAY_DECIMAL_PRECISION_MAX, value->scale, &back, NULL));
  return back.low == value->decimal.low && back.high == value->decimal.high ? DRAY_OK : DRAY_E_DATA_PRECISION;
}

static int32_t to_float64(const struct dr_value *value, struct dr_fill *fill, struct dr_scratch *scratch,
                          struct dray_error *error) {
  double parsed = value->real;
  if (is_text(value)) {
    DRAY_TRY(dray_parse_float64(value->text, &parsed, error));
  } else if (value->id == DRAY_TYPE_INT64) {
    parsed = (double)value->integer;
    // The largest int64 becomes 2^63, which is not one: converting it back would be undefined.
    if (!float_is_int64(parsed) || (int64_t)parsed != value->integer) {
      return refuse(value, fill, scratch, DRAY_E_DATA_PRECISION, not_exact, error);
    }
  } else if (value->id == DRAY_TYPE_DECIMAL) {
    if (decimal_to_float(value, &parsed) != DRAY_OK) {
      return refuse(value, fill, scratch, DRAY_E_DATA_PRECISION, not_exact, error);
    }
  } else if (value->id != DRAY_TYPE_FLOAT64) {
    return refuse(value, fill, scratch, DRAY_E_DATA_TYPE, no_way, error);
  }
  dr_fill_float64(fill, parsed);
  return DRAY_OK;
}

static int32_t to_decimal(const struct dr_value *value, struct dr_fill *fill, struct dr_scratch *scratch,
                          struct dray_error *error) {
  const struct dray_type type = fill->type;
  struct dray_decimal parsed;
  char text[DRAY_FORMAT_BYTES_MAX];
  size_t len = 0;
  switch (value->id) {
  case DRAY_TYPE_INT64:
    DRAY_TRY(
        dray_decimal_rescale(dray_decimal_of_int64(value->integer), 0, type.precision, type.scale, &parsed, error));
    break;
  case DRAY_TYPE_DECIMAL:
    DRAY_TRY(dray_decimal_rescale(value->decimal, value->scale, type.precision, type.scale, &parsed, error));
    break;
  case DRAY_TYPE_STRING:
  case DRAY_TYPE_JSON:
    DRAY_TRY(dray_parse_decimal(value->text, type.precision, type.scale, &parsed, error));
    break;
  case DRAY_TYPE_FLOAT64: // by its shortest text: 0.1 is meant where the double is a little more
    len = dray_format_float64(value->real, text);
    DRAY_TRY(dray_parse_decimal(dray_str_make(text, len), type.precision, type.scale, &parsed, error));
    break;
  default:
    return refuse(value, fill, scratch, DRAY_E_DATA_TYPE, no_way, error);
  }
  dr_fill_decimal(fill, parsed);
  return DRAY_OK;
}

static int32_t to_date(const struct dr_value *value, struct dr_fill *fill, struct dr_scratch *scratch,
                       struct dray_error *error) {
  int32_t days = (int32_t)value->integer;
  if (is_text(value)) {
    DRAY_TRY(dray_parse_date(value->text, &days, error));
  } else if (value->id == DRAY_TYPE_TIMESTAMP) {
    if (value->integer % DAY_US != 0) {
      return refuse(value, fill, scratch, DRAY_E_DATA_PRECISION, not_exact, error);
    }
    days = (int32_t)(value->integer / DAY_US);
  } else if (value->id != DRAY_TYPE_DATE) {
    return refuse(value, fill, scratch, DRAY_E_DATA_TYPE, no_way, error);
  }
  dr_fill_date(fill, days);
  return DRAY_OK;
}

static int32_t to_timestamp(const struct dr_value *value, struct dr_fill *fill, struct dr_scratch *scratch,
                            struct dray_error *error) {
  int64_t us = value->integer;
  if (is_text(value)) {
    DRAY_TRY(dray_parse_timestamp(value->text, &us, error));
  } else if (value->id == DRAY_TYPE_DATE) {
    us *= DAY_US;
  } else if (value->id != DRAY_TYPE_TIMESTAMP) {
    return refuse(value, fill, scratch, DRAY_E_DATA_TYPE, no_way, error);
  }
  dr_fill_int64(fill, us);
  return DRAY_OK;
}

static int32_t to_string(const struct dr_value *value, struct dr_fill *fill, struct dr_scratch *scratch,
                         struct dray_error *error) {
  char small[DRAY_FORMAT_BYTES_MAX];
  struct dray_str text;
  DRAY_TRY(value_text(value, scratch, small, &text, error));
  return dr_fill_bytes(fill, text, error);
}

static int32_t to_bytes(const struct dr_value *value, struct dr_fill *fill, struct dr_scratch *scratch,
                        struct dray_error *error) {
  if (value->id == DRAY_TYPE_BYTES) return dr_fill_bytes(fill, value->text, error);
  if (value->id != DRAY_TYPE_STRING) return refuse(value, fill, scratch, DRAY_E_DATA_TYPE, no_way, error);
  dray_buffer_clear(&scratch->json);
  DRAY_TRY(dray_base64_decode(value->text, &scratch->json, error));
  return dr_fill_bytes(fill, dray_buffer_view(&scratch->json), error);
}

// Text is JSON already, or is refused; of the others, those that JSON has no literal for become strings.
static int32_t to_json(const struct dr_value *value, struct dr_fill *fill, struct dr_scratch *scratch,
                       struct dray_error *error) {
  char small[DRAY_FORMAT_BYTES_MAX];
  struct dray_str text;
  if (value->id == DRAY_TYPE_JSON) return dr_fill_bytes(fill, value->text, error);
  if (value->id == DRAY_TYPE_FLOAT64 && !isfinite(value->real)) {
    return refuse(value, fill, scratch, DRAY_E_DATA_JSON, not_exact, error);
  }
  dray_buffer_clear(&scratch->inner);
  if (value->id == DRAY_TYPE_STRING) {
    DRAY_TRY(dray_json_compact(value->text, &scratch->inner, error));
    return dr_fill_bytes(fill, dray_buffer_view(&scratch->inner), error);
  }
  DRAY_TRY(value_text(value, scratch, small, &text, error));
  if (value->id != DRAY_TYPE_DATE && value->id != DRAY_TYPE_TIMESTAMP && value->id != DRAY_TYPE_BYTES) {
    return dr_fill_bytes(fill, text, error);
  }
  struct dray_json_writer writer;
  dray_json_writer_init(&writer, &scratch->inner, error);
  dray_json_write_str(&writer, text);
  DRAY_TRY(dray_json_writer_finish(&writer));
  return dr_fill_bytes(fill, dray_buffer_view(&scratch->inner), error);
}

int32_t dr_coerce(const struct dr_value *value, struct dr_fill *fill, struct dr_scratch *scratch,
                  struct dray_error *error) {
  static int32_t (*const ways[])(const struct dr_value *, struct dr_fill *, struct dr_scratch *,
                                 struct dray_error *) = {
      [DRAY_TYPE_BOOL] = to_bool,       [DRAY_TYPE_INT64] = to_int64,         [DRAY_TYPE_FLOAT64] = to_float64,
      [DRAY_TYPE_DECIMAL] = to_decimal, [DRAY_TYPE_STRING] = to_string,       [DRAY_TYPE_BYTES] = to_bytes,
      [DRAY_TYPE_DATE] = to_date,       [DRAY_TYPE_TIMESTAMP] = to_timestamp, [DRAY_TYPE_JSON] = to_json};
  return ways[fill->type.id](value, fill, scratch, error);
}
