// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Tables: input (the rows of a step as they come), mirror (one row a key: what was acknowledged and committed), taken
// (acknowledged, not yet committed), expected and said (one row a change or reject). Columns c0, c1 ... are those of
// the life; r0, b0, h0 ... of `expected` are by field of the step: the row as it is shown, the row before, the row as
// the mirror will hold it.
#include "oracle.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dray/destination.h"

// ---- SQL ----

static void fail(struct oracle *oracle, const char *sql) {
  fprintf(stderr, "the oracle failed: %s\n%s\n", sqlite3_errmsg(oracle->db), sql);
  abort();
}

static void run(struct oracle *oracle, const char *sql) {
  if (sqlite3_exec(oracle->db, sql, NULL, NULL, NULL) != SQLITE_OK) fail(oracle, sql);
}

static void run_text(struct oracle *oracle, sqlite3_str *text) {
  char *sql = sqlite3_str_finish(text);
  if (sql == NULL) abort();
  run(oracle, sql);
  sqlite3_free(sql);
}

__attribute__((format(printf, 2, 3))) static void run_format(struct oracle *oracle, const char *format, ...) {
  va_list args;
  va_start(args, format);
  char *sql = sqlite3_vmprintf(format, args);
  va_end(args);
  if (sql == NULL) abort();
  run(oracle, sql);
  sqlite3_free(sql);
}

static sqlite3_stmt *prepare(struct oracle *oracle, const char *sql) {
  sqlite3_stmt *statement = NULL;
  if (sqlite3_prepare_v2(oracle->db, sql, -1, &statement, NULL) != SQLITE_OK) fail(oracle, sql);
  return statement;
}

static uint64_t number(struct oracle *oracle, const char *sql) {
  sqlite3_stmt *statement = prepare(oracle, sql);
  if (sqlite3_step(statement) != SQLITE_ROW) fail(oracle, sql);
  const uint64_t value = (uint64_t)sqlite3_column_int64(statement, 0);
  (void)sqlite3_finalize(statement);
  return value;
}

static void done(struct oracle *oracle, sqlite3_stmt *statement) {
  if (sqlite3_step(statement) != SQLITE_DONE) fail(oracle, sqlite3_sql(statement));
  (void)sqlite3_reset(statement);
}

// shown(value, type, precision, scale): the mirror's value where a column of that type can hold it, else absent.
static void sql_shown(sqlite3_context *context, int count, sqlite3_value **values) {
  (void)count;
  const char *text = (const char *)sqlite3_value_text(values[0]);
  const struct dray_type type = {sqlite3_value_int(values[1]), sqlite3_value_int(values[2]),
                                 sqlite3_value_int(values[3])};
  if (text != NULL && value_fits(text, type)) sqlite3_result_value(context, values[0]);
}

void oracle_open(struct oracle *oracle) {
  memset(oracle, 0, sizeof *oracle);
  if (sqlite3_open(":memory:", &oracle->db) != SQLITE_OK) abort();
  if (sqlite3_create_function(oracle->db, "shown", 4, SQLITE_UTF8 | SQLITE_DETERMINISTIC, NULL, sql_shown, NULL,
                              NULL) != SQLITE_OK) {
    abort();
  }
  run(oracle, "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;"
              "CREATE TABLE acked(seq INTEGER PRIMARY KEY)");
  oracle->add_acked = prepare(oracle, "INSERT INTO acked VALUES(?)");
}

static void forget_statements(struct oracle *oracle) {
  (void)sqlite3_finalize(oracle->add_input);
  (void)sqlite3_finalize(oracle->add_said);
  oracle->add_input = oracle->add_said = NULL;
}

void oracle_close(struct oracle *oracle) {
  forget_statements(oracle);
  (void)sqlite3_finalize(oracle->add_acked);
  (void)sqlite3_close(oracle->db);
  memset(oracle, 0, sizeof *oracle);
}

