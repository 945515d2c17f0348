// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Passes over an input, chunk by chunk. A chunk's records are those that begin in it. Where the first one begins is
// guessed: behind the first line end. In the order of the chunks the guess is compared with where the records before
// really end; where it was wrong (a line end inside quotes), the chunk is read again from the right place.
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "compare/window.h"

#define NOWHERE UINT64_MAX

// One chunk in work.
struct slot {
  struct window window;
  struct scan scan; // scan.records is owned
  uint64_t *keys, *rows;
  uint8_t *settled;
  uint64_t start, next; // in the input: of the first record, and where the records end; start may be NOWHERE
  uint64_t lines;       // that end in between
  uint32_t first_number;
  int too_long; // a record is longer than it may be
  struct rest_piece rest;
};

struct pass {
  struct dr_sieve *sieve;
  int side;
  int probe; // OLD is in memory: NEW is looked up at once
  struct sieve_input *input;
  uint32_t slot_count;
  struct slot *slots;
  struct key_scratch scratches[LANE_THREADS_MAX];
  struct entries_writer *writers[LANE_THREADS_MAX];
  // Of the next chunk, in order.
  uint64_t next, number, line;
};

// ---- life ----

static int32_t no_memory(struct dray_error *error) {
  return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to read CSV");
}

static int32_t slot_init(struct slot *slot, const struct sieve_input *input, uint64_t chunk_bytes, uint64_t tail_bytes,
                         struct dray_error *error) {
  const size_t records = (size_t)chunk_bytes / 2 + 2; // each has a byte and a line end
  sieve_piece_init(&slot->rest);
  DRAY_TRY(window_init(&slot->window, input, (size_t)(chunk_bytes + tail_bytes) + 1, error));
  slot->scan.records = malloc(records * sizeof(*slot->scan.records));
  slot->keys = malloc(records * sizeof(*slot->keys));
  slot->rows = malloc(records * sizeof(*slot->rows));
  slot->settled = malloc(records);
  if (slot->scan.records == NULL || slot->keys == NULL || slot->rows == NULL || slot->settled == NULL) {
    return no_memory(error);
  }
  return DRAY_OK;
}

static void pass_free(struct pass *pass) {
  for (uint32_t i = 0; pass->slots != NULL && i < pass->slot_count; i++) {
    struct slot *slot = &pass->slots[i];
    window_free(&slot->window);
    free(slot->scan.records);
    free(slot->keys);
    free(slot->rows);
    free(slot->settled);
    sieve_piece_free(&slot->rest);
  }
  free(pass->slots);
  for (uint32_t i = 0; i < LANE_THREADS_MAX; i++) {
    key_scratch_free(&pass->scratches[i]);
    entries_writer_free(pass->writers[i]);
  }
  free(pass);
}

static int32_t pass_new(struct dr_sieve *sieve, int side, struct pass **out, struct dray_error *error) {
  struct pass *pass = calloc(1, sizeof(*pass));
  if (pass == NULL) return no_memory(error);
  int32_t rc = DRAY_OK;
  pass->sieve = sieve;
  pass->side = side;
  pass->input = &sieve->inputs[side];
  pass->next = pass->input->data_start;
  pass->line = pass->input->first_line;
  pass->slot_count = sieve->threads * LANE_SLOTS;
  for (uint32_t i = 0; i < LANE_THREADS_MAX; i++) key_scratch_init(&pass->scratches[i]);
  pass->slots = calloc(pass->slot_count, sizeof(*pass->slots));
  if (pass->slots == NULL) rc = no_memory(error);
  const uint64_t bytes = pass->input->size - pass->input->data_start;
  for (uint32_t i = 0; i < pass->slot_count && rc == DRAY_OK; i++) {
    rc = slot_init(&pass->slots[i], pass->input, bytes < sieve->chunk_bytes ? bytes : sieve->chunk_bytes,
                   window_tail_bytes(sieve), error);
  }
  if (rc != DRAY_OK) {
    pass_free(pass);
    return rc;
  }
  *out = pass;
  return DRAY_OK;
}

