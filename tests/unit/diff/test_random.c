// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Random lives of a mirror against the naive model: schemas, keys, nulls, duplicates, tombstones, absent values, batch
// sizes, tiny memory budgets, filters of all widths, partial acknowledgement, rollbacks, reopening, merging, changing
// schemas. Every pass must say exactly what the model says, but for rows that it defers (a filter of one byte lies
// often), and at the end the receiver must hold exactly the input.
//
// DRAY_DIFF_CASES: how many lives (default 300). DRAY_DIFF_SEED: number of the first one.
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dray/destination.h"
#include "model.h"
#include "world.h"

#define SOURCE_MAX 2048
#define INPUT_MAX 4096

// ---- chance ----

static uint64_t chance_state;

static uint64_t chance(uint64_t below) {
  chance_state += UINT64_C(0x9E3779B97F4A7C15);
  uint64_t z = chance_state;
  z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
  return (z ^ (z >> 31)) % below;
}
static int one_in(uint64_t n) {
  return chance(n) == 0;
}

// ---- one life ----

struct life {
  struct world world;
  struct table table;
  int names;          // made so far
  size_t many;        // rows the source has about
  struct row *source; // the truth: distinct keys
  size_t source_count;
  struct row *input;
  size_t input_count;
  struct holder mirror, receiver;
  uint64_t generation;
  int still;         // the source does not change any more
  int lies;          // the filter's prints are narrow enough to lie
  uint64_t deferred; // rows of the last pass
  int round;
  uint64_t number;
};

#define expect(life, condition)                                                                                        \
  do {                                                                                                                 \
    if (!(condition))                                                                                                  \
      fail_msg("life %llu round %d: %s (line %d) %s", (unsigned long long)(life)->number, (life)->round, #condition,   \
               __LINE__, (life)->world.error.text);                                                                    \
  } while (0)
#define expect_ok(life, expression)                                                                                    \
  do {                                                                                                                 \
    const int32_t code_ = (expression);                                                                                \
    if (code_ != DRAY_OK)                                                                                              \
      fail_msg("life %llu round %d: %s gave %d: %s", (unsigned long long)(life)->number, (life)->round, #expression,   \
               code_, (life)->world.error.text);                                                                       \
  } while (0)

// ---- values ----

static char long_text[3001];
static const struct {
  const char *text;
  size_t bytes;
} texts[] = {{"", 0},
             {"a", 1},
             {"b", 1},
             {"ab", 2},
             {"\xc3\xa9", 2},
             {"2024-01-01", 10},
             {"2024-01-02", 10},
             {"a fairly long key of forty bytes, or so.", 40},
             {"zz\xe2\x82\xac", 5}},
  bytes[] = {{"", 0}, {"\0", 1}, {"\0\0", 2}, {"\xff\xfe", 2}, {"a\0b", 3}, {"abcdefgh\1", 9}, {"abcdefgh\2", 9}},
  jsons[] = {{"null", 4}, {"{}", 2}, {"[1,2]", 5}, {"{\"a\":1}", 7}, {"\"x\"", 3}, {"1", 1}};

static void text_cell(struct cell *cell, int for_key, size_t many) {
  if (cell->type.id == DRAY_TYPE_STRING && !for_key && one_in(40)) {
    cell->text = long_text;
    cell->text_bytes = 2000 + chance(1000);
  } else if (cell->type.id == DRAY_TYPE_STRING && for_key && many > 20) {
    static char numbers[10000][6];
    const size_t n = chance(10000);
    (void)snprintf(numbers[n], sizeof numbers[n], "k%zu", n);
    cell->text = numbers[n];
    cell->text_bytes = strlen(numbers[n]);
  } else if (cell->type.id == DRAY_TYPE_STRING) {
    const size_t n = chance(sizeof texts / sizeof texts[0]);
    cell->text = texts[n].text;
    cell->text_bytes = texts[n].bytes;
  } else if (cell->type.id == DRAY_TYPE_BYTES) {
    const size_t n = chance(sizeof bytes / sizeof bytes[0]);
    cell->text = bytes[n].text;
    cell->text_bytes = bytes[n].bytes;
  } else {
    const size_t n = chance(sizeof jsons / sizeof jsons[0]);
    cell->text = jsons[n].text;
    cell->text_bytes = jsons[n].bytes;
  }
}

