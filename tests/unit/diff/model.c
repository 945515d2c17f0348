// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The naive model: see model.h.
#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "diff/diff.h"
#include "dray/destination.h"

// ---- cells ----

static __int128 power(int exponent) {
  __int128 value = 1;
  for (int i = 0; i < exponent; i++) value *= 10;
  return value;
}

static int is_text(int32_t id) {
  return id == DRAY_TYPE_STRING || id == DRAY_TYPE_BYTES || id == DRAY_TYPE_JSON;
}

int cell_equal(const struct cell *a, const struct cell *b) {
  if (a->state != b->state) return 0;
  if (a->state != CELL_VALUE) return 1;
  return a->type.id == b->type.id && cell_compare(a, b) == 0;
}

int cell_compare(const struct cell *a, const struct cell *b) {
  if (a->type.id == DRAY_TYPE_FLOAT64) {
    const int a_nan = a->real != a->real, b_nan = b->real != b->real;
    if (a_nan || b_nan) return a_nan - b_nan;
    return a->real < b->real ? -1 : a->real > b->real;
  }
  if (a->type.id == DRAY_TYPE_DECIMAL) {
    const __int128 left = a->decimal * power(b->type.scale), right = b->decimal * power(a->type.scale);
    return left < right ? -1 : left > right;
  }
  if (is_text(a->type.id)) {
    const size_t len = a->text_bytes < b->text_bytes ? a->text_bytes : b->text_bytes;
    const int order = memcmp(a->text, b->text, len);
    if (order != 0) return order;
    return a->text_bytes < b->text_bytes ? -1 : a->text_bytes > b->text_bytes;
  }
  return a->number < b->number ? -1 : a->number > b->number;
}

// The cell as a column of this type can hold it: exactly, or not at all.
static struct cell fitted(struct cell cell, struct dray_type type) {
  const struct cell absent = {.state = CELL_ABSENT};
  if (cell.state != CELL_VALUE) return cell;
  if (cell.type.id != type.id) return absent;
  if (type.id != DRAY_TYPE_DECIMAL) return cell;
  for (; cell.type.scale < type.scale; cell.type.scale++) cell.decimal *= 10;
  for (; cell.type.scale > type.scale; cell.type.scale--) {
    if (cell.decimal % 10 != 0) return absent;
    cell.decimal /= 10;
  }
  const __int128 limit = power(type.precision);
  if (cell.decimal >= limit || cell.decimal <= -limit) return absent;
  cell.type = type;
  return cell;
}

int row_key(const struct table *table, const struct row *row, char *out) {
  size_t len = 0;
  out[0] = '\0';
  for (size_t i = 0; i < table->count; i++) {
    const struct cell *cell = &row->cells[i];
    if (!table->columns[i].key) continue;
    if (cell->state != CELL_VALUE) return 0;
    len += (size_t)snprintf(out + len, KEY_BYTES_MAX - len, "%s=", table->columns[i].name);
    if (cell->type.id == DRAY_TYPE_FLOAT64) {
      len += (size_t)snprintf(out + len, KEY_BYTES_MAX - len, "%.17g;", cell->real == 0 ? 0.0 : cell->real);
    } else if (cell->type.id == DRAY_TYPE_DECIMAL) {
      len += (size_t)snprintf(out + len, KEY_BYTES_MAX - len, "%lld;", (long long)cell->decimal);
    } else if (is_text(cell->type.id)) {
      for (size_t b = 0; b < cell->text_bytes; b++) {
        len += (size_t)snprintf(out + len, KEY_BYTES_MAX - len, "%02x", (unsigned)(unsigned char)cell->text[b]);
      }
      len += (size_t)snprintf(out + len, KEY_BYTES_MAX - len, ";");
    } else {
      len += (size_t)snprintf(out + len, KEY_BYTES_MAX - len, "%lld;", (long long)cell->number);
    }
  }
  return 1;
}

// ---- who holds what ----

static size_t bucket_of(const char *key) {
  size_t hash = 5381;
  for (; *key != '\0'; key++) hash = hash * 33 + (unsigned char)*key;
  return hash % HOLDER_BUCKETS;
}

