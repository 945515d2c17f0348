// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Reading one value of any castable Arrow type, exactly, as a canonical one. What has no exact canonical form is an
// error of that value; nested values become JSON text.
#include <math.h>
#include <stdio.h>

#include "dray/sdk/json.h"
#include "table/source.h"

#define DAY_MS INT64_C(86400000)
#define DAY_SECONDS INT64_C(86400)
#define MICROS INT64_C(1000000)

void dr_scratch_init(struct dr_scratch *scratch) {
  dray_buffer_init(&scratch->json, INT32_MAX);
  dray_buffer_init(&scratch->inner, INT32_MAX);
}

void dr_scratch_free(struct dr_scratch *scratch) {
  dray_buffer_free(&scratch->json);
  dray_buffer_free(&scratch->inner);
}

static int64_t load_signed(const struct dr_source *source, int64_t i) {
  return dr_load_index(source->values, source->width, source->is_signed, i + source->offset);
}

static void set_integer(struct dr_value *out, int32_t id, int64_t value) {
  out->id = id;
  out->integer = value;
}

static void set_text(struct dr_value *out, int32_t id, struct dray_str text) {
  out->id = id;
  out->text = text;
}

// ---- numbers ----

static void load_int(const struct dr_source *source, int64_t i, struct dr_value *out) {
  const int64_t value = load_signed(source, i);
  if (source->width < 8 || source->is_signed || value >= 0) {
    set_integer(out, DRAY_TYPE_INT64, value);
  } else { // beyond int64
    out->id = DRAY_TYPE_DECIMAL;
    out->scale = 0;
    out->decimal = (struct dray_decimal){(uint64_t)value, 0};
  }
}

static double half_to_double(uint16_t half) {
  const int exponent = half >> 10 & 31, mantissa = half & 1023;
  double value;
  if (exponent == 31) {
    value = mantissa != 0 ? (double)NAN : (double)INFINITY;
  } else {
    value = exponent == 0 ? ldexp(mantissa, -24) : ldexp(mantissa + 1024, exponent - 25);
  }
  return half & 0x8000 ? -value : value;
}

static void load_float(const struct dr_source *source, int64_t i, struct dr_value *out) {
  const uint8_t *at = source->values + (i + source->offset) * source->width;
  uint16_t half;
  float single;
  out->id = DRAY_TYPE_FLOAT64;
  if (source->width == 8) {
    memcpy(&out->real, at, sizeof(out->real));
  } else if (source->width == 4) {
    memcpy(&single, at, sizeof(single));
    out->real = (double)single;
  } else {
    memcpy(&half, at, sizeof(half));
    out->real = half_to_double(half);
  }
}

static int32_t load_decimal(const struct dr_source *source, int64_t i, struct dr_value *out, struct dray_error *error) {
  const uint8_t *at = source->values + (i + source->offset) * source->width;
  uint64_t words[4];
  out->id = DRAY_TYPE_DECIMAL;
  out->scale = source->scale;
  if (source->width <= 8) {
    out->decimal = dray_decimal_of_int64(load_signed(source, i));
  } else {
    memcpy(words, at, (size_t)source->width);
    out->decimal = (struct dray_decimal){words[0], (int64_t)words[1]};
    const uint64_t sign = out->decimal.high < 0 ? UINT64_MAX : 0;
    if ((source->width == 32 && (words[2] != sign || words[3] != sign)) ||
        !dray_decimal_fits(out->decimal, DRAY_DECIMAL_PRECISION_MAX)) {
      return dray_fail(error, DRAY_E_DATA_OVERFLOW, "a decimal has more than %d digits", DRAY_DECIMAL_PRECISION_MAX);
    }
  }
  if (source->scale >= 0) return DRAY_OK;
  out->scale = 0;
  return dray_decimal_rescale(out->decimal, source->scale, DRAY_DECIMAL_PRECISION_MAX, 0, &out->decimal, error);
}

// ---- dates and times ----

// Ticks of any length as microseconds. @errors DATA_OVERFLOW, DATA_PRECISION.
static int32_t to_micros(const struct dr_source *source, int64_t ticks, const char *what, int64_t *out,
                         struct dray_error *error) {
  if (source->per_second <= MICROS) {
    if (!__builtin_mul_overflow(ticks, MICROS / source->per_second, out)) return DRAY_OK;
    return dray_fail(error, DRAY_E_DATA_OVERFLOW, "the %s %lld does not fit 64 bits of microseconds", what,
                     (long long)ticks);
  }
  const int64_t divisor = source->per_second / MICROS;
  *out = ticks / divisor;
  if (ticks % divisor == 0) return DRAY_OK;
  return dray_fail(error, DRAY_E_DATA_PRECISION, "the %s of %lld nanoseconds is finer than a microsecond", what,
                   (long long)ticks);
}

