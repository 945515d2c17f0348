// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The loop over blocks of the scanner, included by scan.c once for each instruction set: SCAN_NAME is the function,
// SCAN_TARGET its attribute, SCAN_MASKS what makes a block's masks, SCAN_FEEDS the mask of
// its line feeds alone. No include guard for that reason.

// Appends the records that end in one block. Returns 1 when `stop` is reached.
SCAN_TARGET static inline int SCAN_PASTE(SCAN_NAME, _emit)(const struct scan_dialect *dialect,
                                                           const struct masks *masks, uint32_t base, uint32_t stop,
                                                           struct carry *carry, struct scan *scan) {
  uint64_t ends = masks->line_end, taken = 0; // taken: bytes of this block that belong to records that are done
  while (ends != 0) {
    const uint64_t bit = ends & (~ends + 1);
    const uint64_t below = bit - 1;
    const uint32_t end = base + (uint32_t)__builtin_ctzll(ends);
    const uint32_t delimiters = carry->delimiters + (uint32_t)__builtin_popcountll(masks->delimiter & below);
    if (end > scan->next) {
      uint32_t flags = delimiters - carry->delimiters_before_record + 1 != dialect->column_count ? SCAN_FIELDS : 0;
      if ((carry->odd | (masks->odd & below & ~taken)) != 0) flags |= SCAN_BYTES;
      if ((carry->quoted | (masks->quote & below & ~taken)) != 0) flags |= SCAN_QUOTES;
      scan->records[scan->count++] = (struct scan_record){scan->next, end, flags};
    } else {
      scan->plain = 0;
    }
    carry->delimiters_before_record = delimiters;
    carry->odd = 0;
    carry->quoted = 0;
    taken = below | bit;
    scan->next = end + 1;
    if (scan->next >= stop) return 1;
    ends &= ends - 1;
  }
  carry->delimiters += (uint32_t)__builtin_popcountll(masks->delimiter);
  carry->odd |= masks->odd & ~taken;
  carry->quoted |= masks->quote & ~taken;
  return 0;
}

// As scan_records, and -1 at a record whose quotes are unusual.
SCAN_TARGET static int SCAN_NAME(const struct scan_dialect *dialect, const struct scan_buffer *buffer, uint32_t stop,
                                 struct scan *scan) {
  struct carry carry = {.may_open = 1};
  for (uint32_t base = scan->next; base < buffer->len; base += 64) {
    struct masks masks = SCAN_MASKS(buffer->data + base, dialect->delimiter, dialect->quote);
    const uint32_t left = buffer->len - base;
    const uint64_t valid = left >= 64 ? ~UINT64_C(0) : (UINT64_C(1) << left) - 1;
    uint64_t wrong = 0;
    if (valid != ~UINT64_C(0)) {
      masks.delimiter &= valid;
      masks.line_end &= valid;
      masks.quote &= valid;
      masks.odd &= valid;
    }
    const uint64_t last = (masks.delimiter | masks.line_end | masks.quote) >> 63;
    if (masks.cr) scan->plain = 0;
    if ((masks.quote | carry.inside | carry.must_close) != 0) {
      scan->plain = 0;
      wrong = resolve_quotes(&masks, valid, &carry);
      masks.line_end &= ~wrong;
    }
    carry.may_open = last;
    if (SCAN_PASTE(SCAN_NAME, _emit)(dialect, &masks, base, stop, &carry, scan)) return 1;
    if (wrong != 0) return -1;
  }
  // The last record may have no line end; its end is found byte by byte.
  if (!buffer->at_end) return 0;
  return scan->next < buffer->len ? -1 : 1;
}

SCAN_TARGET static uint32_t SCAN_PASTE(SCAN_NAME, _skip)(const char *data, uint32_t from, uint32_t len,
                                                         uint32_t count) {
  for (; from < len; from += 64) {
    uint64_t feeds = SCAN_FEEDS(data + from);
    if (len - from < 64) feeds &= (UINT64_C(1) << (len - from)) - 1;
    const uint32_t found = (uint32_t)__builtin_popcountll(feeds);
    if (found < count) {
      count -= found;
      continue;
    }
    while (--count > 0) feeds &= feeds - 1;
    return from + (uint32_t)__builtin_ctzll(feeds) + 1;
  }
  return len;
}

#undef SCAN_NAME
#undef SCAN_TARGET
#undef SCAN_MASKS
#undef SCAN_FEEDS
