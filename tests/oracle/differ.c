// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// oracle_diff: random lives through the engine and through SQLite. README.md says how it is run.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dray/destination.h"
#include "oracle.h"
#include "runner.h"
#include "world.h"

#define REPEATS 8      // of a pass that deferred something, with nothing acknowledged
#define ROUNDS_MAX 300 // of pass and acknowledgement, until nothing is deferred

static struct oracle oracle;

// ---- one pass ----

static void print_counts(const struct oracle_counts *due, const struct dr_diff_counts *said) {
  const uint64_t pairs[][2] = {{said->rows, due->rows},
                               {said->inserts, due->inserts},
                               {said->updates, due->updates},
                               {said->deletes, due->deletes},
                               {said->unchanged, due->unchanged},
                               {said->null_keys, due->null_keys},
                               {said->duplicate_keys, due->duplicate_keys},
                               {said->duplicate_rows, due->duplicate_rows}};
  static const char *const names[] = {"rows",      "inserts",   "updates",        "deletes",
                                      "unchanged", "null keys", "duplicate keys", "duplicate rows"};
  for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
    printf("  %s: %" PRIu64 " said, %" PRIu64 " expected%s\n", names[i], pairs[i][0], pairs[i][1],
           pairs[i][0] == pairs[i][1] ? "" : "  <--");
  }
  printf("  deferred: %" PRIu64 "\n", said->deferred);
}

static int counts_differ(const struct oracle_counts *due, const struct dr_diff_counts *said) {
  return said->inserts != due->inserts || said->updates != due->updates || said->deletes != due->deletes ||
         said->unchanged != due->unchanged || said->duplicate_keys != due->duplicate_keys ||
         said->duplicate_rows != due->duplicate_rows;
}

static void check_counts(struct world *world, const struct oracle_counts *due, const struct dr_diff_counts *said,
                         const uint64_t *updates) {
  int wrong = said->rows != due->rows || said->null_keys != due->null_keys;
  if (said->deferred == 0) {
    wrong |= counts_differ(due, said);
  } else {
    wrong |= said->inserts > due->inserts || said->updates > due->updates || said->deletes > due->deletes ||
             said->duplicate_keys > due->duplicate_keys || said->duplicate_rows > due->duplicate_rows ||
             said->unchanged > due->unchanged + said->deferred; // a copy was, of which another is deferred
    // Every row is accounted for; the deletes that are not of tombstones are no rows.
    const uint64_t sum = said->inserts + said->updates + said->unchanged + said->null_keys + said->duplicate_rows;
    wrong |= sum + said->deferred > said->rows || sum + said->deferred + said->deletes < said->rows;
  }
  for (size_t i = 0; i < world->life->steps[world->step].field_count; i++) {
    const int differs =
        said->deferred == 0 ? updates[i] != due->column_updates[i] : updates[i] > due->column_updates[i];
    if (differs) {
      printf("  updates of field %zu: %" PRIu64 " said, %" PRIu64 " expected\n", i, updates[i], due->column_updates[i]);
    }
    wrong |= differs;
  }
  if (wrong) print_counts(due, said);
  world_check(world, !wrong);
}

// What the set promises of a batch, beside its content.
static void check_batch(struct world *world, const struct dr_changes *changes, uint64_t seq,
                        struct dr_hash128 *delete) {
  const struct step *plan = &world->life->steps[world->step];
  const int class = changes->op[0] == DR_OP_REJECT ? 1 : changes->op[0] == DRAY_OP_DELETE ? 2 : 0;
  world_check(world, changes->first_seq == seq);
  world_check(world, changes->count > 0 && changes->count <= plan->read_rows);
  world_check(world, plan->read_bytes > 1 || changes->count == 1);
  world_check(world, dr_batch_rows(changes->rows) == changes->count);
  for (size_t i = 0; i < changes->count; i++) {
    const uint8_t op = changes->op[i];
    world_check(world, class == (op == DR_OP_REJECT ? 1 : op == DRAY_OP_DELETE ? 2 : 0));
    world_check(world, (delete->low | delete->high) == 0 || op == DRAY_OP_DELETE); // nothing behind a delete
    if (op != DRAY_OP_DELETE) continue;
    const struct dr_hash128 hash = changes->key_hash[i];
    world_check(world, hash.high > delete->high || (hash.high == delete->high && hash.low > delete->low) ||
                           (delete->low | delete->high) == 0);
    *delete = hash;
  }
}

static void read_set(struct world *world, struct dr_changeset *set) {
  const struct step *plan = &world->life->steps[world->step];
  struct dr_hash128 delete = {0, 0};
  uint64_t seq = 0;
  oracle_hear_begin(&oracle);
  for (;;) {
    struct dr_changes *changes = NULL;
    world_ok(world, dr_changeset_next(set, seq, plan->read_rows, plan->read_bytes, plan->with_before, &changes,
                                      &world->error));
    if (changes == NULL) break;
    world_check(world, (changes->before != NULL) == plan->with_before);
    check_batch(world, changes, seq, &delete);
    oracle_hear(&oracle, changes);
    seq += changes->count;
    dr_changes_free(changes);
  }
  world_check(world, seq == dr_changeset_count(set));
  world_check(world, dr_schema_equal(dr_changeset_schema(set), world->schema));
}