static int32_t load_timestamp(const struct dr_source *source, int64_t i, struct dr_value *out,
                              struct dray_error *error) {
  const int64_t ticks = load_signed(source, i);
  int64_t us = 0;
  out->id = DRAY_TYPE_TIMESTAMP;
  const int32_t code = to_micros(source, ticks, "timestamp", &us, error);
  if (code == DRAY_E_DATA_PRECISION) return code;
  if (code != DRAY_OK || us < DRAY_TIMESTAMP_MIN || us > DRAY_TIMESTAMP_MAX) {
    return dray_fail(error, DRAY_E_DATA_DATE, "the timestamp %lld (%lld a second) is outside the years 0001 to 9999",
                     (long long)ticks, (long long)source->per_second);
  }
  out->integer = us;
  return DRAY_OK;
}

static int32_t load_date(const struct dr_source *source, int64_t i, struct dr_value *out, struct dray_error *error) {
  int64_t days = load_signed(source, i);
  if (source->width == 8) {
    if (days % DAY_MS != 0) {
      return dray_fail(error, DRAY_E_DATA_PRECISION, "the date %lld (milliseconds) is not a whole day",
                       (long long)days);
    }
    days /= DAY_MS;
  }
  if (days < DRAY_DATE_MIN || days > DRAY_DATE_MAX) {
    return dray_fail(error, DRAY_E_DATA_DATE, "the date of day %lld is outside the years 0001 to 9999",
                     (long long)days);
  }
  set_integer(out, DRAY_TYPE_DATE, days);
  return DRAY_OK;
}

// "HH:MM:SS", with 3, 6 or 9 digits of a fraction when there is one.
static int32_t load_time(const struct dr_source *source, int64_t i, struct dr_value *out, struct dray_error *error) {
  const int64_t ticks = load_signed(source, i);
  if (ticks < 0 || ticks >= DAY_SECONDS * source->per_second) {
    return dray_fail(error, DRAY_E_DATA_DATE, "the time of day %lld (%lld a second) is outside one day",
                     (long long)ticks, (long long)source->per_second);
  }
  const int64_t seconds = ticks / source->per_second;
  int64_t fraction = ticks % source->per_second * (1000000000 / source->per_second);
  int len = snprintf(out->small, sizeof(out->small), "%02d:%02d:%02d", (int)(seconds / 3600), (int)(seconds / 60 % 60),
                     (int)(seconds % 60));
  if (fraction != 0) {
    int digits = 9;
    for (; fraction % 1000 == 0; digits -= 3) fraction /= 1000;
    len += snprintf(out->small + len, sizeof(out->small) - (size_t)len, ".%0*d", digits, (int)fraction);
  }
  set_text(out, DRAY_TYPE_STRING, dray_str_make(out->small, (uint64_t)len));
  return DRAY_OK;
}

// ---- text ----

static struct dray_str text_at(const struct dr_source *source, int64_t i) {
  const int64_t at = i + source->offset;
  if (source->kind == DR_KIND_FIXED) {
    return dray_str_make((const char *)source->values + at * source->width, (uint64_t)source->width);
  }
  if (source->kind == DR_KIND_TEXT) {
    const int64_t from = dr_load_index(source->values, source->width, 1, at);
    return dray_str_make(source->data + from,
                         (uint64_t)(dr_load_index(source->values, source->width, 1, at + 1) - from));
  }
  int32_t view[4];
  memcpy(view, source->values + at * 16, sizeof(view));
  if (view[0] <= 12) return dray_str_make((const char *)source->values + at * 16 + 4, (uint64_t)view[0]);
  return dray_str_make((const char *)source->buffers[2 + view[2]] + view[3], (uint64_t)view[0]);
}

static struct dray_str uuid_text(struct dray_str bytes, char *out) {
  static const char digits[] = "0123456789abcdef";
  size_t len = 0;
  for (size_t i = 0; i < 16; i++) {
    if (i == 4 || i == 6 || i == 8 || i == 10) out[len++] = '-';
    out[len++] = digits[(uint8_t)bytes.data[i] >> 4];
    out[len++] = digits[(uint8_t)bytes.data[i] & 15];
  }
  return dray_str_make(out, len);
}

