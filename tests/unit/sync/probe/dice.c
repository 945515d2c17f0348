// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// In the script: "dice": {"seed", "keys": "row" | "batch", "jobs": 1}. Without a seed nothing goes wrong any more.
//   keys "row":   each row is a request under a key of its own (the batch's and the row's number), which is done once
//   keys "batch": the batch is one request under its key, which is done once; a repetition is told what the first was
// With "key_life" (seconds) among the caps a key is forgotten so long after it was first seen.
// Without keys each row is done as often as it comes. What a row or call meets depends on the seed, on its name and on
// how often it came; after a few times it is taken.
//
// Lines of the ledger: "GOT id op" for what was done, "TRY id" for each row that came, "CALL key attempt", "DONE name"
// for a request that its key stands for, "SAID key statuses", "IS key rows" for what was sent under a key, "UNLIKE key"
// where that was something else before, "BORN key time", "FORGOTTEN key", "JOB handle row id did" and "POLL handle".
#include "dice.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TRIES_MAX 4 // then a row is taken, and a call goes well
#define LINE_BYTES 1024

static const struct dray_json *settings_of(const struct probe_dice *dice) {
  return dray_json_get(dice->script, "dice");
}

static int has_keys(const struct probe_dice *dice, const char *kind) {
  const struct dray_json *keys = dray_json_get(settings_of(dice), "keys");
  return keys != NULL && dray_str_is(keys->text, kind);
}

// ---- dice ----

// 0 to 99.
static unsigned throw_for(const struct probe_dice *dice, const char *name, size_t times) {
  uint64_t hash = (uint64_t)probe_number(settings_of(dice), "seed", 0) * UINT64_C(0x9E3779B97F4A7C15) + times + 1;
  for (const char *at = name; *at != '\0'; at++) hash = (hash ^ (unsigned char)*at) * UINT64_C(0x100000001B3);
  hash ^= hash >> 31;
  hash *= UINT64_C(0xBF58476D1CE4E5B9);
  hash ^= hash >> 29;
  return (unsigned)(hash % 100);
}

struct side {
  unsigned below; // of 100
  int what;
};

static int fall(const struct probe_dice *dice, const char *name, size_t times, const struct side *sides,
                int otherwise) {
  if (probe_number(settings_of(dice), "seed", 0) == 0 || times >= TRIES_MAX) return otherwise;
  const unsigned thrown = throw_for(dice, name, times);
  while (sides->below != 0 && thrown >= sides->below) sides++;
  return sides->below != 0 ? sides->what : otherwise;
}

// ---- the ledger ----

static size_t lines_like(const struct dray_buffer *ledger, const char *begin, int whole) {
  const size_t len = strlen(begin);
  size_t count = 0;
  for (size_t i = 0; i < ledger->len;) {
    const char *end = memchr(ledger->data + i, '\n', ledger->len - i);
    const size_t line = end != NULL ? (size_t)(end - ledger->data) - i : ledger->len - i;
    count += line >= len && memcmp(ledger->data + i, begin, len) == 0 && (!whole || line == len);
    i += line + 1;
  }
  return count;
}

static int is_noted(const struct probe_dice *dice, const char *line) {
  return lines_like(dice->ledger, line, 1) > 0 || lines_like(dice->lines, line, 1) > 0;
}

// What stands behind `begin` in the first line that begins so; NULL: there is none.
static const char *told(const struct probe_dice *dice, const char *begin, char *out, size_t out_bytes) {
  const size_t len = strlen(begin);
  for (size_t i = 0; i < dice->ledger->len;) {
    const char *line = dice->ledger->data + i;
    const char *end = memchr(line, '\n', dice->ledger->len - i);
    if (end == NULL) return NULL;
    const size_t line_len = (size_t)(end - line);
    if (line_len >= len && memcmp(line, begin, len) == 0) {
      (void)snprintf(out, out_bytes, "%.*s", (int)(line_len - len), line + len);
      return out;
    }
    i += line_len + 1;
  }
  return NULL;
}

static int32_t write_down(struct probe_dice *dice, struct dray_error *error) {
  const int32_t rc = probe_append(dice->probe, "ledger", dray_buffer_view(dice->lines), error);
  dray_buffer_clear(dice->lines);
  return rc;
}

// ---- rows ----

struct row {
  char id[32];
  int64_t number;
  const char *op;
};

static struct row row_at(const struct dray_changes *changes, uint64_t i) {
  struct row row = {.number = dray_change_row(changes, i)};
  const int64_t op = dray_change_op(changes, i);
  (void)snprintf(row.id, sizeof(row.id), "%lld", (long long)dray_column_int64(&changes->view.columns[0], i));
  row.op = op == DRAY_OP_INSERT ? "insert" : op == DRAY_OP_UPDATE ? "update" : "delete";
  return row;
}

