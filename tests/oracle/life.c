// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
#include "life.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// What dice are drawn for.
enum {
  FOR_LIFE,
  FOR_COLUMN,
  FOR_STEP,
  FOR_SCHEMA,
  FOR_EXISTS,
  FOR_VERSION,
  FOR_VALUE,
  FOR_KEY,
  FOR_SPELLING,
  FOR_CELL,
  FOR_ROW,
  FOR_RANK,
  FOR_COPY
};

static struct dice dice_for(const struct life *life, int purpose, uint64_t a, uint64_t b, uint64_t c) {
  return dice_at(dice_mix(life->seed) + life->number, (uint64_t)purpose, a, b, c);
}

static int cut(const struct life *life, uint32_t part) {
  return (life->cuts.parts & part) != 0;
}

// ---- columns and schemas ----

static uint32_t random_entities(struct dice *dice) {
  switch (dice_below(dice, 24)) {
  case 0:
    return dice_below(dice, 3);
  case 1:
    return dice_below(dice, 600);
  case 2:
    return dice_one_in(dice, 2) ? dice_below(dice, 12) : dice_below(dice, 600);
  case 3:
    if (!dice_one_in(dice, 3)) return dice_below(dice, 40);
    return dice_one_in(dice, 8) ? dice_below(dice, 20000) : dice_below(dice, 3000);
  case 4:
  case 5:
  case 6:
  case 7:
  case 8:
    return dice_below(dice, 300);
  default:
    return dice_below(dice, 40);
  }
}

static uint32_t add_column(struct life *life, int key) {
  static const char *const shapes[] = {
      "", "", "", "", "", "", "Zo\xc3\xab ", "A name that is rather long for a column, \"quoted\", "};
  const uint32_t number = (uint32_t)life->column_count++;
  struct column *column = &life->columns[number];
  struct dice dice = dice_for(life, FOR_COLUMN, number, 0, 0);
  // Never the same twice, and in an order that has nothing to do with that of the columns.
  (void)snprintf(column->name, sizeof column->name, "%c%s%u", (int)('a' + dice_below(&dice, 26)),
                 shapes[dice_below(&dice, 8)], number);
  column->key = key;
  return number;
}

static void add_field(struct life *life, struct step *step, int key) {
  const uint32_t column = add_column(life, key);
  struct dice dice = dice_for(life, FOR_COLUMN, column, 1, 0);
  struct dray_type type = value_random_type(&dice);
  if (key && dice_one_in(&dice, 3)) type = (struct dray_type){DRAY_TYPE_INT64, 0, 0};
  step->fields[step->field_count++] = (struct field){column, type};
}

// Columns are put into an order of their own, so that the key is not in front.
static void stir_fields(struct life *life, struct step *step, size_t at) {
  for (size_t i = step->field_count; i > 1; i--) {
    struct dice dice = dice_for(life, FOR_SCHEMA, at, 1, i);
    const size_t j = dice_below(&dice, (uint32_t)i);
    const struct field field = step->fields[i - 1];
    step->fields[i - 1] = step->fields[j];
    step->fields[j] = field;
  }
}

// One column added, dropped or of another type. `types`: those that a column has had, by bits: none comes back, since a
// value that its column could not hold for a while may or may not have been kept.
static void change_schema(struct life *life, struct step *step, uint32_t *types, struct dice *dice) {
  const size_t at = dice_below(dice, (uint32_t)step->field_count);
  struct field *field = &step->fields[at];
  const uint32_t what = dice_below(dice, 4);
  if (what == 0 && step->field_count < FIELDS_MAX && life->column_count < COLUMNS_MAX) {
    add_field(life, step, 0);
    field = &step->fields[step->field_count - 1];
    types[field->column] = 1u << field->type.id;
  } else if (what == 1 && !life->columns[field->column].key &&
             (life->keep != DR_KEEP_KEY || field->column < life->first_count)) {
    // Where nothing but a hash of the row is kept, a schema that comes back would find its rows again, or not, as they
    // were merged in between or not.
    *field = step->fields[--step->field_count];
  } else if (what == 2 && !life->columns[field->column].key) {
    const struct dray_type type = value_random_type(dice);
    const int once = type.id == DRAY_TYPE_DECIMAL && types[field->column] == 1u << DRAY_TYPE_DECIMAL; // another scale
    if ((types[field->column] & 1u << type.id) != 0 && !once) return;
    types[field->column] |= 1u << type.id | (once ? 1u : 0);
    field->type = type;
  } else if (what == 3) { // the same columns in another order
    const struct field first = step->fields[0];
    step->fields[0] = *field;
    *field = first;
  }
}