void oracle_begin(struct oracle *oracle, const struct life *life) {
  oracle->life = life;
  forget_statements(oracle);
  run(oracle, "DROP TABLE IF EXISTS input; DROP TABLE IF EXISTS mirror; DROP TABLE IF EXISTS taken;"
              "DROP TABLE IF EXISTS expected; DROP TABLE IF EXISTS said");
  sqlite3_str *columns = sqlite3_str_new(NULL);
  for (size_t i = 0; i < life->column_count; i++) sqlite3_str_appendf(columns, ", c%d TEXT", (int)i);
  char *list = sqlite3_str_finish(columns);
  // `schema`: under which the row was acknowledged.
  run_format(oracle,
             "CREATE TABLE input(ord INTEGER PRIMARY KEY, key TEXT, tombstone INT, o%s);"
             "CREATE TABLE mirror(key TEXT PRIMARY KEY, schema INT%s);"
             "CREATE TABLE taken(key TEXT PRIMARY KEY, op INT, schema INT%s)",
             list, list, list);
  sqlite3_free(list);
  sqlite3_str *sql = sqlite3_str_new(NULL);
  sqlite3_str_appendall(sql, "INSERT INTO input VALUES(?, ?, ?, ?");
  for (size_t i = 0; i < life->column_count; i++) sqlite3_str_appendall(sql, ", ?");
  sqlite3_str_appendall(sql, ")");
  char *text = sqlite3_str_finish(sql);
  oracle->add_input = prepare(oracle, text);
  sqlite3_free(text);
}

// ---- the input ----

static const struct step *plan_of(const struct oracle *oracle) {
  return &oracle->life->steps[oracle->step];
}

// Two steps have one schema when they have the same columns of the same types, in any order.
static int same_schema(const struct step *a, const struct step *b) {
  if (a->field_count != b->field_count) return 0;
  for (size_t i = 0; i < a->field_count; i++) {
    size_t j = 0;
    while (j < b->field_count && b->fields[j].column != a->fields[i].column) j++;
    if (j == b->field_count) return 0;
    const struct dray_type x = a->fields[i].type, y = b->fields[j].type;
    if (x.id != y.id || x.precision != y.precision || x.scale != y.scale) return 0;
  }
  return 1;
}

static int schema_number(const struct oracle *oracle) {
  size_t first = 0;
  while (!same_schema(&oracle->life->steps[first], plan_of(oracle))) first++;
  return (int)first;
}

static void add_input(struct oracle *oracle, size_t ord) {
  const struct life *life = oracle->life;
  const struct step *plan = plan_of(oracle);
  sqlite3_stmt *statement = oracle->add_input;
  char *key[KEY_COLUMNS_MAX] = {0};
  (void)sqlite3_clear_bindings(statement);
  (void)sqlite3_bind_int64(statement, 1, (sqlite3_int64)ord);
  (void)sqlite3_bind_int(statement, 3, life->input[ord].tombstone);
  for (size_t i = 0; i < plan->field_count; i++) {
    struct cell cell;
    const uint32_t column = plan->fields[i].column;
    life_cell(life, oracle->step, &life->input[ord], &plan->fields[i], &cell);
    cell_bind_text(statement, 5 + (int)column, &cell);
    if ((int)i == plan->order_field) cell_bind_order(statement, 4, &cell);
    const char *text = cell_text(&cell);
    if (life->columns[column].key && text != NULL) key[column] = sqlite3_mprintf("%s", text);
  }
  life_bind_key(statement, 2, life, (const char *const *)key);
  for (size_t k = 0; k < life->key_count; k++) sqlite3_free(key[k]);
  done(oracle, statement);
}

// ---- the outcome ----

