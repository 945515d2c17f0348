// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What is believed of a snapshot, and why that is safe.
//
// M is the mirror, S the snapshot, C the table `changes`, f the mapping. At every moment, whoever is killed:
//
//   1. a key of S that is not in C: M holds f of the row in S;
//   2. a key of M is in S or in C (where the sync removes rows; elsewhere nobody asks).
//
// So a row of the model that equals S, and whose key is not in C, is as M has it, and a key that neither the model nor
// S nor C has is not in M: the rest is what is read. How it is kept: a run changes M at keys of C alone, since all it
// compares comes from there, and what earlier runs left open was in C then. C is written before, in one statement that
// keeps every key it had, and cleared after, of rows that M is then asked for one by one. S gets no other rows than
// those of C that were read, which are copies that do not move. When S is made anew, it gets all of the model and is
// read instead of it; rows that M does not hold go to C, and if M holds a key that is not there (a delete that was not
// taken), S is not believed yet.
//
// That S and C are of this M is known by a token: each write to them leaves a new one in their state row and, before
// it, in a file beside the mirror. The file names the tokens of the last write and of the one before it only while both
// would be right. Whatever changes M without going this way gives the file up first.
#include "sync/prefilter.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/board.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/log.h"
#include "warehouse/snapshot.h"

#define RECORD_FILE "snapshot"
#define RECORD_BYTES_MAX 256
#define IDENTITY_BYTES_MAX (8u << 20)
#define SPANS_MAX (1u << 20) // 16 MiB
#define PAGE_ROWS 16384
#define PAGE_BYTES (4u << 20)

// What this machine knows of the snapshot: its token, or the one that a write was about to leave, and the mirror's
// generation then. Zeros: nothing is believed, but tables may be there.
struct record {
  uint64_t token, next, generation;
};

// Rows that the diff was given one after another, and that are numbered so.
struct span {
  uint64_t place, number;
};

struct dr_prefilter {
  struct dr_snapshot_options options; // in the run's arena
  struct dr_snapshot *snapshot;
  struct dr_snapshot_state state; // as it is
  char identity[40];
  uint64_t open; // rows that earlier runs left in `changes`
  int believed;  // the snapshot was when the run began: what is not read is unchanged
  int remade;    // it holds all of the model now
  int removes;   // the sync removes rows that are gone
  int planning;
  uint64_t rows, gone, model_rows; // read; of the model, once known
  uint64_t hidden;
  // Of the rows that were given to the diff, in their order.
  uint64_t given, last;
  uint8_t *settled; // bit n: row n was given; dr_prefilter_settle takes those off that are not settled
  size_t settled_bytes;
  struct span *spans;
  size_t span_count, span_capacity;
  int lost_count; // too many spans: nothing is settled
  // Of the batch at hand.
  uint64_t *numbers; // 0: none
  uint8_t *gone_rows;
  size_t batch_rows, batch_capacity;
};

static int32_t no_memory(struct dray_error *error) {
  return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for the diff in the warehouse");
}

// ---- the record ----

static char *record_path(const char *folder) {
  return dr_path_join(folder, RECORD_FILE);
}

static int read_record(const char *folder, struct record *out) {
  struct dray_buffer text;
  struct record record = {0, 0, 0};
  char *path = record_path(folder);
  int found = path != NULL && dr_file_exists(path);
  dray_buffer_init(&text, IDENTITY_BYTES_MAX);
  int known = found && dr_file_read(path, RECORD_BYTES_MAX, &text, NULL) == DRAY_OK;
  known = known && dray_buffer_append_char(&text, '\0', NULL) == DRAY_OK;
  known = known && sscanf(text.data, "dray snapshot 1 %" SCNu64 " %" SCNu64 " %" SCNu64, &record.token, &record.next,
                          &record.generation) == 3;
  *out = known ? record : (struct record){0, 0, 0};
  dray_buffer_free(&text);
  free(path);
  return found;
}

static int32_t write_record(const struct dr_context *run, uint64_t token, uint64_t next, struct dray_error *error) {
  char text[RECORD_BYTES_MAX];
  struct dr_mirror_info info = {0};
  char *path = record_path(run->folder);
  if (path == NULL) return no_memory(error);
  if (run->mirror != NULL) dr_mirror_info(run->mirror, &info);
  const int n = snprintf(text, sizeof(text), "dray snapshot 1 %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", token, next,
                         info.generation);
  const int32_t rc = dr_file_replace(path, dray_str_make(text, (uint64_t)n), error);
  free(path);
  return rc;
}

