// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Base64, which is how bytes look wherever only text can stand: CSV, JSON, messages.
#include "dray/sdk/value.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

int32_t dray_base64_encode(struct dray_str bytes, struct dray_buffer *out, struct dray_error *error) {
  const uint64_t groups = (bytes.len + 2) / 3;
  char *to = NULL;
  if (bytes.len == 0) return DRAY_OK;
  if (bytes.len > SIZE_MAX / 2) {
    return dray_fail(error, DRAY_E_LIMIT, "%llu bytes are too many for base64", (unsigned long long)bytes.len);
  }
  DRAY_TRY(dray_buffer_reserve(out, (size_t)(groups * 4), &to, error));
  for (uint64_t i = 0; i < bytes.len; i += 3) {
    const uint64_t left = bytes.len - i;
    uint32_t group = (uint32_t)(uint8_t)bytes.data[i] << 16;
    if (left > 1) group |= (uint32_t)(uint8_t)bytes.data[i + 1] << 8;
    if (left > 2) group |= (uint32_t)(uint8_t)bytes.data[i + 2];
    *to++ = alphabet[group >> 18];
    *to++ = alphabet[(group >> 12) & 63];
    *to++ = left > 1 ? alphabet[(group >> 6) & 63] : '=';
    *to++ = left > 2 ? alphabet[group & 63] : '=';
  }
  out->len += (size_t)(groups * 4);
  out->data[out->len] = '\0';
  return DRAY_OK;
}

static int32_t digit_of(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+') return 62;
  return c == '/' ? 63 : -1;
}

// Strict: whole groups, padding at the end only, and no bits that decoding would drop.
int32_t dray_base64_decode(struct dray_str text, struct dray_buffer *out, struct dray_error *error) {
  char *to = NULL;
  if (text.len == 0) return DRAY_OK;
  if (text.len % 4 != 0) goto refused;
  const uint64_t padding = text.data[text.len - 1] != '=' ? 0 : text.data[text.len - 2] != '=' ? 1 : 2;
  const size_t before = out->len, bytes = (size_t)(text.len / 4 * 3 - padding);
  DRAY_TRY(dray_buffer_reserve(out, (size_t)(text.len / 4 * 3), &to, error));
  for (uint64_t i = 0; i < text.len; i += 4) {
    const uint64_t digits = i + 4 == text.len ? 4 - padding : 4;
    uint32_t group = 0;
    for (uint64_t d = 0; d < 4; d++) {
      const int32_t value = d < digits ? digit_of(text.data[i + d]) : 0;
      if (value < 0) goto refused;
      group = group << 6 | (uint32_t)value;
    }
    if ((digits < 4 && (group & 0xFF) != 0) || (digits < 3 && (group & 0xFFFF) != 0)) goto refused;
    *to++ = (char)(uint8_t)(group >> 16);
    *to++ = (char)(uint8_t)(group >> 8);
    *to++ = (char)(uint8_t)group;
  }
  out->len = before + bytes;
  out->data[out->len] = '\0';
  return DRAY_OK;
refused:
  return dray_fail(error, DRAY_E_DATA_TYPE, "'%.*s' is not base64", DRAY_VALUE_ARG(text));
}
