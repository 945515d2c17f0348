// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Two files in the order of their keys are read side by side: what is on both sides and the same bytes is settled, and
// nothing needs to be remembered. That each key is greater than the one before it, which is looked at for every
// record of both, proves that none comes twice. At the first one that is not, all of it is given up, and the sieve goes
// its other way.
//
// A piece is a chunk of OLD and what of NEW has keys from that chunk's first up to the next one's. Where both begin is
// guessed, and compared in the order of the pieces with where the piece before ended: where a guess was wrong (a line
// end inside quotes) the piece is done again.
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "compare/fields.h"
#include "compare/window.h"

#define MERGE_GIVEN_UP (-2)               // inside only: the keys are not in order, or not plain enough
#define UNKNOWN UINT64_MAX                // a place that is to be looked for
#define SAMPLE_RECORDS 1000               // of each side: what order the keys are in
#define PROBE_BYTES 4096                  // a look for a key in NEW
#define WALK_BYTES (16 * PROBE_BYTES)     // looked through record by record
#define GAP_BYTES_MAX (UINT64_C(8) << 20) // of NEW between two keys of OLD: kept in memory

enum { ORDER_WHOLE, ORDER_BYTES };

struct merge_key {
  int64_t whole;
  struct dray_str text; // borrowed
};

// A key that outlives the bytes it was read from.
struct kept_key {
  int there;
  struct merge_key key;
  struct dray_buffer text;
};

struct piece {
  struct window windows[2];
  struct scan scan;             // OLD's records
  struct scan_record single[3]; // the record at hand, of NEW or behind a chunk
  struct rest_piece rests[2];
  struct kept_key first[2], last[2];
  struct kept_key limit;     // the first key behind the chunk; not there: OLD ends
  uint64_t start[2], end[2]; // in the inputs
  uint64_t rows[2];
};

struct merge {
  struct dr_sieve *sieve;
  int order;
  int tail; // OLD is done: what is left of NEW
  struct piece *pieces;
  uint32_t piece_count;
  struct sieve_chunk *chunks[2]; // owned
  uint64_t tail_start, tail_pieces;
  _Atomic uint64_t known[2]; // where some piece began: NEW is likely to go on from there as OLD does
  // In order.
  uint64_t next[2], rows[2];
  struct kept_key last[2];
};

// ---- keys ----

static int compare_keys(int order, const struct merge_key *a, const struct merge_key *b) {
  if (order == ORDER_WHOLE) return a->whole < b->whole ? -1 : a->whole > b->whole;
  const size_t len = (size_t)(a->text.len < b->text.len ? a->text.len : b->text.len);
  const int by_bytes = memcmp(a->text.data, b->text.data, len);
  if (by_bytes != 0) return by_bytes;
  return a->text.len < b->text.len ? -1 : a->text.len > b->text.len;
}

static int32_t keep_key(struct kept_key *kept, const struct merge_key *key, struct dray_error *error) {
  kept->there = 1;
  kept->key = *key;
  if (key->text.data == kept->text.data) return DRAY_OK;
  dray_buffer_clear(&kept->text);
  DRAY_TRY(dray_buffer_append(&kept->text, key->text.data, (size_t)key->text.len, error));
  kept->key.text = dray_buffer_view(&kept->text);
  return DRAY_OK;
}

// The text of the key's field. 0: it is spelt in a way that is not looked into here.
static int find_text(const struct key_plan *plan, const char *from, const char *end, int has_quotes,
                     struct dray_str *out, int *out_quoted) {
  *out_quoted = 0;
  if (!has_quotes) {
    *out = field_plain(from, end, plan->delimiter, plan->columns[0].at);
    return 1;
  }
  const char *next = field_end(plan->delimiter, plan->quote, from, end, out_quoted);
  for (uint32_t at = plan->columns[0].at; at > 0 && next != NULL; at--) {
    from = next;
    next = field_end(plan->delimiter, plan->quote, from, end, out_quoted);
  }
  if (next != NULL) end = next - 1;
  if (*out_quoted) {
    from++;
    end--;
    if (end < from || *end != plan->quote) return 0; // something stands behind the closing quote
    if (memchr(from, plan->quote, (size_t)(end - from)) != NULL) return 0;
  }
  *out = dray_str_make(from, (uint64_t)(end - from));
  return 1;
}

enum { KEY_GIVE_UP = -1, KEY_NONE = 0, KEY_SURE = 1 };