static double random_real(size_t range) {
  static const double odd[] = {0.0, -0.0, 1.5, -1e300, 0.1};
  if (one_in(50)) return __builtin_nan("");
  if (one_in(50)) return __builtin_inf();
  return one_in(3) ? odd[chance(5)] : (double)chance(range) / 4;
}

static struct cell random_cell(struct dray_type type, int for_key, size_t many) {
  struct cell cell = {.state = CELL_VALUE, .type = type};
  const size_t range = for_key ? many * 2 + 3 : 7;
  switch (type.id) {
  case DRAY_TYPE_BOOL:
    cell.number = (int64_t)chance(2);
    break;
  case DRAY_TYPE_INT64:
    cell.number = one_in(30) ? INT64_MIN : one_in(30) ? INT64_MAX : (int64_t)chance(range) - 3;
    break;
  case DRAY_TYPE_DATE:
    cell.number = (int64_t)chance(range) - 3;
    break;
  case DRAY_TYPE_TIMESTAMP:
    cell.number = (int64_t)chance(range) * 1000003 - 5;
    break;
  case DRAY_TYPE_FLOAT64:
    cell.real = random_real(range);
    break;
  case DRAY_TYPE_DECIMAL: {
    cell.decimal = (__int128)chance(range) * (one_in(3) ? 100 : 1) - 3;
    if (!for_key && type.precision > 30 && one_in(3)) cell.decimal *= (__int128)INT64_MAX * (one_in(2) ? 1000 : -1000);
    break;
  }
  default:
    text_cell(&cell, for_key, many);
  }
  return cell;
}

static struct cell random_value(const struct life *life, size_t column) {
  const struct column *of = &life->table.columns[column];
  if (!of->key && one_in(6)) return (struct cell){.state = CELL_NULL};
  return random_cell(of->type, of->key, life->many);
}

// ---- schemas ----

static struct dray_type random_type(void) {
  struct dray_type type = {(int32_t)chance(9) + 1, 0, 0};
  if (type.id == DRAY_TYPE_DECIMAL) {
    type.precision = one_in(2) ? 38 : 12;
    type.scale = (int32_t)chance(4);
  }
  return type;
}

static void add_column(struct life *life, int key) {
  struct column *column = &life->table.columns[life->table.count++];
  memset(column, 0, sizeof *column);
  // Names are never used again, and their order has nothing to do with that of the columns.
  (void)snprintf(column->name, sizeof column->name, "%c%d", (int)('a' + chance(26)), life->names++);
  column->key = key;
  do column->type = random_type();
  while (key && (column->type.id == DRAY_TYPE_BOOL || column->type.id == DRAY_TYPE_JSON));
}

static void set_schema(struct life *life) {
  struct dray_column_def defs[COLUMNS_MAX];
  for (size_t i = 0; i < life->table.count; i++) {
    defs[i] = (struct dray_column_def){life->table.columns[i].name, life->table.columns[i].type, 1};
  }
  dr_schema_unref(life->world.schema);
  life->world.schema = NULL;
  expect_ok(life, dr_schema_new(defs, life->table.count, &life->world.schema, &life->world.error));
}

static void drop_column(struct life *life, size_t at) {
  for (size_t i = at; i + 1 < life->table.count; i++) {
    life->table.columns[i] = life->table.columns[i + 1];
    for (size_t r = 0; r < life->source_count; r++) life->source[r].cells[i] = life->source[r].cells[i + 1];
  }
  life->table.count--;
}