// ---- reading ----

// Takes the records that begin in [slot->start, end).
static int32_t take_records(const struct pass *pass, struct slot *slot, uint64_t end, uint32_t thread,
                            struct dray_error *error) {
  const struct dr_sieve *sieve = pass->sieve;
  struct scan *scan = &slot->scan;
  DRAY_TRY(window_scan(&slot->window, sieve, slot->start, end, scan, &slot->too_long, error));
  if (slot->too_long) return DRAY_OK;
  const char *data = slot->window.data;
  const uint32_t from = (uint32_t)(slot->start - slot->window.base);
  slot->next = slot->window.base + scan->next;
  const char before = from > 0 ? data[from - 1] : '\0';
  slot->lines = scan->plain ? scan->count : scan_count_lines(data + from, scan->next - from, before);
  return key_take(&sieve->plan, data, scan->records, scan->count, slot->keys, slot->rows,
                  (struct key_scratch *)(uintptr_t)&pass->scratches[thread], error);
}

// Reads a chunk with the byte in front of `from`, which tells whether a LF belongs to a CR.
static int32_t read_chunk(const struct pass *pass, struct slot *slot, uint64_t from, uint64_t end,
                          struct dray_error *error) {
  window_begin(&slot->window, from > 0 ? from - 1 : 0);
  return window_read_to(&slot->window, end + window_tail_bytes(pass->sieve), error);
}

static int32_t prepare_scan(void *context, uint64_t chunk, uint32_t at, uint32_t thread, struct dray_error *error) {
  struct pass *pass = context;
  struct slot *slot = &pass->slots[at];
  const uint64_t begin = sieve_chunk_begin(pass->sieve, pass->side, chunk);
  const uint64_t end = sieve_chunk_end(pass->sieve, pass->side, chunk);
  DRAY_TRY(read_chunk(pass, slot, begin, end, error));
  slot->start = begin;
  slot->scan.count = 0;
  slot->too_long = 0;
  if (chunk > 0) {
    const uint32_t limit = (uint32_t)(end - slot->window.base);
    const uint32_t line_end = scan_line_end(slot->window.data, 0, limit);
    slot->start = line_end + 1 < limit ? slot->window.base + line_end + 1 : NOWHERE;
  }
  return slot->start != NOWHERE ? take_records(pass, slot, end, thread, error) : DRAY_OK;
}

// ---- in order ----

static int32_t order_scan(void *context, uint64_t chunk, uint32_t at, uint32_t thread, struct dray_error *error) {
  struct pass *pass = context;
  struct dr_sieve *sieve = pass->sieve;
  struct slot *slot = &pass->slots[at];
  const uint64_t end = sieve_chunk_end(sieve, pass->side, chunk);
  if (pass->next >= end) { // a record reaches over all of it
    slot->scan.count = 0;
    slot->too_long = 0;
    slot->next = pass->next;
    slot->lines = 0;
  } else if (slot->start != pass->next) {
    DRAY_TRY(read_chunk(pass, slot, pass->next, end, error));
    slot->start = pass->next;
    DRAY_TRY(take_records(pass, slot, end, thread, error));
  }
  if (slot->too_long) {
    return sieve_refuse(sieve, "%s has a record of more than %llu bytes, or a quote that is never closed",
                        pass->input->path, (unsigned long long)sieve->record_bytes_max);
  }
  if (slot->scan.count > ENTRY_ROWS_MAX - pass->number) {
    return sieve_refuse(sieve, "%s has more than %llu records", pass->input->path, (unsigned long long)ENTRY_ROWS_MAX);
  }
  slot->first_number = (uint32_t)pass->number;
  sieve->chunks[pass->side][chunk] = (struct sieve_chunk){pass->next, pass->line, slot->first_number, slot->scan.plain};
  pass->next = slot->next;
  pass->number += slot->scan.count;
  pass->line += slot->lines;
  return DRAY_OK;
}

// ---- entries ----

