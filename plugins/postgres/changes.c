// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The log as rows. Transactions come whole and in the order of their commits; a safe place is the end of one. A row
// that is gone, or has got another key, is a tombstone; a value that the log leaves out because it was not touched is
// absent: whoever has the row has the value. Where that is not certain (the row was given out in this read already, or
// under another key) the table is asked for it: a later value perhaps, whose change then comes later in the log.
#include <stdlib.h>

#include "source.h"

#define STATE_BYTES_MAX (1u << 20)
#define WAIT_MS 1000
#define ANSWERS_MAX 100                 // asked for about once a second
#define IDLE_BYTES (UINT64_C(16) << 20) // log that passes before a read without rows moves the checkpoint
#define SEEN_MAX (1u << 22)             // keys remembered: 32 MiB

// Keys of rows that were given out in this read with values that the log may leave out later: their hashes.
struct seen {
  uint64_t *slots; // 0: free
  size_t count, capacity;
  int all; // more than can be remembered: every key counts as seen
};

struct changes {
  struct dray_source *source;
  struct pg_following with;
  char *stream; // owned
  struct pg_rows *rows;
  struct seen seen;
  struct pg_message message;
  ptrdiff_t *map; // of the relation's columns, to the table's; -1: not read
  size_t map_count;
  uint8_t *identity;       // of the table's columns
  uint8_t *large;          // likewise: the log may leave the value out
  struct pg_value *values; // of one row, and of the one before it
  struct pg_value *old_values;
  int related, in_transaction, ended;
  int partition_next; // a relation that comes now is that of a partition
  int answers;        // of the server in a row, that it is where it was
  uint64_t reached;
  uint64_t start, row_count, byte_count;
  struct dray_buffer state;
};

static int32_t no_memory(struct dray_error *error) {
  return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to follow a table");
}

static void changes_free(struct changes *changes) {
  if (changes == NULL) return;
  pg_rows_free(changes->rows);
  pg_following_free(&changes->with);
  dray_buffer_free(&changes->state);
  free(changes->stream);
  free(changes->seen.slots);
  free(changes->message.columns);
  free(changes->message.old_row);
  free(changes->message.new_row);
  free(changes->map);
  free(changes->identity);
  free(changes->large);
  free(changes->values);
  free(changes->old_values);
  free(changes);
}

// ---- keys that were given out ----

static size_t find_slot(const struct seen *seen, uint64_t hash) {
  size_t at = (size_t)hash & (seen->capacity - 1);
  while (seen->slots[at] != 0 && seen->slots[at] != hash) at = (at + 1) & (seen->capacity - 1);
  return at;
}

static int was_seen(const struct seen *seen, uint64_t hash) {
  return seen->all || (seen->capacity > 0 && seen->slots[find_slot(seen, hash)] != 0);
}

static int32_t grow_seen(struct seen *seen, struct dray_error *error) {
  struct seen larger = {.capacity = seen->capacity == 0 ? 1024 : seen->capacity * 2, .count = seen->count};
  larger.slots = calloc(larger.capacity, sizeof *larger.slots);
  if (larger.slots == NULL) return no_memory(error);
  for (size_t i = 0; i < seen->capacity; i++) {
    if (seen->slots[i] != 0) larger.slots[find_slot(&larger, seen->slots[i])] = seen->slots[i];
  }
  free(seen->slots);
  *seen = larger;
  return DRAY_OK;
}

static int32_t note_seen(struct seen *seen, uint64_t hash, struct dray_error *error) {
  if (seen->all) return DRAY_OK;
  if (seen->count * 2 >= seen->capacity) {
    if (seen->capacity >= SEEN_MAX) {
      free(seen->slots);
      *seen = (struct seen){.all = 1};
      return DRAY_OK;
    }
    DRAY_TRY(grow_seen(seen, error));
  }
  const size_t at = find_slot(seen, hash);
  seen->count += seen->slots[at] == 0;
  seen->slots[at] = hash;
  return DRAY_OK;
}

// ---- the relation ----