// The mirror must be closed.
static void change_schema(struct life *life) {
  const size_t at = chance(life->table.count);
  struct column *column = &life->table.columns[at];
  if (one_in(2) && life->table.count < COLUMNS_MAX) {
    add_column(life, 0);
    const size_t last = life->table.count - 1;
    for (size_t r = 0; r < life->source_count; r++) life->source[r].cells[last] = random_value(life, last);
  } else if (!column->key && one_in(2)) {
    drop_column(life, at);
  } else if (!column->key && !column->changed) {
    column->changed = 1;
    column->type = random_type();
    for (size_t r = 0; r < life->source_count; r++) life->source[r].cells[at] = random_value(life, at);
  }
  set_schema(life);
}

// ---- the source and what is read of it ----

static int in_source(const struct life *life, const struct row *row) {
  char key[KEY_BYTES_MAX], other[KEY_BYTES_MAX];
  (void)row_key(&life->table, row, key);
  for (size_t i = 0; i < life->source_count; i++) {
    (void)row_key(&life->table, &life->source[i], other);
    if (strcmp(key, other) == 0) return 1;
  }
  return 0;
}

static struct row random_row(const struct life *life) {
  struct row row = {.tombstone = 0};
  for (size_t i = 0; i < life->table.count; i++) row.cells[i] = random_value(life, i);
  return row;
}

static void move_source(struct life *life) {
  for (size_t i = 0; i < life->source_count; i++) {
    if (one_in(8)) {
      life->source[i] = life->source[--life->source_count];
    } else if (one_in(3)) {
      const size_t column = chance(life->table.count);
      if (!life->table.columns[column].key) life->source[i].cells[column] = random_value(life, column);
    }
  }
  const size_t more = chance(life->many + 1);
  for (size_t i = 0; i < more && life->source_count < SOURCE_MAX; i++) {
    const struct row row = random_row(life);
    if (life->many > 300 || !in_source(life, &row)) life->source[life->source_count++] = row;
  }
}

static void spoil(struct life *life, struct row *row) {
  for (size_t i = 0; i < life->table.count; i++) {
    if (one_in(12)) row->cells[i] = (struct cell){.state = CELL_ABSENT};
    if (one_in(60)) row->cells[i] = (struct cell){.state = CELL_NULL};
  }
  if (one_in(12)) {
    row->tombstone = 1;
    for (size_t i = 0; i < life->table.count; i++) {
      if (!life->table.columns[i].key && one_in(2)) row->cells[i] = (struct cell){.state = CELL_NULL};
    }
  }
}

// clean: every row of the source once and whole. Otherwise whatever sources do.
static void read_source(struct life *life, int clean) {
  life->input_count = 0;
  const int absent = one_in(2), duplicates = one_in(2), partial = one_in(4);
  for (size_t i = 0; i < life->source_count; i++) {
    if (!clean && partial && one_in(3)) continue;
    life->input[life->input_count++] = life->source[i];
    while (!clean && duplicates && one_in(8) && life->input_count + 1 < INPUT_MAX) {
      life->input[life->input_count] = life->source[i];
      if (one_in(2)) {
        const size_t column = chance(life->table.count);
        if (!life->table.columns[column].key) life->input[life->input_count].cells[column] = random_value(life, column);
      }
      life->input_count++;
    }
    if (life->input_count + 64 > INPUT_MAX) break;
  }
  for (size_t i = 0; !clean && absent && i < life->input_count; i++) spoil(life, &life->input[i]);
  for (size_t i = life->input_count; i > 1; i--) {
    const size_t j = chance(i);
    const struct row held = life->input[i - 1];
    life->input[i - 1] = life->input[j];
    life->input[j] = held;
  }
}

// ---- batches ----