int32_t dr_prefilter_forget(const struct dr_context *run, struct dray_error *error) {
  struct record record;
  const int found = read_record(run->folder, &record);
  return found && (record.token != 0 || record.next != 0) ? write_record(run, 0, 0, error) : DRAY_OK;
}

// Never twice, and never 0.
static int32_t new_token(uint64_t *out, struct dray_error *error) {
  uint64_t token = 0;
  while (token == 0) {
    if (getrandom(&token, sizeof(token), 0) != (ssize_t)sizeof(token))
      return dray_fail(error, DRAY_E_INTERNAL, "no random bytes for a token");
    token &= INT64_MAX;
  }
  *out = token;
  return DRAY_OK;
}

static uint64_t id_of(uint64_t seed, const char *sync) {
  return dr_hash_bytes(dray_str_of(sync), seed).low;
}

int dr_prefilter_exists(const char *sync_folder, uint64_t seed, const char *sync, char *name, size_t name_bytes) {
  struct record record;
  (void)snprintf(name, name_bytes, "snapshot_%016" PRIx64, id_of(seed, sync));
  return read_record(sync_folder, &record);
}

// ---- what is compared ----

static ptrdiff_t find_column(const struct ArrowSchema *schema, const char *name) {
  for (int64_t i = 0; i < schema->n_children; i++) {
    if (strcmp(schema->children[i]->name, name) == 0) return (ptrdiff_t)i;
  }
  return -1;
}

// The model's columns that are mapped, once each.
static int32_t choose_columns(struct dr_context *run, struct dr_snapshot_options *options, struct dray_error *error) {
  const struct dr_mapping *mapping = &run->mapping;
  const struct ArrowSchema *source = dr_reader_schema(run->reader);
  const size_t most = mapping->schema->field_count;
  struct dray_column_def *columns = dr_arena_alloc(&run->arena, (most + 1) * sizeof(*columns));
  if (columns == NULL) return no_memory(error);
  for (size_t i = 0; i < most; i++) {
    const char *name = mapping->source_columns[i];
    size_t known = 0;
    while (known < options->column_count && strcmp(columns[known].name, name) != 0) known++;
    const ptrdiff_t at = find_column(source, name); // a constant is no column
    if (known < options->column_count || at < 0) continue;
    columns[options->column_count].name = name;
    DRAY_TRY(dray_schema_type(source->children[at], &columns[options->column_count].type, error));
    options->column_count++;
  }
  options->columns = columns;
  return DRAY_OK;
}

// Two keys that the engine tells apart must be two to the diff, or it would not see copies: what is sent must be the
// key as it is read, or its text.
static int same_keys(struct dray_type sent, struct dray_type read) {
  const int decimals = sent.precision == read.precision && sent.scale == read.scale;
  if (sent.id == read.id) return sent.id != DRAY_TYPE_DECIMAL || decimals;
  return sent.id == DRAY_TYPE_STRING && read.id != DRAY_TYPE_FLOAT64;
}

static int32_t choose_key(struct dr_context *run, struct dr_snapshot_options *options, struct dray_error *error) {
  const struct dr_mapping *mapping = &run->mapping;
  const char **key = dr_arena_alloc(&run->arena, (mapping->key_count + 1) * sizeof(*key));
  if (key == NULL) return no_memory(error);
  for (size_t k = 0; k < mapping->key_count; k++) {
    const ptrdiff_t field = dr_schema_find(mapping->schema, dray_str_of(mapping->key[k]));
    key[k] = mapping->source_columns[field];
    size_t i = 0;
    while (i < options->column_count && strcmp(options->columns[i].name, key[k]) != 0) i++;
    if (i < options->column_count && same_keys(mapping->schema->fields[field].type, options->columns[i].type)) continue;
    return dray_fail_field(
        error, DRAY_E_CONFIG_VALUE, "diff",
        "with `diff: warehouse` the key column \"%s\" must be sent in the type it is read in: cast it "
        "in the model's SQL",
        key[k]);
  }
  options->key = key;
  options->key_count = mapping->key_count;
  return DRAY_OK;
}