static int32_t load_text(const struct dr_source *source, int64_t i, struct dr_scratch *scratch, struct dr_value *out,
                         struct dray_error *error) {
  const struct dray_str text = text_at(source, i);
  if (source->is_uuid) {
    set_text(out, DRAY_TYPE_STRING, uuid_text(text, out->small));
    return DRAY_OK;
  }
  set_text(out, source->type.id, text);
  if (source->type.id == DRAY_TYPE_BYTES) return DRAY_OK;
  if (!dray_text_valid(text)) {
    return dray_fail(error, DRAY_E_DATA_UTF8, "'%.*s' is not valid UTF-8 from its byte %llu on, or holds a NUL",
                     DRAY_VALUE_ARG(text), (unsigned long long)dray_value_shown(text) + 1);
  }
  if (source->type.id == DRAY_TYPE_STRING) return DRAY_OK;
  dray_buffer_clear(&scratch->inner);
  DRAY_TRY(dray_json_compact(text, &scratch->inner, error));
  out->text = dray_buffer_view(&scratch->inner);
  return DRAY_OK;
}

// ---- nested values ----

static int32_t write_value(struct dray_json_writer *writer, const struct dr_source *source, int64_t i,
                           struct dr_scratch *scratch, struct dray_error *error);

// A value that is not nested, by its canonical type.
static int32_t write_leaf(struct dray_json_writer *writer, const struct dr_source *source, int64_t i,
                          struct dr_scratch *scratch, struct dray_error *error) {
  struct dr_value value;
  char text[DRAY_FORMAT_BYTES_MAX];
  DRAY_TRY(dr_source_load(source, i, scratch, &value, error));
  switch (value.id) {
  case DRAY_TYPE_BOOL:
    dray_json_write_bool(writer, (int32_t)value.integer);
    break;
  case DRAY_TYPE_INT64:
    dray_json_write_int(writer, value.integer);
    break;
  case DRAY_TYPE_FLOAT64:
    if (!isfinite(value.real)) {
      (void)dray_format_float64(value.real, text);
      return dray_fail(error, DRAY_E_DATA_JSON, "JSON has no number for %s", text);
    }
    dray_json_write_float(writer, value.real);
    break;
  case DRAY_TYPE_DECIMAL:
    dray_json_write_raw(writer, dray_str_make(text, dray_format_decimal(value.decimal, value.scale, text)));
    break;
  case DRAY_TYPE_DATE:
    dray_json_write_str(writer, dray_str_make(text, dray_format_date((int32_t)value.integer, text)));
    break;
  case DRAY_TYPE_TIMESTAMP:
    dray_json_write_str(writer, dray_str_make(text, dray_format_timestamp(value.integer, text)));
    break;
  case DRAY_TYPE_STRING:
    dray_json_write_str(writer, value.text);
    break;
  case DRAY_TYPE_BYTES:
    dray_buffer_clear(&scratch->inner);
    DRAY_TRY(dray_base64_encode(value.text, &scratch->inner, error));
    dray_json_write_str(writer, dray_buffer_view(&scratch->inner));
    break;
  default:
    dray_json_write_raw(writer, value.text);
  }
  return DRAY_OK;
}

// A map's keys become names: strings as they are, other values as the text that JSON has for them.
static int32_t write_key(struct dray_json_writer *writer, const struct dr_source *source, int64_t i,
                         struct dr_scratch *scratch, struct dray_error *error) {
  struct dr_value value;
  struct dray_buffer text;
  struct dray_json_writer name;
  if (dr_source_is_null(source, i)) return dray_fail(error, DRAY_E_DATA_JSON, "a map has a key that is null");
  while (source->kind == DR_KIND_DICTIONARY) {
    i = dr_load_index(source->values, source->width, source->is_signed, i + source->offset);
    source = source->dictionary;
  }
  if (source->type.id == DRAY_TYPE_STRING) {
    DRAY_TRY(dr_source_load(source, i, scratch, &value, error));
    dray_json_key_str(writer, value.text);
    return DRAY_OK;
  }
  dray_buffer_init(&text, INT32_MAX);
  dray_json_writer_init(&name, &text, error);
  int32_t code = write_value(&name, source, i, scratch, error);
  if (code == DRAY_OK) code = dray_json_writer_finish(&name);
  if (code == DRAY_OK) {
    struct dray_str view = dray_buffer_view(&text);
    if (view.len >= 2 && view.data[0] == '"') view = dray_str_make(view.data + 1, view.len - 2); // dates, base64
    dray_json_key_str(writer, view);
  }
  dray_buffer_free(&text);
  return code;
}

