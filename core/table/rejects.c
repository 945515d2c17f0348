// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The list of rows that were left out, and why.
#include <stdlib.h>

#include "table/cast.h"

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
  rejects->count++;
  return DRAY_OK;
}