// A column that the table did not have when the read began: it ends before this transaction, and the next one sees it.
static int32_t look_for_column(struct changes *changes, struct dray_str name, struct dray_error *error) {
  static const char sql[] =
      "SELECT 1 FROM pg_catalog.pg_attribute WHERE attrelid = $1::pg_catalog.oid AND attname = $2 "
      "AND attnum > 0 AND NOT attisdropped";
  char oid[16];
  char *text = dray_str_dup(name);
  PGresult *result = NULL;
  if (text == NULL) return no_memory(error);
  (void)dray_format_int64(changes->with.place.table, oid);
  const char *const params[] = {oid, text};
  int32_t code = pg_enter(changes->source->engine, error);
  if (code == DRAY_OK) {
    code = pg_link_ask(changes->source->engine->link, sql, 2, params, "looking for a new column", &result, error);
  }
  if (code == DRAY_OK && PQntuples(result) > 0) {
    changes->ended = 1;
    dray_log_printf(&changes->source->engine->session.services, DRAY_LOG_INFO,
                    "%s: the table has a new column '%s': this read ends before it", changes->stream, text);
  }
  PQclear(result);
  free(text);
  return code;
}

static int32_t map_column(struct changes *changes, size_t i, struct dray_error *error) {
  const struct pg_relation_column *column = &changes->message.columns[i];
  const struct pg_table *table = &changes->with.table;
  const struct pg_shape_column *known = pg_shape_find(&changes->with.shape, column->name);
  changes->map[i] = -1;
  if (known == NULL) return look_for_column(changes, column->name, error);
  for (size_t k = 0; k < table->column_count; k++) {
    if (dray_str_is(column->name, table->columns[k].name)) changes->map[i] = (ptrdiff_t)k;
  }
  if (changes->map[i] < 0) {
    if (!column->key || changes->message.identity == 'f') return DRAY_OK;
    return dray_fail_field(error, DRAY_E_SCHEMA_COLUMN, "columns",
                           "%s: the column '%.*s' tells rows apart in the server's log: it must be read as well",
                           changes->stream, DRAY_STR_ARG(column->name));
  }
  if (column->type != known->type) {
    return dray_fail(error, DRAY_E_STATE_CHECKPOINT,
                     "%s: the column '%s' got another type, which changes every row without a word in the log: read "
                     "everything anew with `dray sync NAME --full-refresh`",
                     changes->stream, known->name);
  }
  changes->identity[changes->map[i]] = (uint8_t)column->key;
  return DRAY_OK;
}

static int32_t fail_identity(const struct changes *changes, const char *whose, const uint8_t *wanted,
                             struct dray_error *error) {
  char lsn[PG_LSN_BYTES], names[PG_NAMES_BYTES];
  return dray_fail(error, DRAY_E_STATE_CHECKPOINT,
                   "%s: after %s the log tells the rows of %s apart by another replica identity, and this sync knows "
                   "them by %s: which were deleted or got another key since is not certain: read everything anew with "
                   "`dray sync NAME --full-refresh`",
                   changes->stream, pg_lsn_format(changes->with.place.lsn, lsn), whose,
                   pg_identity_names(&changes->with.table, wanted, names));
}

static int32_t learn_relation(struct changes *changes, struct dray_error *error) {
  const struct pg_message *message = &changes->message;
  const struct pg_table *table = &changes->with.table;
  memset(changes->identity, 0, table->column_count);
  changes->map_count = message->column_count;
  for (size_t i = 0; i < message->column_count && !changes->ended; i++) DRAY_TRY(map_column(changes, i, error));
  for (size_t i = 0; i < table->column_count && !changes->ended; i++) {
    if (table->key[i] && !changes->identity[i]) return fail_identity(changes, "the table", table->key, error);
  }
  if (message->identity == 'f') pg_identity_narrow(table, changes->identity);
  changes->related = 1;
  changes->partition_next = changes->with.shape.partitioned;
  return DRAY_OK;
}

