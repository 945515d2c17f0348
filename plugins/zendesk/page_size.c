// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
#include "page_size.h"

#include <string.h>

#include "dray/sdk/value.h"

#define SMALL_PART 4 // of what an answer may have: twice as many records leave room to spare

void zendesk_page_size_init(struct zendesk_page_size *size, int64_t wish) {
  *size = (struct zendesk_page_size){.now = wish, .most = wish, .wish = wish};
}

int zendesk_page_size_halve(struct zendesk_page_size *size) {
  const int64_t next = size->held + (size->now - size->held) / 2;
  size->too_many = size->now;
  if (next <= size->held) return 0;
  size->now = size->most = next;
  return 1;
}

int zendesk_page_size_grow(struct zendesk_page_size *size, int64_t asked, int64_t most) {
  int64_t next = size->most < size->wish ? asked * 2 : most; // by and by where answers are known to be large
  if (size->too_many > 0) next = asked + (size->too_many - asked) / 2;
  if (next > most) next = most;
  if (next <= asked) return 0;
  size->held = asked;
  size->now = size->most = next;
  if (size->wish < next) size->wish = next;
  return 1;
}

void zendesk_page_size_moved(struct zendesk_page_size *size) {
  size->held = size->too_many = 0;
}

void zendesk_page_size_passed(struct zendesk_page_size *size, uint64_t body_bytes, uint64_t body_bytes_max) {
  if (size->most >= size->wish || body_bytes > body_bytes_max / SMALL_PART) return;
  size->most = size->most * 2 < size->wish ? size->most * 2 : size->wish;
  size->now = size->most;
}

// Where the number of page[size] stands in the path; len 0: nowhere.
static struct dray_str find_number(struct dray_str path) {
  static const char name[] = "page%5Bsize%5D=";
  const size_t len = sizeof(name) - 1;
  for (uint64_t i = 0; i + len <= path.len; i++) {
    if (memcmp(path.data + i, name, len) != 0) continue;
    uint64_t end = i + len;
    while (end < path.len && path.data[end] >= '0' && path.data[end] <= '9') end++;
    return dray_str_make(path.data + i + len, end - i - len);
  }
  return dray_str_make(NULL, 0);
}

int32_t zendesk_page_size_put(const struct zendesk_page_size *size, struct dray_str path, struct dray_buffer *out,
                              struct dray_error *error) {
  const struct dray_str number = find_number(path);
  int64_t asked = 0;
  if (number.len == 0 || dray_parse_int64(number, &asked, NULL) != DRAY_OK || asked <= size->now) {
    return dray_buffer_append(out, path.data, (size_t)path.len, error);
  }
  const size_t before = (size_t)(number.data - path.data), behind = before + (size_t)number.len;
  DRAY_TRY(dray_buffer_append(out, path.data, before, error));
  DRAY_TRY(dray_buffer_printf(out, error, "%lld", (long long)size->now));
  return dray_buffer_append(out, path.data + behind, (size_t)path.len - behind, error);
}