struct held *holder_find(const struct holder *holder, const char *key) {
  struct held *held = holder->buckets[bucket_of(key)];
  while (held != NULL && strcmp(held->key, key) != 0) held = held->next;
  return held;
}

void holder_put(struct holder *holder, const char *key, const struct table *table, const struct row *row) {
  struct held *held = holder_find(holder, key);
  if (held == NULL) {
    held = calloc(1, sizeof *held);
    if (held == NULL) abort();
    (void)snprintf(held->key, sizeof held->key, "%s", key);
    held->next = holder->buckets[bucket_of(key)];
    holder->buckets[bucket_of(key)] = held;
    holder->count++;
  }
  held->table = *table;
  held->row = *row;
}

void holder_remove(struct holder *holder, const char *key) {
  struct held **at = &holder->buckets[bucket_of(key)];
  while (*at != NULL && strcmp((*at)->key, key) != 0) at = &(*at)->next;
  if (*at == NULL) return;
  struct held *held = *at;
  *at = held->next;
  free(held);
  holder->count--;
}

void holder_clear(struct holder *holder) {
  for (size_t i = 0; i < HOLDER_BUCKETS; i++) {
    while (holder->buckets[i] != NULL) holder_remove(holder, holder->buckets[i]->key);
  }
}

const struct cell *held_cell(const struct held *held, const char *name) {
  static const struct cell absent = {.state = CELL_ABSENT};
  for (size_t i = 0; i < held->table.count; i++) {
    if (strcmp(held->table.columns[i].name, name) == 0) return &held->row.cells[i];
  }
  return &absent;
}

// ---- what a pass must say ----

// The mirror's row as far as it can show it.
static struct row row_of(const struct held *held, const struct question *question) {
  const struct table *table = question->table;
  struct row row = {.tombstone = 0};
  for (size_t i = 0; i < table->count; i++) {
    if (question->keep != DR_KEEP_ROW && !table->columns[i].key) continue; // absent
    row.cells[i] = fitted(*held_cell(held, table->columns[i].name), table->columns[i].type);
  }
  return row;
}

static struct said *add_said(struct expectation *out, int op, int32_t code, const char *key) {
  struct said *said = &out->list[out->count++];
  memset(said, 0, sizeof *said);
  said->op = op;
  said->code = code;
  (void)snprintf(said->key, sizeof said->key, "%s", key);
  return said;
}

static int same_type(struct dray_type a, struct dray_type b) {
  return a.id == b.id && a.precision == b.precision && a.scale == b.scale;
}

// Whether the row came exactly so before, under the same columns in any order.
static int is_the_same(const struct held *held, const struct table *table, const struct row *row) {
  int same = held->table.count == table->count;
  for (size_t i = 0; same && i < table->count; i++) {
    size_t j = 0;
    while (j < held->table.count && strcmp(held->table.columns[j].name, table->columns[i].name) != 0) j++;
    same = j < held->table.count && same_type(held->table.columns[j].type, table->columns[i].type) &&
           cell_equal(&held->row.cells[j], &row->cells[i]);
  }
  return same;
}

// Bit per column that the row says otherwise than the mirror; held may be NULL.
static uint32_t changed_columns(const struct held *held, const struct question *question, const struct row *row) {
  const struct table *table = question->table;
  uint32_t changed = 0;
  const int key_alone = held != NULL && question->keep == DR_KEEP_KEY; // all that is said, or nothing
  if (key_alone && (question->flags & DR_DIFF_RESYNC) == 0 && is_the_same(held, table, row)) return 0;
  for (size_t i = 0; held != NULL && i < table->count; i++) {
    const struct cell *old = held_cell(held, table->columns[i].name);
    if (row->cells[i].state == CELL_ABSENT) continue;
    if (key_alone || (question->flags & DR_DIFF_RESYNC) != 0 || !cell_equal(old, &row->cells[i])) changed |= 1u << i;
  }
  return changed;
}