// KEY_NONE: the record is left in the rest whatever comes; its key equals no other.
static int take_key(const struct merge *merge, const char *data, const struct scan_record *record,
                    struct merge_key *out) {
  const struct key_plan *plan = &merge->sieve->plan;
  const char *from = data + record->start, *end = data + record->end;
  const size_t len = record->end - record->start;
  int quoted = 0;
  if ((record->flags & SCAN_FIELDS) || len > plan->field_bytes_max ||
      ((record->flags & SCAN_BYTES) && !dray_text_valid(dray_str_make(from, len)))) {
    return KEY_NONE;
  }
  if (!find_text(plan, from, end, record->flags & SCAN_QUOTES, &out->text, &quoted)) return KEY_GIVE_UP;
  if (!quoted && field_is_null(plan->null_values, plan->null_count, out->text)) return KEY_NONE;
  if (merge->order == ORDER_BYTES) return KEY_SURE;
  uint64_t whole = 0;
  const char *text = out->text.data;
  // The text to its end: in quotes it may hold the delimiter, but NUL nowhere.
  if (!field_plain_number(text, text + out->text.len, '\0', &whole)) return KEY_GIVE_UP;
  out->whole = (int64_t)whole;
  return KEY_SURE;
}

// ---- records ----

// The record at or behind the window's byte *at, which goes behind it. *out = NULL: there is none.
static int32_t next_record(const struct merge *merge, struct piece *piece, struct window *window, uint32_t *at,
                           const struct scan_record **out, struct dray_error *error) {
  struct scan scan = {.records = piece->single, .next = *at};
  int too_long = 0;
  *out = NULL;
  while (scan.count == 0 && (scan.next < window->len || !window_at_end(window))) {
    const uint64_t from = window->base + scan.next;
    DRAY_TRY(window_scan(window, merge->sieve, from, from + 1, &scan, &too_long, error));
    if (too_long) return MERGE_GIVEN_UP;
  }
  *at = scan.next;
  if (scan.count > 0) *out = &piece->single[0];
  return DRAY_OK;
}

// The first key at or behind the window's byte `at`.
static int32_t first_key(const struct merge *merge, struct piece *piece, struct window *window, uint32_t at,
                         struct kept_key *kept, struct dray_error *error) {
  const struct scan_record *record = NULL;
  struct merge_key key;
  kept->there = 0;
  for (;;) {
    DRAY_TRY(next_record(merge, piece, window, &at, &record, error));
    if (record == NULL) return DRAY_OK;
    const int is = take_key(merge, window->data, record, &key);
    if (is == KEY_GIVE_UP) return MERGE_GIVEN_UP;
    if (is == KEY_SURE) return keep_key(kept, &key, error);
  }
}

static int32_t add_rest(struct piece *piece, int side, const struct scan_record *record, struct dray_error *error) {
  const struct window *window = &piece->windows[side];
  if (piece->rests[side].bytes.len > GAP_BYTES_MAX) return MERGE_GIVEN_UP;
  piece->rows[side]++;
  return sieve_piece_add(&piece->rests[side], window->data + record->start, record->end - record->start,
                         record->flags & SCAN_QUOTES, window->base + record->start, error);
}

// ---- where NEW goes on ----

// The first key of a record that begins behind `at`, or at the input's beginning. *out_at: where that record begins;
// UNKNOWN: none is found within the window.
static int32_t probe(const struct merge *merge, struct piece *piece, uint64_t at, struct merge_key *key,
                     uint64_t *out_at, struct dray_error *error) {
  struct window *window = &piece->windows[DR_SIEVE_NEW];
  const uint64_t begin = window->input->data_start;
  const struct scan_record *record = NULL;
  uint32_t from = 0;
  *out_at = UNKNOWN;
  window_begin(window, at);
  DRAY_TRY(window_read_to(window, at + PROBE_BYTES, error));
  if (at > begin) from = scan_line_end(window->data, 0, window->len);
  while (from < window->len) {
    DRAY_TRY(next_record(merge, piece, window, &from, &record, error));
    if (record == NULL) return DRAY_OK;
    const int is = take_key(merge, window->data, record, key);
    if (is == KEY_GIVE_UP) return MERGE_GIVEN_UP;
    if (is == KEY_NONE) continue;
    *out_at = window->base + record->start;
    return DRAY_OK;
  }
  return DRAY_OK;
}

// From a record with a smaller key, or the beginning, to the first one with `key` or a greater one; UNKNOWN: it is not
// among the next WALK_BYTES.
static int32_t walk_to(const struct merge *merge, struct piece *piece, uint64_t from, const struct merge_key *key,
                       uint64_t *out, struct dray_error *error) {
  struct window *window = &piece->windows[DR_SIEVE_NEW];
  const struct scan_record *record = NULL;
  struct merge_key found;
  *out = UNKNOWN;
  if (from < window->base || from > window->base + window->len) window_begin(window, from);
  const uint32_t begin = (uint32_t)(from - window->base);
  DRAY_TRY(window_read_to(window, from + PROBE_BYTES, error));
  for (uint32_t at = begin; at - begin < WALK_BYTES;) {
    DRAY_TRY(next_record(merge, piece, window, &at, &record, error));
    if (record == NULL) {
      *out = window->base + window->len;
      return DRAY_OK;
    }
    const int is = take_key(merge, window->data, record, &found);
    if (is == KEY_GIVE_UP) return MERGE_GIVEN_UP;
    if (is == KEY_NONE || compare_keys(merge->order, &found, key) < 0) continue;
    *out = window->base + record->start;
    return DRAY_OK;
  }
  return DRAY_OK;
}