static int32_t build_cell(struct dray_builder *builder, size_t column, const struct cell *cell,
                          struct dray_error *error) {
  if (cell->state != CELL_VALUE) return dray_builder_null(builder, column, error);
  switch (cell->type.id) {
  case DRAY_TYPE_BOOL:
    return dray_builder_bool(builder, column, (int32_t)cell->number, error);
  case DRAY_TYPE_INT64:
    return dray_builder_int64(builder, column, cell->number, error);
  case DRAY_TYPE_DATE:
    return dray_builder_date(builder, column, (int32_t)cell->number, error);
  case DRAY_TYPE_TIMESTAMP:
    return dray_builder_timestamp(builder, column, cell->number, error);
  case DRAY_TYPE_FLOAT64:
    return dray_builder_float64(builder, column, cell->real, error);
  case DRAY_TYPE_DECIMAL: {
    const struct dray_decimal value = {(uint64_t)cell->decimal, (int64_t)(cell->decimal >> 64)};
    return dray_builder_decimal(builder, column, value, error);
  }
  default:
    return dray_builder_bytes(builder, column, dray_str_make(cell->text, cell->text_bytes), error);
  }
}

static struct dr_batch *build_batch(struct life *life, const struct row *rows, size_t count) {
  struct dray_builder *builder = NULL;
  struct ArrowArray array = {0};
  struct dr_batch *batch = NULL;
  struct dray_error *error = &life->world.error;
  expect_ok(life, dray_builder_new(&life->world.schema->arrow, UINT64_MAX, UINT64_MAX, &builder, error));
  for (size_t r = 0; r < count; r++) {
    for (size_t i = 0; i < life->table.count; i++) {
      expect_ok(life, build_cell(builder, i, &rows[r].cells[i], error));
    }
    expect_ok(life, dray_builder_end_row(builder, NULL, error));
  }
  expect_ok(life, dray_builder_finish(builder, &array, error));
  dray_builder_free(builder);
  expect_ok(life, dr_batch_wrap(life->world.schema, &array, &batch, error));
  batch->deleted = calloc(count / 8 + 1, 1);
  assert_non_null(batch->deleted);
  for (size_t r = 0; r < count; r++) {
    if (rows[r].tombstone) batch->deleted[r >> 3] |= (uint8_t)(1u << (r & 7));
    for (size_t i = 0; i < life->table.count; i++) {
      if (rows[r].cells[i].state == CELL_ABSENT) expect_ok(life, dr_batch_set_absent(batch, i, r, error));
    }
  }
  return batch;
}

static int shows(const struct dr_batch *batch, size_t column, uint64_t row, const struct cell *cell) {
  const struct dray_column_view *view = &batch->view.columns[column];
  if (dr_batch_is_absent(batch, column, row)) return cell->state == CELL_ABSENT;
  if (dray_column_is_null(view, row)) return cell->state == CELL_NULL;
  if (cell->state != CELL_VALUE) return 0;
  struct cell shown = {.state = CELL_VALUE, .type = view->type};
  struct dray_decimal decimal;
  struct dray_str text;
  switch (view->type.id) {
  case DRAY_TYPE_BOOL:
    shown.number = dray_column_bool(view, row);
    break;
  case DRAY_TYPE_DATE:
    shown.number = dray_column_date(view, row);
    break;
  case DRAY_TYPE_INT64:
  case DRAY_TYPE_TIMESTAMP:
    shown.number = dray_column_int64(view, row);
    break;
  case DRAY_TYPE_FLOAT64:
    shown.real = dray_column_float64(view, row);
    break;
  case DRAY_TYPE_DECIMAL:
    decimal = dray_column_decimal(view, row);
    shown.decimal = (__int128)((unsigned __int128)(uint64_t)decimal.high << 64 | decimal.low);
    break;
  default:
    text = dray_column_bytes(view, row);
    shown.text = text.data;
    shown.text_bytes = text.len;
  }
  return cell_equal(&shown, cell);
}

// ---- passes ----

