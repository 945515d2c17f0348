// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Reading the canonical encoding back. What is read may come from a damaged file, so every tag and length is checked
// before anything is touched.
#include <endian.h>

#include "table/encode.h"
#include "table/slice.h"

static int32_t corrupt(const char *what, uint64_t at, struct dray_error *error) {
  return dray_fail(error, DRAY_E_MIRROR_CORRUPT, "an encoded row does not parse at its byte %llu: %s",
                   (unsigned long long)at, what);
}

static uint64_t get_u64(const char *from) {
  uint64_t value;
  memcpy(&value, from, sizeof(value));
  return le64toh(value);
}

// The length before text: 7 bits a byte, low bits first, no more bytes than needed. 0 when it is none.
static size_t get_length(struct dray_str from, uint64_t *out) {
  uint64_t value = 0;
  for (size_t i = 0; i < 5 && i < from.len; i++) {
    const uint8_t byte = (uint8_t)from.data[i];
    value |= (uint64_t)(byte & 0x7F) << (7 * i);
    if (byte >= 0x80) continue;
    if ((i > 0 && byte == 0) || value > INT32_MAX) return 0;
    *out = value;
    return i + 1;
  }
  return 0;
}

// Bytes of the value behind a tag; -1 when it cannot be right.
static int64_t payload_bytes(uint8_t tag, struct dray_str from) {
  uint64_t len = 0;
  switch (tag - DR_TAG_VALUE) {
  case DRAY_TYPE_BOOL:
    return from.len >= 1 && (uint8_t)from.data[0] <= 1 ? 1 : -1;
  case DRAY_TYPE_DATE:
    return 4;
  case DRAY_TYPE_INT64:
  case DRAY_TYPE_FLOAT64:
  case DRAY_TYPE_TIMESTAMP:
    return 8;
  case DRAY_TYPE_DECIMAL:
    if (from.len < 2 || (uint8_t)from.data[0] > DRAY_DECIMAL_PRECISION_MAX || (uint8_t)from.data[1] > 16) return -1;
    return 2 + (int64_t)from.data[1];
  case DRAY_TYPE_STRING:
  case DRAY_TYPE_BYTES:
  case DRAY_TYPE_JSON: {
    const size_t head = get_length(from, &len);
    return head == 0 ? -1 : (int64_t)(head + len);
  }
  default:
    return -1;
  }
}

int32_t dr_decode_slices(struct dray_str encoded, size_t column_count, struct dray_str *out_slices,
                         struct dray_error *error) {
  uint64_t at = 0;
  for (size_t i = 0; i < column_count; i++) {
    if (at >= encoded.len) return corrupt("it ends too early", at, error);
    const uint8_t tag = (uint8_t)encoded.data[at];
    int64_t bytes = 0;
    if (tag != DR_TAG_ABSENT && tag != DR_TAG_NULL) {
      bytes = payload_bytes(tag, dray_str_make(encoded.data + at + 1, encoded.len - at - 1));
      if (bytes < 0) return corrupt("there is no such value", at, error);
      if ((uint64_t)bytes > encoded.len - at - 1) return corrupt("a value ends too early", at, error);
    }
    out_slices[i] = dray_str_make(encoded.data + at, 1 + (uint64_t)bytes);
    at += 1 + (uint64_t)bytes;
  }
  return at == encoded.len ? DRAY_OK : corrupt("something stands behind its last value", at, error);
}

int dr_slice_state(struct dray_str slice) {
  if (slice.len == 0 || (uint8_t)slice.data[0] == DR_TAG_ABSENT) return DR_SLOT_ABSENT;
  return (uint8_t)slice.data[0] == DR_TAG_NULL ? DR_SLOT_NULL : DR_SLOT_VALUE;
}

static struct dray_decimal get_decimal(struct dray_str payload) {
  const uint64_t count = payload.len - 2;
  unsigned __int128 bits = count > 0 && (payload.data[payload.len - 1] & 0x80) != 0 ? ~(unsigned __int128)0 : 0;
  for (uint64_t i = payload.len; i-- > 2;) bits = bits << 8 | (uint8_t)payload.data[i];
  return (struct dray_decimal){(uint64_t)bits, (int64_t)(uint64_t)(bits >> 64)};
}

static int32_t decode_decimal(struct dray_str payload, struct dray_builder *builder, size_t column,
                              struct dray_error *error) {
  const struct dray_type type = dray_builder_type(builder, column);
  struct dray_decimal value = get_decimal(payload);
  if (type.id == DRAY_TYPE_DECIMAL) {
    DRAY_TRY(dray_decimal_rescale(value, (uint8_t)payload.data[0], type.precision, type.scale, &value, error));
  }
  return dray_builder_decimal(builder, column, value, error);
}

static int32_t decode_text(uint8_t tag, struct dray_str payload, struct dray_builder *builder, size_t column,
                           struct dray_error *error) {
  const struct dray_type type = dray_builder_type(builder, column);
  uint64_t len = 0;
  const size_t head = get_length(payload, &len);
  if (type.id != tag - DR_TAG_VALUE && type.id != 0) { // the builder takes bytes for all three
    return dray_fail(error, DRAY_E_DATA_TYPE, "an encoded %s does not belong into a column of %s",
                     dray_type_name(tag - DR_TAG_VALUE), dray_type_name(type.id));
  }
  return dray_builder_bytes(builder, column, dray_str_make(payload.data + head, len), error);
}

int32_t dr_decode_value(struct dray_str slice, struct dray_builder *builder, size_t column, struct dray_error *error) {
  struct dray_str checked;
  double real;
  uint64_t bits = 0;
  uint32_t days = 0;
  DRAY_TRY(dr_decode_slices(slice, 1, &checked, error));
  const int state = dr_slice_state(slice);
  if (state == DR_SLOT_ABSENT) return DRAY_OK; // no append: that is how a builder is told
  if (state == DR_SLOT_NULL) return dray_builder_null(builder, column, error);
  const uint8_t tag = (uint8_t)slice.data[0];
  const struct dray_str payload = dray_str_make(slice.data + 1, slice.len - 1);
  if (payload.len >= 8) bits = get_u64(payload.data);
  switch (tag - DR_TAG_VALUE) {
  case DRAY_TYPE_BOOL:
    return dray_builder_bool(builder, column, payload.data[0], error);
  case DRAY_TYPE_INT64:
    return dray_builder_int64(builder, column, (int64_t)bits, error);
  case DRAY_TYPE_FLOAT64:
    memcpy(&real, &bits, sizeof(real));
    return dray_builder_float64(builder, column, real, error);
  case DRAY_TYPE_DECIMAL:
    return decode_decimal(payload, builder, column, error);
  case DRAY_TYPE_DATE:
    memcpy(&days, payload.data, sizeof(days));
    return dray_builder_date(builder, column, (int32_t)le32toh(days), error);
  case DRAY_TYPE_TIMESTAMP:
    return dray_builder_timestamp(builder, column, (int64_t)bits, error);
  default:
    return decode_text(tag, payload, builder, column, error);
  }
}