static int32_t append_item(struct dray_buffer *out, const char *text, struct dray_error *error) {
  DRAY_TRY(dray_buffer_append_str(out, text, error));
  return dray_buffer_append_char(out, '\n', error);
}

// Of everything that decides what a row of the model becomes. Another one: rows that the model has as before may be
// sent otherwise now.
static int32_t identify(const struct dr_context *run, struct dr_prefilter *prefilter, struct dray_error *error) {
  const struct dr_mapping *mapping = &run->mapping;
  struct dray_buffer text;
  dray_buffer_init(&text, IDENTITY_BYTES_MAX);
  int32_t rc = append_item(&text, prefilter->options.model, error);
  if (rc == DRAY_OK) rc = append_item(&text, run->state.identity, error);
  for (size_t i = 0; rc == DRAY_OK && i < prefilter->options.column_count; i++) {
    const struct dray_column_def *column = &prefilter->options.columns[i];
    rc = dray_buffer_printf(&text, error, "%s %d %d %d\n", column->name, column->type.id, column->type.precision,
                            column->type.scale);
  }
  for (size_t i = 0; rc == DRAY_OK && i < mapping->schema->field_count; i++) {
    const struct dr_field *field = &mapping->schema->fields[i];
    rc = dray_buffer_printf(&text, error, "%s < %s %d %d %d%s\n", field->name, mapping->source_columns[i],
                            field->type.id, field->type.precision, field->type.scale,
                            mapping->keeps_nulls[i] ? " keep" : "");
  }
  for (size_t i = 0; rc == DRAY_OK && i < mapping->constant_count; i++) {
    rc = append_item(&text, mapping->constants[i], error);
  }
  for (size_t k = 0; rc == DRAY_OK && k < mapping->key_count; k++) rc = append_item(&text, mapping->key[k], error);
  if (rc == DRAY_OK) {
    rc = dray_buffer_printf(&text, error, "%d %d %d\n", prefilter->removes, run->sync->drift_type, run->sync->keep);
  }
  const struct dr_hash128 hash = dr_hash_bytes(dray_buffer_view(&text), dr_store_seed(run->store));
  (void)snprintf(prefilter->identity, sizeof(prefilter->identity), "%016" PRIx64 "%016" PRIx64, hash.high, hash.low);
  dray_buffer_free(&text);
  return rc;
}

// ---- is it believed? ----

// NULL: yes. Else why not.
static int32_t doubt(struct dr_context *run, struct dr_prefilter *prefilter, const char **out,
                     struct dray_error *error) {
  struct record record;
  struct dr_mirror_info info;
  int whole = 0;
  *out = NULL;
  if ((run->options->flags & DR_RUN_FULL) != 0) *out = "a full refresh sends every row";
  if ((run->options->flags & DR_RUN_BASELINE) != 0) *out = "a baseline takes every row as sent";
  if (*out != NULL) return DRAY_OK;
  DRAY_TRY(dr_snapshot_look(prefilter->snapshot, &prefilter->state, error));
  const uint64_t token = prefilter->state.token;
  if (!read_record(run->folder, &record) || (record.token == 0 && record.next == 0)) {
    *out = "there is no snapshot of what the mirror holds yet";
  } else if (token == 0) {
    *out = "the snapshot is gone from the warehouse";
  } else if (token != record.token && token != record.next) {
    *out = "snapshot and mirror are not of the same time: one was restored, or somebody else wrote";
  } else if (strcmp(prefilter->state.identity, prefilter->identity) != 0) {
    *out = "the model, its columns' types, the mapping, the mode or the destination are not those it was made with";
  }
  if (*out != NULL) return DRAY_OK;
  dr_mirror_info(run->mirror, &info);
  if (info.generation < record.generation) {
    *out = "the mirror is older than the snapshot";
    return DRAY_OK;
  }
  DRAY_TRY(dr_snapshot_check(prefilter->snapshot, &prefilter->state, &whole, &prefilter->open, error));
  if (!whole) *out = "somebody else changed its tables";
  return DRAY_OK;
}

