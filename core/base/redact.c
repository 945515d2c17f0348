// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Masking of secrets. The list is short (a handful of secrets in a few spellings, and the tokens that a long run has
// had), the texts too, so a plain search is enough.
#include "base/redact.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECRET_BYTES_MIN 4
#define NEEDLES_MAX 32768 // a token a minute for a week
#define MASK_BYTES 3

struct needle {
  char *text;
  size_t len;
};

static struct needle *needles; // owned
static size_t needle_count, needle_capacity;
static int blind; // a secret could not be remembered: from now on every text is masked whole
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static int make_room(void) {
  if (needle_count < needle_capacity) return 1;
  const size_t capacity = needle_capacity == 0 ? 64 : needle_capacity * 2;
  if (capacity > NEEDLES_MAX) return 0;
  struct needle *wider = realloc(needles, capacity * sizeof(*needles));
  if (wider == NULL) return 0;
  needles = wider;
  needle_capacity = capacity;
  return 1;
}

static void add_needle(const char *text, size_t len) {
  if (len < SECRET_BYTES_MIN) return;
  for (size_t i = 0; i < needle_count; i++) {
    if (needles[i].len == len && memcmp(needles[i].text, text, len) == 0) return;
  }
  char *copy = make_room() ? malloc(len) : NULL;
  if (copy == NULL) {
    blind = 1;
    return;
  }
  memcpy(copy, text, len);
  size_t at = needle_count; // longest first, so that a secret inside another leaves no remains
  while (at > 0 && needles[at - 1].len < len) at--;
  memmove(&needles[at + 1], &needles[at], (needle_count - at) * sizeof(needles[0]));
  needles[at] = (struct needle){copy, len};
  needle_count++;
}

static void add_base64(struct dray_str secret) {
  static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  char *out = malloc((size_t)secret.len * 4 / 3 + 4);
  if (out == NULL) {
    blind = 1;
    return;
  }
  size_t n = 0;
  const unsigned char *p = (const unsigned char *)secret.data;
  for (uint64_t i = 0; i + 2 < secret.len; i += 3) { // whole groups: a tail depends on what follows
    const uint32_t bits = (uint32_t)p[i] << 16 | (uint32_t)p[i + 1] << 8 | p[i + 2];
    for (int shift = 18; shift >= 0; shift -= 6) out[n++] = alphabet[(bits >> shift) & 63];
  }
  add_needle(out, n);
  explicit_bzero(out, n);
  free(out);
}

static void add_escaped(struct dray_str secret, int percent) {
  char *out = malloc((size_t)secret.len * 6 + 1);
  if (out == NULL) {
    blind = 1;
    return;
  }
  size_t n = 0;
  for (uint64_t i = 0; i < secret.len; i++) {
    const unsigned char c = (unsigned char)secret.data[i];
    const int plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                      c == '_' || c == '.' || c == '~';
    if (percent && !plain) {
      n += (size_t)snprintf(out + n, 4, "%%%02X", c);
    } else if (!percent && (c == '"' || c == '\\' || c == '/')) {
      out[n++] = '\\';
      out[n++] = (char)c;
    } else {
      out[n++] = (char)c;
    }
  }
  add_needle(out, n);
  explicit_bzero(out, n);
  free(out);
}

void dr_redact_add(struct dray_str secret) {
  if (secret.len < SECRET_BYTES_MIN) return;
  (void)pthread_mutex_lock(&lock);
  add_needle(secret.data, (size_t)secret.len);
  add_base64(secret);
  add_escaped(secret, 1);
  add_escaped(secret, 0);
  (void)pthread_mutex_unlock(&lock);
}

size_t dr_redact(char *text, size_t len) {
  (void)pthread_mutex_lock(&lock);
  if (blind && len > MASK_BYTES) {
    memset(text, '*', MASK_BYTES);
    len = MASK_BYTES;
  }
  for (size_t i = 0; i < needle_count; i++) {
    const struct needle *needle = &needles[i];
    char *from = text;
    for (;;) {
      char *hit = memmem(from, len - (size_t)(from - text), needle->text, needle->len);
      if (hit == NULL) break;
      memset(hit, '*', MASK_BYTES);
      const size_t rest = len - (size_t)(hit - text) - needle->len;
      memmove(hit + MASK_BYTES, hit + needle->len, rest);
      len -= needle->len - MASK_BYTES;
      from = hit + MASK_BYTES;
    }
  }
  (void)pthread_mutex_unlock(&lock);
  return len;
}

static void redact_member(char *text) {
  text[dr_redact(text, strlen(text))] = '\0';
}

void dr_redact_error(struct dray_error *error) {
  if (error == NULL) return;
  redact_member(error->text);
  redact_member(error->vendor_code);
  redact_member(error->field);
}

void dr_redact_clear(void) {
  (void)pthread_mutex_lock(&lock);
  for (size_t i = 0; i < needle_count; i++) {
    explicit_bzero(needles[i].text, needles[i].len);
    free(needles[i].text);
  }
  free(needles);
  needles = NULL;
  needle_count = needle_capacity = 0;
  blind = 0;
  (void)pthread_mutex_unlock(&lock);
}