// *low: a record with a smaller key, or the beginning; *high: likewise not smaller, or the end. Takes one of both to
// `at`, or near it.
static int32_t narrow(const struct merge *merge, struct piece *piece, const struct merge_key *key, uint64_t at,
                      uint64_t *low, uint64_t *high, struct dray_error *error) {
  struct merge_key found;
  uint64_t place = 0;
  DRAY_TRY(probe(merge, piece, at, &found, &place, error));
  if (place != UNKNOWN && place > *low && place < *high && compare_keys(merge->order, &found, key) < 0) {
    *low = place;
  } else {
    *high = at;
  }
  return DRAY_OK;
}

// Where in NEW the first record is whose key is not below `key`; near `guess`, most likely.
static int32_t find_start(const struct merge *merge, struct piece *piece, const struct merge_key *key, uint64_t guess,
                          uint64_t *out, struct dray_error *error) {
  const struct sieve_input *input = &merge->sieve->inputs[DR_SIEVE_NEW];
  const uint64_t begin = input->data_start;
  uint64_t low = begin, high = input->size;
  // Back in growing steps to a smaller key, on in growing steps to one that is not, then by halves.
  for (uint64_t step = PROBE_BYTES; low == begin && guess - begin > step; step *= 4) {
    DRAY_TRY(narrow(merge, piece, key, guess - step, &low, &high, error));
  }
  DRAY_TRY(walk_to(merge, piece, low, key, out, error));
  if (*out != UNKNOWN) return DRAY_OK;
  for (uint64_t step = WALK_BYTES; high == input->size && low + step < high; step *= 4) {
    DRAY_TRY(narrow(merge, piece, key, low + step, &low, &high, error));
  }
  while (high - low > WALK_BYTES / 2) DRAY_TRY(narrow(merge, piece, key, low + (high - low) / 2, &low, &high, error));
  DRAY_TRY(walk_to(merge, piece, low, key, out, error));
  return *out != UNKNOWN ? DRAY_OK : MERGE_GIVEN_UP;
}

static uint64_t guess_start(const struct merge *merge, uint64_t old_start) {
  const struct sieve_input *inputs = merge->sieve->inputs;
  const uint64_t known_old = atomic_load_explicit(&merge->known[0], memory_order_relaxed);
  const uint64_t known_new = atomic_load_explicit(&merge->known[1], memory_order_relaxed);
  const uint64_t begin_old = inputs[0].data_start, begin_new = inputs[1].data_start;
  double rate = 1;
  if (known_old > begin_old && known_new > begin_new) {
    rate = (double)(known_new - begin_new) / (double)(known_old - begin_old);
  }
  const double guess = (double)known_new + ((double)old_start - (double)known_old) * rate;
  if (guess < (double)begin_new) return begin_new;
  return guess < (double)inputs[1].size ? (uint64_t)guess : inputs[1].size;
}

// ---- one piece ----

struct cursor {
  struct piece *piece;
  size_t i;                         // OLD's record at hand
  uint32_t at;                      // in NEW's window: behind the record at hand, or where the next one is looked for
  const struct scan_record *record; // of NEW; NULL: not looked at yet
  struct merge_key key;             // its key
  struct merge_key last[2];         // greatest so far; borrowed from the windows or from piece->last
  int has_last[2];
};

static int32_t take_in_order(const struct merge *merge, struct cursor *cursor, int side, const struct merge_key *key,
                             struct dray_error *error) {
  if (!cursor->has_last[side]) DRAY_TRY(keep_key(&cursor->piece->first[side], key, error));
  if (cursor->has_last[side] && compare_keys(merge->order, &cursor->last[side], key) >= 0) return MERGE_GIVEN_UP;
  cursor->last[side] = *key;
  cursor->has_last[side] = 1;
  return DRAY_OK;
}

