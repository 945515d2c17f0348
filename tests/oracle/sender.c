// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
#include "sender.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fault.h"
#include "dray/destination.h"

static void ask(struct world *world, struct wire *wire, uint32_t kind, uint64_t a, uint64_t b, struct message *out) {
  (void)world;
  if (!wire_send(wire, kind, a, b) || !wire_receive(wire, out)) _exit(3); // the other side says what went wrong
}

static void ask_nothing(struct world *world, struct wire *wire, uint32_t kind, uint64_t a, uint64_t b) {
  struct message answer;
  wire_begin(wire);
  ask(world, wire, kind, a, b, &answer);
}

// ---- committing ----

static void commit(struct world *world, const struct run_plan *plan, struct wire *wire) {
  const uint64_t next = world->generation + 1;
  struct message answer;
  if (plan->prepares) world_ok(world, dr_mirror_prepare(world->mirror, next, &world->error));
  wire_begin(wire);
  ask(world, wire, ASK_COMMIT, next, (uint64_t)plan->prepares, &answer);
  if (answer.a == 0) {
    world_ok(world, dr_mirror_rollback(world->mirror, &world->error));
    return;
  }
  world_ok(world, dr_mirror_commit(world->mirror, next, &world->error));
  world->generation = next;
}

// ---- what the last run left ----

static void open_mirror(struct world *world, const struct run_plan *plan, struct wire *wire) {
  struct dr_mirror_info info;
  struct message answer;
  world_open(world, plan->step);
  dr_mirror_info(world->mirror, &info);
  wire_begin(wire);
  ask(world, wire, ASK_OPENED, info.generation, info.prepared_generation, &answer);
  world->generation = info.generation;
  if (info.prepared_generation == 0) return;
  if (answer.a == 0) {
    world_ok(world, dr_mirror_rollback(world->mirror, &world->error));
    return;
  }
  world_ok(world, dr_mirror_commit(world->mirror, info.prepared_generation, &world->error));
  world->generation = info.prepared_generation;
}

static void ack_marked(struct world *world, const uint8_t *marked, uint64_t count) {
  struct dr_changeset *set = NULL;
  world_ok(world, dr_changeset_open(world->set_path, &set, &world->error));
  world_check(world, dr_changeset_count(set) == count);
  for (uint64_t seq = 0;;) {
    struct dr_changes *changes = NULL;
    world_ok(world, dr_changeset_next(set, seq, 100, 1u << 20, 0, &changes, &world->error));
    if (changes == NULL) break;
    world_ok(world, dr_mirror_ack(world->mirror, changes, marked + seq, &world->error));
    seq += changes->count;
    dr_changes_free(changes);
  }
  dr_changeset_close(set);
}

// Acknowledges what the other side has taken of the set that is there, and the mirror does not know of.
static void recover(struct world *world, const struct run_plan *plan, struct wire *wire) {
  const uint64_t before = world->generation;
  while (world->generation == before) { // the other side's own commit may fail
    struct message answer;
    wire_begin(wire);
    ask(world, wire, ASK_RECOVER, 0, 0, &answer);
    if (answer.a == 0) return;
    uint8_t *marked = calloc((size_t)answer.b + 1, 1);
    world_check(world, marked != NULL);
    size_t at = 0;
    for (uint64_t i = 0; i < answer.a; i++) marked[wire_get_u64(&answer, &at)] = 1;
    ack_marked(world, marked, answer.b);
    free(marked);
    commit(world, plan, wire);
  }
}

// ---- sending ----

static void put_rows(struct world *world, struct wire *wire, const struct dr_changes *changes) {
  const struct step *plan = &world->life->steps[world->step];
  wire_begin(wire);
  for (size_t i = 0; i < changes->count; i++) {
    uint64_t mask = 0;
    for (size_t f = 0; f < plan->field_count; f++) {
      mask |= (uint64_t)(changes->changed[i * changes->changed_stride + f / 8] >> (f & 7) & 1) << f;
    }
    wire_put_u64(wire, changes->op[i]);
    wire_put_u64(wire, mask);
    for (size_t f = 0; f < plan->field_count; f++) {
      struct cell cell;
      cell_read(&cell, changes->rows, f, i);
      wire_put_text(wire, cell_text(&cell));
    }
  }
}

static void send_batch(struct world *world, struct wire *wire, struct dr_changes *changes) {
  struct message answer;
  uint8_t *acked = calloc(changes->count, 1);
  world_check(world, acked != NULL);
  put_rows(world, wire, changes);
  ask(world, wire, ASK_BATCH, changes->first_seq, changes->count, &answer);
  world_check(world, answer.bytes == changes->count);
  memcpy(acked, answer.body, changes->count);
  world_ok(world, dr_mirror_ack(world->mirror, changes, acked, &world->error));
  free(acked);
}

static void send_set(struct world *world, const struct run_plan *plan, struct wire *wire) {
  const struct step *step = &world->life->steps[world->step];
  struct dr_changeset *set = NULL;
  uint32_t batches = 0;
  world_ok(world, dr_changeset_open(world->set_path, &set, &world->error));
  ask_nothing(world, wire, ASK_SET, dr_changeset_count(set), 0);
  for (uint64_t seq = 0;;) {
    struct dr_changes *changes = NULL;
    world_ok(world, dr_changeset_next(set, seq, step->read_rows, step->read_bytes, 0, &changes, &world->error));
    if (changes == NULL) break;
    if (changes->op[0] != DR_OP_REJECT) send_batch(world, wire, changes);
    seq += changes->count;
    dr_changes_free(changes);
    if (plan->commit_every != 0 && ++batches % plan->commit_every == 0) commit(world, plan, wire);
  }
  dr_changeset_close(set);
}

void sender_run(struct world *world, const struct run_plan *plan, struct wire *wire) {
  struct dr_diff_counts counts;
  uint64_t updates[FIELDS_MAX];
  if (plan->fault != NULL && (setenv("DRAY_TEST", "1", 1) != 0 || setenv("DRAY_FAULT", plan->fault, 1) != 0)) _exit(2);
  dr_fault_reload();
  open_mirror(world, plan, wire);
  recover(world, plan, wire);
  world_pass(world, plan->step, &counts, updates);
  send_set(world, plan, wire);
  if (plan->rolls_back) world_ok(world, dr_mirror_rollback(world->mirror, &world->error));
  if (!plan->leaves && !plan->rolls_back) commit(world, plan, wire);
  if (plan->compacts) world_merge(world);
  ask_nothing(world, wire, ASK_DONE, counts.inserts + counts.updates + counts.deletes, counts.deferred);
  world_close(world);
}