// How the copies of each key are settled, and which of them stays.
static void choose(struct oracle *oracle) {
  const struct step *plan = plan_of(oracle);
  const int ordered = plan->order_field >= 0;
  const char *how = plan->duplicates == DR_DUPLICATES_REJECT  ? "none"
                    : plan->duplicates == DR_DUPLICATES_FIRST ? (ordered ? "smallest" : "first")
                                                              : (ordered ? "largest" : "last");
  run(oracle, "DROP TABLE IF EXISTS groups; DROP TABLE IF EXISTS stays");
  run_format(oracle,
             "CREATE TABLE groups(key TEXT PRIMARY KEY, copies INT, how TEXT);"
             "INSERT INTO groups SELECT key, count(*), CASE"
             " WHEN count(*) = 1 THEN 'last'"
             " WHEN sum(tombstone) = 0 THEN '%s'"
             " WHEN %d = 0 OR sum(tombstone AND o IS NULL) > 0 THEN 'last'"
             " ELSE 'largest' END "
             "FROM input WHERE key IS NOT NULL GROUP BY key",
             how, ordered);
  run(oracle, "CREATE TABLE stays(ord INTEGER PRIMARY KEY);"
              "INSERT INTO stays SELECT max(ord) FROM input JOIN groups USING(key) WHERE how = 'last' GROUP BY key;"
              "INSERT INTO stays SELECT min(ord) FROM input JOIN groups USING(key) WHERE how = 'first' GROUP BY key;"
              "INSERT INTO stays SELECT ord FROM (SELECT ord, row_number() OVER "
              "(PARTITION BY key ORDER BY o IS NULL, o DESC, ord DESC) AS place FROM input JOIN groups USING(key) "
              "WHERE how = 'largest') WHERE place = 1;"
              "INSERT INTO stays SELECT ord FROM (SELECT ord, row_number() OVER "
              "(PARTITION BY key ORDER BY o IS NULL, o, ord) AS place FROM input JOIN groups USING(key) "
              "WHERE how = 'smallest') WHERE place = 1");
}

// An expression: the bits of the fields that differ between input i and mirror m.
static char *mask_expression(const struct oracle *oracle) {
  const struct step *plan = plan_of(oracle);
  sqlite3_str *mask = sqlite3_str_new(NULL), *said = sqlite3_str_new(NULL), *differs = sqlite3_str_new(NULL);
  const int resync = (plan->flags & DR_DIFF_RESYNC) != 0;
  sqlite3_str_appendall(mask, "(0");
  sqlite3_str_appendall(said, "(0");
  sqlite3_str_appendf(differs, "(%d OR m.schema <> %d", resync, schema_number(oracle));
  for (size_t i = 0; i < plan->field_count; i++) {
    const uint32_t c = plan->fields[i].column;
    sqlite3_str_appendf(mask, " | ((i.c%u IS NOT NULL AND (%d OR i.c%u IS NOT m.c%u)) << %d)", c, resync, c, c, (int)i);
    sqlite3_str_appendf(said, " | ((i.c%u IS NOT NULL) << %d)", c, (int)i);
    sqlite3_str_appendf(differs, " OR i.c%u IS NOT m.c%u", c, c);
  }
  char *by_column = sqlite3_str_finish(mask), *all = sqlite3_str_finish(said), *any = sqlite3_str_finish(differs);
  // Where nothing but a hash of the whole row is held, it differs or it does not.
  char *text = oracle->life->keep == DR_KEEP_KEY ? sqlite3_mprintf("(CASE WHEN %s) THEN %s) ELSE 0 END)", any, all)
                                                 : sqlite3_mprintf("%s)", by_column);
  sqlite3_free(by_column);
  sqlite3_free(all);
  sqlite3_free(any);
  return text;
}

