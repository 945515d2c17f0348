// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Changes, one after the other, to whoever tells them: out of pairs in memory, by all threads, or out of the engine's
// change set.
#include <stdlib.h>

#include "base/board.h"
#include "base/cancel.h"
#include "compare/lane.h"
#include "compare/pairs.h"
#include "compare/state.h"

#define PIECE_RECORDS 512
#define TEXT_BYTES (256u << 10) // handed over when there is so much
#define TEXT_BYTES_MAX (SIZE_MAX / 4)
#define TELL_ENOUGH (-4) // inside only: nobody wants more
#define PAGE_ROWS 4096
#define PAGE_BYTES (4u << 20)

// ---- pairs ----

struct tell_thread {
  struct record_row rows[2];
  struct dray_buffer scratch;
  uint8_t *changed; // owned
};

struct telling {
  const struct dr_compare_teller *teller;
  const struct pairs *pairs;
  uint64_t new_pieces;
  uint64_t left;             // changes, when they are limited
  struct dray_buffer *texts; // owned; one for each slot
  uint32_t text_count;
  struct tell_thread *threads; // owned
};

static int32_t tell_one(const struct telling *telling, struct tell_thread *thread, struct dray_str before,
                        struct dray_str after, int op, struct dray_buffer *out, struct dray_error *error) {
  const struct record_plan *plan = &telling->pairs->plan;
  struct record_row *old = &thread->rows[0], *new = &thread->rows[1];
  struct dr_compare_change change = {.op = op, .changed = thread->changed};
  if (op != DRAY_OP_INSERT) {
    record_split(plan, before, old);
    DRAY_TRY(record_texts(plan, old, NULL, error));
    change.before = old->texts;
  }
  if (op != DRAY_OP_DELETE) {
    record_split(plan, after, new);
    DRAY_TRY(record_texts(plan, new, op == DRAY_OP_UPDATE ? old : NULL, error));
    change.after = new->texts;
  }
  if (op == DRAY_OP_UPDATE) {
    memset(thread->changed, 0, (plan->field_count + 7) / 8);
    for (size_t f = 0; f < plan->field_count; f++) {
      const struct dray_str a = old->texts[f], b = new->texts[f];
      if (a.data == b.data || ((a.data == NULL) == (b.data == NULL) && dray_str_equal(a, b))) continue;
      thread->changed[f >> 3] |= (uint8_t)(1u << (f & 7));
    }
  }
  return telling->teller->write(telling->teller->context, &change, out, &thread->scratch, error);
}

static int32_t tell_record(struct telling *telling, struct tell_thread *thread, size_t i, struct dray_buffer *out,
                           struct dray_error *error) {
  const struct pairs_side *sides = telling->pairs->sides;
  const struct pairs_record *record = &sides[1].records[i];
  const int op = record->partner == PAIRS_NONE ? DRAY_OP_INSERT : DRAY_OP_UPDATE;
  if ((sides[1].states[i] & PAIRS_TOLD) == 0 || (telling->teller->ops & (unsigned)op) == 0) return DRAY_OK;
  if (telling->left == 0) return TELL_ENOUGH;
  if (telling->left != UINT64_MAX) telling->left--;
  const struct dray_str before =
      op == DRAY_OP_UPDATE ? pairs_bytes(&sides[0], record->partner) : dray_str_make(NULL, 0);
  return tell_one(telling, thread, before, pairs_bytes(&sides[1], i), op, out, error);
}

static int32_t tell_delete(struct telling *telling, struct tell_thread *thread, size_t i, struct dray_buffer *out,
                           struct dray_error *error) {
  const struct pairs *pairs = telling->pairs;
  if ((telling->teller->ops & DRAY_OP_DELETE) == 0) return DRAY_OK;
  if (telling->left == 0) return TELL_ENOUGH;
  if (telling->left != UINT64_MAX) telling->left--;
  return tell_one(telling, thread, pairs_bytes(&pairs->sides[0], pairs->deletes[i]), dray_str_make(NULL, 0),
                  DRAY_OP_DELETE, out, error);
}