enum { TAKEN = 1, TAKEN_UNHEARD, LOST, BUSY, LIMITED, STOPPED, REFUSED, IN_JOB, NOT_IN_JOB };

static int32_t status_of(int fate) {
  switch (fate) {
  case TAKEN:
    return DRAY_RECEIPT_APPLIED;
  case TAKEN_UNHEARD:
  case LOST:
    return DRAY_RECEIPT_UNKNOWN;
  case REFUSED:
    return DRAY_RECEIPT_REJECTED;
  case IN_JOB:
  case NOT_IN_JOB:
    return DRAY_RECEIPT_PENDING;
  default:
    return DRAY_RECEIPT_RETRY;
  }
}

static struct dray_receipt receipt_of(int64_t row, int fate) {
  struct dray_receipt receipt = {.row = row, .status = status_of(fate)};
  if (receipt.status == DRAY_RECEIPT_RETRY) receipt.code = fate == BUSY ? DRAY_E_BUSY : DRAY_E_THROTTLED;
  if (fate == LIMITED || fate == STOPPED) receipt.retry_after_ms = 1;
  if (fate == REFUSED) receipt.text = dray_str_of("the dice do not like it");
  return receipt;
}

static int fate_of(const struct probe_dice *dice, const struct row *row, int is_request) {
  static const struct side single[] = {{12, TAKEN_UNHEARD}, {20, LOST},    {28, BUSY}, {34, LIMITED},
                                       {40, STOPPED},       {46, REFUSED}, {0, 0}};
  static const struct side in_jobs[] = {{8, TAKEN_UNHEARD}, {14, LOST},       {20, BUSY},
                                        {26, LIMITED},      {30, STOPPED},    {36, REFUSED},
                                        {62, IN_JOB},       {70, NOT_IN_JOB}, {0, 0}};
  static const struct side within[] = {{12, REFUSED}, {0, 0}}; // of a request that is answered as a whole
  char name[48];
  (void)snprintf(name, sizeof(name), "TRY %s", row->id);
  const size_t times = lines_like(dice->ledger, name, 1);
  const struct side *sides = !is_request ? within : probe_number(settings_of(dice), "jobs", 0) ? in_jobs : single;
  return fall(dice, name, times, sides, TAKEN);
}

static int is_done(const struct probe_dice *dice, const struct row *row, const char *key) {
  char done[160];
  (void)snprintf(done, sizeof(done), "DONE %s-%lld", key, (long long)row->number);
  if (!has_keys(dice, "row")) return 0;
  return dice->forgotten ? lines_like(dice->lines, done, 1) > 0 : is_noted(dice, done);
}

static int32_t do_row(struct probe_dice *dice, const struct row *row, const char *key, struct dray_error *error) {
  if (is_done(dice, row, key)) return DRAY_OK;
  DRAY_TRY(dray_buffer_printf(dice->lines, error, "DONE %s-%lld\n", key, (long long)row->number));
  return dray_buffer_printf(dice->lines, error, "GOT %s %s\n", row->id, row->op);
}

// Each row a request of its own, up to the one that meets a limit that stops all.
static int32_t take_singly(struct probe_dice *dice, const struct dray_changes *changes, const char *key,
                           struct dray_receipts *out, struct dray_error *error) {
  int stopped = 0;
  for (uint64_t i = 0; i < changes->view.row_count; i++) {
    const struct row row = row_at(changes, i);
    int fate = stopped ? STOPPED : fate_of(dice, &row, 1);
    if (fate == REFUSED && is_done(dice, &row, key)) fate = TAKEN; // what was done under a key is not refused under it
    stopped |= fate == STOPPED;
    DRAY_TRY(dray_buffer_printf(dice->lines, error, "TRY %s\n", row.id));
    if (fate == TAKEN || fate == TAKEN_UNHEARD || fate == IN_JOB) DRAY_TRY(do_row(dice, &row, key, error));
    if (status_of(fate) == DRAY_RECEIPT_PENDING) {
      DRAY_TRY(dray_buffer_printf(dice->lines, error, "JOB %s %lld %s %d\n", dice->handle, (long long)row.number,
                                  row.id, fate == IN_JOB));
    }
    out->items[i] = receipt_of(row.number, fate);
  }
  return DRAY_OK;
}