static int32_t add_entries(const struct pass *pass, const struct slot *slot, uint32_t thread,
                           struct dray_error *error) {
  for (size_t i = 0; i < slot->scan.count; i++) {
    const uint32_t number = slot->first_number + (uint32_t)i;
    if (slot->scan.records[i].flags & SCAN_UNSURE) {
      entries_mark_rest(pass->sieve->entries, pass->side, number);
    } else {
      DRAY_TRY(entries_add(pass->writers[thread], slot->keys[i], slot->rows[i], number, error));
    }
  }
  return DRAY_OK;
}

static int32_t add_rest(struct slot *slot, size_t at, struct dray_error *error) {
  const struct scan_record *record = &slot->scan.records[at];
  return sieve_piece_add(&slot->rest, slot->window.data + record->start, record->end - record->start,
                         record->flags & SCAN_QUOTES, slot->window.base + record->start, error);
}

static int32_t work_scan(void *context, uint64_t chunk, uint32_t at, uint32_t thread, struct dray_error *error) {
  struct pass *pass = context;
  struct slot *slot = &pass->slots[at];
  const size_t count = slot->scan.count;
  (void)chunk;
  sieve_piece_clear(&slot->rest);
  if (!pass->probe) return add_entries(pass, slot, thread, error);
  for (size_t i = 0; i < count; i++) slot->settled[i] = (slot->scan.records[i].flags & SCAN_UNSURE) == 0;
  entries_probe(pass->sieve->entries, slot->keys, slot->rows, slot->first_number, count, slot->settled);
  for (size_t i = 0; i < count; i++) {
    if (!slot->settled[i]) DRAY_TRY(add_rest(slot, i, error));
  }
  return DRAY_OK;
}

static int32_t place_rest(void *context, uint64_t chunk, uint32_t at, uint32_t thread, struct dray_error *error) {
  struct pass *pass = context;
  (void)chunk, (void)thread, (void)error;
  sieve_rest_place(&pass->sieve->rests[pass->side], &pass->slots[at].rest);
  return DRAY_OK;
}

static int32_t write_rest(void *context, uint64_t chunk, uint32_t at, uint32_t thread, struct dray_error *error) {
  struct pass *pass = context;
  (void)chunk, (void)thread;
  return sieve_rest_write(pass->sieve, pass->side, &pass->slots[at].rest, error);
}

// ---- passes ----

static void told(void *context, uint64_t pieces) {
  const struct pass *pass = context;
  const struct dr_sieve *sieve = pass->sieve;
  if (sieve->options->progress == NULL) return;
  const uint64_t bytes = pieces * sieve->chunk_bytes;
  const uint64_t done = sieve->bytes_done + (bytes < pass->input->size ? bytes : pass->input->size);
  sieve->options->progress(sieve->options->progress_context, done, sieve->bytes_total);
}

static int32_t finish_writers(struct pass *pass, int32_t rc, struct dray_error *error) {
  for (uint32_t i = 0; i < pass->sieve->threads && rc == DRAY_OK; i++) {
    rc = entries_writer_finish(pass->writers[i], error);
    pass->writers[i] = NULL;
  }
  return rc;
}

static int32_t run_pass(struct pass *pass, const struct lane *steps, struct dray_error *error) {
  struct dr_sieve *sieve = pass->sieve;
  struct lane lane = *steps;
  lane.threads = sieve->threads;
  lane.pieces = sieve->chunk_count[pass->side];
  lane.context = pass;
  lane.told = told;
  DRAY_TRY(lane_run(&lane, error));
  sieve->bytes_done += pass->input->size;
  return sieve_input_check(pass->input, error);
}