// Room for more of NEW: what is behind the cursor is not needed any more but for the last key.
static int32_t read_on(const struct merge *merge, struct cursor *cursor, struct dray_error *error) {
  struct piece *piece = cursor->piece;
  struct window *window = &piece->windows[DR_SIEVE_NEW];
  if (window_at_end(window) || window->len - cursor->at > PROBE_BYTES) return DRAY_OK;
  if (cursor->has_last[DR_SIEVE_NEW]) {
    struct kept_key *kept = &piece->last[DR_SIEVE_NEW];
    DRAY_TRY(keep_key(kept, &cursor->last[DR_SIEVE_NEW], error));
    cursor->last[DR_SIEVE_NEW] = kept->key;
  }
  window_drop(window, cursor->at);
  cursor->at = 0;
  return window_read_to(window, window->base + window->len + merge->sieve->chunk_bytes / 4 + PROBE_BYTES, error);
}

// Whether NEW goes on with the very bytes of OLD's record; then it is settled, or left on both sides.
static int32_t take_same(const struct merge *merge, struct cursor *cursor, int *out_same, struct dray_error *error) {
  struct piece *piece = cursor->piece;
  const struct window *old = &piece->windows[DR_SIEVE_OLD], *new = &piece->windows[DR_SIEVE_NEW];
  const struct scan_record *record = &piece->scan.records[cursor->i];
  const uint32_t len = record->end - record->start, end = cursor->at + len;
  *out_same = 0;
  if (new->len - cursor->at < len || (record->flags & SCAN_FIELDS)) return DRAY_OK;
  if (end == new->len ? !window_at_end(new) : new->data[end] != '\n' && new->data[end] != '\r') return DRAY_OK;
  if (memcmp(old->data + record->start, new->data + cursor->at, len) != 0) return DRAY_OK;
  struct merge_key key;
  const int is = take_key(merge, old->data, record, &key);
  if (is == KEY_GIVE_UP) return MERGE_GIVEN_UP;
  if (is == KEY_SURE) {
    DRAY_TRY(take_in_order(merge, cursor, DR_SIEVE_OLD, &key, error));
    key.text.data = new->data + cursor->at + (key.text.data - (old->data + record->start));
    DRAY_TRY(take_in_order(merge, cursor, DR_SIEVE_NEW, &key, error));
    piece->rows[0]++;
    piece->rows[1]++;
  } else {
    const struct scan_record same = {cursor->at, end, record->flags};
    DRAY_TRY(add_rest(piece, DR_SIEVE_OLD, record, error));
    DRAY_TRY(add_rest(piece, DR_SIEVE_NEW, &same, error));
  }
  cursor->at = end < new->len ? end + 1 : end;
  cursor->i++;
  *out_same = 1;
  return DRAY_OK;
}

// As next_record; the window may move while the last key lies in it.
static int32_t next_of_new(const struct merge *merge, struct cursor *cursor, uint32_t *at,
                           const struct scan_record **out, struct dray_error *error) {
  struct window *window = &cursor->piece->windows[DR_SIEVE_NEW];
  struct dray_str *last = &cursor->last[DR_SIEVE_NEW].text;
  const uintptr_t offset = (uintptr_t)last->data - (uintptr_t)window->data;
  const int inside = cursor->has_last[DR_SIEVE_NEW] && offset < window->capacity + SCAN_SLACK_BYTES;
  const int32_t rc = next_record(merge, cursor->piece, window, at, out, error);
  if (inside) last->data = window->data + offset;
  return rc;
}

// The next record of NEW that has a key becomes the one at hand; those before it that have none are left. *out = 0:
// there is none.
static int32_t fetch_new(const struct merge *merge, struct cursor *cursor, int *out, struct dray_error *error) {
  struct piece *piece = cursor->piece;
  struct window *window = &piece->windows[DR_SIEVE_NEW];
  *out = cursor->record != NULL;
  while (cursor->record == NULL) {
    const uint64_t stop = merge->tail ? piece->end[1] : UINT64_MAX;
    const struct scan_record *record = NULL;
    DRAY_TRY(read_on(merge, cursor, error));
    if (merge->tail && window->base + cursor->at >= stop) return DRAY_OK;
    uint32_t at = cursor->at;
    DRAY_TRY(next_of_new(merge, cursor, &at, &record, error));
    if (record == NULL || window->base + record->start >= stop) {
      cursor->at = record == NULL ? at : record->start;
      return DRAY_OK;
    }
    const int is = take_key(merge, window->data, record, &cursor->key);
    if (is == KEY_GIVE_UP) return MERGE_GIVEN_UP;
    cursor->at = at;
    if (is == KEY_SURE) {
      cursor->record = record;
      *out = 1;
    } else {
      DRAY_TRY(add_rest(piece, DR_SIEVE_NEW, record, error));
    }
  }
  return DRAY_OK;
}

static int32_t leave_new(const struct merge *merge, struct cursor *cursor, struct dray_error *error) {
  DRAY_TRY(take_in_order(merge, cursor, DR_SIEVE_NEW, &cursor->key, error));
  DRAY_TRY(add_rest(cursor->piece, DR_SIEVE_NEW, cursor->record, error));
  cursor->record = NULL;
  return DRAY_OK;
}