static int32_t open_snapshot(struct dr_context *run, struct dr_prefilter *prefilter, struct dray_error *error) {
  const struct dr_project *project = dr_session_project(run->session);
  const struct dr_model *model = &project->models[run->sync->model];
  struct dr_warehouse *warehouse = NULL;
  prefilter->options.id = id_of(dr_store_seed(run->store), run->sync->name);
  prefilter->options.model = model->sql;
  prefilter->planning = dr_planning(run);
  prefilter->removes = run->sync->mode == DR_MODE_MIRROR || run->sync->mode == DR_MODE_REMOVE;
  DRAY_TRY(choose_columns(run, &prefilter->options, error));
  DRAY_TRY(choose_key(run, &prefilter->options, error));
  DRAY_TRY(identify(run, prefilter, error));
  DRAY_TRY(dr_session_warehouse(run->session, model->warehouse, &warehouse, NULL, error));
  return dr_snapshot_open(warehouse, &prefilter->options, &prefilter->snapshot, error);
}

static void say_why(struct dr_context *run, int used, const char *why) {
  run->report->diff.used = used;
  (void)snprintf(run->report->diff.why, sizeof(run->report->diff.why), "%s", why);
}

int32_t dr_prefilter_open(struct dr_context *run, struct dray_error *error) {
  const char *why = NULL;
  if (run->sync->model < 0) return DRAY_OK;
  say_why(run, DR_DIFF_LOCAL, "it needs read rights only, and `diff: warehouse` is not asked for");
  if (run->sync->diff != DR_DIFF_WAREHOUSE) return dr_planning(run) ? DRAY_OK : dr_prefilter_forget(run, error);
  if (run->mapping.folded_count > 0) {
    // Two rows to the engine are one to the diff: it would be told of a removal beside the row that took its place.
    say_why(run, DR_DIFF_LOCAL, "the destination compares the key without regard to case, the warehouse does not");
    return dr_planning(run) ? DRAY_OK : dr_prefilter_forget(run, error);
  }
  struct dr_prefilter *prefilter = calloc(1, sizeof(*prefilter));
  if (prefilter == NULL) return no_memory(error);
  run->prefilter = prefilter;
  dr_reader_finish(run->reader); // what it says of the columns stays
  DRAY_TRY(open_snapshot(run, prefilter, error));
  DRAY_TRY(doubt(run, prefilter, &why, error));
  (void)snprintf(run->report->diff.snapshot, sizeof(run->report->diff.snapshot), "%s",
                 dr_snapshot_label(prefilter->snapshot));
  prefilter->believed = why == NULL;
  say_why(run, why == NULL ? DR_DIFF_WAREHOUSE : DR_DIFF_LOCAL, why != NULL ? why : "the snapshot is the mirror's");
  return why == NULL || dr_planning(run) ? DRAY_OK : dr_prefilter_forget(run, error);
}

void dr_prefilter_close(struct dr_context *run) {
  struct dr_prefilter *prefilter = run->prefilter;
  if (prefilter == NULL) return;
  dr_snapshot_close(prefilter->snapshot);
  free(prefilter->settled);
  free(prefilter->spans);
  free(prefilter->numbers);
  free(prefilter->gone_rows);
  free(prefilter);
  run->prefilter = NULL;
}

int dr_prefilter_is_partial(const struct dr_prefilter *prefilter) {
  return prefilter != NULL && prefilter->believed;
}

// ---- reading ----

static int32_t reread(struct dr_context *run, int what, struct dray_error *error) {
  const struct dr_prefilter *prefilter = run->prefilter;
  struct dray_buffer sql;
  dray_buffer_init(&sql, IDENTITY_BYTES_MAX);
  int32_t rc = dr_snapshot_select(prefilter->snapshot, what, 1, prefilter->open, &sql, error);
  if (rc == DRAY_OK) rc = dr_context_reread(run, dray_buffer_view(&sql), error);
  dray_buffer_free(&sql);
  return rc;
}

// The record names both tokens while it is not known which of them is there; after it, only the new one: a warehouse
// that is restored to what it was before must not pass for what the mirror is compared with.
static int32_t advance(struct dr_context *run, struct dray_error *error) {
  struct dr_prefilter *prefilter = run->prefilter;
  uint64_t next = 0, rows = 0;
  DRAY_TRY(new_token(&next, error));
  DRAY_TRY(write_record(run, prefilter->state.token, next, error));
  DRAY_TRY(dr_snapshot_advance(prefilter->snapshot, &prefilter->state, prefilter->open, next, &rows, error));
  if (rows == 0 && prefilter->open == 0) {
    prefilter->hidden = prefilter->state.rows;
    return DRAY_OK;
  }
  prefilter->state.token = next;
  DRAY_TRY(write_record(run, next, 0, error));
  return dr_snapshot_hidden(prefilter->snapshot, &prefilter->state, &prefilter->hidden, error);
}

