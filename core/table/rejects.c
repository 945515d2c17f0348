// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The list of rows that were left out, and why.
#include <stdlib.h>

#include "table/cast.h"

#define KEY_BYTES_MAX 4096

void dr_rejects_free(struct dr_rejects *rejects) {
  free(rejects->items);
  *rejects = (struct dr_rejects){NULL, 0, 0};
}

static void copy_cut(char *to, size_t room, const char *from) {
  size_t len = strnlen(from, room);
  if (len == room) {
    for (len = room - 1; len > 0 && (from[len] & 0xC0) == 0x80;) len--;
  }
  memcpy(to, from, len);
  to[len] = '\0';
}

int32_t dr_rejects_add(struct dr_rejects *rejects, uint64_t row, int32_t code, const char *column, const char *text,
                       struct dray_error *error) {
  if (rejects->count == rejects->capacity) {
    const size_t capacity = rejects->capacity == 0 ? 8 : rejects->capacity * 2;
    struct dr_reject *items = realloc(rejects->items, capacity * sizeof(*items));
    if (items == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for %zu rejected rows", capacity);
    rejects->items = items;
    rejects->capacity = capacity;
  }
  struct dr_reject *item = &rejects->items[rejects->count];
  item->row = row;
  item->code = code;
  copy_cut(item->column, sizeof(item->column), column != NULL ? column : "");
  copy_cut(item->text, sizeof(item->text), text != NULL ? text : "");
  item->key[0] = '\0';
  item->key_hash = (struct dr_hash128){0, 0};
  rejects->count++;
  return DRAY_OK;
}

int32_t dr_reject_tell(struct dr_reject *reject, const struct dr_batch *batch, const char *const *key, size_t key_count,
                       uint64_t row, struct dray_error *error) {
  struct dray_buffer text;
  int whole = 0;
  dray_buffer_init(&text, KEY_BYTES_MAX);
  int32_t code = dr_batch_key(batch, key, key_count, row, &text, &whole, error);
  if (code == DRAY_E_LIMIT) code = DRAY_OK; // too long to be told
  if (code == DRAY_OK && whole) {
    (void)dray_text_excerpt(dray_buffer_view(&text), reject->key, sizeof(reject->key));
    reject->key_hash = dr_hash_bytes(dray_buffer_view(&text), 1);
  }
  dray_buffer_free(&text);
  return code;
}