// OLD's record at hand and NEW's, by their keys.
static int32_t take_next(const struct merge *merge, struct cursor *cursor, struct dray_error *error) {
  struct piece *piece = cursor->piece;
  const struct window *old = &piece->windows[DR_SIEVE_OLD], *new = &piece->windows[DR_SIEVE_NEW];
  const struct scan_record *record = &piece->scan.records[cursor->i];
  struct merge_key key;
  int has_new = 0;
  const int is = take_key(merge, old->data, record, &key);
  if (is == KEY_GIVE_UP) return MERGE_GIVEN_UP;
  if (is == KEY_SURE) DRAY_TRY(fetch_new(merge, cursor, &has_new, error));
  const int order = has_new ? compare_keys(merge->order, &key, &cursor->key) : -1;
  if (order > 0) return leave_new(merge, cursor, error);
  if (is == KEY_SURE) DRAY_TRY(take_in_order(merge, cursor, DR_SIEVE_OLD, &key, error));
  cursor->i++;
  const uint32_t len = record->end - record->start;
  if (order == 0 && cursor->record->end - cursor->record->start == len &&
      memcmp(old->data + record->start, new->data + cursor->record->start, len) == 0) {
    DRAY_TRY(take_in_order(merge, cursor, DR_SIEVE_NEW, &cursor->key, error));
    cursor->record = NULL;
    piece->rows[0]++;
    piece->rows[1]++;
    return DRAY_OK;
  }
  DRAY_TRY(add_rest(piece, DR_SIEVE_OLD, record, error));
  return order == 0 ? leave_new(merge, cursor, error) : DRAY_OK;
}

// What NEW has before the next piece's first key.
static int32_t take_gap(const struct merge *merge, struct cursor *cursor, struct dray_error *error) {
  const struct kept_key *limit = &cursor->piece->limit;
  int has_new = 0;
  if (!merge->tail && !limit->there) return DRAY_OK; // OLD ends here
  for (;;) {
    DRAY_TRY(fetch_new(merge, cursor, &has_new, error));
    if (!has_new || (!merge->tail && compare_keys(merge->order, &cursor->key, &limit->key) >= 0)) return DRAY_OK;
    DRAY_TRY(leave_new(merge, cursor, error));
  }
}

// Both windows hold the beginning of the piece.
static int32_t merge_piece(const struct merge *merge, struct piece *piece, struct dray_error *error) {
  struct window *new = &piece->windows[DR_SIEVE_NEW];
  struct cursor cursor = {.piece = piece, .at = (uint32_t)(piece->start[1] - new->base)};
  for (int side = 0; side < 2; side++) {
    sieve_piece_clear(&piece->rests[side]);
    piece->first[side].there = piece->last[side].there = 0;
    piece->rows[side] = 0;
  }
  const size_t count = merge->tail ? 0 : piece->scan.count;
  while (cursor.i < count) {
    int same = 0;
    if (cursor.record == NULL) {
      DRAY_TRY(read_on(merge, &cursor, error));
      DRAY_TRY(take_same(merge, &cursor, &same, error));
    }
    if (!same) DRAY_TRY(take_next(merge, &cursor, error));
  }
  DRAY_TRY(take_gap(merge, &cursor, error));
  piece->end[1] = new->base + (cursor.record != NULL ? cursor.record->start : cursor.at);
  for (int side = 0; side < 2; side++) {
    if (cursor.has_last[side]) DRAY_TRY(keep_key(&piece->last[side], &cursor.last[side], error));
  }
  return DRAY_OK;
}

// OLD's records from `start` to the end of the chunk, and the first key behind them.
static int32_t read_old(const struct merge *merge, struct piece *piece, uint64_t chunk, uint64_t start,
                        struct dray_error *error) {
  struct window *window = &piece->windows[DR_SIEVE_OLD];
  const uint64_t end = sieve_chunk_end(merge->sieve, DR_SIEVE_OLD, chunk);
  int too_long = 0;
  DRAY_TRY(window_scan(window, merge->sieve, start, end, &piece->scan, &too_long, error));
  if (too_long) return MERGE_GIVEN_UP;
  piece->start[0] = start;
  piece->end[0] = window->base + piece->scan.next;
  return first_key(merge, piece, window, piece->scan.next, &piece->limit, error);
}