static int32_t remake(struct dr_context *run, struct dray_error *error) {
  struct dr_prefilter *prefilter = run->prefilter;
  uint64_t token = 0;
  dr_board_phase("copying");
  DRAY_TRY(new_token(&token, error));
  DRAY_TRY(dr_snapshot_remake(prefilter->snapshot, token, error));
  prefilter->state = (struct dr_snapshot_state){.token = token};
  prefilter->remade = 1;
  return reread(run, DR_SNAPSHOT_READ_ALL, error);
}

// A table that the engine can not compare the model with any more (its columns have other types by now, somebody made
// it anew) is one that is not believed.
static int is_about_the_table(int32_t code) {
  const int32_t class = dray_error_info(code)->error_class;
  return class == DRAY_CLASS_CONFIG || class == DRAY_CLASS_SCHEMA || class == DRAY_CLASS_DATA;
}

static int32_t compare(struct dr_context *run, struct dray_error *error) {
  struct dr_prefilter *prefilter = run->prefilter;
  struct dray_error why;
  dray_error_init(&why);
  dr_board_phase("comparing");
  const int32_t rc = advance(run, &why);
  if (rc == DRAY_OK) return reread(run, DR_SNAPSHOT_READ_CHANGES, error);
  if (!is_about_the_table(rc)) {
    if (error != NULL) *error = why;
    return rc;
  }
  dr_log(DRAY_LOG_WARN, run->sync->name, "the snapshot %s cannot be compared with and is made anew: %s",
         dr_snapshot_label(prefilter->snapshot), why.text);
  say_why(run, DR_DIFF_LOCAL, "the engine could not compare the snapshot");
  prefilter->believed = 0;
  DRAY_TRY(dr_prefilter_forget(run, error));
  return remake(run, error);
}

int32_t dr_prefilter_read(struct dr_context *run, struct dray_error *error) {
  struct dr_prefilter *prefilter = run->prefilter;
  if (prefilter == NULL) return DRAY_OK;
  const struct dr_model *model = &dr_session_project(run->session)->models[run->sync->model];
  if (!prefilter->planning) return prefilter->believed ? compare(run, error) : remake(run, error);
  if (!prefilter->believed) { // as a run without `diff: warehouse` would: a plan leaves no trace
    const int32_t rc = dr_context_reread(run, dray_str_of(model->sql), error);
    dr_prefilter_close(run);
    return rc;
  }
  DRAY_TRY(dr_snapshot_count_model(prefilter->snapshot, &prefilter->model_rows, error));
  return reread(run, DR_SNAPSHOT_READ_WOULD_BE, error);
}

// ---- during the pass ----

static int32_t batch_room(struct dr_prefilter *prefilter, size_t rows, struct dray_error *error) {
  prefilter->batch_rows = rows;
  if (rows <= prefilter->batch_capacity) return DRAY_OK;
  uint64_t *numbers = realloc(prefilter->numbers, rows * sizeof(*numbers));
  if (numbers != NULL) prefilter->numbers = numbers;
  uint8_t *gone = realloc(prefilter->gone_rows, rows);
  if (gone != NULL) prefilter->gone_rows = gone;
  if (numbers == NULL || gone == NULL) return no_memory(error);
  prefilter->batch_capacity = rows;
  return DRAY_OK;
}

static int64_t number_at(const struct dray_column_view *column, uint64_t row) {
  if (dray_column_is_null(column, row)) return 0; // a row that could not be read
  if (column->type.id == DRAY_TYPE_INT64) return dray_column_int64(column, row);
  int64_t number = 0;
  const struct dray_decimal decimal = dray_column_decimal(column, row);
  memcpy(&number, &decimal, sizeof(number));
  return number;
}