// Changes in a partition come under its table's name; what is told of the old row is as the partition's own identity
// says. Its relation comes right behind that of the table, before the first change.
static int32_t check_partition(const struct changes *changes, struct dray_error *error) {
  const struct pg_message *message = &changes->message;
  const struct pg_table *table = &changes->with.table;
  for (size_t i = 0; message->identity != 'f' && i < table->column_count; i++) {
    int tells = !changes->identity[i];
    for (size_t k = 0; k < message->column_count && !tells; k++) {
      tells = message->columns[k].key && dray_str_is(message->columns[k].name, table->columns[i].name);
    }
    if (!tells) return fail_identity(changes, "a partition", changes->identity, error);
  }
  return DRAY_OK;
}

static int32_t heed_relation(struct changes *changes, struct dray_error *error) {
  const int partition = changes->partition_next;
  changes->partition_next = 0;
  if (changes->message.relation == changes->with.place.table) return learn_relation(changes, error);
  return partition ? check_partition(changes, error) : DRAY_OK;
}

// ---- rows ----

static int32_t arrange(struct changes *changes, const struct pg_value *tuple, size_t count, struct pg_value *out,
                       struct dray_error *error) {
  if (!changes->related || count != changes->map_count) {
    return dray_fail(error, DRAY_E_INTERNAL, "%s: the server sent a row of %zu columns before it said which",
                     changes->stream, count);
  }
  for (size_t i = 0; i < changes->with.table.column_count; i++) out[i] = (struct pg_value){.len = PG_TUPLE_MISSING};
  for (size_t i = 0; i < count; i++) {
    if (changes->map[i] >= 0) out[changes->map[i]] = tuple[i];
  }
  return DRAY_OK;
}

static int32_t give(struct changes *changes, const struct pg_value *values, int deleted, int fetch,
                    struct dray_error *error) {
  const struct pg_row row = {values, deleted, fetch};
  changes->row_count++;
  return pg_rows_add(changes->rows, &row, changes->identity, error);
}

static int same_value(const struct pg_value *a, const struct pg_value *b) {
  return a->len == b->len && (a->len <= 0 || memcmp(a->data, b->data, (size_t)a->len) == 0);
}

// A row as it is now: `moved` when its key was another one before.
static int32_t give_row(struct changes *changes, int moved, struct dray_error *error) {
  int left_out = 0, said = 0, fetch = 0;
  for (size_t i = 0; i < changes->with.table.column_count; i++) {
    left_out |= changes->values[i].len == PG_TUPLE_UNCHANGED;
    said |= changes->large[i] && changes->values[i].len != PG_TUPLE_UNCHANGED;
  }
  if (left_out || said) {
    const uint64_t key = pg_row_hash(&changes->with.table, changes->identity, changes->values);
    fetch = left_out && (moved || was_seen(&changes->seen, key));
    if (said) DRAY_TRY(note_seen(&changes->seen, key, error));
  }
  return give(changes, changes->values, 0, fetch, error);
}

static int32_t update(struct changes *changes, struct dray_error *error) {
  const struct pg_message *message = &changes->message;
  int moved = 0;
  DRAY_TRY(arrange(changes, message->new_row, message->new_count, changes->values, error));
  if (message->old_kind == 0) return give_row(changes, 0, error);
  DRAY_TRY(arrange(changes, message->old_row, message->old_count, changes->old_values, error));
  // In the old row of a partition that logs less than its table would, nulls stand for what is not told.
  const int whole = message->old_kind == 'O' && !changes->with.shape.partitioned;
  for (size_t i = 0; i < changes->with.table.column_count; i++) {
    const int told = whole || changes->identity[i];
    struct pg_value *value = &changes->values[i];
    if (told && value->len == PG_TUPLE_UNCHANGED) *value = changes->old_values[i];
    if (changes->identity[i]) moved |= !same_value(value, &changes->old_values[i]);
  }
  if (moved) DRAY_TRY(give(changes, changes->old_values, 1, 0, error));
  return give_row(changes, moved, error);
}