static int32_t feed(struct life *life, struct dr_diff *diff, size_t batch_rows) {
  for (size_t at = 0; at < life->input_count; at += batch_rows) {
    const size_t left = life->input_count - at;
    struct dr_batch *batch = build_batch(life, life->input + at, left < batch_rows ? left : batch_rows);
    const int32_t rc = dr_diff_add(diff, batch, &life->world.error);
    if (rc != DRAY_OK) return rc;
  }
  return DRAY_OK;
}

// What a pass says that leaves rows to the next one: no more of anything but unchanged rows, and every row counts.
static void check_deferring_counts(struct life *life, const struct dr_diff_counts *counts,
                                   const struct expectation *expected, uint32_t flags) {
  const uint64_t said = counts->inserts + counts->updates + counts->unchanged + counts->null_keys +
                        counts->duplicate_rows + counts->deferred;
  expect(life, life->lies);
  expect(life, counts->inserts <= expected->inserts && counts->updates <= expected->updates);
  expect(life, counts->deletes <= expected->deletes && counts->null_keys == expected->null_keys);
  expect(life, counts->duplicate_keys <= expected->duplicate_keys);
  expect(life, said <= counts->rows && counts->rows <= said + counts->deletes);
  if ((flags & DR_DIFF_FULL) == 0) expect(life, said + counts->deletes == counts->rows);
}

static void check_counts(struct life *life, const struct dr_diff_counts *counts, const struct expectation *expected,
                         uint32_t flags) {
  expect(life, counts->rows == expected->rows);
  life->deferred = counts->deferred;
  if (counts->deferred > 0) {
    check_deferring_counts(life, counts, expected, flags);
    return;
  }
  expect(life, counts->inserts == expected->inserts);
  expect(life, counts->updates == expected->updates);
  expect(life, counts->deletes == expected->deletes);
  expect(life, counts->unchanged == expected->unchanged);
  expect(life, counts->null_keys == expected->null_keys);
  expect(life, counts->duplicate_keys == expected->duplicate_keys);
  expect(life, counts->duplicate_rows == expected->duplicate_rows);
  for (size_t i = 0; i < life->table.count; i++) {
    expect(life, counts->column_updates[i] == expected->column_updates[i]);
  }
}

static int32_t run_pass(struct life *life, const struct question *question, const struct expectation *expected) {
  const struct dr_diff_options options = {
      .flags = question->flags,
      .duplicates = question->duplicates,
      .order_column = question->order_column < 0 ? NULL : life->table.columns[question->order_column].name,
      .changeset_path = life->world.set_path};
  struct dr_diff *diff = NULL;
  struct dr_diff_counts counts;
  expect_ok(life, dr_diff_begin(life->world.mirror, &options, &diff, &life->world.error));
  expect_ok(life, feed(life, diff, one_in(3) ? 1 + chance(5) : 1 + chance(400)));
  expect_ok(life, dr_diff_finish(diff, &counts, &life->world.error));
  check_counts(life, &counts, expected, question->flags);
  dr_diff_free(diff);
  return DRAY_OK;
}

// The row of a batch as cells, for a receiver: what is absent in an update stays what it was.
static void receive(struct life *life, const struct said *said) {
  if (said->op == DRAY_OP_DELETE) {
    holder_remove(&life->receiver, said->key);
    return;
  }
  struct row row = said->row;
  const struct held *held = holder_find(&life->receiver, said->key);
  for (size_t i = 0; held != NULL && i < life->table.count; i++) {
    if (row.cells[i].state == CELL_ABSENT) row.cells[i] = *held_cell(held, life->table.columns[i].name);
  }
  holder_put(&life->receiver, said->key, &life->table, &row);
}

// Whether the change is of the row that the model speaks of.
static int is_said(struct life *life, const struct dr_changes *changes, size_t i, const struct said *said) {
  int same = changes->op[i] == said->op && changes->code[i] == said->code;
  for (size_t c = 0; same && c < life->table.count; c++) {
    same = !life->table.columns[c].key || shows(changes->rows, c, i, &said->row.cells[c]);
  }
  return same;
}

