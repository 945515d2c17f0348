// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Tables: target (what the other side holds), known (what the mirror must hold, by all that was durable), source, and
// sent, the ledger of the set at hand. Its columns: state (accepted, refused or doubt), applied (whether the target has
// it, which the sender cannot know of a doubt), generation (of the commit that covers it; -1: that was rolled back) and
// durable (the mirror was seen to have it).
#include "receiver.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dray/destination.h"
#include "runner.h"

static void run(struct receiver *receiver, const char *sql) {
  if (sqlite3_exec(receiver->db, sql, NULL, NULL, NULL) == SQLITE_OK) return;
  fprintf(stderr, "the receiver failed: %s\n%s\n", sqlite3_errmsg(receiver->db), sql);
  abort();
}

__attribute__((format(printf, 2, 3))) static void run_format(struct receiver *receiver, const char *format, ...) {
  va_list args;
  va_start(args, format);
  char *sql = sqlite3_vmprintf(format, args);
  va_end(args);
  if (sql == NULL) abort();
  run(receiver, sql);
  sqlite3_free(sql);
}

static sqlite3_stmt *prepare(struct receiver *receiver, const char *sql) {
  sqlite3_stmt *statement = NULL;
  if (sqlite3_prepare_v2(receiver->db, sql, -1, &statement, NULL) == SQLITE_OK) return statement;
  fprintf(stderr, "the receiver failed: %s\n%s\n", sqlite3_errmsg(receiver->db), sql);
  abort();
}

static uint64_t number(struct receiver *receiver, const char *sql) {
  sqlite3_stmt *statement = prepare(receiver, sql);
  if (sqlite3_step(statement) != SQLITE_ROW) abort();
  const uint64_t value = (uint64_t)sqlite3_column_int64(statement, 0);
  (void)sqlite3_finalize(statement);
  return value;
}

// For each column of the life, `part` with its number, separated by `between`.
static char *columns(const struct receiver *receiver, const char *part, const char *between) {
  sqlite3_str *list = sqlite3_str_new(NULL);
  for (size_t i = 0; i < receiver->life->column_count; i++) {
    if (i > 0) sqlite3_str_appendall(list, between);
    for (const char *at = part; *at != '\0'; at++) {
      if (*at == '#') {
        sqlite3_str_appendf(list, "%d", (int)i);
      } else {
        sqlite3_str_appendchar(list, 1, *at);
      }
    }
  }
  return sqlite3_str_finish(list);
}

void receiver_open(struct receiver *receiver) {
  memset(receiver, 0, sizeof *receiver);
  if (sqlite3_open(":memory:", &receiver->db) != SQLITE_OK) abort();
  run(receiver, "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF");
}

void receiver_close(struct receiver *receiver) {
  (void)sqlite3_close(receiver->db);
  memset(receiver, 0, sizeof *receiver);
}

void receiver_begin(struct receiver *receiver, const struct life *life) {
  sqlite3 *db = receiver->db;
  *receiver = (struct receiver){.db = db, .life = life};
  char *list = columns(receiver, "c# TEXT", ", ");
  run(receiver, "DROP TABLE IF EXISTS target; DROP TABLE IF EXISTS known; DROP TABLE IF EXISTS sent;"
                "DROP TABLE IF EXISTS source");
  run_format(receiver,
             "CREATE TABLE target(key TEXT PRIMARY KEY, %s); CREATE TABLE known(key TEXT PRIMARY KEY, schema INT, %s);"
             "CREATE TABLE source(ord INTEGER PRIMARY KEY, key TEXT, %s);"
             "CREATE TABLE sent(seq INTEGER PRIMARY KEY, op INT, mask INT, state TEXT, applied INT, generation INT,"
             " durable INT, step INT, key TEXT, %s)",
             list, list, list, list);
  sqlite3_free(list);
}

// ---- what was sent ----