// Lists of the step's fields, for the select lists of `expected`.
enum { AS_INPUT, AS_MIRROR, AS_REJECT, AS_NULLS, AS_NOTHING, AS_MERGED };
static char *field_list(const struct oracle *oracle, int what) {
  const struct step *plan = plan_of(oracle);
  sqlite3_str *list = sqlite3_str_new(NULL);
  for (size_t i = 0; i < plan->field_count; i++) {
    const struct field *field = &plan->fields[i];
    const uint32_t c = field->column;
    // What the mirror can say of its own row.
    char *held = oracle->life->keep != DR_KEEP_ROW && !oracle->life->columns[c].key
                     ? sqlite3_mprintf("NULL")
                     : sqlite3_mprintf("shown(m.c%u, %d, %d, %d)", c, (int)field->type.id, (int)field->type.precision,
                                       (int)field->type.scale);
    if (what == AS_INPUT || (what == AS_MERGED && oracle->life->keep == DR_KEEP_KEY)) {
      sqlite3_str_appendf(list, ", i.c%u", c);
    } else if (what == AS_MIRROR) {
      sqlite3_str_appendf(list, ", %s", held);
    } else if (what == AS_REJECT) { // a copy that equals the mirror's row is shown as that
      sqlite3_str_appendf(list, ", CASE WHEN m.key IS NOT NULL AND mask = 0 THEN %s ELSE i.c%u END", held, c);
    } else if (what == AS_MERGED) {
      sqlite3_str_appendf(list, ", coalesce(i.c%u, shown(m.c%u, %d, %d, %d))", c, c, (int)field->type.id,
                          (int)field->type.precision, (int)field->type.scale);
    } else {
      sqlite3_str_appendall(list, what == AS_NULLS ? ", '-'" : ", NULL");
    }
    sqlite3_free(held);
  }
  return sqlite3_str_finish(list);
}

static void make_expected_table(struct oracle *oracle) {
  const size_t fields = plan_of(oracle)->field_count;
  static const char kinds[] = "rbh";
  sqlite3_str *sql = sqlite3_str_new(NULL);
  sqlite3_str_appendall(sql, "DROP TABLE IF EXISTS expected; DROP TABLE IF EXISTS said;"
                             "CREATE TABLE expected(pos INT, ord INT, op INT, code INT, key TEXT, changed INT");
  for (size_t k = 0; k < 3; k++) {
    for (size_t i = 0; i < fields; i++) sqlite3_str_appendf(sql, ", %c%d TEXT", kinds[k], (int)i);
  }
  sqlite3_str_appendall(
      sql, "); CREATE TABLE said(pos INT, seq INTEGER PRIMARY KEY, op INT, code INT, key TEXT, changed INT");
  for (size_t k = 0; k < 2; k++) {
    for (size_t i = 0; i < fields; i++) sqlite3_str_appendf(sql, ", %c%d TEXT", kinds[k], (int)i);
  }
  sqlite3_str_appendall(sql, ")");
  run_text(oracle, sql);
}

// The input beside the mirror. mask: bits that differ; NULL when the mirror has no such key. place: in the outcome,
// which is the row's in the input, but that the first of several refused copies, if it equals the mirror's row, stands
// directly before the second.
static void make_pairs(struct oracle *oracle) {
  char *mask = mask_expression(oracle);
  run(oracle, "DROP TABLE IF EXISTS pairs");
  run_format(oracle,
             "CREATE TABLE pairs AS SELECT *, CASE WHEN refused AND known AND mask = 0 AND copy = 1 "
             "THEN 2 * next - 1 ELSE 2 * ord END AS place FROM ("
             "SELECT i.ord AS ord, g.how = 'none' AS refused, s.ord IS NOT NULL AS stays,"
             " i.tombstone AS tombstone, m.key IS NOT NULL AS known, %s AS mask,"
             " row_number() OVER (PARTITION BY i.key ORDER BY i.ord) AS copy,"
             " lead(i.ord) OVER (PARTITION BY i.key ORDER BY i.ord) AS next "
             "FROM input i JOIN groups g ON g.key = i.key LEFT JOIN stays s ON s.ord = i.ord "
             "LEFT JOIN mirror m ON m.key = i.key)",
             mask);
  sqlite3_free(mask);
}