static void check_change(struct life *life, const struct dr_changes *changes, size_t i, const struct said *said) {
  expect(life, changes->op[i] == said->op);
  expect(life, changes->code[i] == said->code);
  uint32_t changed = 0;
  for (size_t c = 0; c < life->table.count; c++) {
    const uint8_t byte = changes->changed[i * changes->changed_stride + c / 8];
    changed |= (uint32_t)(byte >> (c % 8) & 1) << c;
    const int shown = shows(changes->rows, c, i, &said->row.cells[c]);
    // A withheld copy that equals the mirror's row is shown as that row: what it left out is filled in.
    const int filled = said->code == DRAY_E_DATA_KEY_DUPLICATE && said->row.cells[c].state == CELL_ABSENT;
    // Or as much of it as the mirror keeps.
    const int left_out = said->code == DRAY_E_DATA_KEY_DUPLICATE && life->world.keep != DR_KEEP_ROW &&
                         dr_batch_is_absent(changes->rows, c, i);
    expect(life, shown || filled || left_out);
    if (said->op == DRAY_OP_UPDATE) expect(life, shows(changes->before, c, i, &said->before.cells[c]));
    if (said->op != DRAY_OP_UPDATE) expect(life, dray_column_is_null(&changes->before->view.columns[c], i));
  }
  expect(life, changed == said->changed);
}

static const struct said *find_delete(const struct expectation *expected, const struct life *life,
                                      const struct dr_changes *changes, size_t i) {
  const struct said *deletes = expected->list + expected->count - expected->deletes;
  for (size_t d = 0; d < expected->deletes; d++) {
    size_t c = 0;
    while (c < life->table.count &&
           (!life->table.columns[c].key || shows(changes->rows, c, i, &deletes[d].row.cells[c]))) {
      c++;
    }
    if (c == life->table.count) return &deletes[d];
  }
  return NULL;
}

// Reads the change set, compares it, acknowledges one change in `share` (0: none, 1: all). acked: per change of
// `expected`.
static void check_set(struct life *life, const struct expectation *expected, uint64_t share, uint8_t *acked) {
  struct dr_changeset *set = NULL;
  struct dray_error *error = &life->world.error;
  size_t seq = 0, next = 0; // of the changes, of what the model says
  const size_t ordered = expected->count - expected->deletes;
  expect_ok(life, dr_changeset_open(life->world.set_path, &set, error));
  expect(life,
         life->deferred > 0 ? dr_changeset_count(set) <= expected->count : dr_changeset_count(set) == expected->count);
  uint8_t *taken = calloc(expected->count + 1, 1);
  assert_non_null(taken);
  for (;;) {
    struct dr_changes *changes = NULL;
    expect_ok(life, dr_changeset_next(set, seq, 1 + chance(300), 1 + chance(20000), 1, &changes, error));
    if (changes == NULL) break;
    expect(life, changes->count > 0 && changes->first_seq == seq);
    for (size_t i = 0; i < changes->count; i++) {
      const struct said *said = NULL;
      if (changes->op[i] == DRAY_OP_DELETE) {
        said = find_delete(expected, life, changes, i);
      } else {
        while (life->deferred > 0 && next < ordered && !is_said(life, changes, i, &expected->list[next])) next++;
        if (next < ordered) said = &expected->list[next++];
      }
      expect(life, said != NULL);
      check_change(life, changes, i, said);
      const size_t at = (size_t)(said - expected->list);
      expect(life, !acked[at]);
      taken[i] = said->op != DR_OP_REJECT && share > 0 && one_in(share);
      acked[at] = taken[i];
    }
    if (one_in(2)) changes->op[0] = 77; // what a caller does to its batch is of no concern to the mirror
    expect_ok(life, dr_mirror_ack(life->world.mirror, changes, taken, error));
    seq += changes->count;
    dr_changes_free(changes);
  }
  expect(life, seq == dr_changeset_count(set) && (life->deferred > 0 || seq == expected->count));
  free(taken);
  dr_changeset_close(set);
}