static int32_t prepare_piece(void *context, uint64_t chunk, uint32_t slot, uint32_t thread, struct dray_error *error) {
  struct merge *merge = context;
  struct piece *piece = &merge->pieces[slot];
  struct window *old = &piece->windows[DR_SIEVE_OLD];
  const struct sieve_input *input = old->input;
  const uint64_t begin = sieve_chunk_begin(merge->sieve, DR_SIEVE_OLD, chunk);
  const uint64_t end = sieve_chunk_end(merge->sieve, DR_SIEVE_OLD, chunk);
  struct kept_key *first = &piece->first[DR_SIEVE_OLD];
  uint64_t start = begin;
  (void)thread;
  piece->start[0] = piece->start[1] = UNKNOWN;
  window_begin(old, chunk > 0 ? begin - 1 : begin);
  DRAY_TRY(window_read_to(old, end + window_tail_bytes(merge->sieve), error));
  if (chunk > 0) start = old->base + scan_line_end(old->data, 0, (uint32_t)(end - old->base)) + 1;
  if (start >= end) return DRAY_OK; // a record reaches over all of it, or so it seems
  DRAY_TRY(read_old(merge, piece, chunk, start, error));
  piece->start[1] = merge->sieve->inputs[DR_SIEVE_NEW].data_start;
  if (chunk > 0) {
    DRAY_TRY(first_key(merge, piece, old, (uint32_t)(start - old->base), first, error));
    if (!first->there) {
      piece->start[1] = UNKNOWN;
      return DRAY_OK;
    }
    DRAY_TRY(find_start(merge, piece, &first->key, guess_start(merge, start), &piece->start[1], error));
  } else {
    window_begin(&piece->windows[DR_SIEVE_NEW], piece->start[1]);
  }
  DRAY_TRY(window_read_to(&piece->windows[DR_SIEVE_NEW], piece->start[1] + (end - start) + PROBE_BYTES, error));
  (void)input;
  return merge_piece(merge, piece, error);
}

// ---- in order ----

static int32_t follow(struct merge *merge, const struct piece *piece, struct dray_error *error) {
  for (int side = 0; side < 2; side++) {
    struct kept_key *last = &merge->last[side];
    const struct kept_key *first = &piece->first[side];
    if (piece->last[side].there) {
      if (last->there && compare_keys(merge->order, &last->key, &first->key) >= 0) return MERGE_GIVEN_UP;
      DRAY_TRY(keep_key(last, &piece->last[side].key, error));
    }
    if (piece->rows[side] > ENTRY_ROWS_MAX - merge->rows[side]) return MERGE_GIVEN_UP;
    merge->rows[side] += piece->rows[side];
    merge->next[side] = piece->end[side];
  }
  return DRAY_OK;
}

static int32_t order_piece(void *context, uint64_t chunk, uint32_t slot, uint32_t thread, struct dray_error *error) {
  struct merge *merge = context;
  struct piece *piece = &merge->pieces[slot];
  const uint64_t end = sieve_chunk_end(merge->sieve, DR_SIEVE_OLD, chunk);
  (void)thread;
  if (merge->next[0] >= end) return MERGE_GIVEN_UP;
  if (piece->start[0] != merge->next[0]) {
    window_begin(&piece->windows[0], merge->next[0]);
    DRAY_TRY(window_read_to(&piece->windows[0], end + window_tail_bytes(merge->sieve), error));
    DRAY_TRY(read_old(merge, piece, chunk, merge->next[0], error));
    piece->start[1] = UNKNOWN;
  }
  if (piece->start[1] != merge->next[1]) {
    piece->start[1] = merge->next[1];
    window_begin(&piece->windows[1], merge->next[1]);
    DRAY_TRY(merge_piece(merge, piece, error));
  }
  for (int side = 0; side < 2; side++) {
    merge->chunks[side][chunk].start = piece->start[side];
    atomic_store_explicit(&merge->known[side], piece->start[side], memory_order_relaxed);
  }
  return follow(merge, piece, error);
}

static int32_t place_piece(void *context, uint64_t chunk, uint32_t slot, uint32_t thread, struct dray_error *error) {
  struct merge *merge = context;
  (void)chunk, (void)thread, (void)error;
  for (int side = 0; side < 2; side++) {
    sieve_rest_place(&merge->sieve->rests[side], &merge->pieces[slot].rests[side]);
  }
  return DRAY_OK;
}

static int32_t write_piece(void *context, uint64_t chunk, uint32_t slot, uint32_t thread, struct dray_error *error) {
  struct merge *merge = context;
  (void)chunk, (void)thread;
  for (int side = 0; side < 2; side++) {
    DRAY_TRY(sieve_rest_write(merge->sieve, side, &merge->pieces[slot].rests[side], error));
  }
  return DRAY_OK;
}

// ---- what NEW has behind OLD's last key ----

static int32_t merge_tail(struct merge *merge, struct piece *piece, uint64_t chunk, uint64_t start,
                          struct dray_error *error) {
  const struct sieve_input *input = &merge->sieve->inputs[DR_SIEVE_NEW];
  const uint64_t end = merge->tail_start + (chunk + 1) * merge->sieve->chunk_bytes;
  piece->start[1] = start;
  piece->end[0] = merge->sieve->inputs[DR_SIEVE_OLD].size;
  piece->end[1] = end < input->size ? end : input->size;
  return merge_piece(merge, piece, error);
}