static int32_t tell_piece(void *context, uint64_t piece, uint32_t slot, uint32_t thread, struct dray_error *error) {
  struct telling *telling = context;
  struct tell_thread *mine = &telling->threads[thread];
  struct dray_buffer *out = &telling->texts[slot];
  const int is_new = piece < telling->new_pieces;
  const size_t count = is_new ? telling->pairs->sides[1].count : telling->pairs->delete_count;
  const size_t begin = (size_t)(is_new ? piece : piece - telling->new_pieces) * PIECE_RECORDS;
  const size_t end = count - begin < PIECE_RECORDS ? count : begin + PIECE_RECORDS;
  int32_t rc = DRAY_OK;
  dray_buffer_clear(out);
  for (size_t i = begin; i < end && rc == DRAY_OK; i++) {
    rc = is_new ? tell_record(telling, mine, i, out, error) : tell_delete(telling, mine, i, out, error);
  }
  return rc;
}

static int32_t hand_over(void *context, uint64_t piece, uint32_t slot, uint32_t thread, struct dray_error *error) {
  struct telling *telling = context;
  (void)piece, (void)thread, (void)error;
  dr_board_beat();
  if (telling->texts[slot].len == 0) return DRAY_OK;
  return telling->teller->take(telling->teller->context, &telling->texts[slot]) ? DRAY_OK : TELL_ENOUGH;
}