static void add_row(struct receiver *receiver, sqlite3_stmt *statement, uint64_t seq, const struct message *question,
                    size_t *at, char *out_accepted) {
  const struct life *life = receiver->life;
  const struct step *plan = &life->steps[receiver->step];
  const char *key[KEY_COLUMNS_MAX] = {0};
  const char *state = "accepted";
  uint64_t mask = 0;
  int applied = 1;
  (void)sqlite3_clear_bindings(statement);
  const int op = (int)wire_get_u64(question, at);
  const uint64_t fields = wire_get_u64(question, at);
  for (size_t f = 0; f < plan->field_count; f++) {
    const uint32_t column = plan->fields[f].column;
    const char *text = wire_get_text(question, at);
    (void)sqlite3_bind_text(statement, 9 + (int)column, text, -1, SQLITE_TRANSIENT);
    if (life->columns[column].key) key[column] = text;
    mask |= (fields >> f & 1) << column;
  }
  if (dice_one_in(&receiver->dice, receiver->refuse_rate)) {
    state = "refused";
    applied = 0;
    runner_count(STAT_REFUSED, 1);
  } else if (dice_one_in(&receiver->dice, receiver->doubt_rate)) {
    state = "doubt";
    applied = dice_one_in(&receiver->dice, 2);
    runner_count(STAT_DOUBTS, 1);
  }
  *out_accepted = state[0] == 'a';
  (void)sqlite3_bind_int64(statement, 1, (sqlite3_int64)seq);
  (void)sqlite3_bind_int(statement, 2, op);
  (void)sqlite3_bind_int64(statement, 3, (sqlite3_int64)mask);
  (void)sqlite3_bind_text(statement, 4, state, -1, SQLITE_STATIC);
  (void)sqlite3_bind_int(statement, 5, applied);
  (void)sqlite3_bind_int(statement, 7, (int)receiver->step);
  life_bind_key(statement, 8, life, key);
  if (sqlite3_step(statement) != SQLITE_DONE) abort();
  (void)sqlite3_reset(statement);
}

static void add_rows(struct receiver *receiver, const struct message *question, struct wire *wire) {
  sqlite3_str *sql = sqlite3_str_new(NULL);
  size_t at = 0;
  sqlite3_str_appendall(sql, "INSERT INTO sent VALUES(?1, ?2, ?3, ?4, ?5, coalesce(?6, 0), 0, ?7, ?8");
  for (size_t i = 0; i < receiver->life->column_count; i++) sqlite3_str_appendf(sql, ", ?%d", (int)i + 9);
  sqlite3_str_appendall(sql, ")");
  char *text = sqlite3_str_finish(sql);
  sqlite3_stmt *statement = prepare(receiver, text);
  sqlite3_free(text);
  run(receiver, "BEGIN");
  for (uint64_t i = 0; i < question->b; i++) {
    char accepted = 0;
    add_row(receiver, statement, question->a + i, question, &at, &accepted);
    wire_put(wire, &accepted, 1);
  }
  run(receiver, "COMMIT");
  (void)sqlite3_finalize(statement);
}

// Writes those of the sent rows to the target for which `which` holds.
static void apply(struct receiver *receiver, const char *which) {
  char *sets =
      receiver->whole_rows
          ? columns(receiver, "c# = coalesce(s.c#, target.c#)", ", ")
          : columns(receiver, "c# = CASE WHEN s.mask >> # & 1 THEN coalesce(s.c#, target.c#) ELSE target.c# END", ", ");
  run_format(receiver,
             "INSERT OR IGNORE INTO target(key) SELECT key FROM sent s WHERE op IN (1, 2) AND %s;"
             "UPDATE target SET %s FROM sent s WHERE s.key = target.key AND s.op IN (1, 2) AND %s;"
             "DELETE FROM target WHERE key IN (SELECT key FROM sent s WHERE op = 4 AND %s)",
             which, sets, which, which);
  sqlite3_free(sets);
}

// What must not have been sent, by all that the mirror is known to hold.
static const char *check_batch(struct receiver *receiver, uint64_t first) {
  const struct step *plan = &receiver->life->steps[receiver->step];
  const char *wrong = NULL;
  char *differs = columns(receiver, "(s.c# IS NOT NULL AND s.c# IS NOT k.c#)", " OR ");
  char *joined = sqlite3_mprintf(
      "SELECT count(*) FROM sent s LEFT JOIN known k ON k.key = s.key WHERE s.seq >= %lld AND ", (long long)first);
  char *sql = sqlite3_mprintf("%s s.op = 1 AND k.key IS NOT NULL", joined);
  if (number(receiver, sql) > 0) wrong = "a row that was acknowledged is sent as new";
  sqlite3_free(sql);
  sql = sqlite3_mprintf("%s s.op <> 1 AND k.key IS NULL", joined);
  if (number(receiver, sql) > 0) wrong = "an update or delete of a row that was never acknowledged";
  sqlite3_free(sql);
  sql = sqlite3_mprintf("%s s.op = 2 AND NOT (%s) AND (%d OR k.schema = %d)", joined, differs,
                        receiver->life->keep != DR_KEEP_KEY, (int)receiver->step);
  if ((plan->flags & DR_DIFF_RESYNC) == 0 && number(receiver, sql) > 0)
    wrong = "an acknowledged row is sent again without having changed";
  sqlite3_free(sql);
  sqlite3_free(joined);
  sqlite3_free(differs);
  return wrong;
}

