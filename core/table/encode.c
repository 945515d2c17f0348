// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The canonical encoding, as ENCODING.md specifies it, and the hashes over it. Room for a whole row is made first, so
// that the loop over its values writes without looking.
#include "table/encode.h"

#include <assert.h>
#include <endian.h>
#include <stdlib.h>
#include <xxhash.h>

#include "table/slice.h"

#define FIXED_BYTES_MAX 19 // the largest value that is not text: a decimal of 16 bytes

// ---- order of columns ----

struct named {
  const char *name;
  uint32_t column;
};

static int compare_named(const void *a, const void *b) {
  const struct named *left = a, *right = b;
  return strcmp(left->name, right->name);
}

int32_t dr_encoder_init(struct dr_encoder *encoder, const struct dr_schema *schema, const uint32_t *columns,
                        size_t column_count, uint64_t seed, struct dray_error *error) {
  const size_t count = columns != NULL ? column_count : schema->field_count;
  struct named *order = malloc((count + 1) * sizeof(*order));
  uint32_t *sorted = malloc((count + 1) * sizeof(*sorted));
  if (order == NULL || sorted == NULL) {
    free(order);
    free(sorted);
    return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for an encoder of %zu columns", count);
  }
  for (size_t i = 0; i < count; i++) {
    const uint32_t column = columns != NULL ? columns[i] : (uint32_t)i;
    assert(column < schema->field_count);
    order[i] = (struct named){schema->fields[column].name, column};
  }
  qsort(order, count, sizeof(*order), compare_named);
  for (size_t i = 0; i < count; i++) sorted[i] = order[i].column;
  free(order);
  *encoder = (struct dr_encoder){seed, count, sorted};
  return DRAY_OK;
}

void dr_encoder_free(struct dr_encoder *encoder) {
  free(encoder->columns);
  encoder->columns = NULL;
  encoder->column_count = 0;
}

// ---- one value ----

static uint8_t *put_u32(uint8_t *to, uint32_t value) {
  value = htole32(value);
  memcpy(to, &value, sizeof(value));
  return to + sizeof(value);
}

static uint8_t *put_u64(uint8_t *to, uint64_t value) {
  value = htole64(value);
  memcpy(to, &value, sizeof(value));
  return to + sizeof(value);
}

static uint8_t *put_text(uint8_t *to, struct dray_str value) {
  uint64_t len = value.len;
  for (; len >= 0x80; len >>= 7) *to++ = (uint8_t)(len | 0x80);
  *to++ = (uint8_t)len;
  if (value.len > 0) memcpy(to, value.data, (size_t)value.len);
  return to + value.len;
}

static uint8_t *put_float64(uint8_t *to, double value) {
  uint64_t bits;
  memcpy(&bits, &value, sizeof(bits));
  if (value == 0) bits = 0; // -0.0 = 0.0
  if (value != value) bits = DR_NAN_BITS;
  return put_u64(to, bits);
}

// The scale is as small as the value allows, so that 1, 1.0 and 1.00 are the same bytes.
static uint8_t *put_decimal(uint8_t *to, struct dray_decimal value, int32_t scale) {
  __int128 bits = (__int128)((unsigned __int128)(uint64_t)value.high << 64 | value.low);
  if (bits == (int64_t)bits) { // nearly always, and much faster
    int64_t small = (int64_t)bits;
    for (; scale > 0 && small % 10 == 0; scale--) small /= 10;
    bits = small;
  } else {
    for (; scale > 0 && bits % 10 == 0; scale--) bits /= 10;
  }
  uint8_t bytes[16];
  size_t count = 0;
  for (__int128 rest = bits; rest != 0 && rest != -1; rest >>= 8) bytes[count++] = (uint8_t)rest;
  if (bits < 0 && (count == 0 || bytes[count - 1] < 0x80)) bytes[count++] = 0xFF; // the sign must show in the last bit
  if (bits > 0 && bytes[count - 1] >= 0x80) bytes[count++] = 0;
  *to++ = (uint8_t)scale;
  *to++ = (uint8_t)count;
  memcpy(to, bytes, count);
  return to + count;
}