static void apply(struct life *life, const struct expectation *expected, const uint8_t *acked) {
  for (size_t i = 0; i < expected->count; i++) {
    const struct said *said = &expected->list[i];
    if (!acked[i]) continue;
    receive(life, said);
    if (said->op == DRAY_OP_DELETE) {
      holder_remove(&life->mirror, said->key);
    } else {
      holder_put(&life->mirror, said->key, &life->table, &said->merged);
    }
  }
}

static void reopen(struct life *life) {
  world_close(&life->world);
  expect_ok(life, world_open(&life->world));
}

// Ends the round: what was acknowledged becomes true, or is forgotten. Returns which.
static int end_round(struct life *life, int any, int must_commit) {
  struct dr_mirror *mirror = life->world.mirror;
  struct dray_error *error = &life->world.error;
  const uint64_t next = life->generation + 1;
  const uint64_t kind = must_commit ? chance(3) : chance(6);
  struct dr_mirror_info info;
  if (one_in(2)) dr_mirror_write_ahead(mirror, NULL);
  if (kind >= 1 && kind <= 3) expect_ok(life, dr_mirror_prepare(mirror, next, error));
  if (kind == 2 || kind == 3) {
    reopen(life);
    mirror = life->world.mirror;
    dr_mirror_info(mirror, &info);
    expect(life, info.prepared_generation == next && info.generation == life->generation);
  }
  if (kind <= 2) {
    expect_ok(life, dr_mirror_commit(mirror, next, error));
    life->generation = next;
    return 1;
  }
  if (kind == 3 || kind == 4) expect_ok(life, dr_mirror_rollback(mirror, error));
  if (kind == 5) reopen(life); // never committed: forgotten
  (void)any;
  return 0;
}

static void check_mirror(struct life *life) {
  struct dr_mirror_info info;
  dr_mirror_info(life->world.mirror, &info);
  expect(life, info.rows == life->mirror.count);
  expect(life, info.generation == life->generation);
  expect(life, info.prepared_generation == 0);
  if (!one_in(6)) return;
  expect_ok(life, dr_mirror_verify(life->world.folder, &info, &life->world.error));
  expect(life, info.rows == life->mirror.count && info.generation == life->generation);
}

static void round_of(struct life *life, int clean) {
  struct question question = {.table = &life->table, .rows = life->input, .order_column = -1, .keep = life->world.keep};
  struct expectation expected;
  if (one_in(4)) {
    world_close(&life->world);
    if (one_in(2)) change_schema(life);
    expect_ok(life, world_open(&life->world));
  }
  if (!life->still) move_source(life);
  read_source(life, clean);
  question.row_count = life->input_count;
  question.flags = clean ? DR_DIFF_FULL : (uint32_t)chance(2) * DR_DIFF_FULL | (one_in(6) ? DR_DIFF_RESYNC : 0u);
  question.duplicates = (int)chance(3) + 1;
  if (one_in(2)) question.order_column = (int)chance(life->table.count);
  model_expect(&life->mirror, &question, &expected);
  uint8_t *acked = calloc(expected.count + 1, 1);
  assert_non_null(acked);
  (void)run_pass(life, &question, &expected);
  if (one_in(2)) dr_mirror_gather(life->world.mirror);
  check_set(life, &expected, clean ? 1 : chance(4), acked);
  if (end_round(life, expected.count > 0, clean)) apply(life, &expected, acked);
  if (one_in(3)) expect_ok(life, dr_mirror_compact(life->world.mirror, &life->world.error));
  check_mirror(life);
  free(acked);
  expectation_free(&expected);
}

// The receiver holds every row of the source and nothing else.
static void check_receiver(struct life *life) {
  for (size_t r = 0; r < life->source_count; r++) {
    char key[KEY_BYTES_MAX];
    (void)row_key(&life->table, &life->source[r], key);
    const struct held *held = holder_find(&life->receiver, key);
    expect(life, held != NULL);
    for (size_t i = 0; i < life->table.count; i++) {
      expect(life, cell_equal(held_cell(held, life->table.columns[i].name), &life->source[r].cells[i]));
    }
  }
  expect(life, life->receiver.count == life->source_count);
}