static void say_row(const struct holder *mirror, const struct question *question, const struct row *row,
                    const char *key, struct expectation *out) {
  const struct table *table = question->table;
  const struct held *held = holder_find(mirror, key);
  struct row merged = *row;
  const uint32_t changed = changed_columns(held, question, row);
  for (size_t i = 0; held != NULL && i < table->count; i++) {
    if (row->cells[i].state != CELL_ABSENT || question->keep == DR_KEEP_KEY) continue;
    merged.cells[i] = *held_cell(held, table->columns[i].name);
    if (question->keep == DR_KEEP_ROW) merged.cells[i] = fitted(merged.cells[i], table->columns[i].type);
  }
  if (held != NULL && changed == 0) {
    out->unchanged++;
    return;
  }
  struct said *said = add_said(out, held != NULL ? DRAY_OP_UPDATE : DRAY_OP_INSERT, 0, key);
  said->row = *row;
  said->merged = merged;
  said->changed = held != NULL ? changed : (1u << table->count) - 1;
  if (held == NULL) {
    out->inserts++;
    return;
  }
  said->before = row_of(held, question);
  out->updates++;
  for (size_t i = 0; i < table->count; i++) out->column_updates[i] += (changed >> i) & 1;
}

struct keyed {
  char key[KEY_BYTES_MAX];
  size_t at;
};

static int by_key(const void *a, const void *b) {
  const struct keyed *left = a, *right = b;
  const int order = strcmp(left->key, right->key);
  if (order != 0) return order;
  return left->at < right->at ? -1 : 1;
}

// Of copies that stand in the order of the input, the one that stays.
static size_t winner(const struct question *question, const struct keyed *copies, size_t count) {
  int tombstones = 0, unordered = 0;
  for (size_t i = 0; i < count; i++) {
    const struct row *row = &question->rows[copies[i].at];
    tombstones += row->tombstone;
    unordered +=
        row->tombstone && (question->order_column < 0 || row->cells[question->order_column].state != CELL_VALUE);
  }
  const int last = tombstones > 0 || question->duplicates == DR_DUPLICATES_LAST;
  const int by_column = question->order_column >= 0 && unordered == 0;
  size_t best = last ? count - 1 : 0;
  if (!by_column) return best;
  const struct cell *best_cell = NULL;
  for (size_t i = 0; i < count; i++) {
    const struct cell *cell = &question->rows[copies[i].at].cells[question->order_column];
    if (cell->state != CELL_VALUE) continue;
    const int order = best_cell == NULL ? 0 : cell_compare(cell, best_cell);
    if (best_cell != NULL && (last ? order < 0 : order >= 0)) continue;
    best = i;
    best_cell = cell;
  }
  return best;
}

enum { FATE_DROP, FATE_KEEP, FATE_NULL_KEY, FATE_REJECT };
struct fate {
  int what;
  size_t first; // a withheld row that is shown before this one, if not 0: its number and 1
};

// A withheld copy stands at its place; the first of its key before the second when it changes nothing.
static void reject_copies(const struct holder *mirror, const struct question *question, const struct keyed *copies,
                          size_t count, struct fate *fates) {
  const struct row *first = &question->rows[copies[0].at];
  const struct held *held = holder_find(mirror, copies[0].key);
  for (size_t i = 0; i < count; i++) fates[copies[i].at].what = FATE_REJECT;
  if (held == NULL || changed_columns(held, question, first) != 0) return;
  fates[copies[0].at].what = FATE_DROP;
  fates[copies[1].at].first = copies[0].at + 1;
}

static void settle_copies(const struct holder *mirror, const struct question *question, struct keyed *copies,
                          size_t count, struct fate *fates, struct expectation *out) {
  int tombstones = 0;
  for (size_t i = 0; i < count; i++) tombstones += question->rows[copies[i].at].tombstone;
  if (count > 1) out->duplicate_keys++;
  if (count > 1 && tombstones == 0 && question->duplicates == DR_DUPLICATES_REJECT) {
    reject_copies(mirror, question, copies, count, fates);
    out->duplicate_rows += count;
    return;
  }
  const size_t best = winner(question, copies, count);
  for (size_t i = 0; i < count; i++) fates[copies[i].at].what = i == best ? FATE_KEEP : FATE_DROP;
  out->duplicate_rows += count - 1;
}