int32_t sieve_pass_scan(struct dr_sieve *sieve, int side, struct dray_error *error) {
  static const struct lane steps = {.prepare = prepare_scan,
                                    .in_order = order_scan,
                                    .work = work_scan,
                                    .place_in_order = place_rest,
                                    .write = write_rest};
  struct pass *pass = NULL;
  DRAY_TRY(pass_new(sieve, side, &pass, error));
  int32_t rc = DRAY_OK;
  pass->probe = side == DR_SIEVE_NEW && !sieve->result.spilled;
  for (uint32_t i = 0; i < sieve->threads && !pass->probe && rc == DRAY_OK; i++) {
    rc = entries_writer_new(sieve->entries, side, &pass->writers[i], error);
  }
  if (rc == DRAY_OK) rc = run_pass(pass, &steps, error);
  rc = finish_writers(pass, rc, error);
  if (rc == DRAY_OK) {
    assert(pass->next == pass->input->size);
    sieve->result.sides[side].rows = pass->number;
    sieve->chunks[side][sieve->chunk_count[side]] =
        (struct sieve_chunk){pass->next, pass->line, (uint32_t)pass->number, 0};
  }
  pass_free(pass);
  return rc;
}

// ---- the rest, by the marks ----

static int32_t changed(const struct pass *pass, struct dray_error *error) {
  return dray_fail(error, DRAY_E_IO, "%s was changed while it was read", pass->input->path);
}

// Lines are records: goes from one that is wanted to the next.
static int32_t pick_lines(const struct pass *pass, struct slot *slot, uint32_t first, uint32_t to,
                          struct dray_error *error) {
  const struct entries *entries = pass->sieve->entries;
  uint32_t at = 0, line = first;
  for (uint32_t number = entries_next_rest(entries, pass->side, first, to); number < to;
       number = entries_next_rest(entries, pass->side, number + 1, to)) {
    at = scan_skip_lines(slot->window.data, at, slot->window.len, number - line);
    if (at >= slot->window.len) return changed(pass, error);
    const char *feed = memchr(slot->window.data + at, '\n', slot->window.len - at);
    const uint32_t end = feed != NULL ? (uint32_t)(feed - slot->window.data) : slot->window.len;
    DRAY_TRY(sieve_piece_add(&slot->rest, slot->window.data + at, end - at, 0, slot->window.base + at, error));
    at = end < slot->window.len ? end + 1 : end;
    line = number + 1;
  }
  return DRAY_OK;
}

static int32_t pick_records(const struct pass *pass, struct slot *slot, uint32_t first, uint32_t to,
                            struct dray_error *error) {
  const struct scan_buffer buffer = {slot->window.data, slot->window.len, 1};
  const struct dr_sieve *sieve = pass->sieve;
  struct scan *scan = &slot->scan;
  scan->count = 0;
  scan->next = 0;
  scan->plain = 1;
  (void)scan_records(&sieve->dialect, &buffer, slot->window.len, scan);
  if (scan->count != to - first) return changed(pass, error);
  for (size_t i = 0; i < scan->count; i++) {
    if (entries_is_rest(sieve->entries, pass->side, first + (uint32_t)i)) DRAY_TRY(add_rest(slot, i, error));
  }
  return DRAY_OK;
}

static int32_t prepare_extract(void *context, uint64_t chunk, uint32_t at, uint32_t thread, struct dray_error *error) {
  struct pass *pass = context;
  struct slot *slot = &pass->slots[at];
  const struct sieve_chunk *from = &pass->sieve->chunks[pass->side][chunk], *to = from + 1;
  const uint32_t first = from->first_number, end = to->first_number;
  (void)thread;
  sieve_piece_clear(&slot->rest);
  if (entries_next_rest(pass->sieve->entries, pass->side, first, end) == end) return DRAY_OK;
  window_begin(&slot->window, from->start);
  DRAY_TRY(window_read_to(&slot->window, to->start, error));
  return from->plain ? pick_lines(pass, slot, first, end, error) : pick_records(pass, slot, first, end, error);
}

int32_t sieve_pass_extract(struct dr_sieve *sieve, int side, struct dray_error *error) {
  static const struct lane steps = {.prepare = prepare_extract, .place_in_order = place_rest, .write = write_rest};
  struct pass *pass = NULL;
  DRAY_TRY(sieve_rest_begin(sieve, side, error));
  DRAY_TRY(pass_new(sieve, side, &pass, error));
  const int32_t rc = run_pass(pass, &steps, error);
  pass_free(pass);
  return rc;
}