static void fill_expected(struct oracle *oracle) {
  const struct step *plan = plan_of(oracle);
  char *lists[AS_MERGED + 1];
  for (int what = 0; what <= AS_MERGED; what++) lists[what] = field_list(oracle, what);
  const char *pairs = "FROM pairs p JOIN input i ON i.ord = p.ord LEFT JOIN mirror m ON m.key = i.key";
  run_format(
      oracle,
      "INSERT INTO expected SELECT row_number() OVER (ORDER BY ord) - 1, * FROM ("
      "SELECT 2 * i.ord AS ord, %d, %d, NULL, 0%s%s%s FROM input i WHERE key IS NULL "
      "UNION ALL SELECT p.place, %d, %d, i.key, 0%s%s%s %s WHERE refused "
      "UNION ALL SELECT p.place, %d, 0, i.key, %d%s%s%s %s WHERE stays AND NOT p.tombstone AND NOT known "
      "UNION ALL SELECT p.place, %d, 0, i.key, mask%s%s%s %s WHERE stays AND NOT p.tombstone AND known AND mask <> 0)",
      DR_OP_REJECT, DRAY_E_DATA_KEY_NULL, lists[AS_INPUT], lists[AS_NULLS], lists[AS_NOTHING], //
      DR_OP_REJECT, DRAY_E_DATA_KEY_DUPLICATE, lists[AS_REJECT], lists[AS_NULLS], lists[AS_NOTHING], pairs,
      DRAY_OP_INSERT, (1 << plan->field_count) - 1, lists[AS_INPUT], lists[AS_NULLS], lists[AS_INPUT], pairs,
      DRAY_OP_UPDATE, lists[AS_INPUT], lists[AS_MIRROR], lists[AS_MERGED], pairs);
  const int full = (plan->flags & DR_DIFF_FULL) != 0 && !plan->not_full;
  run_format(oracle,
             "INSERT INTO expected SELECT NULL, NULL, %d, 0, m.key, 0%s%s%s FROM mirror m WHERE m.key IN "
             "(SELECT i.key FROM pairs p JOIN input i ON i.ord = p.ord WHERE stays AND p.tombstone) "
             "OR (%d AND m.key NOT IN (SELECT key FROM groups))",
             DRAY_OP_DELETE, lists[AS_MIRROR], lists[AS_NULLS], lists[AS_NOTHING], full);
  for (int what = 0; what <= AS_MERGED; what++) sqlite3_free(lists[what]);
}

static void count(struct oracle *oracle, struct oracle_counts *out) {
  memset(out, 0, sizeof *out);
  out->rows = number(oracle, "SELECT count(*) FROM input");
  out->null_keys = number(oracle, "SELECT count(*) FROM input WHERE key IS NULL");
  out->inserts = number(oracle, "SELECT count(*) FROM expected WHERE op = 1");
  out->updates = number(oracle, "SELECT count(*) FROM expected WHERE op = 2");
  out->deletes = number(oracle, "SELECT count(*) FROM expected WHERE op = 4");
  out->said = number(oracle, "SELECT count(*) FROM expected");
  out->unchanged = number(oracle, "SELECT count(*) FROM pairs WHERE stays AND "
                                  "((tombstone AND NOT known) OR (NOT tombstone AND known AND mask = 0))");
  out->duplicate_keys = number(oracle, "SELECT count(*) FROM groups WHERE copies > 1");
  out->duplicate_rows =
      number(oracle, "SELECT coalesce(sum(copies - (how <> 'none')), 0) FROM groups WHERE copies > 1");
  for (size_t i = 0; i < plan_of(oracle)->field_count; i++) {
    char sql[96];
    (void)snprintf(sql, sizeof sql, "SELECT count(*) FROM expected WHERE op = 2 AND (changed >> %zu & 1)", i);
    out->column_updates[i] = number(oracle, sql);
  }
}

void oracle_expect(struct oracle *oracle, size_t step, struct oracle_counts *out) {
  oracle->step = step;
  (void)sqlite3_finalize(oracle->add_said);
  oracle->add_said = NULL;
  run(oracle, "BEGIN; DELETE FROM input");
  for (size_t ord = 0; ord < oracle->life->input_count; ord++) add_input(oracle, ord);
  choose(oracle);
  make_pairs(oracle);
  make_expected_table(oracle);
  fill_expected(oracle);
  count(oracle, out);
  run(oracle, "CREATE INDEX expected_key ON expected(key); COMMIT");
}