static const char *take_batch(struct receiver *receiver, const struct message *question, struct wire *wire) {
  char which[64];
  add_rows(receiver, question, wire);
  const char *wrong = check_batch(receiver, question->a);
  (void)snprintf(which, sizeof which, "s.applied AND s.seq >= %" PRIu64, question->a);
  if (wrong == NULL) apply(receiver, which);
  return wrong;
}

// ---- what became of it ----

// Everything up to this generation is in the mirror.
static void make_durable(struct receiver *receiver, uint64_t generation) {
  char *names = columns(receiver, "c#", ", "), *merged = columns(receiver, "coalesce(s.c#, k.c#)", ", ");
  run_format(receiver,
             "CREATE TEMP TABLE IF NOT EXISTS news(seq INTEGER PRIMARY KEY); DELETE FROM news;"
             "INSERT INTO news SELECT seq FROM sent WHERE state = 'accepted' AND NOT durable AND "
             "generation BETWEEN 1 AND %lld;"
             "INSERT OR REPLACE INTO known(key, schema, %s) SELECT s.key, s.step, %s FROM news JOIN sent s USING(seq) "
             "LEFT JOIN known k ON k.key = s.key WHERE s.op <> 4;"
             "DELETE FROM known WHERE key IN (SELECT key FROM news JOIN sent USING(seq) WHERE op = 4);"
             "UPDATE sent SET durable = 1 WHERE seq IN (SELECT seq FROM news)",
             (long long)generation, names, merged);
  sqlite3_free(names);
  sqlite3_free(merged);
}

static const char *opened(struct receiver *receiver, const struct message *question, uint64_t *out_answer) {
  const int commits = question->b != 0 && question->b == receiver->store_generation;
  const uint64_t generation = commits ? question->b : question->a;
  if (receiver->store_generation > generation) return "what was prepared, and committed here, is gone";
  if (receiver->confirmed_generation > generation) return "a commit that was done is gone";
  run_format(receiver, "UPDATE sent SET generation = 0 WHERE generation > %lld AND NOT durable", (long long)generation);
  make_durable(receiver, generation);
  *out_answer = (uint64_t)commits;
  return NULL;
}

// Doubts are resolved: the target is asked whether it has the row, or the row is sent again.
static void resolve(struct receiver *receiver) {
  const uint64_t again = dice_below(&receiver->dice, 3);
  if (again > 0) {
    run_format(receiver, "UPDATE sent SET applied = 2 WHERE state = 'doubt' AND seq %% 3 <> %lld", (long long)again);
    apply(receiver, "s.applied = 2");
  }
  run(receiver, "UPDATE sent SET state = CASE WHEN applied THEN 'accepted' ELSE 'refused' END WHERE state = 'doubt'");
}

static uint64_t recover(struct receiver *receiver, struct wire *wire) {
  uint64_t count = 0;
  resolve(receiver);
  run(receiver, "UPDATE sent SET generation = 0 WHERE generation < 0");
  sqlite3_stmt *statement = prepare(
      receiver, "SELECT seq FROM sent WHERE state = 'accepted' AND NOT durable AND generation = 0 ORDER BY seq");
  for (; sqlite3_step(statement) == SQLITE_ROW; count++) {
    wire_put_u64(wire, (uint64_t)sqlite3_column_int64(statement, 0));
  }
  (void)sqlite3_finalize(statement);
  return count;
}

static uint64_t commit(struct receiver *receiver, const struct message *question) {
  const int prepared = question->b != 0;
  if (prepared && dice_one_in(&receiver->dice, receiver->store_rate)) { // what was acknowledged is forgotten there
    run(receiver, "UPDATE sent SET generation = -1 WHERE state = 'accepted' AND generation = 0");
    return 0;
  }
  run_format(receiver, "UPDATE sent SET generation = %lld WHERE state = 'accepted' AND generation = 0",
             (long long)question->a);
  receiver->asked_generation = question->a;
  if (prepared) receiver->store_generation = question->a;
  return 1;
}

