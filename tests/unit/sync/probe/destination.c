// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The probe's destination. In the script:
//   "caps": {"flags", "operations", "doubt", "rows_max", "bytes_max", "key_life"}
//   "receipts": {"ID": ["rejected", "applied"]}  of the row with that first column, by how often it came; the last stays
//   "calls": ["transient", null, ...]            errors of the calls of write, by their number; then none
//   "refuse": [ID, ...]                          a batch with such a row is refused as a whole
//   "poll", "read_back"                          the status of every row; else what the ledger says
//   "polls": [["retry", "applied"], ...]         of the rows asked for by their place, by the number of the poll; the
//                                                last of each stays
//   "stop": [ID, ...]                            a limit: from such a row on nothing of a batch is taken; with "stop_calls"
//                                                the call fails where that is the first
//   "pause_ms"                                   that a call of write takes at least
//   "dice"                                       all of it is left to dice (dice.c)
// Receipts: applied, unchanged, rejected, retry, limited (429), pending, in_job (pending, and it did not
// arrive), unknown (it arrived), lost (unknown, and it did not arrive), partly (rejected) and retry_partly (something
// of it arrived).
//
// Lines of the ledger: "CALL key attempt", "TRY id" for every row that came, "GOT id op {row}" for every row that
// arrived, "KEY key" for every batch that did, "POLL handle", "BEGIN", "END", "ABORT", "JOB" for every call of write
// that put rows into a job, "ENDED" for every poll that left none there.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dice.h"

struct dray_destination {
  struct probe probe;
  struct dray_json *script;
  const struct ArrowSchema *schema;
  struct dray_buffer ledger; // as it was at the beginning of a call
  struct dray_buffer lines;  // added by it
  char handle[PROBE_HANDLE_BYTES];
};