// ---- what was said ----

void oracle_hear_begin(struct oracle *oracle) {
  const size_t fields = plan_of(oracle)->field_count;
  run(oracle, "DELETE FROM said; DELETE FROM acked");
  if (oracle->add_said != NULL) return;
  sqlite3_str *sql = sqlite3_str_new(NULL);
  sqlite3_str_appendall(sql, "INSERT INTO said VALUES(?, ?, ?, ?, ?, ?");
  for (size_t i = 0; i < 2 * fields; i++) sqlite3_str_appendall(sql, ", ?");
  sqlite3_str_appendall(sql, ")");
  char *text = sqlite3_str_finish(sql);
  oracle->add_said = prepare(oracle, text);
  sqlite3_free(text);
}

static void hear_one(struct oracle *oracle, const struct dr_changes *changes, size_t at) {
  const struct life *life = oracle->life;
  const struct step *plan = plan_of(oracle);
  const int fields = (int)plan->field_count;
  sqlite3_stmt *statement = oracle->add_said;
  char *key[KEY_COLUMNS_MAX] = {0};
  int64_t mask = 0;
  (void)sqlite3_clear_bindings(statement);
  for (int i = 0; i < fields; i++) {
    struct cell cell;
    const uint32_t column = plan->fields[i].column;
    cell_read(&cell, changes->rows, (size_t)i, at);
    cell_bind_text(statement, 7 + i, &cell);
    const char *text = cell_text(&cell);
    if (life->columns[column].key && text != NULL) key[column] = sqlite3_mprintf("%s", text);
    if (changes->before != NULL) {
      cell_read(&cell, changes->before, (size_t)i, at);
      cell_bind_text(statement, 7 + fields + i, &cell);
    }
    mask |= (int64_t)(changes->changed[at * changes->changed_stride + (size_t)i / 8] >> (i & 7) & 1) << i;
  }
  if (changes->op[at] != DRAY_OP_DELETE)
    (void)sqlite3_bind_int64(statement, 1, (sqlite3_int64)(changes->first_seq + at));
  (void)sqlite3_bind_int64(statement, 2, (sqlite3_int64)(changes->first_seq + at));
  (void)sqlite3_bind_int(statement, 3, changes->op[at]);
  (void)sqlite3_bind_int(statement, 4, changes->code[at]);
  life_bind_key(statement, 5, life, (const char *const *)key);
  (void)sqlite3_bind_int64(statement, 6, mask);
  for (size_t k = 0; k < life->key_count; k++) sqlite3_free(key[k]);
  done(oracle, statement);
}

void oracle_hear(struct oracle *oracle, const struct dr_changes *changes) {
  run(oracle, "BEGIN");
  for (size_t i = 0; i < changes->count; i++) hear_one(oracle, changes, i);
  run(oracle, "COMMIT");
}

// ---- comparing ----

static char *compared(const struct oracle *oracle, int with_pos, int with_before) {
  sqlite3_str *list = sqlite3_str_new(NULL);
  sqlite3_str_appendf(list, "%s op, code, key, changed", with_pos ? "pos," : "");
  for (size_t i = 0; i < plan_of(oracle)->field_count; i++) {
    sqlite3_str_appendf(list, ", r%d", (int)i);
    if (with_before) sqlite3_str_appendf(list, ", b%d", (int)i);
  }
  return sqlite3_str_finish(list);
}

// Prints rows of `a` that are not in `b`; returns how many there are.
static uint64_t print_missing(struct oracle *oracle, const char *title, const char *a, const char *b, const char *list,
                              int most) {
  char *sql = sqlite3_mprintf("SELECT %s FROM %s EXCEPT SELECT %s FROM %s", list, a, list, b);
  sqlite3_stmt *statement = prepare(oracle, sql);
  uint64_t found = 0;
  while (sqlite3_step(statement) == SQLITE_ROW) {
    if (++found > (uint64_t)most) continue;
    printf("  %s:", title);
    for (int i = 0; i < sqlite3_column_count(statement); i++) {
      const char *text = (const char *)sqlite3_column_text(statement, i);
      printf(" %s=%.60s", sqlite3_column_name(statement, i), text != NULL ? text : "(none)");
    }
    printf("\n");
  }
  (void)sqlite3_finalize(statement);
  sqlite3_free(sql);
  return found;
}

