// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The spelling of the nine canonical types, and what counts as text. Called by everything that reads a
// catalogue, a config or a schema; knows nothing of Arrow.
#include <limits.h>
#include <stdio.h>

#include "dray/sdk/value.h"

static const char *const type_names[] = {
    [DRAY_TYPE_BOOL] = "bool",       [DRAY_TYPE_INT64] = "int64",         [DRAY_TYPE_FLOAT64] = "float64",
    [DRAY_TYPE_DECIMAL] = "decimal", [DRAY_TYPE_STRING] = "string",       [DRAY_TYPE_BYTES] = "bytes",
    [DRAY_TYPE_DATE] = "date",       [DRAY_TYPE_TIMESTAMP] = "timestamp", [DRAY_TYPE_JSON] = "json",
};

#define DECIMAL_DEFAULT_SCALE 9

const char *dray_type_name(int32_t id) {
  if (id < DRAY_TYPE_BOOL || id > DRAY_TYPE_JSON) return "unknown";
  return type_names[id];
}

// One or two digits and the character after them: all that a precision or scale can be.
static int take_number(struct dray_str text, uint64_t *at, char end, int32_t *out) {
  int32_t value = 0;
  uint64_t i = *at;
  const uint64_t from = i;
  while (i < text.len && i - from < 2 && text.data[i] >= '0' && text.data[i] <= '9') {
    value = value * 10 + (text.data[i++] - '0');
  }
  if (i == from || i >= text.len || text.data[i] != end || (text.data[from] == '0' && i - from > 1)) return 0;
  *at = i + 1;
  *out = value;
  return 1;
}

static int parse_decimal_type(struct dray_str text, struct dray_type *out) {
  uint64_t at = strlen("decimal(");
  struct dray_type type = {DRAY_TYPE_DECIMAL, 0, 0};
  if (text.len < at || memcmp(text.data, "decimal(", at) != 0) return 0;
  if (!take_number(text, &at, ',', &type.precision) || !take_number(text, &at, ')', &type.scale)) return 0;
  if (at != text.len || type.precision < 1 || type.precision > DRAY_DECIMAL_PRECISION_MAX) return 0;
  if (type.scale > type.precision) return 0;
  *out = type;
  return 1;
}

int32_t dray_type_parse(struct dray_str text, struct dray_type *out, struct dray_error *error) {
  for (int32_t id = DRAY_TYPE_BOOL; id <= DRAY_TYPE_JSON; id++) {
    if (!dray_str_is(text, type_names[id])) continue;
    const int decimal = id == DRAY_TYPE_DECIMAL;
    *out = (struct dray_type){id, decimal ? DRAY_DECIMAL_PRECISION_MAX : 0, decimal ? DECIMAL_DEFAULT_SCALE : 0};
    return DRAY_OK;
  }
  if (parse_decimal_type(text, out)) return DRAY_OK;
  return dray_fail(error, DRAY_E_SCHEMA_TYPE,
                   "'%.*s' is not a type: expected bool, int64, float64, decimal(P,S) with P from 1 to 38 and S from 0 "
                   "to P, string, bytes, date, timestamp or json",
                   DRAY_VALUE_ARG(text));
}

const char *dray_type_format(struct dray_type type, char *out, size_t out_bytes) {
  if (type.id == DRAY_TYPE_DECIMAL) {
    (void)snprintf(out, out_bytes, "decimal(%d,%d)", type.precision, type.scale);
  } else {
    (void)snprintf(out, out_bytes, "%s", dray_type_name(type.id));
  }
  return out;
}

// Eight bytes at a time: a set high bit means that it is not ASCII, and the classic test for a zero byte
// is exact as long as no high bit is set.
int dray_text_valid(struct dray_str text) {
  const uint64_t high = UINT64_C(0x8080808080808080), low = UINT64_C(0x0101010101010101);
  uint64_t i = 0;
  for (; i + 8 <= text.len; i += 8) {
    uint64_t word;
    memcpy(&word, text.data + i, 8);
    if ((word & high) != 0) break;
    if (((word - low) & high) != 0) return 0;
  }
  if (i < text.len && text.len >= 8 && i + 8 > text.len) { // the rest, with bytes before it that were looked at
    uint64_t word;
    memcpy(&word, text.data + text.len - 8, 8);
    if ((word & high) == 0) return ((word - low) & high) == 0;
  }
  for (; i < text.len && (text.data[i] & 0x80) == 0; i++) {
    if (text.data[i] == '\0') return 0;
  }
  if (i == text.len) return 1;
  return memchr(text.data + i, '\0', text.len - i) == NULL && dray_utf8_valid(text.data + i, text.len - i);
}

uint64_t dray_value_shown(struct dray_str value) {
  uint64_t len = value.len < 80 ? value.len : 80;
  while (len > 0 && !dray_text_valid(dray_str_make(value.data, len))) len--;
  return len;
}