static int32_t prepare_tail(void *context, uint64_t chunk, uint32_t slot, uint32_t thread, struct dray_error *error) {
  struct merge *merge = context;
  struct piece *piece = &merge->pieces[slot];
  struct window *window = &piece->windows[DR_SIEVE_NEW];
  const uint64_t begin = merge->tail_start + chunk * merge->sieve->chunk_bytes;
  uint64_t start = begin;
  (void)thread;
  window_begin(window, chunk > 0 ? begin - 1 : begin);
  DRAY_TRY(window_read_to(window, begin + merge->sieve->chunk_bytes + window_tail_bytes(merge->sieve), error));
  if (chunk > 0) start = window->base + scan_line_end(window->data, 0, window->len) + 1;
  piece->start[1] = UNKNOWN;
  if (start > window->base + window->len) return DRAY_OK;
  return merge_tail(merge, piece, chunk, start, error);
}

static int32_t order_tail(void *context, uint64_t chunk, uint32_t slot, uint32_t thread, struct dray_error *error) {
  struct merge *merge = context;
  struct piece *piece = &merge->pieces[slot];
  (void)thread;
  if (piece->start[1] != merge->next[1]) {
    window_begin(&piece->windows[1], merge->next[1]);
    DRAY_TRY(merge_tail(merge, piece, chunk, merge->next[1], error));
  }
  merge->chunks[1][merge->sieve->chunk_count[0] + chunk].start = piece->start[1];
  return follow(merge, piece, error);
}

// ---- all of it ----