static int32_t destination_create(const struct dray_host *host, struct dray_str config_json,
                                  struct dray_destination **out, struct dray_error *error) {
  struct dray_destination *destination = calloc(1, sizeof(*destination));
  if (destination == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a destination");
  dray_buffer_init(&destination->ledger, PROBE_FILE_BYTES_MAX);
  dray_buffer_init(&destination->lines, PROBE_FILE_BYTES_MAX);
  const int32_t rc = probe_init(&destination->probe, host, config_json, error);
  if (rc != DRAY_OK) {
    free(destination);
    return rc;
  }
  *out = destination;
  return DRAY_OK;
}

static void destination_destroy(struct dray_destination *destination) {
  if (destination == NULL) return;
  dray_json_free(destination->script);
  dray_buffer_free(&destination->ledger);
  dray_buffer_free(&destination->lines);
  probe_free(&destination->probe);
  free(destination);
}

static int32_t destination_check(struct dray_destination *destination, struct dray_str *out_json,
                                 struct dray_error *error) {
  (void)destination;
  (void)error;
  *out_json = dray_str_of("[]");
  return DRAY_OK;
}

static int32_t destination_discover(struct dray_destination *destination, struct dray_str *out_json,
                                    struct dray_error *error) {
  dray_buffer_clear(&destination->probe.document);
  DRAY_TRY(probe_read(&destination->probe, "objects.json", &destination->probe.document, error));
  *out_json = dray_buffer_view(&destination->probe.document);
  return DRAY_OK;
}

static int32_t read_script(struct dray_destination *destination, struct dray_error *error) {
  dray_json_free(destination->script);
  destination->script = NULL;
  return probe_script(&destination->probe, &destination->script, error);
}

static int32_t destination_caps(struct dray_destination *destination, struct dray_str object,
                                struct dray_str options_json, struct dray_caps *out, struct dray_error *error) {
  (void)object;
  (void)options_json;
  DRAY_TRY(read_script(destination, error));
  const struct dray_json *caps = dray_json_get(destination->script, "caps");
  out->flags = (uint32_t)probe_number(caps, "flags", DRAY_CAPS_PARTIAL | DRAY_CAPS_ASYNC);
  out->operations = (uint32_t)probe_number(caps, "operations", DRAY_OP_INSERT | DRAY_OP_UPDATE | DRAY_OP_DELETE);
  out->doubt = (uint32_t)probe_number(caps, "doubt", DRAY_DOUBT_RESEND);
  out->batch_rows_max = (uint64_t)probe_number(caps, "rows_max", 100);
  out->batch_bytes_max = (uint64_t)probe_number(caps, "bytes_max", 1 << 20);
  out->parallel_max = (uint32_t)probe_number(caps, "parallel", 1);
  out->jobs_max = (uint32_t)probe_number(caps, "jobs", 0);
  out->key_life_s = (uint32_t)probe_number(caps, "key_life", 0);
  return DRAY_OK;
}

static int32_t note(struct dray_destination *destination, const char *line, struct dray_error *error) {
  return probe_append(&destination->probe, "ledger", dray_str_of(line), error);
}

static int32_t destination_begin(struct dray_destination *destination, const struct dray_write_plan *plan,
                                 struct dray_error *error) {
  destination->schema = plan->schema;
  DRAY_TRY(read_script(destination, error));
  return note(destination, "BEGIN\n", error);
}

static int32_t destination_end(struct dray_destination *destination, struct dray_error *error) {
  destination->schema = NULL;
  return note(destination, "END\n", error);
}

static void destination_abort(struct dray_destination *destination) {
  struct dray_error error;
  destination->schema = NULL;
  if (note(destination, "ABORT\n", &error) != DRAY_OK) return;
}

// ---- the ledger ----

static size_t count_lines(const struct dray_buffer *ledger, const char *begin, int whole) {
  size_t count = 0;
  const size_t len = strlen(begin);
  for (size_t i = 0; i + len <= ledger->len;) {
    const char *line = ledger->data + i;
    const char *end = memchr(line, '\n', ledger->len - i);
    const size_t line_len = end != NULL ? (size_t)(end - line) : ledger->len - i;
    if (line_len >= len && memcmp(line, begin, len) == 0 && (!whole || line_len == len)) count++;
    i += line_len + 1;
  }
  return count;
}

static const struct dray_json *nth_item(const struct dray_json *list, size_t n, int last_stays) {
  const struct dray_json *item = list != NULL ? list->child : NULL;
  for (; n > 0 && item != NULL && (item->next != NULL || !last_stays); n--) item = item->next;
  return item;
}

static const char *nth(const struct dray_json *list, size_t n, int last_stays) {
  const struct dray_json *item = nth_item(list, n, last_stays);
  return item != NULL && item->kind == DRAY_JSON_STRING ? item->text.data : NULL;
}

// ---- one row ----

struct row {
  char id[64];
  int64_t number, op;
  struct dray_buffer json;
};

static int32_t read_row(const struct dray_view *view, uint64_t i, struct row *out, struct dray_error *error) {
  struct dray_json_writer writer;
  dray_buffer_clear(&out->json);
  dray_json_writer_init(&writer, &out->json, error);
  dray_json_begin_object(&writer);
  out->id[0] = '\0';
  size_t column = 0;
  for (size_t c = 0; c < view->column_count; c++) {
    if (strncmp(view->columns[c].name, "_dray_", 6) == 0) continue;
    if (dray_view_absent(view, column++, i)) continue;
    dray_json_key(&writer, view->columns[c].name);
    dray_json_write_column(&writer, &view->columns[c], i);
    if (out->id[0] != '\0') continue;
    struct dray_buffer text;
    dray_buffer_init(&text, sizeof(out->id) - 1);
    DRAY_TRY(dray_column_text(&view->columns[c], i, &text, error));
    (void)snprintf(out->id, sizeof(out->id), "%.*s", DRAY_STR_ARG(dray_buffer_view(&text)));
    dray_buffer_free(&text);
  }
  const ptrdiff_t before = dray_view_find(view, dray_str_of(DRAY_COLUMN_BEFORE));
  if (before >= 0 && !dray_column_is_null(&view->columns[before], i)) {
    dray_json_key(&writer, DRAY_COLUMN_BEFORE);
    dray_json_write_column(&writer, &view->columns[before], i);
  }
  dray_json_end_object(&writer);
  out->number = dray_column_int64(&view->columns[dray_view_find(view, dray_str_of(DRAY_COLUMN_ROW))], i);
  out->op = dray_column_int64(&view->columns[dray_view_find(view, dray_str_of(DRAY_COLUMN_OP))], i);
  return dray_json_writer_finish(&writer);
}

static const struct {
  const char *word;
  int32_t status;
  int arrives;
} words[] = {{"applied", DRAY_RECEIPT_APPLIED, 1},   {"unchanged", DRAY_RECEIPT_UNCHANGED, 1},
             {"rejected", DRAY_RECEIPT_REJECTED, 0}, {"retry", DRAY_RECEIPT_RETRY, 0},
             {"limited", DRAY_RECEIPT_RETRY, 0},     {"in_job", DRAY_RECEIPT_PENDING, 0},
             {"pending", DRAY_RECEIPT_PENDING, 1},   {"unknown", DRAY_RECEIPT_UNKNOWN, 1},
             {"lost", DRAY_RECEIPT_UNKNOWN, 0},      {"partly", DRAY_RECEIPT_REJECTED, 0},
             {"retry_partly", DRAY_RECEIPT_RETRY, 0}};

static size_t word_of(const char *word) {
  for (size_t i = 0; word != NULL && i < sizeof(words) / sizeof(words[0]); i++) {
    if (strcmp(words[i].word, word) == 0) return i;
  }
  return 0;
}

static struct dray_receipt receipt_of(int64_t row, size_t word) {
  struct dray_receipt receipt = {.row = row, .status = words[word].status};
  if (receipt.status == DRAY_RECEIPT_REJECTED) receipt.text = dray_str_of("the probe does not like it");
  if (strstr(words[word].word, "partly") != NULL) receipt.reserved.len = DRAY_RECEIPT_PARTLY;
  if (strcmp(words[word].word, "limited") == 0) {
    receipt.code = DRAY_E_THROTTLED;
    receipt.retry_after_ms = 1;
    receipt.text = dray_str_of("429: the probe has had enough");
  }
  return receipt;
}

static const char *op_name(int64_t op) {
  return op == DRAY_OP_INSERT ? "insert" : op == DRAY_OP_UPDATE ? "update" : "delete";
}

static int32_t take_row(struct dray_destination *destination, const struct row *row, int whole, int repeated,
                        struct dray_receipt *receipt, struct dray_error *error) {
  char line[96];
  (void)snprintf(line, sizeof(line), "TRY %s", row->id);
  const size_t before = count_lines(&destination->ledger, line, 1);
  DRAY_TRY(dray_buffer_printf(&destination->lines, error, "%s\n", line));
  const struct dray_json *list = dray_json_get(dray_json_get(destination->script, "receipts"), row->id);
  const size_t word = repeated ? 0 : word_of(nth(list, before, 1));
  if ((words[word].arrives || whole) && !repeated) {
    DRAY_TRY(dray_buffer_printf(&destination->lines, error, "GOT %s %s %.*s\n", row->id, op_name(row->op),
                                DRAY_STR_ARG(dray_buffer_view(&row->json))));
  }
  *receipt = receipt_of(row->number, word);
  return DRAY_OK;
}

// ---- calls ----

// Reads the ledger for a call that dice rule. *out_ruled = 0: the script does.
static int32_t open_dice(struct dray_destination *destination, struct probe_dice *out, int *out_ruled,
                         struct dray_error *error) {
  *out_ruled = dray_json_get(destination->script, "dice") != NULL;
  if (!*out_ruled) return DRAY_OK;
  dray_buffer_clear(&destination->ledger);
  dray_buffer_clear(&destination->lines);
  *out = (struct probe_dice){.probe = &destination->probe,
                             .script = destination->script,
                             .schema = destination->schema,
                             .ledger = &destination->ledger,
                             .lines = &destination->lines,
                             .handle = destination->handle};
  return probe_read(&destination->probe, "ledger", &destination->ledger, error);
}

static const struct {
  const char *word;
  int32_t code;
  int arrives, doubt;
} failures[] = {{"transient", DRAY_E_NET_CONNECT, 0, 0},   {"throttled", DRAY_E_THROTTLED, 0, 0},
                {"data", DRAY_E_DATA_REJECTED, 0, 0},      {"auth", DRAY_E_AUTH_REJECTED, 0, 0},
                {"cancelled", DRAY_E_CANCELLED, 0, 0},     {"doubt_server", DRAY_E_HTTP_SERVER, 1, 1},
                {"doubt_limit", DRAY_E_LIMIT, 1, 1},       {"doubt_cancelled", DRAY_E_CANCELLED, 1, 1},
                {"doubt_data", DRAY_E_DATA_REJECTED, 1, 1}};

static int32_t fail_as(size_t n, struct dray_error *error) {
  const int32_t rc = dray_fail(error, failures[n].code, "the probe says %s", failures[n].word);
  if (failures[n].doubt) (void)snprintf(error->vendor_code, sizeof(error->vendor_code), "in_doubt");
  if (rc == DRAY_E_THROTTLED) error->retry_after_ms = 30;
  return rc;
}

static int names(const struct dray_json *script, const char *name, const char *id) {
  const struct dray_json *list = dray_json_get(script, name);
  for (const struct dray_json *item = list != NULL ? list->child : NULL; item != NULL; item = item->next) {
    if (dray_str_is(item->text, id)) return 1;
  }
  return 0;
}

enum { STOPPED = 1, STOPPED_WHOLE };

static int32_t take_rows(struct dray_destination *destination, const struct dray_view *view, int whole, int repeated,
                         struct dray_receipts *out, int *out_refused, struct dray_error *error) {
  struct row row;
  int stopped = 0;
  dray_buffer_init(&row.json, PROBE_FILE_BYTES_MAX);
  int32_t rc = DRAY_OK;
  for (uint64_t i = 0; rc == DRAY_OK && i < view->row_count; i++) {
    rc = read_row(view, i, &row, error);
    if (rc != DRAY_OK) break;
    if (names(destination->script, "refuse", row.id)) *out_refused = 1;
    if (stopped == 0 && names(destination->script, "stop", row.id)) stopped = i == 0 ? STOPPED_WHOLE : STOPPED;
    if (stopped != 0) {
      out->items[i] = receipt_of(row.number, word_of("limited"));
    } else {
      rc = take_row(destination, &row, whole, repeated, &out->items[i], error);
    }
  }
  dray_buffer_free(&row.json);
  out->count = view->row_count;
  out->handle = dray_str_of("job-1");
  if (rc != DRAY_OK || stopped != STOPPED_WHOLE || probe_number(destination->script, "stop_calls", 0) == 0) return rc;
  rc = dray_fail(error, DRAY_E_THROTTLED, "429: the probe has had enough");
  error->retry_after_ms = 1;
  return rc;
}

static size_t pending_count(const struct dray_receipts *receipts) {
  size_t count = 0;
  for (uint64_t i = 0; i < receipts->count; i++) count += receipts->items[i].status == DRAY_RECEIPT_PENDING;
  return count;
}

static int32_t destination_write(struct dray_destination *destination, const struct ArrowArray *batch,
                                 const struct dray_batch_info *info, struct dray_receipts *out,
                                 struct dray_error *error) {
  struct probe_dice dice;
  int ruled = 0;
  DRAY_TRY(open_dice(destination, &dice, &ruled, error));
  if (ruled) return probe_dice_write(&dice, batch, info, out, error);
  dray_buffer_clear(&destination->ledger);
  dray_buffer_clear(&destination->lines);
  (void)usleep((useconds_t)probe_number(destination->script, "pause_ms", 0) * 1000);
  DRAY_TRY(probe_read(&destination->probe, "ledger", &destination->ledger, error));
  const char *word = nth(dray_json_get(destination->script, "calls"), count_lines(&destination->ledger, "CALL ", 0), 0);
  DRAY_TRY(dray_buffer_printf(&destination->lines, error, "CALL %.*s %u\n", DRAY_STR_ARG(info->idempotency_key),
                              info->attempt));
  size_t failure = 0;
  const size_t failure_count = sizeof(failures) / sizeof(failures[0]);
  while (word != NULL && failure < failure_count && strcmp(failures[failure].word, word) != 0) failure++;
  if (word != NULL && failure < failure_count && !failures[failure].arrives) {
    DRAY_TRY(probe_append(&destination->probe, "ledger", dray_buffer_view(&destination->lines), error));
    return fail_as(failure, error);
  }
  char key[96];
  (void)snprintf(key, sizeof(key), "KEY %.*s", DRAY_STR_ARG(info->idempotency_key));
  const int repeated =
      probe_number(dray_json_get(destination->script, "caps"), "doubt", 0) == DRAY_DOUBT_IDEMPOTENCY_KEY &&
      count_lines(&destination->ledger, key, 1) > 0;
  struct dray_view view;
  DRAY_TRY(dray_view_init(&view, destination->schema, batch, error));
  int refused = 0;
  int32_t rc = take_rows(destination, &view, word != NULL, repeated, out, &refused, error);
  dray_view_free(&view);
  if (rc == DRAY_E_THROTTLED)
    DRAY_TRY(probe_append(&destination->probe, "ledger", dray_buffer_view(&destination->lines), NULL));
  DRAY_TRY(rc);
  if (refused) return dray_fail(error, DRAY_E_DATA_REJECTED, "the batch holds a row that the probe does not like");
  DRAY_TRY(dray_buffer_printf(&destination->lines, error, "%s\n", key));
  if (pending_count(out) > 0) DRAY_TRY(dray_buffer_append_str(&destination->lines, "JOB\n", error));
  DRAY_TRY(probe_append(&destination->probe, "ledger", dray_buffer_view(&destination->lines), error));
  if (word == NULL) return DRAY_OK;
  if (failure < failure_count) return fail_as(failure, error);
  out->count = 0; // "contract": no receipts at all
  return DRAY_OK;
}

static int32_t destination_poll(struct dray_destination *destination, struct dray_str handle, const int64_t *rows,
                                uint64_t row_count, struct dray_receipts *out, struct dray_error *error) {
  struct probe_dice dice;
  int ruled = 0;
  DRAY_TRY(open_dice(destination, &dice, &ruled, error));
  if (ruled) return probe_dice_poll(&dice, handle, rows, row_count, out, error);
  char line[64];
  (void)snprintf(line, sizeof(line), "POLL %.*s\n", DRAY_STR_ARG(handle));
  DRAY_TRY(note(destination, line, error));
  const struct dray_json *says = dray_json_get(destination->script, "poll");
  const struct dray_json *polls = dray_json_get(destination->script, "polls");
  dray_buffer_clear(&destination->ledger);
  DRAY_TRY(probe_read(&destination->probe, "ledger", &destination->ledger, error));
  const struct dray_json *words_now = nth_item(polls, count_lines(&destination->ledger, "POLL ", 0) - 1, 1);
  for (uint64_t i = 0; i < row_count; i++) {
    const char *word = words_now != NULL ? nth(words_now, i, 1) : says != NULL ? says->text.data : NULL;
    out->items[i] = receipt_of(rows[i], word_of(word));
  }
  out->count = row_count;
  return pending_count(out) == 0 ? note(destination, "ENDED\n", error) : DRAY_OK;
}

static int32_t destination_read_back(struct dray_destination *destination, const struct ArrowArray *batch,
                                     struct dray_receipts *out, struct dray_error *error) {
  struct probe_dice dice;
  int ruled = 0;
  DRAY_TRY(open_dice(destination, &dice, &ruled, error));
  if (ruled) return probe_dice_read_back(&dice, batch, out, error);
  const struct dray_json *says = dray_json_get(destination->script, "read_back");
  dray_buffer_clear(&destination->ledger);
  DRAY_TRY(probe_read(&destination->probe, "ledger", &destination->ledger, error));
  struct dray_view view;
  DRAY_TRY(dray_view_init(&view, destination->schema, batch, error));
  struct row row;
  struct dray_buffer line;
  dray_buffer_init(&row.json, PROBE_FILE_BYTES_MAX);
  dray_buffer_init(&line, PROBE_FILE_BYTES_MAX);
  int32_t rc = note(destination, "READ_BACK\n", error);
  for (uint64_t i = 0; rc == DRAY_OK && i < view.row_count; i++) {
    rc = read_row(&view, i, &row, error);
    dray_buffer_clear(&line);
    if (rc == DRAY_OK) {
      rc = dray_buffer_printf(&line, error, "GOT %s %s %.*s", row.id, op_name(row.op),
                              DRAY_STR_ARG(dray_buffer_view(&row.json)));
    }
    if (rc == DRAY_OK) rc = dray_buffer_append_char(&line, '\0', error);
    if (rc != DRAY_OK) break;
    const int there = count_lines(&destination->ledger, line.data, 1) > 0;
    out->items[i] = (struct dray_receipt){.row = row.number,
                                          .status = says != NULL ? words[word_of(says->text.data)].status
                                                    : there      ? DRAY_RECEIPT_APPLIED
                                                                 : DRAY_RECEIPT_RETRY};
  }
  out->count = view.row_count;
  dray_buffer_free(&line);
  dray_buffer_free(&row.json);
  dray_view_free(&view);
  return rc;
}

const struct dray_destination_vtable probe_destination = {.struct_size = sizeof(struct dray_destination_vtable),
                                                          .spec = probe_spec,
                                                          .create = destination_create,
                                                          .destroy = destination_destroy,
                                                          .check = destination_check,
                                                          .discover = destination_discover,
                                                          .caps = destination_caps,
                                                          .begin = destination_begin,
                                                          .write = destination_write,
                                                          .poll = destination_poll,
                                                          .read_back = destination_read_back,
                                                          .end = destination_end,
                                                          .abort = destination_abort};