static void make_schemas(struct life *life) {
  uint32_t types[COLUMNS_MAX] = {0};
  struct dice dice = dice_for(life, FOR_SCHEMA, 0, 0, 0);
  struct step *first = &life->steps[0];
  static const uint32_t key_counts[] = {1, 1, 1, 1, 1, 1, 2, 2, 3, 4};
  life->key_count = key_counts[dice_below(&dice, 10)];
  for (size_t i = 0; i < life->key_count; i++) add_field(life, first, 1);
  const uint32_t more = dice_below(&dice, (uint32_t)(FIELDS_MAX + 1 - life->key_count));
  for (uint32_t i = 0; i < more; i++) add_field(life, first, 0);
  life->first_count = (uint32_t)life->column_count;
  for (size_t i = 0; i < first->field_count; i++) types[first->fields[i].column] = 1u << first->fields[i].type.id;
  for (uint32_t k = 1; k < life->key_count; k++) {
    const int now = first->fields[life->carrier].type.id == DRAY_TYPE_BOOL;
    if (now || dice_one_in(&dice, 3)) life->carrier = k;
  }
  stir_fields(life, first, 0);
  const int changes = dice_one_in(&dice, 3);
  for (size_t s = 1; s < life->step_count; s++) {
    struct step *step = &life->steps[s];
    struct dice own = dice_for(life, FOR_SCHEMA, s, 0, 0);
    step->field_count = life->steps[s - 1].field_count;
    memcpy(step->fields, life->steps[s - 1].fields, sizeof step->fields);
    if (!changes || cut(life, CUT_SCHEMA) || !dice_one_in(&own, 2)) continue;
    step->other_schema = 1;
    change_schema(life, step, types, &own);
    if (dice_one_in(&own, 2)) change_schema(life, step, types, &own);
  }
}

// Leaves out the columns that were cut.
static void cut_columns(struct life *life) {
  for (size_t s = 0; s < life->step_count; s++) {
    struct step *step = &life->steps[s];
    size_t kept = 0;
    for (size_t i = 0; i < step->field_count; i++) {
      const uint32_t column = step->fields[i].column;
      const int off = !life->columns[column].key && (life->cuts.columns >> column & 1) != 0;
      if (step->order_field == (int)i) step->order_field = off ? -1 : (int)kept;
      if (!off) step->fields[kept++] = step->fields[i];
    }
    step->field_count = kept;
  }
}

// ---- steps ----

static void make_input_plan(struct step *step, struct dice *dice) {
  static const uint32_t batches[] = {1, 2, 3, 7, 16, 64, 100, 333, 1000, 5000};
  static const uint32_t changes[] = {0, 2, 5, 20, 100, 100};
  static const uint32_t flips[] = {0, 3, 10, 50, 50};
  const int clean = dice_one_in(dice, 3);
  step->change_rate = changes[dice_below(dice, 6)];
  step->flip_rate = flips[dice_below(dice, 5)];
  step->row_order = (int)dice_below(dice, 4);
  step->batch_rows = batches[dice_below(dice, 10)];
  step->absent_rate = dice_one_in(dice, 3) ? 4 + dice_below(dice, 20) : 0;
  step->null_key_rate = dice_one_in(dice, 4) ? 10 + dice_below(dice, 50) : 0;
  step->copy_rate = dice_one_in(dice, 2) ? 3 + dice_below(dice, 20) : 0;
  step->tombstone_rate = dice_one_in(dice, 3) ? 5 + dice_below(dice, 20) : 0;
  step->partial_rate = dice_one_in(dice, 4) ? 2 + dice_below(dice, 10) : 0;
  if (clean) step->absent_rate = step->null_key_rate = step->copy_rate = step->tombstone_rate = step->partial_rate = 0;
}

static void make_pass_plan(struct step *step, struct dice *dice) {
  if (!dice_one_in(dice, 3)) step->flags |= DR_DIFF_FULL;
  if (dice_one_in(dice, 8)) step->flags |= DR_DIFF_RESYNC;
  step->not_full = dice_one_in(dice, 10);
  step->duplicates = (int)dice_below(dice, 3) + DR_DUPLICATES_REJECT;
  step->order_field = dice_one_in(dice, 2) ? (int)dice_below(dice, (uint32_t)step->field_count) : -1;
}