int32_t dr_prefilter_see(struct dr_prefilter *prefilter, const struct dr_reader *reader, const struct ArrowArray *array,
                         uint64_t *out_gone, struct dray_error *error) {
  const struct ArrowSchema *schema = dr_reader_schema(reader);
  const ptrdiff_t number = find_column(schema, DR_COLUMN_NUMBER), kind = find_column(schema, DR_COLUMN_KIND);
  struct dray_view view;
  if (number < 0 || kind < 0) return dray_fail(error, DRAY_E_INTERNAL, "rows without numbers");
  DRAY_TRY(dray_view_init(&view, schema, array, error));
  uint64_t gone = 0;
  int32_t rc = batch_room(prefilter, (size_t)view.row_count, error);
  for (uint64_t row = 0; rc == DRAY_OK && row < view.row_count; row++) {
    const int64_t is = number_at(&view.columns[number], row);
    prefilter->numbers[row] = is > 0 ? (uint64_t)is : 0;
    prefilter->gone_rows[row] = number_at(&view.columns[kind], row) == DR_SNAPSHOT_GONE;
    gone += prefilter->gone_rows[row];
  }
  prefilter->rows += view.row_count - gone;
  prefilter->gone += gone;
  dray_view_free(&view);
  if (rc == DRAY_OK) *out_gone = gone;
  return rc;
}

static int32_t settled_room(struct dr_prefilter *prefilter, uint64_t number, struct dray_error *error) {
  size_t bytes = prefilter->settled_bytes == 0 ? 1024 : prefilter->settled_bytes;
  while (number >> 3 >= bytes) bytes *= 2;
  if (bytes == prefilter->settled_bytes) return DRAY_OK;
  uint8_t *grown = realloc(prefilter->settled, bytes);
  if (grown == NULL) return no_memory(error);
  memset(grown + prefilter->settled_bytes, 0, bytes - prefilter->settled_bytes);
  prefilter->settled = grown;
  prefilter->settled_bytes = bytes;
  return DRAY_OK;
}

static int32_t add_span(struct dr_prefilter *prefilter, uint64_t place, uint64_t number, struct dray_error *error) {
  const struct span *last = prefilter->span_count > 0 ? &prefilter->spans[prefilter->span_count - 1] : NULL;
  if (last != NULL && number - last->number == place - last->place) return DRAY_OK;
  if (prefilter->span_count == SPANS_MAX) prefilter->lost_count = 1;
  if (prefilter->lost_count) return DRAY_OK;
  if (prefilter->span_count == prefilter->span_capacity) {
    const size_t capacity = prefilter->span_capacity == 0 ? 64 : prefilter->span_capacity * 2;
    struct span *grown = realloc(prefilter->spans, capacity * sizeof(*grown));
    if (grown == NULL) return no_memory(error);
    prefilter->spans = grown;
    prefilter->span_capacity = capacity;
  }
  prefilter->spans[prefilter->span_count++] = (struct span){place, number};
  return DRAY_OK;
}

static int32_t take_number(struct dr_prefilter *prefilter, uint64_t number, struct dray_error *error) {
  if (number == 0) return DRAY_OK;
  DRAY_TRY(settled_room(prefilter, number, error));
  prefilter->settled[number >> 3] = (uint8_t)(prefilter->settled[number >> 3] | 1u << (number & 7));
  if (number > prefilter->last) prefilter->last = number;
  return DRAY_OK;
}

// Row `row` of what was read is row `at` of the batch: it is given to the diff, as row or tombstone, or left out.
static int32_t mark_row(struct dr_prefilter *prefilter, struct dr_batch *batch, size_t row, uint32_t at, uint32_t *kept,
                        size_t *kept_count, struct dray_error *error) {
  const uint64_t number = prefilter->numbers[row];
  DRAY_TRY(take_number(prefilter, number, error));
  if (prefilter->gone_rows[row] && !prefilter->removes) return DRAY_OK; // nobody asks for it: the snapshot forgets it
  if (prefilter->gone_rows[row] && batch->deleted == NULL) {
    batch->deleted = calloc((size_t)(dr_batch_rows(batch) + 7) / 8, 1);
    if (batch->deleted == NULL) return no_memory(error);
  }
  if (prefilter->gone_rows[row]) batch->deleted[at >> 3] = (uint8_t)(batch->deleted[at >> 3] | 1u << (at & 7));
  kept[(*kept_count)++] = at;
  const uint64_t place = prefilter->given++;
  return number != 0 ? add_span(prefilter, place, number, error) : DRAY_OK;
}