static int32_t take_row(struct changes *changes, struct dray_error *error) {
  const struct pg_message *message = &changes->message;
  switch (message->kind) {
  case PG_MESSAGE_INSERT:
    DRAY_TRY(arrange(changes, message->new_row, message->new_count, changes->values, error));
    return give_row(changes, 0, error);
  case PG_MESSAGE_UPDATE:
    return update(changes, error);
  default:
    DRAY_TRY(arrange(changes, message->old_row, message->old_count, changes->old_values, error));
    return give(changes, changes->old_values, 1, 0, error);
  }
}

// ---- messages ----

static int32_t truncated(const struct changes *changes, struct dray_error *error) {
  char lsn[PG_LSN_BYTES];
  return dray_fail(error, DRAY_E_STATE_CHECKPOINT,
                   "%s was emptied by TRUNCATE (after %s), which does not name the rows that are gone: read everything "
                   "anew with `dray sync NAME --full-refresh`",
                   changes->stream, pg_lsn_format(changes->with.place.lsn, lsn));
}

static int32_t heed(struct changes *changes, struct dray_error *error) {
  struct pg_message *message = &changes->message;
  const Oid table = changes->with.place.table;
  if (message->kind != PG_MESSAGE_RELATION && message->kind != PG_MESSAGE_OTHER) changes->partition_next = 0;
  switch (message->kind) {
  case PG_MESSAGE_BEGIN:
    changes->in_transaction = 1;
    return DRAY_OK;
  case PG_MESSAGE_COMMIT:
    changes->in_transaction = 0;
    changes->with.place.lsn = message->end_lsn;
    changes->ended = message->end_lsn >= changes->with.target;
    return DRAY_OK;
  case PG_MESSAGE_RELATION:
    return heed_relation(changes, error);
  case PG_MESSAGE_TRUNCATE:
    return pg_message_truncates(message, table) ? truncated(changes, error) : DRAY_OK;
  case PG_MESSAGE_INSERT:
  case PG_MESSAGE_UPDATE:
  case PG_MESSAGE_DELETE:
    return message->relation == table ? take_row(changes, error) : DRAY_OK;
  default:
    return DRAY_OK;
  }
}

// Between transactions everything that committed before this place was sent.
static void reach(struct changes *changes, uint64_t lsn) {
  if (changes->in_transaction) return;
  if (lsn > changes->with.place.lsn) changes->with.place.lsn = lsn;
  changes->ended = lsn >= changes->with.target;
  changes->answers = lsn == changes->reached ? changes->answers + 1 : 0;
  changes->reached = lsn;
  if (changes->ended || changes->answers < ANSWERS_MAX) return;
  changes->ended = 1;
  dray_log_printf(&changes->source->engine->session.services, DRAY_LOG_WARN,
                  "%s: the server's log goes on, but the server does not: this read ends early", changes->stream);
}

static int32_t pump(struct changes *changes, struct dray_error *error) {
  struct dray_str data = {NULL, 0};
  uint64_t reached = 0;
  char *row = NULL;
  DRAY_TRY(pg_follow_next(&changes->with.follow, WAIT_MS, &row, &data, &reached, error));
  if (row == NULL) {
    if (reached > 0) reach(changes, reached);
    return DRAY_OK;
  }
  changes->answers = 0;
  changes->byte_count += data.len;
  int32_t code = pg_message_read(data, &changes->message, error);
  if (code == DRAY_OK) code = heed(changes, error);
  PQfreemem(row);
  return code;
}

// ---- the stream's slots ----

static int32_t slot_schema(struct dray_stream *stream, struct ArrowSchema *out, struct dray_error *error) {
  const struct changes *changes = stream->private_data;
  return dray_schema_copy(pg_rows_schema(changes->rows), out, error);
}

static int32_t slot_next(struct dray_stream *stream, struct ArrowArray *out, struct dray_error *error) {
  struct changes *changes = stream->private_data;
  struct dray_services *services = &changes->source->engine->session.services;
  DRAY_TRY(dray_cancel_check(services, error));
  if (!pg_rows_empty(changes->rows)) return pg_rows_take(changes->rows, changes->identity, out, error);
  while (!changes->ended) {
    const int full = pg_rows_full(changes->rows);
    if (full == 2 || (full == 1 && !changes->in_transaction)) break; // rather where it is safe
    DRAY_TRY(pump(changes, error));
    DRAY_TRY(dray_cancel_check(services, error));
  }
  return pg_rows_take(changes->rows, changes->identity, out, error);
}