// All rows one request: what was said of them under a key is said again.
static int32_t take_whole(struct probe_dice *dice, const struct dray_changes *changes, const char *key,
                          struct dray_receipts *out, struct dray_error *error) {
  char begin[96], said[LINE_BYTES] = "", says[LINE_BYTES] = "";
  (void)snprintf(begin, sizeof(begin), "SAID %s ", key);
  const int again = !dice->forgotten && told(dice, begin, said, sizeof(said)) != NULL;
  for (uint64_t i = 0; i < changes->view.row_count; i++) {
    const struct row row = row_at(changes, i);
    const int fate = again ? said[i] - '0' : fate_of(dice, &row, 0);
    DRAY_TRY(dray_buffer_printf(dice->lines, error, "TRY %s\n", row.id));
    if (!again && fate == TAKEN) DRAY_TRY(do_row(dice, &row, key, error));
    says[i] = (char)('0' + fate);
    out->items[i] = receipt_of(row.number, fate);
  }
  return again ? DRAY_OK : dray_buffer_printf(dice->lines, error, "%s%s\n", begin, says);
}

// A key stands for what was sent under it first.
static int32_t compare_request(struct probe_dice *dice, const struct dray_changes *changes, const char *key,
                               struct dray_error *error) {
  char begin[96], before[LINE_BYTES], rows[LINE_BYTES] = "";
  size_t len = 0;
  for (uint64_t i = 0; i < changes->view.row_count && len < sizeof(rows) - 40; i++) {
    const struct row row = row_at(changes, i);
    len += (size_t)snprintf(rows + len, sizeof(rows) - len, "%s%s%c", i > 0 ? "," : "", row.id, row.op[0]);
  }
  (void)snprintf(begin, sizeof(begin), "IS %s ", key);
  if (told(dice, begin, before, sizeof(before)) == NULL) {
    return dray_buffer_printf(dice->lines, error, "%s%s\n", begin, rows);
  }
  return strcmp(before, rows) == 0 ? DRAY_OK : dray_buffer_printf(dice->lines, error, "UNLIKE %s %s\n", key, rows);
}

// ---- calls ----

// The time as the host under test has it.
static int64_t now_s(void) {
  const char *ahead_ms = getenv("DRAY_CLOCK_AHEAD_MS");
  return (int64_t)time(NULL) + (ahead_ms != NULL ? strtoll(ahead_ms, NULL, 10) / 1000 : 0);
}

static int32_t look_at_key(struct probe_dice *dice, const char *key, struct dray_error *error) {
  const int64_t life = probe_number(dray_json_get(dice->script, "caps"), "key_life", 0);
  char begin[96], born[32];
  (void)snprintf(begin, sizeof(begin), "BORN %s ", key);
  if (told(dice, begin, born, sizeof(born)) == NULL) {
    return dray_buffer_printf(dice->lines, error, "%s%lld\n", begin, (long long)now_s());
  }
  dice->forgotten = life > 0 && now_s() - strtoll(born, NULL, 10) > life;
  return dice->forgotten ? dray_buffer_printf(dice->lines, error, "FORGOTTEN %s\n", key) : DRAY_OK;
}

enum { WELL = 1, NOT_REACHED, HELD_UP, UNHEARD, BROKEN_OFF };

static int32_t fail_as(int how, struct dray_error *error) {
  static const int32_t codes[] = {[NOT_REACHED] = DRAY_E_NET_CONNECT,
                                  [HELD_UP] = DRAY_E_THROTTLED,
                                  [UNHEARD] = DRAY_E_NET_CLOSED,
                                  [BROKEN_OFF] = DRAY_E_HTTP_SERVER};
  const int32_t rc = dray_fail(error, codes[how], "the dice say %d", how);
  if (how == HELD_UP) error->retry_after_ms = 1;
  if (how == UNHEARD || how == BROKEN_OFF) (void)snprintf(error->vendor_code, sizeof(error->vendor_code), "in_doubt");
  return rc;
}

static int32_t take_batch(struct probe_dice *dice, struct dray_changes *changes, const char *key, int how,
                          struct dray_receipts *out, struct dray_error *error) {
  if (has_keys(dice, "row") || has_keys(dice, "batch")) DRAY_TRY(compare_request(dice, changes, key, error));
  const uint64_t count = changes->view.row_count;
  if (has_keys(dice, "batch")) {
    DRAY_TRY(take_whole(dice, changes, key, out, error));
  } else {
    if (how == BROKEN_OFF) changes->view.row_count = count / 2; // the rest did not arrive
    const int32_t rc = take_singly(dice, changes, key, out, error);
    changes->view.row_count = count;
    DRAY_TRY(rc);
  }
  out->count = count;
  return DRAY_OK;
}