static void make_ack_plan(struct step *step, struct dice *dice) {
  static const uint64_t rows[] = {1, 3, 50, 1000, 100000};
  static const uint64_t bytes[] = {1, 300, 1u << 16, 1u << 24};
  static const int ends[] = {END_COMMIT,         END_COMMIT,   END_COMMIT,           END_COMMIT,          END_PREPARE,
                             END_PREPARE_REOPEN, END_ROLLBACK, END_PREPARE_ROLLBACK, END_REOPEN_ROLLBACK, END_CLOSE};
  static const int acks[] = {ACK_ALL,  ACK_ALL,  ACK_ALL,  ACK_WHOLE_SET, ACK_WHOLE_SET,
                             ACK_SOME, ACK_SOME, ACK_SOME, ACK_BACKWARDS, ACK_NONE};
  step->with_before = !dice_one_in(dice, 4);
  step->read_rows = rows[dice_below(dice, 5)];
  step->read_bytes = bytes[dice_below(dice, 4)];
  step->reopen_before_ack = !dice_one_in(dice, 6) ? 0 : 1 + (int)dice_below(dice, 2);
  step->ack = acks[dice_below(dice, 10)];
  step->ack_rate = 2 + dice_below(dice, 6);
  step->end = ends[dice_below(dice, 10)];
  step->compact = dice_one_in(dice, 3) ? 0 : dice_one_in(dice, 4) ? 1 : 2;
  step->verify = dice_one_in(dice, 4);
}

static void make_step(struct life *life, size_t at) {
  static const uint64_t budgets[] = {64u << 10, 64u << 10, 256u << 10, 1u << 20, 1u << 20, 4u << 20, 64u << 20};
  struct step *step = &life->steps[at];
  struct dice dice = dice_for(life, FOR_STEP, at, 0, 0);
  make_input_plan(step, &dice);
  make_pass_plan(step, &dice);
  make_ack_plan(step, &dice);
  step->reopen = at > 0 && dice_one_in(&dice, 3);
  step->memory_bytes = budgets[dice_below(&dice, 7)];
  step->threads = dice_below(&dice, 3);
  step->reset = at > 0 && dice_one_in(&dice, 25);
  step->abandons = dice_one_in(&dice, 8);
  step->off = (life->cuts.steps >> at & 1) != 0;
  if (cut(life, CUT_ABSENT)) step->absent_rate = 0;
  if (cut(life, CUT_NULL_KEYS)) step->null_key_rate = 0;
  if (cut(life, CUT_COPIES)) step->copy_rate = 0;
  if (cut(life, CUT_TOMBSTONES)) step->tombstone_rate = 0;
  if (cut(life, CUT_PARTIAL)) step->partial_rate = 0;
  if (cut(life, CUT_ORDER)) step->row_order = 0;
  if (cut(life, CUT_BATCHES)) step->batch_rows = SIZE_MAX;
  if (cut(life, CUT_THREADS)) step->threads = 1;
  if (cut(life, CUT_MEMORY)) step->memory_bytes = 64u << 20;
  if (cut(life, CUT_REOPEN)) step->reopen = step->reopen_before_ack = step->reset = step->abandons = 0;
  if (cut(life, CUT_RESYNC)) step->flags &= ~(uint32_t)DR_DIFF_RESYNC;
  if (cut(life, CUT_COMPACT)) step->compact = 0;
  if (cut(life, CUT_ENDS)) {
    step->ack = ACK_ALL;
    step->end = END_COMMIT;
  }
}

void life_make(struct life *life, uint64_t seed, uint64_t number, const struct cuts *cuts) {
  memset(life, 0, sizeof *life);
  life->seed = seed;
  life->number = number;
  life->cuts = *cuts;
  struct dice dice = dice_for(life, FOR_LIFE, 0, 0, 0);
  life->entity_count = random_entities(&dice);
  if (cut(life, CUT_FEW) && life->entity_count > 300) life->entity_count = 100 + life->entity_count % 200;
  life->step_count = life->entity_count > 1000 ? 2 + dice_below(&dice, 2) : 1 + dice_below(&dice, STEPS_MAX);
  life->keep = cut(life, CUT_KEEP) ? DR_KEEP_ROW : (int)dice_below(&dice, 3);
  if (dice_one_in(&dice, 5)) life->key_range = life->entity_count / 2 + 1;
  make_schemas(life);
  for (size_t s = 0; s < life->step_count; s++) make_step(life, s);
  cut_columns(life);
}

