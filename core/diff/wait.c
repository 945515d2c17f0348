// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Rows that the filter did not take, until it is known what the mirror holds of their keys. Nothing of the base is held
// in memory for that: many keys are sorted and answered by one sweep over the base, a round. Then the rows are handed
// on in the order of the input. The last round proves the filter in the same sweep.
//
// A row that is taken is the first of its key, or would have to be written down. While rows wait nobody knows which of
// the base's they are, so a row that is taken and may be of the key of one that waits is noted, and is taken back at
// the end of the round if it is. When a round has ended nothing matches the base's rows that it found any more.
#include <stdlib.h>

#include "diff/pass.h"
#include "diff/two.h"

// Bits of ANSWER_NUMBER.
#define IN_JOURNAL (UINT64_C(1) << 63)
#define IS_PLAIN (UINT64_C(1) << 62) // a row was taken for it, when it was looked up
#define NOT_FOUND UINT64_MAX
#define HALVES_KEYS_MIN 512u // of which each thread looks up a half
#define MARKS_MIN 1024u      // bits
#define MARKS_MAX (1u << 23) // what stays in the cache of one core
#define SPILL_PART 16u       // a sweep over this many times what may be in memory costs more than to spill that
#define ROUND_BYTES_MAX (24u << 20)

// ---- what waits ----

void dr_wait_init(struct dr_diff *diff, uint64_t memory_bytes) {
  struct dr_wait *wait = &diff->wait;
  const uint64_t entries = dr_base_rows(diff->mirror->base) * diff->mirror->base->entry_bytes;
  uint64_t rows = memory_bytes / 8 * 5;
  // Memory that is touched for the first time costs as well: rather a few rounds in the same.
  if (rows > ROUND_BYTES_MAX && entries < (uint64_t)SPILL_PART * ROUND_BYTES_MAX) rows = ROUND_BYTES_MAX;
  wait->spills = entries > SPILL_PART * rows;
  if (wait->spills) rows = memory_bytes / 8;
  const int ordered = diff->order_column >= 0, mixed = diff->mirror->base->entry_bytes == 16;
  dr_sorter_init(&wait->rows, ordered ? WAIT_WORDS : mixed ? WAIT_LOW : WAIT_ORDER, 1, 1, rows, diff->mirror->folder);
  const uint64_t asks = wait->spills ? memory_bytes / 2 : memory_bytes / 4, notes = memory_bytes / 8;
  wait->note_words = ordered ? NOTE_WORDS : NOTE_ORDER;
  wait->ask_max = (size_t)(asks / (ASK_WORDS * sizeof *wait->asks)) + 1;
  wait->note_max = (size_t)(notes / (wait->note_words * sizeof *wait->notes)) + 1;
  // Of a large base there is little room, and mostly they are more: then the base is read once more.
  const uint64_t unseen = wait->spills ? notes / 8 : notes / 2;
  diff->unseen[0].max = diff->unseen[1].max = (size_t)(unseen / (UNSEEN_WORDS * sizeof(uint64_t)));
  uint64_t marks = MARKS_MIN;
  while (marks < MARKS_MAX && marks < 16 * wait->ask_max) marks *= 2;
  wait->mark_mask = marks - 1;
}

void dr_wait_free(struct dr_wait *wait) {
  dr_sorter_free(&wait->rows);
  free(wait->asks);
  free(wait->notes);
  free(wait->backs);
  free(wait->marks);
  memset(wait, 0, sizeof *wait);
}