int32_t dr_prefilter_mark(struct dr_prefilter *prefilter, uint64_t first_row, const struct dr_rejects *rejects,
                          struct dr_batch **batch, struct dray_error *error) {
  const uint64_t count = *batch != NULL ? dr_batch_rows(*batch) : 0;
  uint32_t *kept = malloc((size_t)(count + 1) * sizeof(*kept));
  size_t kept_count = 0, left_out = 0;
  uint32_t at = 0;
  int32_t rc = kept == NULL ? no_memory(error) : DRAY_OK;
  for (size_t row = 0; rc == DRAY_OK && row < prefilter->batch_rows && at < count; row++) {
    if (left_out < rejects->count && rejects->items[left_out].row == first_row + row) {
      left_out++;
      continue;
    }
    rc = mark_row(prefilter, *batch, row, at++, kept, &kept_count, error);
  }
  struct dr_batch *rest = NULL;
  if (rc == DRAY_OK && kept_count < count) rc = dr_batch_gather(*batch, kept, kept_count, &rest, error);
  free(kept);
  if (rc != DRAY_OK || rest == NULL) return rc;
  dr_batch_free(*batch);
  *batch = rest;
  return DRAY_OK;
}

int32_t dr_prefilter_hidden(struct dr_prefilter *prefilter, uint64_t *out_rows, struct dray_error *error) {
  (void)error;
  if (prefilter->planning) {
    prefilter->hidden = prefilter->model_rows > prefilter->rows ? prefilter->model_rows - prefilter->rows : 0;
  }
  *out_rows = prefilter->hidden;
  return DRAY_OK;
}

// ---- settling ----

static uint64_t number_of(const struct dr_prefilter *prefilter, uint64_t place) {
  size_t from = 0, to = prefilter->span_count;
  while (to - from > 1) {
    const size_t middle = from + (to - from) / 2;
    if (prefilter->spans[middle].place <= place) {
      from = middle;
    } else {
      to = middle;
    }
  }
  if (prefilter->span_count == 0 || prefilter->spans[from].place > place) return 0;
  return prefilter->spans[from].number + (place - prefilter->spans[from].place);
}

static void unsettle(struct dr_prefilter *prefilter, uint64_t place) {
  const uint64_t number = number_of(prefilter, place);
  if (number == 0 || number > prefilter->last) return;
  prefilter->settled[number >> 3] = (uint8_t)(prefilter->settled[number >> 3] & ~(1u << (number & 7)));
}

// Asks the mirror of each change whether it holds it by now. *out_missing: keys it holds that the snapshot cannot know.
static int32_t ask_mirror(struct dr_context *run, const struct dr_pass *pass, uint64_t *out_missing,
                          struct dray_error *error) {
  for (uint64_t seq = 0;;) {
    struct dr_changes *changes = NULL;
    DRAY_TRY(dr_changeset_next(pass->set, seq, PAGE_ROWS, PAGE_BYTES, 0, &changes, error));
    if (changes == NULL) return DRAY_OK;
    seq = changes->first_seq + changes->count;
    uint8_t *holds = malloc(changes->count);
    int32_t rc = holds == NULL ? no_memory(error) : dr_mirror_holds(run->mirror, changes, holds, error);
    for (size_t i = 0; rc == DRAY_OK && i < changes->count; i++) {
      if (holds[i]) continue;
      if (changes->place[i] == UINT64_MAX) *out_missing += 1;
      if (changes->place[i] != UINT64_MAX) unsettle(run->prefilter, changes->place[i]);
    }
    free(holds);
    dr_changes_free(changes);
    if (rc != DRAY_OK) return rc;
  }
}

// What the rows that were read would take without our two columns.
static uint64_t bytes_of_model(const struct dr_context *run) {
  const struct dr_prefilter *prefilter = run->prefilter;
  const uint64_t bytes = dr_reader_bytes(run->reader);
  const uint64_t ours = prefilter != NULL ? 2 * sizeof(int64_t) * (prefilter->rows + prefilter->gone) : 0;
  return bytes > ours ? bytes - ours : 0;
}