// Returns what was deferred.
static uint64_t pass(struct world *world, const struct oracle_counts *due) {
  const struct step *plan = &world->life->steps[world->step];
  struct dr_diff_counts said;
  struct dr_changeset *set = NULL;
  uint64_t updates[FIELDS_MAX];
  world->rows_due = oracle_mirror_rows(&oracle);
  world_pass(world, world->step, &said, updates);
  world_ok(world, dr_changeset_open(world->set_path, &set, &world->error));
  read_set(world, set);
  dr_changeset_close(set);
  const int differs = oracle_compare(&oracle, said.deferred, plan->with_before, 6);
  if (differs) print_counts(due, &said);
  world_check(world, !differs);
  check_counts(world, due, &said, updates);
  runner_count(STAT_PASSES, 1);
  runner_count(STAT_ROWS, said.rows);
  runner_count(STAT_CHANGES, said.inserts + said.updates + said.deletes);
  runner_count(STAT_DEFERRED, said.deferred);
  return said.deferred;
}

// ---- acknowledging ----

// By then the mirror may be open under the schema of the next step; the set is of the oracle's.

static void ack_batches(struct world *world, struct dr_changeset *set, struct dice *dice) {
  const struct step *plan = &world->life->steps[oracle.step];
  for (uint64_t seq = 0;;) {
    struct dr_changes *changes = NULL;
    world_ok(world, dr_changeset_next(set, seq, plan->read_rows, plan->read_bytes, 0, &changes, &world->error));
    if (changes == NULL) break;
    uint8_t *acked = calloc(changes->count, 1);
    world_check(world, acked != NULL);
    for (size_t i = 0; i < changes->count; i++) {
      acked[i] = changes->op[i] != DR_OP_REJECT && !(plan->ack == ACK_SOME && dice_one_in(dice, plan->ack_rate));
      if (acked[i]) oracle_ack(&oracle, seq + i);
    }
    world_ok(world, dr_mirror_ack(world->mirror, changes, acked, &world->error));
    seq += changes->count;
    free(acked);
    dr_changes_free(changes);
  }
}

// One change at a time, the last first.
static void ack_backwards(struct world *world, struct dr_changeset *set, struct dice *dice) {
  const struct step *plan = &world->life->steps[oracle.step];
  for (uint64_t seq = dr_changeset_count(set); seq-- > 0;) {
    struct dr_changes *changes = NULL;
    world_ok(world, dr_changeset_next(set, seq, 1, 1, 0, &changes, &world->error));
    world_check(world, changes != NULL && changes->count == 1 && changes->first_seq == seq);
    const uint8_t acked = changes->op[0] != DR_OP_REJECT && !dice_one_in(dice, plan->ack_rate);
    if (acked) oracle_ack(&oracle, seq);
    world_ok(world, dr_mirror_ack(world->mirror, changes, &acked, &world->error));
    dr_changes_free(changes);
  }
}

static void ack_whole(struct world *world, struct dr_changeset *set, struct dice *dice) {
  uint64_t count = dr_changeset_count(set);
  if (dice_one_in(dice, 3)) count = dice_below(dice, (uint32_t)count + 1);
  for (uint64_t seq = 0; seq < count; seq++) oracle_ack(&oracle, seq);
  world_ok(world, dr_mirror_ack_all(world->mirror, set, count, &world->error));
}

static void acknowledge(struct world *world, struct dice *dice) {
  const struct step *plan = &world->life->steps[oracle.step];
  struct dr_changeset *set = NULL;
  if (plan->ack == ACK_NONE) return;
  world_ok(world, dr_changeset_open(world->set_path, &set, &world->error));
  if (plan->ack == ACK_WHOLE_SET) {
    ack_whole(world, set, dice);
  } else if (plan->ack == ACK_BACKWARDS) {
    ack_backwards(world, set, dice);
  } else {
    ack_batches(world, set, dice);
  }
  dr_changeset_close(set);
}

static void commit(struct world *world) {
  world_ok(world, dr_mirror_commit(world->mirror, world->generation + 1, &world->error));
  world->generation++;
  oracle_commit(&oracle);
}

static void rollback(struct world *world) {
  world_ok(world, dr_mirror_rollback(world->mirror, &world->error));
  oracle_rollback(&oracle);
}