// At its end a read may have given out the beginning of a transaction, which comes again.
static int32_t slot_state(struct dray_stream *stream, struct dray_str *out, struct dray_error *error) {
  struct changes *changes = stream->private_data;
  struct pg_place *place = &changes->with.place;
  *out = dray_str_make(NULL, 0);
  if (!pg_rows_empty(changes->rows) || (changes->in_transaction && !changes->ended)) return DRAY_OK;
  const uint64_t lsn = place->lsn;
  if (changes->row_count == 0 && lsn - changes->start < IDLE_BYTES) place->lsn = changes->start;
  const int32_t code = pg_place_write(place, dray_str_of(changes->stream), &changes->state, error);
  place->lsn = lsn;
  if (code == DRAY_OK) *out = dray_buffer_view(&changes->state);
  return code;
}

static void slot_progress(struct dray_stream *stream, struct dray_progress *out) {
  const struct changes *changes = stream->private_data;
  out->rows = changes->row_count;
  out->bytes = changes->byte_count;
}

static void slot_close(struct dray_stream *stream) {
  changes_free(stream->private_data);
  stream->private_data = NULL;
}

// ---- opening ----

static int32_t make_room(struct changes *changes, struct dray_str stream, struct dray_error *error) {
  const size_t count = changes->with.table.column_count;
  changes->stream = dray_str_dup(stream);
  changes->message.columns = calloc(PG_COLUMNS_MAX, sizeof *changes->message.columns);
  changes->message.old_row = calloc(PG_COLUMNS_MAX, sizeof *changes->message.old_row);
  changes->message.new_row = calloc(PG_COLUMNS_MAX, sizeof *changes->message.new_row);
  changes->map = calloc(PG_COLUMNS_MAX, sizeof *changes->map);
  changes->identity = calloc(count, 1);
  changes->large = calloc(count, 1);
  changes->values = calloc(count, sizeof *changes->values);
  changes->old_values = calloc(count, sizeof *changes->old_values);
  if (changes->stream == NULL || changes->message.columns == NULL || changes->message.old_row == NULL ||
      changes->message.new_row == NULL || changes->map == NULL || changes->identity == NULL || changes->large == NULL ||
      changes->values == NULL || changes->old_values == NULL) {
    return no_memory(error);
  }
  changes->with.table.stream = dray_str_of(changes->stream);
  for (size_t i = 0; i < count; i++) {
    const struct pg_shape_column *column =
        pg_shape_find(&changes->with.shape, dray_str_of(changes->with.table.columns[i].name));
    changes->large[i] = column != NULL && column->large;
  }
  return DRAY_OK;
}

int32_t pg_changes_open(struct dray_source *source, const struct dray_read_request *request,
                        struct pg_following *following, struct dray_stream *out, struct dray_error *error) {
  struct changes *changes = calloc(1, sizeof *changes);
  if (changes == NULL) {
    pg_following_free(following);
    return no_memory(error);
  }
  changes->source = source;
  changes->with = *following;
  *following = (struct pg_following){.target = 0};
  changes->start = changes->with.place.lsn;
  dray_buffer_init(&changes->state, STATE_BYTES_MAX);
  int32_t code = make_room(changes, request->stream, error);
  if (code == DRAY_OK) {
    code = pg_rows_new(source, &changes->with.table, request->batch_bytes_max, request->batch_rows_max, &changes->rows,
                       error);
  }
  if (code != DRAY_OK) {
    changes_free(changes);
    return code;
  }
  out->private_data = changes;
  out->schema = slot_schema;
  out->next = slot_next;
  out->state = slot_state;
  out->progress = slot_progress;
  out->close = slot_close;
  return DRAY_OK;
}