static void drop_double_keys(struct life *life) {
  struct holder seen = {.count = 0};
  size_t kept = 0;
  for (size_t i = 0; i < life->source_count; i++) {
    char key[KEY_BYTES_MAX];
    (void)row_key(&life->table, &life->source[i], key);
    if (holder_find(&seen, key) != NULL) continue;
    holder_put(&seen, key, &life->table, &life->source[i]);
    life->source[kept++] = life->source[i];
  }
  life->source_count = kept;
  holder_clear(&seen);
}

static void live(uint64_t number) {
  struct life *life = calloc(1, sizeof *life);
  assert_non_null(life);
  chance_state = number * UINT64_C(0x2545F4914F6CDD1D) + 1;
  life->number = number;
  life->source = calloc(SOURCE_MAX, sizeof *life->source);
  life->input = calloc(INPUT_MAX, sizeof *life->input);
  assert_non_null(life->source);
  assert_non_null(life->input);
  world_make(&life->world, "id int64", "id");
  static const uint64_t budgets[] = {1, 100000, 1u << 20, 0};
  life->world.memory_bytes = budgets[chance(4)];
  static const char *const widths[] = {"1", "2", "4", "0", NULL};
  const char *width = widths[chance(5)];
  life->lies = width != NULL && (*width == '1' || *width == '2');
  assert_int_equal(width != NULL ? setenv("DRAY_FILTER_BYTES", width, 1) : unsetenv("DRAY_FILTER_BYTES"), 0);
  life->world.keep = (int)chance(3);
  life->world.threads = 1 + (unsigned)chance(2);
  life->many = one_in(25) ? 400 + chance(500) : 1 + chance(30);
  const size_t keys = 1 + chance(3), others = chance(5);
  for (size_t i = 0; i < keys; i++) add_column(life, 1);
  for (size_t i = 0; i < others; i++) add_column(life, 0);
  for (size_t i = 0; i < keys; i++) life->world.key[i] = life->table.columns[i].name;
  char names[3][16];
  for (size_t i = 0; i < keys; i++) {
    memcpy(names[i], life->table.columns[i].name, sizeof names[i]);
    life->world.key[i] = names[i];
  }
  life->world.key_count = keys;
  set_schema(life);
  expect_ok(life, world_open(&life->world));
  const int rounds = 2 + (int)chance(5);
  for (life->round = 0; life->round < rounds; life->round++) round_of(life, 0);
  move_source(life);
  drop_double_keys(life);
  life->many = 0;                                 // nothing new comes
  for (int quiet = 0; quiet < 2; life->round++) { // a row that is deferred comes again, and is not deferred for ever
    expect(life, life->round < rounds + 100);
    life->still = 1;
    round_of(life, 1);
    quiet = life->deferred > 0 ? 0 : quiet + 1;
  }
  check_receiver(life);
  holder_clear(&life->mirror);
  holder_clear(&life->receiver);
  world_remove(&life->world);
  free(life->source);
  free(life->input);
  free(life);
}

static void test_random_lives_agree_with_the_model(void **state) {
  (void)state;
  const char *cases = getenv("DRAY_DIFF_CASES"), *seed = getenv("DRAY_DIFF_SEED");
  const uint64_t count = cases != NULL ? strtoull(cases, NULL, 10) : 300;
  const uint64_t first = seed != NULL ? strtoull(seed, NULL, 10) : 1;
  assert_int_equal(setenv("DRAY_TEST", "1", 1), 0);
  for (size_t i = 0; i < sizeof long_text - 1; i++) long_text[i] = (char)('a' + i * i % 23);
  for (uint64_t i = 0; i < count; i++) live(first + i);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_lives_agree_with_the_model)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