static int by_said_key(const void *a, const void *b) {
  return strcmp(((const struct said *)a)->key, ((const struct said *)b)->key);
}

// Deletes: tombstones that stayed, and with FULL whatever did not come.
static void say_deletes(const struct holder *mirror, const struct question *question, const struct keyed *keyed,
                        size_t keyed_count, const struct fate *fates, struct expectation *out) {
  const size_t first = out->count;
  for (size_t i = 0; i < keyed_count; i++) {
    const size_t at = keyed[i].at;
    if (!question->rows[at].tombstone || fates[at].what != FATE_KEEP) continue;
    const struct held *held = holder_find(mirror, keyed[i].key);
    if (held == NULL) {
      out->unchanged++;
      continue;
    }
    add_said(out, DRAY_OP_DELETE, 0, held->key)->row = row_of(held, question);
  }
  for (size_t b = 0; (question->flags & DR_DIFF_FULL) != 0 && b < HOLDER_BUCKETS; b++) {
    for (const struct held *held = mirror->buckets[b]; held != NULL; held = held->next) {
      size_t low = 0, high = keyed_count; // the first that is not before the key
      while (low < high) {
        const size_t middle = (low + high) / 2;
        if (strcmp(keyed[middle].key, held->key) < 0) {
          low = middle + 1;
        } else {
          high = middle;
        }
      }
      if (low < keyed_count && strcmp(keyed[low].key, held->key) == 0) continue;
      add_said(out, DRAY_OP_DELETE, 0, held->key)->row = row_of(held, question);
    }
  }
  out->deletes = out->count - first;
  qsort(out->list + first, out->deletes, sizeof *out->list, by_said_key);
}

void model_expect(const struct holder *mirror, const struct question *question, struct expectation *out) {
  const size_t count = question->row_count;
  struct keyed *keyed = calloc(count + 1, sizeof *keyed);
  struct fate *fates = calloc(count + 1, sizeof *fates);
  size_t keyed_count = 0;
  memset(out, 0, sizeof *out);
  out->list = calloc(count + mirror->count + 1, sizeof *out->list);
  if (keyed == NULL || fates == NULL || out->list == NULL) abort();
  out->rows = count;
  for (size_t i = 0; i < count; i++) {
    if (row_key(question->table, &question->rows[i], keyed[keyed_count].key)) {
      keyed[keyed_count++].at = i;
    } else {
      fates[i].what = FATE_NULL_KEY;
      out->null_keys++;
    }
  }
  qsort(keyed, keyed_count, sizeof *keyed, by_key);
  for (size_t i = 0; i < keyed_count;) {
    size_t end = i + 1;
    while (end < keyed_count && strcmp(keyed[i].key, keyed[end].key) == 0) end++;
    settle_copies(mirror, question, keyed + i, end - i, fates, out);
    i = end;
  }
  for (size_t i = 0; i < count; i++) {
    char key[KEY_BYTES_MAX];
    const struct row *row = &question->rows[i];
    (void)row_key(question->table, row, key);
    if (fates[i].what == FATE_NULL_KEY) add_said(out, DR_OP_REJECT, DRAY_E_DATA_KEY_NULL, "")->row = *row;
    if (fates[i].first > 0) {
      add_said(out, DR_OP_REJECT, DRAY_E_DATA_KEY_DUPLICATE, key)->row = question->rows[fates[i].first - 1];
    }
    if (fates[i].what == FATE_REJECT) add_said(out, DR_OP_REJECT, DRAY_E_DATA_KEY_DUPLICATE, key)->row = *row;
    if (fates[i].what == FATE_KEEP && !row->tombstone) say_row(mirror, question, row, key, out);
  }
  say_deletes(mirror, question, keyed, keyed_count, fates, out);
  free(keyed);
  free(fates);
}

void expectation_free(struct expectation *expectation) {
  free(expectation->list);
  memset(expectation, 0, sizeof *expectation);
}