int32_t dr_prefilter_settle(struct dr_context *run, const struct dr_pass *pass, struct dray_error *error) {
  struct dr_prefilter *prefilter = run->prefilter;
  struct dr_snapshot_state after = {.bytes = prefilter != NULL ? prefilter->state.bytes : 0};
  uint64_t missing = 0;
  if (prefilter == NULL || prefilter->planning) return DRAY_OK;
  if (!prefilter->remade && prefilter->rows + prefilter->gone == 0) return DRAY_OK;
  if (run->held_back || prefilter->lost_count) return DRAY_OK; // what became of some rows is not certain
  DRAY_TRY(dr_context_state(run, DR_RUN_COMMITTING, "settling", error));
  DRAY_TRY(ask_mirror(run, pass, &missing, error));
  if (missing > 0) {
    dr_log(DRAY_LOG_INFO, run->sync->name,
           "%" PRIu64 " deletes were not taken: the snapshot is not used before they are", missing);
    return DRAY_OK;
  }
  DRAY_TRY(settled_room(prefilter, prefilter->last, error));
  DRAY_TRY(new_token(&after.token, error));
  memcpy(after.identity, prefilter->identity, sizeof(after.identity));
  if (prefilter->remade) after.bytes = bytes_of_model(run);
  const struct dr_snapshot_settling settling = {.remade = prefilter->remade,
                                                .settled = prefilter->settled,
                                                .last = prefilter->last,
                                                .before = &prefilter->state,
                                                .after = &after};
  DRAY_TRY(write_record(run, prefilter->state.token, after.token, error));
  return dr_snapshot_settle(prefilter->snapshot, &settling, error);
}

// ---- telling ----

static uint64_t share_of(uint64_t bytes, uint64_t rows, uint64_t of_rows) {
  return rows > 0 ? (uint64_t)((double)bytes / (double)rows * (double)of_rows) : 0;
}

void dr_prefilter_tell(struct dr_context *run, const struct dr_pass *pass) {
  struct dr_diff_cost *cost = &run->report->diff;
  const struct dr_prefilter *prefilter = run->prefilter;
  const uint64_t moved = dr_reader_bytes(run->reader);
  if (cost->used == 0) return;
  cost->local_rows = pass->rows;
  if (dr_prefilter_is_partial(prefilter)) {
    cost->warehouse_rows = prefilter->rows + prefilter->gone;
    cost->warehouse_bytes = moved;
    cost->snapshot_bytes = prefilter->state.bytes;
    cost->local_bytes = share_of(prefilter->state.bytes, prefilter->state.rows, pass->rows);
    return;
  }
  cost->local_bytes = cost->snapshot_bytes = bytes_of_model(run);
  cost->warehouse_rows = pass->inserts + pass->updates + pass->deletes;
  cost->warehouse_bytes = share_of(cost->local_bytes, pass->rows, cost->warehouse_rows);
}

// ---- dropping ----

// Its place alone: what it holds is not asked for.
static int32_t open_place(struct dr_session *session, const struct dr_sync *sync, struct dr_snapshot **out,
                          struct dray_error *error) {
  const struct dr_model *model = &dr_session_project(session)->models[sync->model];
  const struct dr_snapshot_options options = {.id = id_of(dr_store_seed(dr_session_store(session)), sync->name)};
  struct dr_warehouse *warehouse = NULL;
  DRAY_TRY(dr_session_warehouse(session, model->warehouse, &warehouse, NULL, error));
  return dr_snapshot_open(warehouse, &options, out, error);
}

int32_t dr_prefilter_try(struct dr_session *session, const struct dr_sync *sync, struct dray_error *error) {
  struct dr_snapshot *snapshot = NULL;
  DRAY_TRY(open_place(session, sync, &snapshot, error));
  const int32_t rc = dr_snapshot_try(snapshot, error);
  dr_snapshot_close(snapshot);
  return rc;
}

int32_t dr_prefilter_drop(const struct dr_context *run, struct dray_error *error) {
  struct dr_snapshot *snapshot = NULL;
  DRAY_TRY(open_place(run->session, run->sync, &snapshot, error));
  const int32_t rc = dr_snapshot_drop(snapshot, error);
  dr_snapshot_close(snapshot);
  if (rc != DRAY_OK) return dray_error_prefix(error, "removing the snapshot");
  char *path = record_path(run->folder);
  if (path == NULL) return no_memory(error);
  (void)unlink(path); // there is nothing left that it could speak of
  free(path);
  return DRAY_OK;
}