// Deferring leaves gaps, and moves nothing.
static int order_differs(struct oracle *oracle) {
  const uint64_t found =
      number(oracle, "SELECT count(*) FROM (SELECT ord, lag(ord) OVER (ORDER BY seq) AS before FROM "
                     "(SELECT s.seq AS seq, min(e.ord) AS ord FROM said s JOIN expected e "
                     "ON e.key = s.key AND e.op = s.op WHERE s.op IN (1, 2) GROUP BY s.seq)) WHERE ord < before");
  if (found > 0) printf("  %" PRIu64 " changes are not in the order of the input\n", found);
  return found > 0;
}

int oracle_compare(struct oracle *oracle, uint64_t deferred, int with_before, int most) {
  char *list = compared(oracle, deferred == 0, with_before);
  const uint64_t said = number(oracle, "SELECT count(*) FROM said"),
                 due = number(oracle, "SELECT count(*) FROM expected");
  uint64_t wrong = print_missing(oracle, "said, not expected", "said", "expected", list, most);
  if (deferred == 0) {
    wrong += print_missing(oracle, "expected, not said", "expected", "said", list, most);
    wrong += said != due;
  } else {
    wrong += said > due;
    wrong += (uint64_t)order_differs(oracle);
  }
  if (wrong > 0) {
    printf("  %" PRIu64 " said, %" PRIu64 " expected, %" PRIu64 " deferred\n", said, due, deferred);
  }
  sqlite3_free(list);
  return wrong > 0;
}

// ---- the mirror ----

void oracle_ack(struct oracle *oracle, uint64_t seq) {
  (void)sqlite3_bind_int64(oracle->add_acked, 1, (sqlite3_int64)seq);
  done(oracle, oracle->add_acked);
}

static void take_acked(struct oracle *oracle) {
  const struct step *plan = plan_of(oracle);
  sqlite3_str *sql = sqlite3_str_new(NULL);
  sqlite3_str_appendall(sql, "INSERT INTO taken(key, op, schema");
  for (size_t i = 0; i < plan->field_count; i++) sqlite3_str_appendf(sql, ", c%u", plan->fields[i].column);
  sqlite3_str_appendf(sql, ") SELECT e.key, e.op, %d", schema_number(oracle));
  for (size_t i = 0; i < plan->field_count; i++) sqlite3_str_appendf(sql, ", e.h%d", (int)i);
  sqlite3_str_appendall(sql,
                        " FROM acked a JOIN said s ON s.seq = a.seq JOIN expected e ON e.key = s.key AND e.op = s.op "
                        "WHERE s.op IN (1, 2, 4); DELETE FROM acked");
  run_text(oracle, sql);
}

void oracle_commit(struct oracle *oracle) {
  sqlite3_str *sql = sqlite3_str_new(NULL);
  take_acked(oracle);
  sqlite3_str_appendall(sql, "DELETE FROM mirror WHERE key IN (SELECT key FROM taken); "
                             "INSERT INTO mirror SELECT key, schema");
  for (size_t i = 0; i < oracle->life->column_count; i++) sqlite3_str_appendf(sql, ", c%d", (int)i);
  sqlite3_str_appendall(sql, " FROM taken WHERE op <> 4; DELETE FROM taken");
  run_text(oracle, sql);
}

void oracle_rollback(struct oracle *oracle) {
  run(oracle, "DELETE FROM acked; DELETE FROM taken");
}

void oracle_reset(struct oracle *oracle) {
  oracle_rollback(oracle);
  run(oracle, "DELETE FROM mirror");
}

uint64_t oracle_mirror_rows(struct oracle *oracle) {
  return number(oracle, "SELECT count(*) FROM mirror");
}