static int32_t init_piece(struct merge *merge, struct piece *piece, struct dray_error *error) {
  const struct dr_sieve *sieve = merge->sieve;
  const size_t records = (size_t)sieve->chunk_bytes / 2 + 2; // each has a byte and a line end
  for (int side = 0; side < 2; side++) {
    sieve_piece_init(&piece->rests[side]);
    dray_buffer_init(&piece->first[side].text, SIZE_MAX / 4);
    dray_buffer_init(&piece->last[side].text, SIZE_MAX / 4);
    const size_t capacity = (size_t)sieve->chunk_bytes + (side == DR_SIEVE_NEW ? 4 * PROBE_BYTES : 0);
    DRAY_TRY(window_init(&piece->windows[side], &sieve->inputs[side], capacity + window_tail_bytes(sieve) + 1, error));
  }
  dray_buffer_init(&piece->limit.text, SIZE_MAX / 4);
  piece->scan.records = malloc(records * sizeof(*piece->scan.records));
  if (piece->scan.records == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to read CSV");
  return DRAY_OK;
}

static void free_merge(struct merge *merge) {
  for (uint32_t i = 0; merge->pieces != NULL && i < merge->piece_count; i++) {
    struct piece *piece = &merge->pieces[i];
    for (int side = 0; side < 2; side++) {
      window_free(&piece->windows[side]);
      sieve_piece_free(&piece->rests[side]);
      dray_buffer_free(&piece->first[side].text);
      dray_buffer_free(&piece->last[side].text);
    }
    dray_buffer_free(&piece->limit.text);
    free(piece->scan.records);
  }
  free(merge->pieces);
  for (int side = 0; side < 2; side++) {
    free(merge->chunks[side]);
    dray_buffer_free(&merge->last[side].text);
  }
}

static int32_t init_merge(struct merge *merge, struct dray_error *error) {
  const struct dr_sieve *sieve = merge->sieve;
  merge->piece_count = sieve->threads * LANE_SLOTS;
  merge->pieces = calloc(merge->piece_count, sizeof(*merge->pieces));
  for (int side = 0; side < 2; side++) {
    merge->chunks[side] =
        calloc((size_t)(sieve->chunk_count[0] + sieve->chunk_count[1]) + 2, sizeof(struct sieve_chunk));
    merge->next[side] = sieve->inputs[side].data_start;
    atomic_init(&merge->known[side], merge->next[side]);
    dray_buffer_init(&merge->last[side].text, SIZE_MAX / 4);
  }
  if (merge->pieces == NULL || merge->chunks[0] == NULL || merge->chunks[1] == NULL) {
    return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to read CSV");
  }
  for (uint32_t i = 0; i < merge->piece_count; i++) DRAY_TRY(init_piece(merge, &merge->pieces[i], error));
  return DRAY_OK;
}

// Whether the first keys of a side are plain, and grow.
static int32_t try_order(struct merge *merge, int side, int *out_fits, struct dray_error *error) {
  struct piece *piece = &merge->pieces[0];
  struct window *window = &piece->windows[side];
  const struct scan_record *record = NULL;
  struct merge_key key, last = {0};
  uint32_t at = 0;
  int keys = 0;
  *out_fits = 0;
  window_begin(window, window->input->data_start);
  DRAY_TRY(window_read_to(window, window->base + merge->sieve->chunk_bytes, error));
  for (int i = 0; i < SAMPLE_RECORDS && at < window->len; i++) {
    const char *before = window->data;
    DRAY_TRY(next_record(merge, piece, window, &at, &record, error));
    if (record == NULL || window->data != before) break; // or a record that is longer than the sample
    const int is = take_key(merge, window->data, record, &key);
    if (is == KEY_GIVE_UP) return MERGE_GIVEN_UP;
    if (is == KEY_NONE) continue;
    if (keys++ > 0 && compare_keys(merge->order, &last, &key) >= 0) return MERGE_GIVEN_UP;
    last = key;
  }
  *out_fits = 1;
  return DRAY_OK;
}

// Decides how keys are ordered. *out = 0: this is no pair of files for a merge.
static int32_t choose_order(struct merge *merge, int *out, struct dray_error *error) {
  const struct key_plan *plan = &merge->sieve->plan;
  *out = 0;
  if (!plan->text && !plan->whole) return DRAY_OK;
  for (merge->order = ORDER_WHOLE; merge->order <= (plan->text ? ORDER_BYTES : ORDER_WHOLE); merge->order++) {
    int fits = 0;
    int32_t rc = try_order(merge, DR_SIEVE_OLD, &fits, error);
    if (rc == DRAY_OK && fits) rc = try_order(merge, DR_SIEVE_NEW, &fits, error);
    if (rc != DRAY_OK && rc != MERGE_GIVEN_UP) return rc;
    if (rc == MERGE_GIVEN_UP || !fits) continue;
    *out = 1;
    return DRAY_OK;
  }
  return DRAY_OK;
}

static void told(void *context, uint64_t pieces) {
  const struct merge *merge = context;
  const struct dr_sieve *sieve = merge->sieve;
  if (sieve->options->progress == NULL || merge->tail) return;
  const uint64_t total = sieve->inputs[0].size + sieve->inputs[1].size;
  const uint64_t done = total / (sieve->chunk_count[0] + 1) * pieces;
  sieve->options->progress(sieve->options->progress_context, done < total ? done : total, total);
}

static int32_t run_merge(struct merge *merge, struct dray_error *error) {
  struct dr_sieve *sieve = merge->sieve;
  struct lane lane = {.threads = sieve->threads,
                      .pieces = sieve->chunk_count[0],
                      .context = merge,
                      .prepare = prepare_piece,
                      .in_order = order_piece,
                      .place_in_order = place_piece,
                      .write = write_piece,
                      .told = told};
  DRAY_TRY(lane_run(&lane, error));
  const uint64_t left = sieve->inputs[1].size - merge->next[1];
  merge->tail = 1;
  merge->tail_start = merge->next[1];
  merge->tail_pieces = left / sieve->chunk_bytes + (left % sieve->chunk_bytes != 0);
  lane.pieces = merge->tail_pieces;
  lane.prepare = prepare_tail;
  lane.in_order = order_tail;
  return lane_run(&lane, error);
}

static void finish_merge(struct merge *merge) {
  struct dr_sieve *sieve = merge->sieve;
  const uint64_t counts[2] = {sieve->chunk_count[0], sieve->chunk_count[0] + merge->tail_pieces};
  for (int side = 0; side < 2; side++) {
    free(sieve->chunks[side]);
    sieve->chunks[side] = merge->chunks[side];
    merge->chunks[side] = NULL;
    sieve->chunk_count[side] = counts[side];
    sieve->lines_unknown[side] = 1;
    sieve->result.sides[side].rows = merge->rows[side];
  }
  sieve->result.unchanged = merge->rows[0] - sieve->rests[0].rows;
}

int32_t sieve_merge(struct dr_sieve *sieve, int *out_merged, struct dray_error *error) {
  struct merge merge = {.sieve = sieve};
  int fits = 0;
  *out_merged = 0;
  if (sieve->chunk_count[0] == 0 || sieve->plan.column_count != 1) return DRAY_OK;
  int32_t rc = init_merge(&merge, error);
  if (rc == DRAY_OK) rc = choose_order(&merge, &fits, error);
  if (rc == DRAY_OK && fits) rc = run_merge(&merge, error);
  if (rc == DRAY_OK && fits) {
    finish_merge(&merge);
    *out_merged = 1;
  }
  free_merge(&merge);
  return rc == MERGE_GIVEN_UP ? DRAY_OK : rc;
}