uint64_t receiver_open_count(struct receiver *receiver) {
  return number(receiver, "SELECT count(*) FROM sent WHERE state = 'doubt' OR (state = 'accepted' AND NOT durable)");
}

const char *receiver_answer(struct receiver *receiver, const struct message *question, struct wire *wire) {
  const char *wrong = NULL;
  uint64_t a = 0, b = 0;
  if (question->kind != ASK_OPENED && receiver->asked_generation > receiver->confirmed_generation) {
    receiver->confirmed_generation = receiver->asked_generation; // it has gone on: the commit is done
    make_durable(receiver, receiver->confirmed_generation);
  }
  wire_begin(wire);
  switch (question->kind) {
  case ASK_OPENED:
    receiver->asked_generation = 0;
    wrong = opened(receiver, question, &a);
    if (a != 0) receiver->asked_generation = question->b;
    break;
  case ASK_RECOVER:
    a = recover(receiver, wire);
    b = receiver->set_count;
    break;
  case ASK_SET:
    if (receiver_open_count(receiver) > 0) wrong = "a new set, while the outcome of the last one is open";
    run(receiver, "DELETE FROM sent");
    receiver->set_count = question->a;
    break;
  case ASK_BATCH:
    wrong = take_batch(receiver, question, wire);
    break;
  case ASK_COMMIT:
    a = commit(receiver, question);
    break;
  default:
    receiver->said = question->a;
    receiver->deferred = question->b;
    receiver->finished = 1;
  }
  (void)wire_send(wire, question->kind, a, b); // it may be gone
  return wrong;
}

// ---- the end ----

static void load_source(struct receiver *receiver, size_t step) {
  const struct life *life = receiver->life;
  const struct step *plan = &life->steps[step];
  sqlite3_str *sql = sqlite3_str_new(NULL);
  sqlite3_str_appendall(sql, "INSERT INTO source VALUES(?, ?");
  for (size_t i = 0; i < life->column_count; i++) sqlite3_str_appendall(sql, ", ?");
  sqlite3_str_appendall(sql, ")");
  char *text = sqlite3_str_finish(sql);
  sqlite3_stmt *statement = prepare(receiver, text);
  sqlite3_free(text);
  run(receiver, "DELETE FROM source; BEGIN");
  for (size_t r = 0; r < life->input_count; r++) {
    char *key[KEY_COLUMNS_MAX] = {0};
    (void)sqlite3_clear_bindings(statement);
    (void)sqlite3_bind_int64(statement, 1, (sqlite3_int64)r);
    for (size_t i = 0; i < plan->field_count; i++) {
      struct cell cell;
      const uint32_t column = plan->fields[i].column;
      life_cell(life, step, &life->input[r], &plan->fields[i], &cell);
      cell_bind_text(statement, 3 + (int)column, &cell);
      if (life->columns[column].key) key[column] = sqlite3_mprintf("%s", cell_text(&cell));
    }
    life_bind_key(statement, 2, life, (const char *const *)key);
    for (size_t k = 0; k < life->key_count; k++) sqlite3_free(key[k]);
    if (sqlite3_step(statement) != SQLITE_DONE) abort();
    (void)sqlite3_reset(statement);
  }
  (void)sqlite3_finalize(statement);
  run(receiver, "COMMIT");
}

int receiver_equals_source(struct receiver *receiver, size_t step) {
  const struct step *plan = &receiver->life->steps[step];
  sqlite3_str *list = sqlite3_str_new(NULL);
  load_source(receiver, step);
  sqlite3_str_appendall(list, "key");
  for (size_t i = 0; i < plan->field_count; i++) sqlite3_str_appendf(list, ", c%u", plan->fields[i].column);
  char *names = sqlite3_str_finish(list);
  // Of several rows of a key the last counts.
  char *source =
      sqlite3_mprintf("SELECT %s FROM source WHERE ord IN (SELECT max(ord) FROM source GROUP BY key)", names);
  char *sql = sqlite3_mprintf("SELECT (SELECT count(*) FROM (%s EXCEPT SELECT %s FROM target)) +"
                              "(SELECT count(*) FROM (SELECT %s FROM target EXCEPT %s))",
                              source, names, names, source);
  const uint64_t differences = number(receiver, sql);
  if (differences > 0) printf("  %" PRIu64 " rows differ between source and receiver\n", differences);
  sqlite3_free(sql);
  sqlite3_free(source);
  sqlite3_free(names);
  return differences == 0;
}