// Elements `from` to `to` of a list, or of a map's entries.
static int32_t write_range(struct dray_json_writer *writer, const struct dr_source *source, int64_t from, int64_t to,
                           struct dr_scratch *scratch, struct dray_error *error) {
  const struct dr_source *child = &source->children[0];
  const int map = source->kind == DR_KIND_MAP;
  (map ? dray_json_begin_object : dray_json_begin_array)(writer);
  for (int64_t i = from; i < to; i++) {
    if (map) {
      DRAY_TRY(write_key(writer, &child->children[0], i, scratch, error));
      DRAY_TRY(write_value(writer, &child->children[1], i, scratch, error));
    } else {
      DRAY_TRY(write_value(writer, child, i, scratch, error));
    }
  }
  (map ? dray_json_end_object : dray_json_end_array)(writer);
  return DRAY_OK;
}

static int32_t write_value(struct dray_json_writer *writer, const struct dr_source *source, int64_t i,
                           struct dr_scratch *scratch, struct dray_error *error) {
  const int64_t at = i + source->offset;
  if (dr_source_is_null(source, i)) {
    dray_json_write_null(writer);
    return DRAY_OK;
  }
  switch (source->kind) {
  case DR_KIND_LIST:
  case DR_KIND_MAP:
    return write_range(writer, source, dr_load_index(source->values, source->width, 1, at),
                       dr_load_index(source->values, source->width, 1, at + 1), scratch, error);
  case DR_KIND_FIXED_LIST:
    return write_range(writer, source, at * source->width, (at + 1) * source->width, scratch, error);
  case DR_KIND_STRUCT:
    dray_json_begin_object(writer);
    for (size_t c = 0; c < source->child_count; c++) {
      dray_json_key(writer, source->children[c].name);
      DRAY_TRY(write_value(writer, &source->children[c], i, scratch, error));
    }
    dray_json_end_object(writer);
    return DRAY_OK;
  case DR_KIND_DICTIONARY:
    return write_value(writer, source->dictionary, dr_load_index(source->values, source->width, source->is_signed, at),
                       scratch, error);
  default:
    return write_leaf(writer, source, i, scratch, error);
  }
}

static int32_t load_nested(const struct dr_source *source, int64_t i, struct dr_scratch *scratch, struct dr_value *out,
                           struct dray_error *error) {
  struct dray_json_writer writer;
  dray_buffer_clear(&scratch->json);
  dray_json_writer_init(&writer, &scratch->json, error);
  DRAY_TRY(write_value(&writer, source, i, scratch, error));
  const int32_t code = dray_json_writer_finish(&writer);
  if (code == DRAY_E_LIMIT) return dray_fail(error, DRAY_E_DATA_TOO_LARGE, "a nested value passes 2 GiB as JSON");
  if (code != DRAY_OK) return code;
  set_text(out, DRAY_TYPE_JSON, dray_buffer_view(&scratch->json));
  return DRAY_OK;
}

int32_t dr_source_load(const struct dr_source *source, int64_t i, struct dr_scratch *scratch, struct dr_value *out,
                       struct dray_error *error) {
  const int64_t at = i + source->offset;
  int64_t us = 0;
  switch (source->kind) {
  case DR_KIND_BOOL:
    set_integer(out, DRAY_TYPE_BOOL, source->values[at >> 3] >> (at & 7) & 1);
    return DRAY_OK;
  case DR_KIND_INT:
    load_int(source, i, out);
    return DRAY_OK;
  case DR_KIND_FLOAT:
    load_float(source, i, out);
    return DRAY_OK;
  case DR_KIND_DECIMAL:
    return load_decimal(source, i, out, error);
  case DR_KIND_DATE:
    return load_date(source, i, out, error);
  case DR_KIND_TIME:
    return load_time(source, i, out, error);
  case DR_KIND_TIMESTAMP:
    return load_timestamp(source, i, out, error);
  case DR_KIND_DURATION:
    DRAY_TRY(to_micros(source, load_signed(source, i), "duration", &us, error));
    set_integer(out, DRAY_TYPE_INT64, us);
    return DRAY_OK;
  case DR_KIND_DICTIONARY:
    return dr_source_load(source->dictionary, dr_load_index(source->values, source->width, source->is_signed, at),
                          scratch, out, error);
  case DR_KIND_TEXT:
  case DR_KIND_TEXT_VIEW:
  case DR_KIND_FIXED:
    return load_text(source, i, scratch, out, error);
  default:
    return load_nested(source, i, scratch, out, error);
  }
}