int32_t probe_dice_write(struct probe_dice *dice, const struct ArrowArray *batch, const struct dray_batch_info *info,
                         struct dray_receipts *out, struct dray_error *error) {
  static const struct side sides[] = {{6, NOT_REACHED}, {12, HELD_UP}, {22, UNHEARD}, {28, BROKEN_OFF}, {0, 0}};
  struct dray_changes changes;
  char key[80], name[96];
  (void)snprintf(key, sizeof(key), "%.*s", DRAY_STR_ARG(info->idempotency_key));
  (void)snprintf(name, sizeof(name), "CALL %s", key);
  const size_t times = lines_like(dice->ledger, name, 0);
  const int how = fall(dice, name, times, sides, WELL);
  DRAY_TRY(dray_buffer_printf(dice->lines, error, "%s %u\n", name, info->attempt));
  (void)snprintf(dice->handle, PROBE_HANDLE_BYTES, "job-%s-%zu", key, times);
  out->handle = dray_str_of(dice->handle);
  int32_t rc = DRAY_OK;
  if (how != NOT_REACHED && how != HELD_UP) {
    DRAY_TRY(look_at_key(dice, key, error));
    DRAY_TRY(dray_changes_open(&changes, dice->schema, batch, out->capacity, error));
    rc = take_batch(dice, &changes, key, how, out, error);
    dray_changes_free(&changes);
  }
  if (rc == DRAY_OK) rc = write_down(dice, error);
  return rc == DRAY_OK && how != WELL ? fail_as(how, error) : rc;
}

int32_t probe_dice_poll(struct probe_dice *dice, struct dray_str handle, const int64_t *rows, uint64_t row_count,
                        struct dray_receipts *out, struct dray_error *error) {
  enum { ENDED = 1, AT_WORK, VANISHED };
  static const struct side sides[] = {{30, AT_WORK}, {40, VANISHED}, {0, 0}};
  char name[160], text[LINE_BYTES];
  (void)snprintf(name, sizeof(name), "POLL %.*s", DRAY_STR_ARG(handle));
  const int how = fall(dice, name, lines_like(dice->ledger, name, 1), sides, ENDED);
  DRAY_TRY(dray_buffer_printf(dice->lines, error, "%s\n", name));
  for (uint64_t i = 0; i < row_count; i++) {
    (void)snprintf(name, sizeof(name), "JOB %.*s %lld ", DRAY_STR_ARG(handle), (long long)rows[i]);
    const char *job = told(dice, name, text, sizeof(text));
    if (job == NULL) return dray_fail(error, DRAY_E_PLUGIN_CONTRACT, "row %lld is in no job", (long long)rows[i]);
    const int did = job[strlen(job) - 1] == '1';
    const int fate = how == AT_WORK ? IN_JOB : how == VANISHED ? LOST : did ? TAKEN : BUSY;
    out->items[i] = receipt_of(rows[i], fate);
  }
  out->count = row_count;
  return write_down(dice, error);
}

int32_t probe_dice_read_back(struct probe_dice *dice, const struct ArrowArray *batch, struct dray_receipts *out,
                             struct dray_error *error) {
  static const struct side of_call[] = {{8, NOT_REACHED}, {16, HELD_UP}, {0, 0}};
  static const struct side of_row[] = {{15, LOST}, {0, 0}};
  struct dray_changes changes;
  const size_t times = lines_like(dice->ledger, "READ_BACK", 1);
  const int how = fall(dice, "READ_BACK", times % (TRIES_MAX + 1), of_call, WELL);
  DRAY_TRY(dray_buffer_append_str(dice->lines, "READ_BACK\n", error));
  if (how != WELL) {
    DRAY_TRY(write_down(dice, error));
    return fail_as(how, error);
  }
  DRAY_TRY(dray_changes_open(&changes, dice->schema, batch, out->capacity, error));
  int32_t rc = DRAY_OK;
  for (uint64_t i = 0; rc == DRAY_OK && i < changes.view.row_count; i++) {
    const struct row row = row_at(&changes, i);
    char got[64], look[64];
    (void)snprintf(got, sizeof(got), "GOT %s %s", row.id, row.op);
    (void)snprintf(look, sizeof(look), "LOOK %s", row.id);
    const int there = lines_like(dice->ledger, got, 1) > 0 ? TAKEN : BUSY;
    out->items[i] = receipt_of(row.number, fall(dice, look, lines_like(dice->ledger, look, 1), of_row, there));
    rc = dray_buffer_printf(dice->lines, error, "%s\n", look);
  }
  out->count = changes.view.row_count;
  dray_changes_free(&changes);
  return rc == DRAY_OK ? write_down(dice, error) : rc;
}