static void end_step(struct world *world) {
  const int end = world->life->steps[oracle.step].end;
  const uint64_t next = world->generation + 1;
  if (end == END_CLOSE) {
    oracle_rollback(&oracle);
    world_reopen(world);
    return;
  }
  const int prepares =
      end == END_PREPARE || end == END_PREPARE_REOPEN || end == END_PREPARE_ROLLBACK || end == END_REOPEN_ROLLBACK;
  if (prepares) world_ok(world, dr_mirror_prepare(world->mirror, next, &world->error));
  if (end == END_PREPARE_REOPEN || end == END_REOPEN_ROLLBACK) {
    struct dr_mirror_info info;
    world_reopen(world);
    dr_mirror_info(world->mirror, &info);
    world_check(world, info.prepared_generation == next);
  }
  if (end == END_ROLLBACK || end == END_PREPARE_ROLLBACK || end == END_REOPEN_ROLLBACK) {
    rollback(world);
  } else {
    commit(world);
  }
}

// ---- a life ----

static void check_info(struct world *world) {
  struct dr_mirror_info info;
  dr_mirror_info(world->mirror, &info);
  world_check(world, info.generation == world->generation);
  world_check(world, info.prepared_generation == 0);
  world_check(world, info.keep == world->life->keep);
}

static void begin_anew(struct world *world) {
  world_close(world);
  world_ok(world, dr_mirror_reset(world->folder, &world->error));
  world_check(world, !dr_mirror_exists(world->folder));
  oracle_reset(&oracle);
  world->generation = 0;
}

// Opens the mirror under the step's schema, where it is not open under it already.
static void come_to(struct world *world, size_t step) {
  if (world->life->steps[step].reset) begin_anew(world);
  int other = world->mirror == NULL || world->life->steps[step].reopen;
  for (size_t s = world->step + 1; s <= step; s++) other |= world->life->steps[s].other_schema;
  if (other) {
    world_close(world);
    world_open(world, step);
  }
  world->step = step;
}

static void finish_step(struct world *world) {
  const struct step *plan = &world->life->steps[oracle.step];
  struct dr_mirror_info info;
  if (plan->compact == 1) world_ok(world, dr_mirror_compact(world->mirror, &world->error));
  if (plan->compact == 2) world_merge(world);
  if (plan->verify) {
    world_ok(world, dr_mirror_verify(world->folder, &info, &world->error));
    world_check(world, info.generation == world->generation);
    world_check(world, info.rows == oracle_mirror_rows(&oracle));
  }
}

static uint64_t run_step(struct world *world, size_t step) {
  const struct step *plan = &world->life->steps[step];
  struct dice dice = dice_at(dice_mix(world->life->seed) + world->life->number, 1000, step, 0, 0);
  struct oracle_counts due;
  come_to(world, step);
  check_info(world);
  oracle_expect(&oracle, step, &due);
  if (plan->abandons) world_abandon(world, step);
  uint64_t deferred = pass(world, &due);
  // What was deferred waits for the next step, or the pass is repeated.
  for (int repeat = 0; deferred > 0 && repeat < REPEATS && dice_one_in(&dice, 2); repeat++) {
    deferred = pass(world, &due);
  }
  if (plan->reopen_before_ack == 2 && step + 1 < world->life->step_count && !world->life->steps[step + 1].off) {
    world_close(world);
    world_open(world, step + 1);
  } else if (plan->reopen_before_ack != 0) {
    world_reopen(world);
  }
  acknowledge(world, &dice);
  end_step(world);
  finish_step(world);
  return deferred;
}

// Repeats the last pass and acknowledges what it says, until nothing is deferred: then all of it is as expected.
static void converge(struct world *world, uint64_t deferred) {
  for (int round = 0; deferred > 0; round++) {
    struct oracle_counts due;
    struct dr_changeset *set = NULL;
    world_check(world, round < ROUNDS_MAX);
    oracle_expect(&oracle, world->step, &due);
    deferred = pass(world, &due);
    world_ok(world, dr_changeset_open(world->set_path, &set, &world->error));
    for (uint64_t seq = 0; seq < dr_changeset_count(set); seq++) oracle_ack(&oracle, seq);
    world_ok(world, dr_mirror_ack_all(world->mirror, set, dr_changeset_count(set), &world->error));
    dr_changeset_close(set);
    commit(world);
    world_merge(world);
  }
}

void runner_case(uint64_t seed, uint64_t number, const struct cuts *cuts, const char *root, int verbose) {
  struct life life;
  struct world world;
  uint64_t deferred = 0;
  life_make(&life, seed, number, cuts);
  if (oracle.db == NULL) oracle_open(&oracle);
  oracle_begin(&oracle, &life);
  world_begin(&world, &life, root);
  for (size_t step = 0; step < life.step_count; step++) {
    if (life.steps[step].off) continue;
    life_read(&life, step);
    if (verbose) life_print_input(&life, step);
    deferred = run_step(&world, step);
  }
  converge(&world, deferred);
  world_end(&world);
  life_free(&life);
}

uint32_t runner_entities(uint64_t seed, uint64_t number, uint32_t parts) {
  const struct cuts none = {.parts = parts};
  struct life life;
  life_make(&life, seed, number, &none);
  return life.entity_count;
}

void runner_end(void) {
  if (oracle.db != NULL) oracle_close(&oracle);
}

int main(int argc, char **argv) {
  return runner_main(argc, argv);
}