// Room for one more item; no more than `max` of them at once where that is enough.
static int32_t grow(void **items, size_t *capacity, size_t count, size_t max, size_t size, struct dray_error *error) {
  if (count < *capacity) return DRAY_OK;
  size_t larger = *capacity + *capacity / 2 + 64;
  if (larger > max && max > count) larger = max;
  void *memory = realloc(*items, larger * size);
  if (memory == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for %zu rows that wait", larger);
  *items = memory;
  *capacity = larger;
  return DRAY_OK;
}

int32_t dr_wait_note(struct dr_diff *diff, const uint64_t *words, struct dray_error *error) {
  struct dr_wait *wait = &diff->wait;
  const size_t bytes = wait->note_words * sizeof *wait->notes;
  DRAY_TRY(grow((void **)&wait->notes, &wait->note_capacity, wait->note_count, wait->note_max, bytes, error));
  memcpy(wait->notes + wait->note_words * wait->note_count++, words, bytes);
  return DRAY_OK;
}

int dr_wait_is_full(const struct dr_wait *wait) {
  return wait->ask_count >= wait->ask_max || wait->note_count >= wait->note_max ||
         (!wait->spills && dr_sorter_is_nearly_full(&wait->rows));
}

// ---- looking up ----

struct look { // up some keys, in the order of the base
  struct dr_diff *diff;
  size_t next, end;    // of the asks
  uint64_t line, last; // lines of the filter, when it is proven
  int proves;
  struct dr_unseen *unseen; // with `proves`
  struct dr_sweep sweep;
  int32_t rc;
  struct dray_error error;
};

static void answer(uint64_t *ask, uint64_t number, uint64_t row_hash) {
  const uint64_t index = ask[ASK_INDEX];
  ask[ANSWER_INDEX] = index;
  ask[ANSWER_NUMBER] = number;
  ask[ANSWER_ROW_HASH] = row_hash;
}

// Answers the keys that the overlay speaks for, up to one that it does not.
static uint64_t *next_ask(struct look *look) {
  const struct dr_mirror *mirror = look->diff->mirror;
  while (look->next < look->end) {
    uint64_t *ask = look->diff->wait.asks + ASK_WORDS * look->next;
    struct dr_found found;
    if (mirror->settled == 0 || !dr_mirror_find_item(mirror, ask[ASK_HIGH], ask[ASK_LOW], &found)) return ask;
    answer(ask, found.found ? found.number | IN_JOURNAL : NOT_FOUND, found.row_hash);
    look->next++;
  }
  return NULL;
}

// A row of the base came. Returns IS_PLAIN when another was taken for it.
static uint64_t see_row(struct dr_diff *diff, uint64_t number) {
  if (!dr_is_filtered(diff)) return 0;
  if (dr_filter_is_plain(&diff->filter, number)) return IS_PLAIN;
  dr_filter_see(&diff->filter, number);
  return 0;
}

// Answers the keys that are not behind these entries of the base, the first of which is row `number`.
static void match(struct look *look, const uint8_t *entries, size_t count, uint64_t number) {
  const size_t entry_bytes = look->sweep.base->entry_bytes;
  size_t at = 0;
  for (uint64_t *ask; (ask = next_ask(look)) != NULL; look->next++) {
    const uint64_t high = ask[ASK_HIGH], low = ask[ASK_LOW];
    while (at + 16 < count && dr_get_u64(entries + (at + 16) * entry_bytes) < high) at += 16;
    struct dr_entry entry = {0, 0, 0};
    for (; at < count; at++) {
      entry = dr_entry_at(entries + at * entry_bytes, entry_bytes);
      if (entry.high > high || (entry.high == high && entry.low >= low)) break;
    }
    if (at == count) return;
    const int same = entry.high == high && entry.low == low;
    answer(ask, same ? (number + at) | see_row(look->diff, number + at) : NOT_FOUND, same ? entry.row_hash : 0);
  }
}

// Notes those rows that did not come, as long as there is room.
static int32_t note_unseen(struct look *look, const uint8_t *entries, size_t count, uint64_t number) {
  const size_t entry_bytes = look->sweep.base->entry_bytes;
  struct dr_unseen *unseen = look->unseen;
  const uint64_t end = number + count;
  uint64_t at = dr_filter_next_unseen(&look->diff->filter, number, end);
  for (; at < end && unseen->whole; at = dr_filter_next_unseen(&look->diff->filter, at + 1, end)) {
    const struct dr_entry entry = dr_entry_at(entries + (at - number) * entry_bytes, entry_bytes);
    const uint64_t words[UNSEEN_WORDS] = {at, entry.high, entry.low, entry.row_hash};
    unseen->whole = unseen->count < unseen->max;
    if (!unseen->whole) break;
    DRAY_TRY(grow((void **)&unseen->items, &unseen->capacity, unseen->count, unseen->max, sizeof words, &look->error));
    memcpy(unseen->items + UNSEEN_WORDS * unseen->count++, words, sizeof words);
  }
  return DRAY_OK;
}

// All rows of the base in some lines of the filter.
static int32_t go_through(struct look *look) {
  struct dr_filter *filter = &look->diff->filter;
  uint64_t number = filter->lines[look->line].first;
  const uint64_t end = dr_filter_line_end(filter, look->last);
  while (number < end) {
    const uint8_t *entries;
    size_t count;
    DRAY_TRY(dr_sweep_next(&look->sweep, number, &entries, &count, &look->error));
    if (count > end - number) count = (size_t)(end - number);
    match(look, entries, count, number);
    dr_filter_take_off(filter, &look->line, entries, look->sweep.base->entry_bytes, count, number);
    DRAY_TRY(note_unseen(look, entries, count, number));
    number += count;
  }
  return DRAY_OK;
}

// The blocks alone that a key may be in.
static int32_t pick_out(struct look *look) {
  const struct dr_base *base = look->sweep.base;
  uint64_t number = 0;
  for (const uint64_t *ask; (ask = next_ask(look)) != NULL && number < dr_base_rows(base);) {
    const uint8_t *entries;
    size_t count;
    const uint64_t block = dr_base_block_of(base, ask[ASK_HIGH]) * DR_ENTRIES_PER_BLOCK;
    if (block > number) number = block;
    DRAY_TRY(dr_sweep_next(&look->sweep, number, &entries, &count, &look->error));
    match(look, entries, count, number);
    number += count;
  }
  return DRAY_OK;
}

static void look_up_half(void *ctx) {
  struct look *look = ctx;
  look->rc = look->proves ? go_through(look) : pick_out(look);
  dr_sweep_free(&look->sweep);
  if (look->rc != DRAY_OK) return;
  for (uint64_t *ask; (ask = next_ask(look)) != NULL; look->next++) answer(ask, NOT_FOUND, 0);
}

// The first of the sorted asks that lies in line `line` or behind it.
static size_t first_ask(const struct dr_diff *diff, uint64_t line) {
  size_t from = 0, to = diff->wait.ask_count;
  while (from < to) {
    const size_t middle = from + (to - from) / 2;
    if (dr_filter_line_of(&diff->filter, diff->wait.asks[ASK_WORDS * middle + ASK_HIGH]) < line) {
      from = middle + 1;
    } else {
      to = middle;
    }
  }
  return from;
}

static int32_t look_up(struct dr_diff *diff, int proves, struct dray_error *error) {
  struct dr_wait *wait = &diff->wait;
  const struct dr_base *base = diff->mirror->base;
  const int halved = dr_is_filtered(diff) &&
                     (wait->ask_count >= HALVES_KEYS_MIN || (proves && dr_base_rows(base) >= 4 * HALVES_KEYS_MIN));
  const uint64_t lines = diff->filter.line_count, middle = halved ? lines / 2 : lines;
  const size_t split = halved ? first_ask(diff, middle) : wait->ask_count;
  struct look halves[2];
  for (size_t i = 0; i < 2; i++) {
    halves[i] = (struct look){.diff = diff,
                              .next = i == 0 ? 0 : split,
                              .end = i == 0 ? split : wait->ask_count,
                              .line = i == 0 ? 0 : middle,
                              .last = (i == 0 ? middle : lines) - 1,
                              .proves = proves && (i == 1 || middle > 0),
                              .unseen = &diff->unseen[i],
                              .rc = DRAY_OK};
    diff->unseen[i].whole = proves && diff->full;
    dray_error_init(&halves[i].error);
    dr_sweep_init(&halves[i].sweep, base);
    halves[i].sweep.sparse = !proves && wait->ask_count < base->footer.entries_count / 4;
  }
  dr_in_two(diff->mirror->threads, look_up_half, &halves[0], halved ? &halves[1] : NULL);
  for (size_t i = 0; i < 2; i++) {
    if (halves[i].rc == DRAY_OK) continue;
    *error = halves[i].error;
    return halves[i].rc;
  }
  return DRAY_OK;
}

// ---- handing on ----

// The note of a row that was taken for row `number` of the base; NULL: there is none.
static const uint64_t *find_note(const struct dr_wait *wait, uint64_t number) {
  size_t from = 0, to = wait->note_count;
  while (from < to) {
    const size_t middle = from + (to - from) / 2;
    if (wait->notes[wait->note_words * middle + NOTE_NUMBER] < number) {
      from = middle + 1;
    } else {
      to = middle;
    }
  }
  const uint64_t *note = wait->notes + wait->note_words * from;
  return from < wait->note_count && note[NOTE_NUMBER] == number ? note : NULL;
}

static int32_t push_back(struct dr_wait *wait, const struct dr_rest *rest, struct dray_error *error) {
  size_t at = wait->back_count;
  DRAY_TRY(grow((void **)&wait->backs, &wait->back_capacity, at, SIZE_MAX, sizeof *wait->backs, error));
  for (wait->back_count++; at > 0 && wait->backs[(at - 1) / 2].ordinal > rest->ordinal; at = (at - 1) / 2) {
    wait->backs[at] = wait->backs[(at - 1) / 2];
  }
  wait->backs[at] = *rest;
  return DRAY_OK;
}

static struct dr_rest pop_back(struct dr_wait *wait) {
  const struct dr_rest first = wait->backs[0], *last = &wait->backs[--wait->back_count];
  size_t at = 0;
  for (size_t child; (child = 2 * at + 1) < wait->back_count; at = child) {
    if (child + 1 < wait->back_count && wait->backs[child + 1].ordinal < wait->backs[child].ordinal) child++;
    if (wait->backs[child].ordinal >= last->ordinal) break;
    wait->backs[at] = wait->backs[child];
  }
  wait->backs[at] = *last;
  return first;
}

// A row was taken for the one that was found. If it came first it stays so, and has no sighting: *out is what those
// behind it say of that. Else it is taken back, and comes in its turn.
static int32_t after_plain(struct dr_diff *diff, const struct dr_rest *rest, uint64_t *out, struct dray_error *error) {
  const size_t words = diff->wait.note_words;
  const uint64_t *note = find_note(&diff->wait, rest->found.number);
  *out = SIGHT_AFTER_PLAIN;
  if (note == NULL || note[NOTE_PLACE] >> WAIT_FLAGS_BITS < rest->ordinal) return DRAY_OK;
  if (rest->found.row_hash <= DR_ROW_HASH_DISTRUSTED) return DRAY_OK; // equals nothing: it was a lie, and is proven one
  const struct dr_rest back = {.ordinal = note[NOTE_PLACE] >> WAIT_FLAGS_BITS,
                               .high = rest->high,
                               .low = rest->low,
                               .row_hash = rest->found.row_hash,
                               .order = words > NOTE_ORDER ? note[NOTE_ORDER] : 0,
                               .found = rest->found,
                               .flags = (uint32_t)(note[NOTE_PLACE] & WAIT_FLAGS_MASK)};
  dr_filter_untake(&diff->filter, rest->found.number, rest->high, rest->found.row_hash);
  diff->counts.unchanged--;
  *out = 0;
  return push_back(&diff->wait, &back, error);
}

// Notes that a row came whose key the overlay holds. *out_done: it is the first, and equals the overlay's: nothing more
// is said of it. Returns what its sighting must say of those before it.
static uint64_t see_item(struct dr_diff *diff, const struct dr_rest *rest, int *out_done) {
  const struct dr_found *found = &rest->found;
  if (dr_has_bit(diff->items_plain, found->number)) return SIGHT_AFTER_PLAIN;
  if (dr_has_bit(diff->items_seen, found->number)) return 0;
  dr_set_bit(diff->items_seen, found->number);
  if ((rest->flags & DR_REST_TOMBSTONE) != 0 || !dr_rest_equals(diff, found, rest->row_hash)) return 0;
  dr_set_bit(diff->items_plain, found->number);
  *out_done = 1;
  return 0;
}

// Hands on the rows that were taken back and stand before `ordinal` in the input. They equal the base's.
static int32_t put_back(struct dr_diff *diff, uint64_t ordinal, struct dray_error *error) {
  struct dr_wait *wait = &diff->wait;
  while (wait->back_count > 0 && wait->backs[0].ordinal < ordinal) {
    const struct dr_rest rest = pop_back(wait);
    DRAY_TRY(dr_rest_add(diff, &rest, dray_str_make(NULL, 0), error));
  }
  return DRAY_OK;
}

static int32_t hand_on_row(struct dr_diff *diff, const uint64_t *words, const uint64_t *answered, struct dray_str row,
                           struct dray_error *error) {
  const size_t count = diff->wait.rows.words;
  struct dr_rest rest = {.ordinal = words[WAIT_PLACE] >> WAIT_FLAGS_BITS,
                         .high = words[WAIT_HIGH],
                         .low = count > WAIT_LOW ? words[WAIT_LOW] : 0,
                         .row_hash = words[WAIT_ROW_HASH],
                         .order = count > WAIT_ORDER ? words[WAIT_ORDER] : 0,
                         .flags = (uint32_t)(words[WAIT_PLACE] & WAIT_FLAGS_MASK)};
  int done = 0, was_plain = 0;
  if (answered != NULL && answered[ANSWER_NUMBER] != NOT_FOUND) {
    const uint64_t number = answered[ANSWER_NUMBER];
    const int in_journal = (number & IN_JOURNAL) != 0;
    was_plain = (number & IS_PLAIN) != 0;
    rest.found =
        (struct dr_found){1, in_journal, number & ~(IN_JOURNAL | IS_PLAIN), answered[ANSWER_ROW_HASH], rest.high};
  }
  if (dr_is_filtered(diff) && rest.found.in_journal) {
    rest.before = see_item(diff, &rest, &done);
  } else if (was_plain && dr_filter_is_plain(&diff->filter, rest.found.number)) { // it may be taken back already
    DRAY_TRY(after_plain(diff, &rest, &rest.before, error));
  }
  if (!done) return dr_rest_add(diff, &rest, row, error);
  diff->counts.unchanged++;
  return DRAY_OK;
}

static int32_t hand_on(struct dr_diff *diff, struct dray_error *error) {
  struct dr_wait *wait = &diff->wait;
  size_t asked = 0;
  DRAY_TRY(dr_sorter_sort(&wait->rows, error));
  for (;;) {
    const uint64_t *words = NULL, *answered = NULL;
    struct dray_str row;
    DRAY_TRY(dr_sorter_next(&wait->rows, &words, &row, error));
    if (words == NULL) break;
    if ((words[WAIT_PLACE] & DR_REST_NULL_KEY) == 0) answered = wait->asks + ASK_WORDS * asked++;
    DRAY_TRY(put_back(diff, words[WAIT_PLACE] >> WAIT_FLAGS_BITS, error));
    DRAY_TRY(hand_on_row(diff, words, answered, row, error));
  }
  return put_back(diff, UINT64_MAX, error);
}

// ---- a round ----

int32_t dr_wait_add(struct dr_diff *diff, const uint64_t *words, struct dray_str row, struct dray_error *error) {
  struct dr_wait *wait = &diff->wait;
  const struct dr_mirror *mirror = diff->mirror;
  if (dr_base_rows(mirror->base) + mirror->settled == 0) { // a first load: what it waits for is known
    return hand_on_row(diff, words, NULL, row, error);
  }
  if ((words[WAIT_PLACE] & DR_REST_NULL_KEY) == 0) {
    DRAY_TRY(grow((void **)&wait->asks, &wait->ask_capacity, wait->ask_count, wait->ask_max,
                  ASK_WORDS * sizeof *wait->asks, error));
    uint64_t *ask = wait->asks + ASK_WORDS * wait->ask_count;
    ask[ASK_HIGH] = words[WAIT_HIGH];
    ask[ASK_LOW] = words[WAIT_LOW];
    ask[ASK_INDEX] = wait->ask_count++;
    if (dr_is_filtered(diff)) dr_set_bit(wait->marks, words[WAIT_HIGH] & wait->mark_mask);
  }
  return dr_sorter_add(&wait->rows, words, row, error);
}

int32_t dr_wait_flush(struct dr_diff *diff, int last, struct dray_error *error) {
  struct dr_wait *wait = &diff->wait;
  const int proves = last && dr_is_filtered(diff) && diff->filter.taken > 0;
  dr_sort_words(wait->asks, wait->ask_count, ASK_WORDS, ASK_INDEX);
  DRAY_TRY(look_up(diff, proves, error));
  diff->filter.proven = proves;
  dr_sort_words(wait->asks, wait->ask_count, ASK_WORDS, 1); // by ANSWER_INDEX
  dr_sort_words(wait->notes, wait->note_count, wait->note_words, 1);
  DRAY_TRY(hand_on(diff, error));
  diff->counts.spilled_bytes += wait->rows.spilled_bytes;
  wait->rows.spilled_bytes = 0;
  dr_sorter_clear(&wait->rows);
  wait->ask_count = wait->note_count = 0;
  if (wait->marks != NULL) memset(wait->marks, 0, (size_t)(wait->mark_mask + 1) / 8);
  return last ? dr_rest_flush(diff, error) : DRAY_OK;
}
