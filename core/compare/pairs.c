// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The rests are split into records with the hash of their keys, which one table brings together; then each pair is
// compared field by field. What is not a clean record (a wrong number of fields, bytes that are not text, a size beyond
// the limits) is for the engine, whose border says what is wrong with it: with one of these the whole rest goes there.
#include "compare/pairs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/board.h"
#include "base/cancel.h"
#include "base/fault.h"
#include "compare/lane.h"
#include "compare/sieve.h"
#include "compare/state.h"

#define PAIRS_REFUSED (-3) // inside only: for the engine
#define SCAN_STEP (UINT32_C(64) << 10)
#define PIECE_RECORDS 2048
#define KEY_BYTES_MAX (SIZE_MAX / 4)
#define PREFETCH_AHEAD 16

// ---- records and keys ----

// Of one thread.
struct reader {
  struct scan_record *records; // owned
  struct record_row row;
  struct dray_buffer key;
};

static int32_t reader_init(struct reader *reader, const struct record_plan *plan, struct dray_error *error) {
  memset(reader, 0, sizeof(*reader));
  dray_buffer_init(&reader->key, KEY_BYTES_MAX);
  reader->records = malloc((SCAN_STEP / 2 + 2) * sizeof(*reader->records));
  if (reader->records == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to read CSV");
  return record_row_init(&reader->row, plan, error);
}

static void reader_free(struct reader *reader) {
  free(reader->records);
  dray_buffer_free(&reader->key);
  record_row_free(&reader->row);
}

static int32_t hash_key(const struct pairs *pairs, struct reader *reader, struct dray_str record, uint64_t *out,
                        int *out_null, struct dray_error *error) {
  struct dray_str text;
  int reads = 0;
  *out_null = 0;
  record_split(&pairs->plan, record, &reader->row);
  dray_buffer_clear(&reader->key);
  for (size_t i = 0; i < pairs->key_count; i++) {
    DRAY_TRY(record_text(&pairs->plan, &reader->row, pairs->key[i], &text, &reads, error));
    if (text.data == NULL) {
      *out_null = 1;
      return DRAY_OK;
    }
    if (pairs->key_count == 1) {
      *out = XXH3_64bits(text.data, (size_t)text.len);
      return DRAY_OK;
    }
    DRAY_TRY(dray_buffer_append(&reader->key, &text.len, sizeof(text.len), error));
    DRAY_TRY(dray_buffer_append(&reader->key, text.data, (size_t)text.len, error));
  }
  *out = XXH3_64bits(reader->key.data, reader->key.len);
  return DRAY_OK;
}

// A key of one column that stands as it is: nothing is split for it.
static int hash_plain_key(const struct pairs *pairs, struct dray_str record, uint32_t flags, uint64_t *out,
                          int *out_null) {
  const struct record_plan *plan = &pairs->plan;
  const size_t field = pairs->key[0];
  if (pairs->key_count != 1 || (flags & SCAN_QUOTES) || !dr_reading_is_plain(&plan->readings[field])) return 0;
  const struct dray_str text = field_plain(record.data, record.data + record.len, plan->delimiter, plan->places[field]);
  *out_null = field_is_null(plan->null_values, plan->null_count, text);
  *out = XXH3_64bits(text.data, (size_t)text.len);
  return 1;
}

static int32_t add_records(struct pairs *pairs, struct pairs_side *side, struct reader *reader, const struct scan *scan,
                           struct dray_error *error) {
  for (size_t i = 0; i < scan->count; i++) {
    const struct scan_record *record = &scan->records[i];
    const struct dray_str bytes = dray_str_make(side->data + record->start, record->end - record->start);
    struct pairs_record *to = &side->records[side->count];
    int null = 0;
    if ((record->flags & SCAN_FIELDS) || bytes.len > DR_COMPARE_FIELD_BYTES_MAX || side->count == side->capacity) {
      return PAIRS_REFUSED;
    }
    if ((record->flags & SCAN_BYTES) && !dray_text_valid(bytes)) return PAIRS_REFUSED;
    *to = (struct pairs_record){0, record->start, PAIRS_NONE};
    if (!hash_plain_key(pairs, bytes, record->flags, &to->key, &null)) {
      DRAY_TRY(hash_key(pairs, reader, bytes, &to->key, &null, error));
    }
    side->states[side->count++] = null ? PAIRS_NULL_KEY : 0;
  }
  return DRAY_OK;
}

static int32_t load_side(void *context, uint64_t piece, uint32_t slot, uint32_t thread, struct dray_error *error) {
  struct pairs *pairs = context;
  struct pairs_side *side = &pairs->sides[piece];
  const struct scan_dialect dialect = {pairs->plan.delimiter, pairs->plan.quote, pairs->plan.column_count};
  const struct scan_buffer buffer = {side->data, side->len, 1};
  struct reader reader;
  (void)slot, (void)thread;
  int32_t rc = reader_init(&reader, &pairs->plan, error);
  struct scan scan = {.records = reader.records, .next = side->data_start};
  while (rc == DRAY_OK && scan.next < side->len) {
    const uint32_t stop = side->len - scan.next > SCAN_STEP ? scan.next + SCAN_STEP : side->len;
    scan.count = 0;
    (void)scan_records(&dialect, &buffer, stop, &scan);
    rc = add_records(pairs, side, &reader, &scan, error);
    if (rc == DRAY_OK) rc = dr_cancel_check(error);
  }
  reader_free(&reader);
  if (rc == DRAY_OK && side->count != side->capacity) rc = PAIRS_REFUSED;
  side->records[side->count] = (struct pairs_record){0, side->len, PAIRS_NONE};
  return rc;
}

// ---- matching ----

struct match {
  struct pairs *pairs;
  struct reader readers[2];
  uint32_t *table; // owned: twice the record's number, one more for NEW's, and one more; 0: nothing
  uint64_t mask;
  uint64_t twice_keys[2]; // keys that a side has more than once
};

// Whether two records whose hashes are equal have equal keys: they do, but for one in 2^64.
static int32_t check_keys(struct match *match, int a_side, size_t a, int b_side, size_t b, struct dray_error *error) {
  const struct pairs *pairs = match->pairs;
  struct record_row *rows[2] = {&match->readers[0].row, &match->readers[1].row};
  int reads = 0;
  record_split(&pairs->plan, pairs_bytes(&pairs->sides[a_side], a), rows[0]);
  record_split(&pairs->plan, pairs_bytes(&pairs->sides[b_side], b), rows[1]);
  for (size_t i = 0; i < pairs->key_count; i++) {
    struct dray_str texts[2];
    for (int k = 0; k < 2; k++) {
      DRAY_TRY(record_text(&pairs->plan, rows[k], pairs->key[i], &texts[k], &reads, error));
    }
    if (!dray_str_equal(texts[0], texts[1])) return PAIRS_REFUSED;
  }
  return DRAY_OK;
}

static int32_t meet(struct match *match, int head_side, size_t head, int side, size_t i, struct dray_error *error) {
  struct pairs_side *sides = match->pairs->sides;
  struct pairs_record *first = &sides[head_side].records[head];
  if (head_side != side && first->partner == PAIRS_NONE) { // compared later, with all other fields
    first->partner = (uint32_t)i;
    sides[side].records[i].partner = (uint32_t)head;
    return DRAY_OK;
  }
  const size_t twin = head_side == side ? head : first->partner;
  DRAY_TRY(check_keys(match, side, twin, side, i, error));
  match->twice_keys[side] += (sides[side].states[twin] & PAIRS_TWICE) == 0;
  sides[side].states[twin] |= PAIRS_TWICE;
  sides[side].states[i] |= PAIRS_TWICE;
  return DRAY_OK;
}

static int32_t match_side(struct match *match, int side, struct dray_error *error) {
  struct pairs_side *sides = match->pairs->sides;
  const struct pairs_side *from = &sides[side];
  for (size_t i = 0; i < from->count; i++) {
    if (i + PREFETCH_AHEAD < from->count) {
      __builtin_prefetch(&match->table[from->records[i + PREFETCH_AHEAD].key & match->mask], 1);
    }
    if (from->states[i] & PAIRS_NULL_KEY) continue;
    const uint64_t key = from->records[i].key;
    for (uint64_t at = key & match->mask;; at = (at + 1) & match->mask) {
      const uint32_t there = match->table[at];
      if (there == 0) {
        match->table[at] = ((uint32_t)i << 1 | (uint32_t)side) + 1;
        break;
      }
      const int head_side = (int)((there - 1) & 1);
      const size_t head = (there - 1) >> 1;
      if (sides[head_side].records[head].key != key) continue;
      DRAY_TRY(meet(match, head_side, head, side, i, error));
      break;
    }
  }
  return DRAY_OK;
}

// A key that one side has more than once is told on neither.
static void part_copies(struct pairs *pairs) {
  for (int side = 0; side < 2; side++) {
    struct pairs_side *mine = &pairs->sides[side], *other = &pairs->sides[1 - side];
    for (size_t i = 0; i < mine->count; i++) {
      const uint32_t partner = mine->records[i].partner;
      if (partner == PAIRS_NONE || (mine->states[i] & PAIRS_TWICE)) continue;
      if (other->states[partner] & PAIRS_TWICE) mine->states[i] |= PAIRS_OPPOSITE;
    }
  }
}

static uint64_t table_size(uint64_t records) {
  uint64_t size = 1024;
  while (size < 2 * records) size *= 2;
  return size;
}

static int32_t match_all(struct pairs *pairs, uint64_t twice_keys[2], struct dray_error *error) {
  struct match match = {.pairs = pairs};
  const uint64_t size = table_size(pairs->sides[0].count + pairs->sides[1].count);
  match.mask = size - 1;
  match.table = calloc((size_t)size, sizeof(*match.table));
  int32_t rc = match.table != NULL ? DRAY_OK : dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a table of keys");
  for (int i = 0; i < 2 && rc == DRAY_OK; i++) rc = reader_init(&match.readers[i], &pairs->plan, error);
  for (int side = 0; side < 2 && rc == DRAY_OK; side++) rc = match_side(&match, side, error);
  if (rc == DRAY_OK) part_copies(pairs);
  for (int i = 0; i < 2; i++) {
    twice_keys[i] = match.twice_keys[i];
    reader_free(&match.readers[i]);
  }
  free(match.table);
  return rc;
}

// ---- comparing ----

struct misfit {
  int side;
  uint32_t record; // of that side
  uint32_t field;
};

struct outcome {
  uint64_t inserts, updates, unchanged;
  uint64_t *column_updates; // owned
  struct misfit *misfits;   // owned
  size_t misfit_count, misfit_capacity;
};

struct comparing {
  struct dr_compare *compare;
  struct pairs *pairs;
  struct outcome *slots; // owned
  struct outcome all;
  struct record_row *rows; // owned; two for each thread
  uint8_t *changed;        // owned; a set for each thread
  size_t stride;
};

static int32_t outcome_init(struct outcome *outcome, size_t fields, struct dray_error *error) {
  outcome->column_updates = calloc(fields + 1, sizeof(*outcome->column_updates));
  if (outcome->column_updates != NULL) return DRAY_OK;
  return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for %zu columns", fields);
}

static void outcome_free(struct outcome *outcome) {
  free(outcome->column_updates);
  free(outcome->misfits);
}

static int32_t add_misfit(struct outcome *outcome, const struct misfit *misfit, struct dray_error *error) {
  if (outcome->misfit_count == outcome->misfit_capacity) {
    const size_t capacity = outcome->misfit_capacity * 2 + 16;
    struct misfit *grown = realloc(outcome->misfits, capacity * sizeof(*grown));
    if (grown == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for %zu values", capacity);
    outcome->misfits = grown;
    outcome->misfit_capacity = capacity;
  }
  outcome->misfits[outcome->misfit_count++] = *misfit;
  return DRAY_OK;
}

// The first field with a value that is not of its declared type; field_count: none.
static int32_t find_misfit(const struct dr_compare *compare, const struct pairs *pairs, struct record_row *row,
                           size_t *out, struct dray_error *error) {
  const struct dr_compare_inside *inside = compare->inside;
  *out = pairs->plan.field_count;
  for (size_t i = 0; i < inside->declared_count; i++) {
    struct dray_str text;
    int reads = 0;
    DRAY_TRY(record_text(&pairs->plan, row, inside->declared[i], &text, &reads, error));
    if (reads) continue;
    *out = inside->declared[i];
    return DRAY_OK;
  }
  return DRAY_OK;
}

// A change of the records `at`, which `rows` hold; NULL: the side has none. *out = 1: it is withheld.
static int32_t judge(const struct comparing *comparing, struct outcome *outcome, struct record_row *const rows[2],
                     const uint32_t at[2], int *out, struct dray_error *error) {
  *out = 0;
  for (int side = 1; side >= 0 && comparing->compare->inside->declared_count > 0; side--) {
    size_t field = 0;
    if (rows[side] == NULL) continue;
    DRAY_TRY(find_misfit(comparing->compare, comparing->pairs, rows[side], &field, error));
    if (field == comparing->pairs->plan.field_count) continue;
    *out = 1;
    return add_misfit(outcome, &(struct misfit){side, at[side], (uint32_t)field}, error);
  }
  return DRAY_OK;
}

static int32_t compare_one(const struct comparing *comparing, struct outcome *outcome, struct record_row *rows,
                           uint8_t *changed, size_t i, struct dray_error *error) {
  struct pairs *pairs = comparing->pairs;
  struct pairs_side *sides = pairs->sides;
  const uint32_t partner = sides[1].records[i].partner;
  struct record_row *const both[2] = {partner != PAIRS_NONE ? &rows[0] : NULL, &rows[1]};
  const uint32_t at[2] = {partner, (uint32_t)i};
  int withheld = 0;
  record_split(&pairs->plan, pairs_bytes(&sides[1], i), both[1]);
  if (both[0] != NULL) {
    size_t count = 0;
    record_split(&pairs->plan, pairs_bytes(&sides[0], partner), both[0]);
    DRAY_TRY(record_compare(&pairs->plan, both[0], both[1], changed, &count, error));
    for (size_t k = 0; k < pairs->key_count; k++) {
      const size_t f = pairs->key[k];
      if ((changed[f >> 3] >> (f & 7)) & 1) return PAIRS_REFUSED; // two keys with one hash
    }
    if (count == 0) {
      outcome->unchanged++;
      return DRAY_OK;
    }
  }
  DRAY_TRY(judge(comparing, outcome, both, at, &withheld, error));
  sides[1].states[i] |= withheld ? PAIRS_MISFIT : PAIRS_TOLD;
  if (withheld) return DRAY_OK;
  outcome->inserts += both[0] == NULL;
  outcome->updates += both[0] != NULL;
  for (size_t f = 0; both[0] != NULL && f < pairs->plan.field_count; f++) {
    outcome->column_updates[f] += (changed[f >> 3] >> (f & 7)) & 1;
  }
  return DRAY_OK;
}

static int32_t compare_piece(void *context, uint64_t piece, uint32_t slot, uint32_t thread, struct dray_error *error) {
  struct comparing *comparing = context;
  struct outcome *outcome = &comparing->slots[slot];
  const struct pairs_side *from = &comparing->pairs->sides[1];
  const size_t begin = (size_t)piece * PIECE_RECORDS;
  const size_t end = from->count - begin < PIECE_RECORDS ? from->count : begin + PIECE_RECORDS;
  outcome->inserts = outcome->updates = outcome->unchanged = 0;
  outcome->misfit_count = 0;
  memset(outcome->column_updates, 0, comparing->pairs->plan.field_count * sizeof(*outcome->column_updates));
  for (size_t i = begin; i < end; i++) {
    if (from->states[i] != 0) continue;
    DRAY_TRY(compare_one(comparing, outcome, &comparing->rows[2 * thread],
                         comparing->changed + thread * comparing->stride, i, error));
  }
  return DRAY_OK;
}

static int32_t add_outcome(void *context, uint64_t piece, uint32_t slot, uint32_t thread, struct dray_error *error) {
  struct comparing *comparing = context;
  const struct outcome *from = &comparing->slots[slot];
  struct outcome *to = &comparing->all;
  (void)piece, (void)thread;
  to->inserts += from->inserts;
  to->updates += from->updates;
  to->unchanged += from->unchanged;
  for (size_t f = 0; f < comparing->pairs->plan.field_count; f++) to->column_updates[f] += from->column_updates[f];
  for (size_t i = 0; i < from->misfit_count; i++) DRAY_TRY(add_misfit(to, &from->misfits[i], error));
  return DRAY_OK;
}

static int32_t find_deletes(struct comparing *comparing, struct dray_error *error) {
  struct pairs *pairs = comparing->pairs;
  const struct pairs_side *old = &pairs->sides[0];
  size_t count = 0;
  for (size_t i = 0; i < old->count; i++) count += old->states[i] == 0 && old->records[i].partner == PAIRS_NONE;
  pairs->deletes = malloc((count + 1) * sizeof(*pairs->deletes));
  if (pairs->deletes == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for %zu deletes", count);
  for (size_t i = 0; i < old->count; i++) {
    if (old->states[i] == 0 && old->records[i].partner == PAIRS_NONE)
      pairs->deletes[pairs->delete_count++] = (uint32_t)i;
  }
  DRAY_TRY(pairs_order_deletes(comparing->compare, pairs, error));
  size_t kept = 0;
  for (size_t i = 0; i < count; i++) {
    const uint32_t record = pairs->deletes[i];
    struct record_row *const both[2] = {&comparing->rows[0], NULL};
    const uint32_t at[2] = {record, PAIRS_NONE};
    int withheld = 0;
    if (comparing->compare->inside->declared_count > 0) record_split(&pairs->plan, pairs_bytes(old, record), both[0]);
    DRAY_TRY(judge(comparing, &comparing->all, both, at, &withheld, error));
    old->states[record] |= withheld ? PAIRS_MISFIT : PAIRS_TOLD;
    if (!withheld) pairs->deletes[kept++] = record;
  }
  pairs->delete_count = kept;
  return DRAY_OK;
}

static int32_t run_comparing(struct comparing *comparing, struct dray_error *error) {
  struct pairs *pairs = comparing->pairs;
  const size_t fields = pairs->plan.field_count;
  comparing->stride = (fields + 7) / 8;
  comparing->slots = calloc(pairs->threads * LANE_SLOTS, sizeof(*comparing->slots));
  comparing->rows = calloc(2 * pairs->threads, sizeof(*comparing->rows));
  comparing->changed = calloc(pairs->threads, comparing->stride + 1);
  if (comparing->slots == NULL || comparing->rows == NULL || comparing->changed == NULL) {
    return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to compare rows");
  }
  DRAY_TRY(outcome_init(&comparing->all, fields, error));
  for (uint32_t i = 0; i < pairs->threads * LANE_SLOTS; i++) {
    DRAY_TRY(outcome_init(&comparing->slots[i], fields, error));
  }
  for (uint32_t i = 0; i < 2 * pairs->threads; i++) {
    DRAY_TRY(record_row_init(&comparing->rows[i], &pairs->plan, error));
  }
  const struct lane lane = {.threads = pairs->threads,
                            .pieces = (pairs->sides[1].count + PIECE_RECORDS - 1) / PIECE_RECORDS,
                            .context = comparing,
                            .prepare = compare_piece,
                            .in_order = add_outcome};
  DRAY_TRY(lane_run(&lane, error));
  return find_deletes(comparing, error);
}

static void free_comparing(struct comparing *comparing) {
  const uint32_t threads = comparing->pairs->threads;
  for (uint32_t i = 0; comparing->slots != NULL && i < threads * LANE_SLOTS; i++) outcome_free(&comparing->slots[i]);
  for (uint32_t i = 0; comparing->rows != NULL && i < 2 * threads; i++) record_row_free(&comparing->rows[i]);
  outcome_free(&comparing->all);
  free(comparing->slots);
  free(comparing->rows);
  free(comparing->changed);
}

// ---- counts and notes ----

static int32_t note(struct dr_compare *compare, const struct pairs *pairs, struct record_row *row, int side, size_t i,
                    int32_t code, const char *why, struct dray_error *error) {
  record_split(&pairs->plan, pairs_bytes(&pairs->sides[side], i), row);
  DRAY_TRY(record_texts(&pairs->plan, row, NULL, error));
  return dr_inside_note(compare, side, code, row->texts, why, error);
}

static int32_t note_side(struct dr_compare *compare, const struct pairs *pairs, struct record_row *row, int side,
                         struct dray_error *error) {
  const struct pairs_side *from = &pairs->sides[side];
  struct dr_compare_side *counts = &compare->sides[side];
  for (size_t i = 0; i < from->count; i++) {
    const unsigned state = from->states[i];
    counts->null_keys += (state & PAIRS_NULL_KEY) != 0;
    counts->duplicate_rows += (state & PAIRS_TWICE) != 0;
    counts->opposite += (state & PAIRS_OPPOSITE) != 0;
    if ((state & (PAIRS_NULL_KEY | PAIRS_TWICE)) == 0) continue;
    const int32_t code = state & PAIRS_TWICE ? DRAY_E_DATA_KEY_DUPLICATE : DRAY_E_DATA_KEY_NULL;
    DRAY_TRY(note(compare, pairs, row, side, i, code, "", error));
  }
  return DRAY_OK;
}

static int32_t note_misfit(struct dr_compare *compare, const struct pairs *pairs, struct record_row *row,
                           const struct misfit *misfit, struct dray_error *error) {
  char why[DR_INSIDE_WHY_BYTES];
  struct dray_str text;
  int reads = 0;
  record_split(&pairs->plan, pairs_bytes(&pairs->sides[misfit->side], misfit->record), row);
  DRAY_TRY(record_text(&pairs->plan, row, misfit->field, &text, &reads, error));
  dr_inside_why_misfit(compare, misfit->field, text, why);
  compare->sides[misfit->side].unreadable++;
  return note(compare, pairs, row, misfit->side, misfit->record, DRAY_E_DATA_TYPE, why, error);
}

static int32_t settle(struct comparing *comparing, const uint64_t twice_keys[2], struct dray_error *error) {
  struct dr_compare *compare = comparing->compare;
  const struct pairs *pairs = comparing->pairs;
  struct record_row *row = &comparing->rows[0];
  for (int side = 0; side < 2; side++) {
    compare->sides[side].rows += pairs->sides[side].count;
    compare->sides[side].duplicate_keys = twice_keys[side];
    DRAY_TRY(note_side(compare, pairs, row, side, error));
  }
  for (size_t i = 0; i < comparing->all.misfit_count; i++) {
    DRAY_TRY(note_misfit(compare, pairs, row, &comparing->all.misfits[i], error));
  }
  compare->counts.inserts = comparing->all.inserts;
  compare->counts.updates = comparing->all.updates;
  compare->counts.deletes = pairs->delete_count;
  compare->counts.unchanged = compare->counts.settled + comparing->all.unchanged;
  memcpy(compare->counts.column_updates, comparing->all.column_updates,
         pairs->plan.field_count * sizeof(*compare->counts.column_updates));
  return DRAY_OK;
}

// ---- life ----

void pairs_free(struct pairs *pairs) {
  if (pairs == NULL) return;
  for (int side = 0; side < 2; side++) {
    free(pairs->sides[side].records);
    free(pairs->sides[side].states);
  }
  free(pairs->plan.places);
  free((size_t *)(uintptr_t)pairs->key);
  free(pairs->deletes);
  free(pairs);
}

static int32_t make_plan(const struct dr_compare *compare, struct pairs *pairs, struct dray_error *error) {
  const struct dr_compare_options *options = compare->inside->options;
  static const char *const empty_is_null[] = {""};
  size_t columns = 0;
  const char *const *names = dr_sieve_columns(compare->inside->sieve, &columns);
  const size_t fields = compare->schema->field_count;
  size_t *key = calloc(options->key_count + 1, sizeof(*key));
  pairs->key = key;
  pairs->plan = (struct record_plan){
      .delimiter = dr_side_delimiter(&compare->inside->from[0]),
      .quote = '"',
      .column_count = (uint32_t)columns,
      .places = calloc(fields + 1, sizeof(*pairs->plan.places)),
      .field_count = fields,
      .readings = compare->readings,
      .null_values = options->dialect.null_values != NULL ? options->dialect.null_values : empty_is_null,
      .null_count = options->dialect.null_values != NULL ? options->dialect.null_count : 1};
  if (key == NULL || pairs->plan.places == NULL) {
    return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for %zu columns", fields);
  }
  for (size_t f = 0; f < fields; f++) {
    uint32_t at = 0;
    while (at < columns && strcmp(names[at], compare->schema->fields[f].name) != 0) at++;
    if (at == columns) return PAIRS_REFUSED;
    pairs->plan.places[f] = at;
    if (compare->is_key[f]) key[pairs->key_count++] = f;
  }
  return DRAY_OK;
}

static int32_t make_sides(const struct dr_compare *compare, struct pairs *pairs, struct dray_error *error) {
  const struct dr_sieve_result *result = dr_sieve_result(compare->inside->sieve);
  uint64_t records = 0, bytes = 0;
  for (int i = 0; i < 2; i++) {
    records += result->sides[i].rest_rows;
    bytes += result->sides[i].rest_bytes;
    if (result->sides[i].rest_rows >= UINT32_MAX / 2 || result->sides[i].rest_bytes >= UINT32_MAX) return PAIRS_REFUSED;
  }
  bytes += records * (sizeof(struct pairs_record) + 1) + table_size(records) * sizeof(uint32_t);
  if (bytes > compare->inside->options->memory_bytes || dr_fault_point("compare.pairs") != 0) return PAIRS_REFUSED;
  DRAY_TRY(dr_sieve_rest_to_memory(compare->inside->sieve, UINT32_MAX, error));
  for (int i = 0; i < 2; i++) {
    const struct dr_sieve_side *rest = &result->sides[i];
    struct pairs_side *side = &pairs->sides[i];
    if (rest->rest_data == NULL) return PAIRS_REFUSED;
    side->data = rest->rest_data;
    side->len = (uint32_t)rest->rest_bytes;
    side->data_start = (uint32_t)rest->rest_start;
    side->capacity = (size_t)rest->rest_rows;
    side->records = malloc((side->capacity + 1) * sizeof(*side->records));
    side->states = calloc(side->capacity + 1, 1);
    if (side->records == NULL || side->states == NULL) {
      return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for %zu records", side->capacity);
    }
  }
  return DRAY_OK;
}

static int32_t work(struct dr_compare *compare, struct pairs *pairs, struct dray_error *error) {
  uint64_t twice_keys[2] = {0, 0};
  DRAY_TRY(make_plan(compare, pairs, error));
  DRAY_TRY(make_sides(compare, pairs, error));
  const struct lane loading = {.threads = pairs->threads, .pieces = 2, .context = pairs, .prepare = load_side};
  DRAY_TRY(lane_run(&loading, error));
  DRAY_TRY(match_all(pairs, twice_keys, error));
  const int rejects = compare->inside->options->duplicates == DR_DUPLICATES_REJECT;
  if (twice_keys[0] + twice_keys[1] > 0 && !rejects) return PAIRS_REFUSED; // one of them counts: the engine knows which
  struct comparing comparing = {.compare = compare, .pairs = pairs};
  int32_t rc = run_comparing(&comparing, error);
  if (rc == DRAY_OK) rc = settle(&comparing, twice_keys, error);
  free_comparing(&comparing);
  return rc;
}

int32_t pairs_run(struct dr_compare *compare, struct pairs **out, struct dray_error *error) {
  *out = NULL;
  struct pairs *pairs = calloc(1, sizeof(*pairs));
  if (pairs == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to compare two files");
  const uint32_t threads = compare->inside->options->threads;
  pairs->threads = threads != 0 ? threads : 2;
  const int32_t rc = work(compare, pairs, error);
  if (rc != DRAY_OK) {
    pairs_free(pairs);
    return rc == PAIRS_REFUSED ? DRAY_OK : rc;
  }
  *out = pairs;
  return DRAY_OK;
}