void life_free(struct life *life) {
  free(life->input);
  life->input = NULL;
}

// ---- the source ----

static int exists(const struct life *life, size_t step, uint32_t entity) {
  struct dice dice = dice_for(life, FOR_EXISTS, entity, 0, 0);
  int there = !dice_one_in(&dice, 5);
  for (size_t s = 1; s <= step; s++) {
    dice = dice_for(life, FOR_EXISTS, entity, s, 0);
    if (dice_one_in(&dice, life->steps[s].flip_rate)) there = !there;
  }
  return there;
}

// How often the value has changed.
static uint64_t version(const struct life *life, size_t step, uint32_t entity, uint32_t column) {
  uint64_t changes = 0;
  for (size_t s = 1; s <= step; s++) {
    struct dice dice = dice_for(life, FOR_VERSION, entity, column, s);
    changes += (uint64_t)dice_one_in(&dice, life->steps[s].change_rate);
  }
  return changes;
}

static void key_cell(const struct life *life, size_t step, const struct input *input, const struct field *field,
                     struct cell *out) {
  const struct step *plan = &life->steps[step];
  struct dice spelling = dice_for(life, FOR_SPELLING, step, (uint64_t)input->entity << 8 | input->copy, field->column);
  uint64_t number = input->entity;
  if (dice_one_in(&spelling, plan->null_key_rate)) {
    *out = (struct cell){.state = dice_one_in(&spelling, 2) ? CELL_NULL : CELL_ABSENT, .type = field->type};
    return;
  }
  if (field->column != life->carrier || life->key_range > 0) {
    struct dice dice = dice_for(life, FOR_KEY, input->entity, field->column, 0);
    number = dice_below(&dice, field->column == life->carrier ? life->key_range : 4);
  }
  cell_key(out, field->type, number, &spelling);
}

void life_cell(const struct life *life, size_t step, const struct input *input, const struct field *field,
               struct cell *out) {
  if (life->columns[field->column].key) {
    key_cell(life, step, input, field, out);
    return;
  }
  struct dice own = dice_for(life, FOR_CELL, step, (uint64_t)input->entity << 8 | input->copy, field->column);
  uint64_t change = version(life, step, input->entity, field->column);
  if (input->copy > 0 && dice_one_in(&own, 3)) change = UINT64_C(1) << 32 | dice_roll(&own) >> 40;
  struct dice dice =
      dice_for(life, FOR_VALUE, input->entity, (uint64_t)field->column << 8 | (uint64_t)field->type.id, change);
  cell_random(out, field->type, &dice);
  if (input->tombstone && dice_one_in(&own, 2)) *out = (struct cell){.state = CELL_NULL, .type = field->type};
  if (dice_one_in(&own, life->steps[step].absent_rate)) *out = (struct cell){.state = CELL_ABSENT, .type = field->type};
}

static void add_input(struct life *life, struct input input) {
  if (life->input_count == life->input_capacity) {
    life->input_capacity = life->input_capacity * 2 + 64;
    life->input = realloc(life->input, life->input_capacity * sizeof *life->input);
    if (life->input == NULL) abort();
  }
  life->input[life->input_count++] = input;
}

static int by_rank(const void *a, const void *b) {
  const struct input *x = a, *y = b;
  if (x->rank != y->rank) return x->rank < y->rank ? -1 : 1;
  if (x->entity != y->entity) return x->entity < y->entity ? -1 : 1;
  return x->copy < y->copy ? -1 : x->copy > y->copy;
}

// As the source stands, backwards, at random, or at random in runs of 64.
static uint64_t rank(const struct life *life, size_t step, uint32_t entity, uint8_t copy) {
  struct dice dice = dice_for(life, FOR_RANK, step, entity, copy),
              run = dice_for(life, FOR_RANK, step, entity / 64, 255);
  switch (life->steps[step].row_order) {
  case 0:
    return entity;
  case 1:
    return UINT32_MAX - entity;
  case 2:
    return dice_roll(&dice);
  default:
    return dice_roll(&run);
  }
}