static uint8_t *put_value(uint8_t *to, const struct dray_column_view *column, uint64_t row) {
  *to++ = (uint8_t)(DR_TAG_VALUE + column->type.id);
  switch (column->type.id) {
  case DRAY_TYPE_BOOL:
    *to++ = (uint8_t)dray_column_bool(column, row);
    return to;
  case DRAY_TYPE_INT64:
  case DRAY_TYPE_TIMESTAMP:
    return put_u64(to, (uint64_t)dray_column_int64(column, row));
  case DRAY_TYPE_FLOAT64:
    return put_float64(to, dray_column_float64(column, row));
  case DRAY_TYPE_DECIMAL:
    return put_decimal(to, dray_column_decimal(column, row), column->type.scale);
  case DRAY_TYPE_DATE:
    return put_u32(to, (uint32_t)dray_column_date(column, row));
  default:
    return put_text(to, dray_column_bytes(column, row));
  }
}

// ---- rows ----

static size_t row_room(const struct dr_encoder *encoder, const struct dr_batch *batch, uint64_t row) {
  size_t room = encoder->column_count * FIXED_BYTES_MAX;
  for (size_t i = 0; i < encoder->column_count; i++) {
    const struct dray_column_view *column = &batch->view.columns[encoder->columns[i]];
    if (column->offsets != NULL) room += (size_t)dray_column_bytes(column, row).len;
  }
  return room;
}

static uint8_t *put_row(uint8_t *to, const struct dr_encoder *encoder, const struct dr_batch *batch, uint64_t row) {
  for (size_t i = 0; i < encoder->column_count; i++) {
    const uint32_t at = encoder->columns[i];
    const struct dray_column_view *column = &batch->view.columns[at];
    if (!dray_column_is_null(column, row)) {
      to = put_value(to, column, row);
    } else {
      *to++ = dr_batch_is_absent(batch, at, row) ? DR_TAG_ABSENT : DR_TAG_NULL;
    }
  }
  return to;
}

int32_t dr_encode_row(const struct dr_encoder *encoder, const struct dr_batch *batch, uint64_t row,
                      struct dray_buffer *out, struct dray_error *error) {
  char *to = NULL;
  DRAY_TRY(dray_buffer_reserve(out, row_room(encoder, batch, row), &to, error));
  const uint8_t *end = put_row((uint8_t *)to, encoder, batch, row);
  out->len += (size_t)(end - (const uint8_t *)to);
  out->data[out->len] = '\0';
  return DRAY_OK;
}

struct dr_hash128 dr_hash_bytes(struct dray_str encoded, uint64_t seed) {
  const XXH128_hash_t hash = XXH3_128bits_withSeed(encoded.data, (size_t)encoded.len, seed);
  return (struct dr_hash128){hash.low64, hash.high64};
}

int32_t dr_hash_rows(const struct dr_encoder *encoder, const struct dr_batch *batch, struct dr_hash128 *out,
                     struct dray_error *error) {
  uint8_t *scratch = NULL;
  size_t capacity = 0;
  const uint64_t rows = dr_batch_rows(batch);
  for (uint64_t row = 0; row < rows; row++) {
    const size_t room = row_room(encoder, batch, row);
    if (room >= capacity) { // also for a row without columns
      capacity = room * 2 + 256;
      uint8_t *larger = realloc(scratch, capacity);
      if (larger == NULL) {
        free(scratch);
        return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to hash a row of %zu bytes", room);
      }
      scratch = larger;
    }
    const uint8_t *end = put_row(scratch, encoder, batch, row);
    out[row] = dr_hash_bytes(dray_str_make((const char *)scratch, (uint64_t)(end - scratch)), encoder->seed);
  }
  free(scratch);
  return DRAY_OK;
}