static int32_t init_telling(struct telling *telling, uint32_t threads, struct dray_error *error) {
  const struct record_plan *plan = &telling->pairs->plan;
  telling->text_count = threads * LANE_SLOTS;
  telling->texts = calloc(telling->text_count, sizeof(*telling->texts));
  telling->threads = calloc(threads, sizeof(*telling->threads));
  if (telling->texts == NULL || telling->threads == NULL) {
    return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to tell changes");
  }
  for (uint32_t i = 0; i < telling->text_count; i++) dray_buffer_init(&telling->texts[i], TEXT_BYTES_MAX);
  for (uint32_t i = 0; i < threads; i++) {
    struct tell_thread *thread = &telling->threads[i];
    dray_buffer_init(&thread->scratch, TEXT_BYTES_MAX);
    thread->changed = calloc(plan->field_count / 8 + 1, 1);
    if (thread->changed == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to tell changes");
    DRAY_TRY(record_row_init(&thread->rows[0], plan, error));
    DRAY_TRY(record_row_init(&thread->rows[1], plan, error));
  }
  return DRAY_OK;
}

static void free_telling(struct telling *telling, uint32_t threads) {
  for (uint32_t i = 0; telling->texts != NULL && i < telling->text_count; i++) dray_buffer_free(&telling->texts[i]);
  for (uint32_t i = 0; telling->threads != NULL && i < threads; i++) {
    record_row_free(&telling->threads[i].rows[0]);
    record_row_free(&telling->threads[i].rows[1]);
    dray_buffer_free(&telling->threads[i].scratch);
    free(telling->threads[i].changed);
  }
  free(telling->texts);
  free(telling->threads);
}

// In the caller's thread, piece after piece: for the first few.
static int32_t tell_in_turn(struct telling *telling, uint64_t pieces, struct dray_error *error) {
  for (uint64_t piece = 0; piece < pieces; piece++) {
    DRAY_TRY(dr_cancel_check(error));
    const int32_t rc = tell_piece(telling, piece, 0, 0, error);
    if (rc != DRAY_OK && rc != TELL_ENOUGH) return rc;
    DRAY_TRY(hand_over(telling, piece, 0, 0, error));
    if (rc == TELL_ENOUGH || telling->left == 0) break;
  }
  return DRAY_OK;
}

static int32_t tell_pairs(const struct pairs *pairs, const struct dr_compare_teller *teller, struct dray_error *error) {
  struct telling telling = {.teller = teller, .pairs = pairs, .left = teller->limit};
  telling.new_pieces = (pairs->sides[1].count + PIECE_RECORDS - 1) / PIECE_RECORDS;
  const uint64_t pieces = telling.new_pieces + (pairs->delete_count + PIECE_RECORDS - 1) / PIECE_RECORDS;
  const uint32_t threads = teller->limit == UINT64_MAX ? pairs->threads : 1;
  const struct lane lane = {
      .threads = threads, .pieces = pieces, .context = &telling, .prepare = tell_piece, .in_order = hand_over};
  int32_t rc = init_telling(&telling, threads, error);
  if (rc == DRAY_OK) rc = threads > 1 ? lane_run(&lane, error) : tell_in_turn(&telling, pieces, error);
  free_telling(&telling, threads);
  return rc == TELL_ENOUGH ? DRAY_OK : rc;
}

// ---- a change set ----

struct page_texts {
  struct dray_str *before, *after; // owned
  struct dray_buffer out, scratch;
  uint64_t left;
};

void dr_inside_texts(const struct dr_batch *rows, uint64_t row, size_t fields, struct dray_str *out) {
  for (size_t f = 0; f < fields; f++) {
    const struct dray_column_view *column = &rows->view.columns[f];
    out[f] = dray_column_is_null(column, row) ? dray_str_make(NULL, 0) : dray_column_bytes(column, row);
    if (out[f].data == NULL && !dray_column_is_null(column, row)) out[f].data = "";
  }
}

static int32_t tell_page(struct dr_compare *compare, const struct dr_compare_teller *teller,
                         const struct dr_changes *changes, struct page_texts *texts, struct dray_error *error) {
  const size_t fields = compare->schema->field_count;
  for (size_t i = 0; i < changes->count; i++) {
    const int op = changes->op[i];
    int32_t code = 0;
    if (op == DR_OP_REJECT || (teller->ops & (unsigned)op) == 0) continue;
    DRAY_TRY(dr_inside_verdict(compare, changes, i, &code, error));
    if (code != 0) continue;
    if (texts->left == 0) return TELL_ENOUGH;
    if (texts->left != UINT64_MAX) texts->left--;
    struct dr_compare_change change = {.op = op, .changed = changes->changed + i * changes->changed_stride};
    if (op != DRAY_OP_INSERT) {
      change.before = texts->before;
      dr_inside_texts(op == DRAY_OP_DELETE ? changes->rows : changes->before, i, fields, texts->before);
    }
    if (op != DRAY_OP_DELETE) {
      change.after = texts->after;
      dr_inside_texts(changes->rows, i, fields, texts->after);
    }
    DRAY_TRY(teller->write(teller->context, &change, &texts->out, &texts->scratch, error));
    if (texts->out.len < TEXT_BYTES) continue;
    if (!teller->take(teller->context, &texts->out)) return TELL_ENOUGH;
    dray_buffer_clear(&texts->out);
  }
  return DRAY_OK;
}

static int32_t tell_pages(struct dr_compare *compare, const struct dr_compare_teller *teller, struct page_texts *texts,
                          struct dray_error *error) {
  struct dr_changeset *set = compare->inside->sets[DR_COMPARE_NEW];
  int32_t rc = DRAY_OK;
  for (uint64_t seq = 0; rc == DRAY_OK && set != NULL;) {
    struct dr_changes *changes = NULL;
    DRAY_TRY(dr_cancel_check(error));
    DRAY_TRY(dr_changeset_next(set, seq, PAGE_ROWS, PAGE_BYTES, 1, &changes, error));
    if (changes == NULL) break;
    seq = changes->first_seq + changes->count;
    dr_board_beat();
    rc = tell_page(compare, teller, changes, texts, error);
    dr_changes_free(changes);
  }
  if (rc != DRAY_OK && rc != TELL_ENOUGH) return rc;
  if (texts->out.len > 0) (void)teller->take(teller->context, &texts->out);
  return DRAY_OK;
}

static int32_t tell_changes(struct dr_compare *compare, const struct dr_compare_teller *teller,
                            struct dray_error *error) {
  const size_t fields = compare->schema->field_count;
  struct page_texts texts = {.left = teller->limit};
  dray_buffer_init(&texts.out, TEXT_BYTES_MAX);
  dray_buffer_init(&texts.scratch, TEXT_BYTES_MAX);
  texts.before = calloc(fields + 1, sizeof(*texts.before));
  texts.after = calloc(fields + 1, sizeof(*texts.after));
  int32_t rc = texts.before != NULL && texts.after != NULL
                   ? DRAY_OK
                   : dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a row of %zu fields", fields);
  if (rc == DRAY_OK) rc = tell_pages(compare, teller, &texts, error);
  free(texts.before);
  free(texts.after);
  dray_buffer_free(&texts.out);
  dray_buffer_free(&texts.scratch);
  return rc;
}

int32_t dr_compare_tell(struct dr_compare *compare, const struct dr_compare_teller *teller, struct dray_error *error) {
  if (compare->hollow) return DRAY_OK;
  if (compare->inside->pairs != NULL) return tell_pairs(compare->inside->pairs, teller, error);
  return tell_changes(compare, teller, error);
}