void life_read(struct life *life, size_t step) {
  const struct step *plan = &life->steps[step];
  life->input_count = 0;
  for (uint32_t entity = 0; entity < life->entity_count; entity++) {
    struct dice dice = dice_for(life, FOR_ROW, step, entity, 0);
    if (life->cuts.entities != NULL && life->cuts.entities[entity]) continue;
    if (dice_one_in(&dice, plan->partial_rate)) continue;
    const int there = exists(life, step, entity);
    if (!there && !dice_one_in(&dice, plan->tombstone_rate)) continue;
    for (uint8_t copy = 0; copy < 4; copy++) {
      struct dice own = dice_for(life, FOR_COPY, step, entity, copy);
      const int tombstone = dice_one_in(&own, plan->tombstone_rate) || !there;
      if (copy > 0 && !dice_one_in(&own, copy == 1 ? plan->copy_rate : plan->copy_rate != 0 ? 2 : 0)) break;
      add_input(life, (struct input){entity, copy, (uint8_t)tombstone, rank(life, step, entity, copy)});
    }
  }
  if (life->input_count > 0) qsort(life->input, life->input_count, sizeof *life->input, by_rank);
}

// ---- as SQLite takes it ----

void life_bind_key(sqlite3_stmt *statement, int at, const struct life *life, const char *const *parts) {
  sqlite3_str *key = sqlite3_str_new(NULL);
  int null = 0;
  for (size_t k = 0; k < life->key_count; k++) {
    if (parts[k] == NULL || strcmp(parts[k], "-") == 0) null = 1;
    if (parts[k] != NULL) sqlite3_str_appendf(key, "%d:%s", (int)strlen(parts[k]), parts[k]);
  }
  const int bytes = sqlite3_str_length(key);
  char *text = sqlite3_str_finish(key);
  const int rc =
      null ? sqlite3_bind_null(statement, at) : sqlite3_bind_text(statement, at, text, bytes, SQLITE_TRANSIENT);
  sqlite3_free(text);
  if (rc != SQLITE_OK) abort();
}

// ---- as the engine takes it ----

struct dr_schema *life_schema(const struct life *life, size_t step, struct dray_error *error) {
  const struct step *plan = &life->steps[step];
  struct dray_column_def defs[FIELDS_MAX];
  struct dr_schema *schema = NULL;
  for (size_t i = 0; i < plan->field_count; i++) {
    defs[i] = (struct dray_column_def){life->columns[plan->fields[i].column].name, plan->fields[i].type, 1};
  }
  return dr_schema_new(defs, plan->field_count, &schema, error) == DRAY_OK ? schema : NULL;
}

static int32_t fill(const struct life *life, size_t step, struct dray_builder *builder, size_t at, size_t count,
                    struct dray_error *error) {
  const struct step *plan = &life->steps[step];
  for (size_t r = at; r < at + count; r++) {
    for (size_t i = 0; i < plan->field_count; i++) {
      struct cell cell;
      life_cell(life, step, &life->input[r], &plan->fields[i], &cell);
      DRAY_TRY(cell_append(builder, i, &cell, error));
    }
    DRAY_TRY(dray_builder_end_row(builder, NULL, error));
  }
  return DRAY_OK;
}

static int32_t mark(const struct life *life, size_t step, struct dr_batch *batch, size_t at, struct dray_error *error) {
  const struct step *plan = &life->steps[step];
  for (uint64_t r = 0; r < dr_batch_rows(batch); r++) {
    const struct input *input = &life->input[at + r];
    if (input->tombstone) {
      if (batch->deleted == NULL) batch->deleted = calloc(dr_batch_rows(batch) / 8 + 1, 1);
      if (batch->deleted == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for marks");
      batch->deleted[r >> 3] |= (uint8_t)(1u << (r & 7));
    }
    for (size_t i = 0; i < plan->field_count; i++) {
      struct cell cell;
      if (plan->absent_rate == 0 && plan->null_key_rate == 0) break;
      life_cell(life, step, input, &plan->fields[i], &cell);
      if (cell.state == CELL_ABSENT) DRAY_TRY(dr_batch_set_absent(batch, i, r, error));
    }
  }
  return DRAY_OK;
}

struct dr_batch *life_batch(const struct life *life, size_t step, struct dr_schema *schema, size_t at, size_t count,
                            struct dray_error *error) {
  struct dray_builder *builder = NULL;
  struct ArrowArray array = {0};
  struct dr_batch *batch = NULL;
  int32_t rc = dray_builder_new(&schema->arrow, UINT64_MAX, UINT64_MAX, &builder, error);
  if (rc == DRAY_OK) rc = fill(life, step, builder, at, count, error);
  if (rc == DRAY_OK) rc = dray_builder_finish(builder, &array, error);
  if (rc == DRAY_OK) rc = dr_batch_wrap(schema, &array, &batch, error);
  if (rc == DRAY_OK) rc = mark(life, step, batch, at, error);
  dray_array_release(&array);
  dray_builder_free(builder);
  if (rc == DRAY_OK) return batch;
  dr_batch_free(batch);
  return NULL;
}

// ---- as a person reads it ----

static void describe_step(const struct life *life, size_t at) {
  static const char *const ends[] = {"commit",
                                     "prepare, commit",
                                     "prepare, reopen, commit",
                                     "rollback",
                                     "prepare, rollback",
                                     "prepare, reopen, rollback",
                                     "close without commit"};
  static const char *const acks[] = {"all", "whole set", "some", "some, backwards", "none"};
  static const char *const policies[] = {"", "reject", "first", "last"};
  const struct step *step = &life->steps[at];
  char type[24];
  if (step->off) return;
  printf("step %zu: budget %" PRIu64 " KiB, threads %u%s%s%s%s\n ", at, step->memory_bytes >> 10, step->threads,
         step->reopen ? ", reopened" : "", step->other_schema ? ", another schema" : "",
         step->reset ? ", begun anew" : "", step->abandons ? ", a pass left before" : "");
  for (size_t i = 0; i < step->field_count; i++) {
    const struct column *column = &life->columns[step->fields[i].column];
    printf(" %s[%u] %s%s", column->key ? "*" : "", step->fields[i].column, column->name, " ");
    printf("%s;", dray_type_format(step->fields[i].type, type, sizeof type));
  }
  printf("\n  pass:%s%s%s, duplicates %s, order field %d, batches of %zu, rows %s\n",
         (step->flags & DR_DIFF_FULL) != 0 ? " full" : "", (step->flags & DR_DIFF_RESYNC) != 0 ? " resync" : "",
         step->not_full ? " taken back" : "", policies[step->duplicates], step->order_field, step->batch_rows,
         step->row_order == 0   ? "in order"
         : step->row_order == 1 ? "backwards"
         : step->row_order == 2 ? "stirred"
                                : "in runs");
  printf("  one in: change %u, flip %u, absent %u, null key %u, copy %u, tombstone %u, left out %u\n",
         step->change_rate, step->flip_rate, step->absent_rate, step->null_key_rate, step->copy_rate,
         step->tombstone_rate, step->partial_rate);
  printf("  read by %" PRIu64 " rows, %" PRIu64 " bytes; acknowledge %s%s; %s%s%s\n", step->read_rows, step->read_bytes,
         acks[step->ack],
         step->reopen_before_ack == 0   ? ""
         : step->reopen_before_ack == 1 ? " after reopening"
                                        : " under the next schema",
         ends[step->end],
         step->compact == 0   ? ""
         : step->compact == 1 ? "; compact"
                              : "; merge",
         step->verify ? "; verify" : "");
}

void life_describe(const struct life *life) {
  static const char *const keeps[] = {"row", "columns", "key"};
  uint32_t entities = life->entity_count;
  for (uint32_t i = 0; life->cuts.entities != NULL && i < life->entity_count; i++) entities -= life->cuts.entities[i];
  printf("seed %" PRIu64 ", case %" PRIu64 ": keep %s, %u rows at the source\n", life->seed, life->number,
         keeps[life->keep], entities);
  for (size_t s = 0; s < life->step_count; s++) describe_step(life, s);
}

#define PRINTED_ROWS_MAX 40

void life_print_input(const struct life *life, size_t step) {
  const struct step *plan = &life->steps[step];
  printf("input of step %zu: %zu rows\n", step, life->input_count);
  for (size_t r = 0; r < life->input_count && r < PRINTED_ROWS_MAX; r++) {
    printf("  %zu%s:", r, life->input[r].tombstone ? " tombstone" : "");
    for (size_t i = 0; i < plan->field_count; i++) {
      struct cell cell;
      life_cell(life, step, &life->input[r], &plan->fields[i], &cell);
      const char *text = cell_text(&cell);
      printf(" [%u]=%.40s", plan->fields[i].column, text != NULL ? text : "(absent)");
    }
    printf("\n");
  }
}
