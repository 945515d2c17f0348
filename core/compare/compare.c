// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The run: open, agree on the columns, sieve, load OLD, pass NEW, settle the counts.
#include "compare/state.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/board.h"
#include "base/cancel.h"
#include "base/file.h"
#include "compare/pairs.h"
#include "compare/sieve.h"

#define PAGE_ROWS 4096
#define PAGE_BYTES (4u << 20)
#define NOTES_MAX 200 // of one kind and side
#define NOTE_VALUE_CHARS 60

// ---- notes ----

static int32_t add_note(struct dr_compare *compare, int side, int32_t code, struct dray_str text,
                        struct dray_error *error) {
  size_t alike = 0;
  for (size_t i = 0; i < compare->note_count; i++) {
    alike += compare->notes[i].side == side && compare->notes[i].code == code;
  }
  if (alike >= NOTES_MAX) return DRAY_OK;
  struct dr_compare_note *grown = realloc(compare->notes, (compare->note_count + 1) * sizeof(*grown));
  char *copy = grown != NULL ? dray_str_dup(text) : NULL;
  if (grown != NULL) compare->notes = grown;
  if (copy == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a note");
  for (char *at = copy; *at != '\0'; at++) { // a value must neither move the cursor nor forge a line
    if ((unsigned char)*at < 0x20 || *at == 0x7F) *at = ' ';
  }
  compare->notes[compare->note_count++] = (struct dr_compare_note){side, code, copy};
  return DRAY_OK;
}

static int32_t append_value(struct dray_str text, struct dray_buffer *out, struct dray_error *error) {
  if (text.data == NULL) return dray_buffer_append_str(out, "null", error);
  if (text.len > NOTE_VALUE_CHARS) text.len = NOTE_VALUE_CHARS;
  return dray_buffer_append(out, text.data, dray_value_shown(text), error);
}

int32_t dr_inside_note(struct dr_compare *compare, int side, int32_t code, const struct dray_str *texts,
                       const char *why, struct dray_error *error) {
  struct dray_buffer text;
  dray_buffer_init(&text, 1u << 16);
  int32_t rc = DRAY_OK;
  int first = 1;
  for (size_t c = 0; c < compare->schema->field_count && rc == DRAY_OK; c++) {
    if (!compare->is_key[c]) continue;
    rc = dray_buffer_printf(&text, error, "%s%s=", first ? "" : ", ", compare->schema->fields[c].name);
    if (rc == DRAY_OK) rc = append_value(texts[c], &text, error);
    first = 0;
  }
  if (rc == DRAY_OK && why[0] != '\0') rc = dray_buffer_printf(&text, error, ": %s", why);
  if (rc == DRAY_OK) rc = add_note(compare, side, code, dray_buffer_view(&text), error);
  dray_buffer_free(&text);
  return rc;
}

static int32_t note_row(struct dr_compare *compare, int side, int32_t code, const struct dr_batch *rows, uint64_t row,
                        const char *why, struct dray_error *error) {
  const size_t fields = compare->schema->field_count;
  struct dray_str *texts = calloc(fields + 1, sizeof(*texts));
  if (texts == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a row of %zu fields", fields);
  dr_inside_texts(rows, row, fields, texts);
  const int32_t rc = dr_inside_note(compare, side, code, texts, why, error);
  free(texts);
  return rc;
}

static int32_t note_rejects(struct dr_compare *compare, int side, const struct dr_rejects *rejects,
                            struct dray_error *error) {
  compare->sides[side].unreadable += rejects->count;
  compare->sides[side].broken += rejects->count;
  for (size_t i = 0; i < rejects->count; i++) {
    const struct dr_reject *reject = &rejects->items[i];
    char text[sizeof(reject->text) + 256];
    char place[256];
    dr_inside_place(compare->inside, side, reject->text, place, sizeof(place));
    const char *rest = place[0] != '\0' ? strstr(reject->text, ": ") : NULL;
    (void)snprintf(text, sizeof(text), "%s%s", place, rest != NULL ? rest : reject->text);
    DRAY_TRY(add_note(compare, side, reject->code, dray_str_of(text), error));
  }
  return DRAY_OK;
}

// ---- rows of a side ----

// A batch whose columns are all canonical texts; takes `batch`. A value that is absent counts as null.
static int32_t make_canonical(struct dr_compare *compare, struct dr_batch *batch, struct dr_batch **out,
                              struct dray_error *error) {
  struct dr_compare_inside *inside = compare->inside;
  if (inside->all_plain && batch->absent == NULL) {
    *out = batch;
    return DRAY_OK;
  }
  struct ArrowArray array = batch->array;
  const int64_t rows = (int64_t)dr_batch_rows(batch);
  batch->array.release = NULL; // moved
  dr_batch_free(batch);
  int32_t rc = DRAY_OK;
  for (size_t i = 0; i < compare->schema->field_count && rc == DRAY_OK; i++) {
    rc = dr_reading_column(&compare->readings[i], array.children[i], rows, &inside->scratch, error);
  }
  if (rc == DRAY_OK) rc = dr_batch_wrap(compare->schema, &array, out, error);
  dray_array_release(&array);
  return rc;
}

static int32_t add_rows(struct dr_compare *compare, int side, struct dr_caster *caster, struct dr_diff *diff,
                        struct ArrowArray *array, int64_t rows, struct dray_error *error) {
  struct dr_rejects rejects = {NULL, 0, 0};
  struct dr_batch *batch = NULL, *canonical = NULL;
  int32_t rc = dr_caster_run(caster, array, compare->sides[side].rows, &batch, &rejects, error);
  compare->sides[side].rows += (uint64_t)rows;
  if (rc == DRAY_OK && rejects.count > 0) rc = note_rejects(compare, side, &rejects, error);
  if (rc == DRAY_OK && dr_batch_rows(batch) > 0) {
    rc = make_canonical(compare, batch, &canonical, error);
    batch = NULL; // taken
    if (rc == DRAY_OK) rc = dr_diff_add(diff, canonical, error);
  }
  dr_batch_free(batch);
  dr_rejects_free(&rejects);
  return rc;
}

static int32_t read_side(struct dr_compare *compare, int side, struct dr_diff *diff, struct dray_error *error) {
  struct dr_side *from = &compare->inside->from[side];
  struct dr_caster *caster = NULL;
  if (from->hollow) return DRAY_OK;
  DRAY_TRY(dr_caster_new(&from->arrow, compare->schema, NULL, DR_CAST_REJECT_ROW, &caster, error));
  int32_t rc = DRAY_OK;
  while (rc == DRAY_OK) {
    struct ArrowArray array = {.release = NULL};
    int64_t rows = 0;
    rc = dr_side_next(from, &array, &rows, error);
    if (rc != DRAY_OK || rows == 0) break;
    rc = add_rows(compare, side, caster, diff, &array, rows, error);
  }
  dr_caster_free(caster);
  return rc;
}

// ---- the two passes ----

static int32_t open_mirror(struct dr_compare *compare, struct dray_error *error) {
  struct dr_compare_inside *inside = compare->inside;
  const struct dr_compare_options *options = inside->options;
  const struct dr_mirror_options mirror = {.folder = inside->mirror_folder,
                                           .schema = compare->schema,
                                           .key = options->key,
                                           .key_count = options->key_count,
                                           .seed = DR_COMPARE_SEED,
                                           .memory_bytes = options->memory_bytes,
                                           .create = 1,
                                           .keep = DR_KEEP_ROW,
                                           .threads = options->threads,
                                           .scratch = 1};
  return dr_mirror_open(&mirror, &inside->mirror, error);
}

static int32_t pass(struct dr_compare *compare, int side, uint32_t flags, struct dr_diff_counts *out,
                    struct dray_error *error) {
  struct dr_compare_inside *inside = compare->inside;
  const struct dr_diff_options options = {
      .flags = flags, .duplicates = inside->options->duplicates, .changeset_path = inside->set_paths[side]};
  struct dr_diff *diff = NULL;
  dr_board_phase(side == DR_COMPARE_OLD ? "reading OLD" : "reading NEW");
  int32_t rc = dr_diff_begin(inside->mirror, &options, &diff, error);
  if (rc == DRAY_OK) rc = read_side(compare, side, diff, error);
  if (rc == DRAY_OK) rc = dr_cancel_check(error);
  dr_board_phase(side == DR_COMPARE_OLD ? "loading OLD" : "comparing");
  if (rc == DRAY_OK) rc = dr_diff_finish(diff, out, error);
  if (rc == DRAY_OK) {
    struct dr_compare_side *counts = &compare->sides[side];
    counts->null_keys = out->null_keys;
    counts->duplicate_keys = out->duplicate_keys;
    counts->duplicate_rows = out->duplicate_rows;
    compare->counts.spilled_bytes += out->spilled_bytes;
    rc = dr_changeset_open(inside->set_paths[side], &inside->sets[side], error);
    // The counts' columns are the diff's: copied before it goes.
    for (size_t i = 0; rc == DRAY_OK && i < compare->schema->field_count; i++) {
      compare->counts.column_updates[i] = out->column_updates != NULL ? out->column_updates[i] : 0;
    }
  }
  dr_diff_free(diff);
  return rc;
}

// Notes the rows that a pass withheld, and remembers the keys that OLD has more than once: of these the mirror holds
// nothing, so that NEW's row would look like an insert.
static int32_t take_withheld(struct dr_compare *compare, int side, struct dray_error *error) {
  struct dr_compare_inside *inside = compare->inside;
  const struct dr_compare_side *counts = &compare->sides[side];
  if (counts->null_keys == 0 && counts->duplicate_rows == 0) return DRAY_OK;
  for (uint64_t seq = 0;;) {
    struct dr_changes *changes = NULL;
    DRAY_TRY(dr_changeset_next(inside->sets[side], seq, PAGE_ROWS, PAGE_BYTES, 0, &changes, error));
    if (changes == NULL) return DRAY_OK;
    seq = changes->first_seq + changes->count;
    int32_t rc = DRAY_OK;
    for (size_t i = 0; i < changes->count && rc == DRAY_OK; i++) {
      if (changes->op[i] != DR_OP_REJECT) continue;
      rc = note_row(compare, side, changes->code[i], changes->rows, i, "", error);
      if (rc == DRAY_OK && side == DR_COMPARE_OLD && changes->code[i] == DRAY_E_DATA_KEY_DUPLICATE) {
        rc = dr_inside_shun(inside, changes->key_hash[i], error);
      }
    }
    dr_changes_free(changes);
    if (rc != DRAY_OK) return rc;
  }
}

static int32_t load_old(struct dr_compare *compare, struct dray_error *error) {
  struct dr_compare_inside *inside = compare->inside;
  struct dr_diff_counts counts = {0};
  DRAY_TRY(pass(compare, DR_COMPARE_OLD, 0, &counts, error));
  DRAY_TRY(take_withheld(compare, DR_COMPARE_OLD, error));
  dr_inside_sort_shunned(inside);
  struct dr_changeset *old = inside->sets[DR_COMPARE_OLD];
  DRAY_TRY(dr_mirror_ack_all(inside->mirror, old, dr_changeset_count(old), error));
  dr_changeset_close(inside->sets[DR_COMPARE_OLD]);
  inside->sets[DR_COMPARE_OLD] = NULL;
  (void)unlink(inside->set_paths[DR_COMPARE_OLD]);
  DRAY_TRY(dr_cancel_check(error));
  DRAY_TRY(dr_mirror_commit(inside->mirror, 1, error));
  return dr_mirror_compact(inside->mirror, error);
}

static int32_t pass_new(struct dr_compare *compare, struct dray_error *error) {
  struct dr_diff_counts counts = {0};
  struct dr_mirror_info old;
  dr_mirror_info(compare->inside->mirror, &old); // exact: it was just compacted
  DRAY_TRY(pass(compare, DR_COMPARE_NEW, DR_DIFF_FULL, &counts, error));
  DRAY_TRY(take_withheld(compare, DR_COMPARE_NEW, error));
  // What is neither equal nor changed nor gone has a key that NEW has more than once.
  const uint64_t settled = counts.unchanged + counts.updates + counts.deletes + counts.deferred;
  if (old.rows > settled) compare->sides[DR_COMPARE_OLD].opposite = old.rows - settled;
  compare->counts.inserts = counts.inserts;
  compare->counts.updates = counts.updates;
  compare->counts.deletes = counts.deletes;
  compare->counts.unchanged = counts.unchanged + compare->counts.settled;
  compare->counts.deferred = counts.deferred;
  return DRAY_OK;
}

// ---- what is withheld ----

// The first column of a row whose value is not of its declared type; field_count: none.
static int32_t find_misfit(struct dr_compare *compare, const struct dr_batch *rows, uint64_t row, size_t *out,
                           struct dray_error *error) {
  struct dr_compare_inside *inside = compare->inside;
  *out = compare->schema->field_count;
  for (size_t i = 0; i < inside->declared_count; i++) {
    const size_t c = inside->declared[i];
    const struct dray_column_view *column = &rows->view.columns[c];
    struct dray_str canonical;
    int reads = 0;
    if (dray_column_is_null(column, row)) continue;
    DRAY_TRY(dr_reading_text(&compare->readings[c], dray_column_bytes(column, row), &inside->scratch, &canonical,
                             &reads, error));
    if (reads) continue;
    *out = c;
    return DRAY_OK;
  }
  return DRAY_OK;
}

struct verdict {
  int32_t code; // 0: a change
  int side;
  size_t column; // of a misfit
  const struct dr_batch *rows;
};

static int32_t judge(struct dr_compare *compare, const struct dr_changes *changes, size_t i, struct verdict *out,
                     struct dray_error *error) {
  const struct dr_compare_inside *inside = compare->inside;
  struct verdict verdict = {0, DR_COMPARE_NEW, compare->schema->field_count, changes->rows};
  if (changes->op[i] == DR_OP_REJECT) {
    verdict.code = changes->code[i];
  } else if (changes->op[i] == DRAY_OP_INSERT && dr_inside_is_shunned(inside, changes->key_hash[i])) {
    verdict.code = DRAY_E_DATA_KEY_DUPLICATE;
  } else if (inside->declared_count > 0) {
    if (changes->op[i] == DRAY_OP_DELETE) verdict.side = DR_COMPARE_OLD;
    DRAY_TRY(find_misfit(compare, changes->rows, i, &verdict.column, error));
    if (verdict.column == compare->schema->field_count && changes->op[i] == DRAY_OP_UPDATE) {
      verdict.side = DR_COMPARE_OLD;
      verdict.rows = changes->before;
      DRAY_TRY(find_misfit(compare, changes->before, i, &verdict.column, error));
    }
    if (verdict.column < compare->schema->field_count) verdict.code = DRAY_E_DATA_TYPE;
  }
  *out = verdict;
  return DRAY_OK;
}

int32_t dr_inside_verdict(struct dr_compare *compare, const struct dr_changes *changes, size_t i, int32_t *out_code,
                          struct dray_error *error) {
  struct verdict verdict;
  DRAY_TRY(judge(compare, changes, i, &verdict, error));
  *out_code = verdict.code;
  return DRAY_OK;
}

void dr_inside_why_misfit(const struct dr_compare *compare, size_t field, struct dray_str text, char *out) {
  char type[32];
  (void)snprintf(out, DR_INSIDE_WHY_BYTES, "%.100s: \"%.*s\" is not a value of %s", compare->schema->fields[field].name,
                 DRAY_VALUE_ARG(text), dray_type_format(compare->readings[field].type, type, sizeof(type)));
}

static int32_t note_misfit(struct dr_compare *compare, const struct verdict *verdict, uint64_t row,
                           struct dray_error *error) {
  const struct dray_column_view *column = &verdict->rows->view.columns[verdict->column];
  char why[DR_INSIDE_WHY_BYTES];
  dr_inside_why_misfit(compare, verdict->column, dray_column_bytes(column, row), why);
  compare->sides[verdict->side].unreadable++;
  return note_row(compare, verdict->side, verdict->code, verdict->rows, row, why, error);
}

static int32_t settle_change(struct dr_compare *compare, const struct dr_changes *changes, size_t i,
                             struct dray_error *error) {
  struct dr_compare_counts *counts = &compare->counts;
  struct verdict verdict;
  if (changes->op[i] == DR_OP_REJECT) return DRAY_OK; // noted already
  DRAY_TRY(judge(compare, changes, i, &verdict, error));
  if (verdict.code == DRAY_E_DATA_KEY_DUPLICATE) {
    compare->sides[DR_COMPARE_NEW].opposite++;
    return DRAY_OK;
  }
  if (verdict.code != 0) return note_misfit(compare, &verdict, i, error);
  counts->inserts += changes->op[i] == DRAY_OP_INSERT;
  counts->deletes += changes->op[i] == DRAY_OP_DELETE;
  if (changes->op[i] != DRAY_OP_UPDATE) return DRAY_OK;
  counts->updates++;
  const uint8_t *changed = changes->changed + i * changes->changed_stride;
  for (size_t c = 0; c < compare->schema->field_count; c++)
    counts->column_updates[c] += (changed[c >> 3] >> (c & 7)) & 1;
  return DRAY_OK;
}

// Counts anew where some of what the engine found is not to be told.
static int32_t settle_counts(struct dr_compare *compare, struct dray_error *error) {
  struct dr_compare_inside *inside = compare->inside;
  struct dr_compare_counts *counts = &compare->counts;
  if (inside->declared_count == 0 && inside->shunned_count == 0) return DRAY_OK;
  counts->inserts = counts->updates = counts->deletes = 0;
  memset(counts->column_updates, 0, compare->schema->field_count * sizeof(*counts->column_updates));
  for (uint64_t seq = 0;;) {
    struct dr_changes *changes = NULL;
    DRAY_TRY(dr_cancel_check(error));
    DRAY_TRY(dr_changeset_next(inside->sets[DR_COMPARE_NEW], seq, PAGE_ROWS, PAGE_BYTES, 1, &changes, error));
    if (changes == NULL) break;
    seq = changes->first_seq + changes->count;
    dr_board_beat();
    int32_t rc = DRAY_OK;
    for (size_t i = 0; i < changes->count && rc == DRAY_OK; i++) rc = settle_change(compare, changes, i, error);
    dr_changes_free(changes);
    if (rc != DRAY_OK) return rc;
  }
  return DRAY_OK;
}

int dr_compare_is_equal(const struct dr_compare *compare) {
  return compare->counts.inserts + compare->counts.updates + compare->counts.deletes == 0 &&
         compare->sides[0].only.count + compare->sides[1].only.count == 0;
}

int dr_compare_is_partial(const struct dr_compare *compare) {
  uint64_t withheld = compare->counts.deferred;
  if (compare->hollow) return 0;
  for (int side = 0; side < 2; side++) {
    const struct dr_compare_side *counts = &compare->sides[side];
    withheld += counts->unreadable + counts->null_keys + counts->opposite;
    if (compare->inside->options->duplicates == DR_DUPLICATES_REJECT) withheld += counts->duplicate_rows;
  }
  return withheld > 0;
}

// ---- life ----

void dr_compare_close(struct dr_compare *compare) {
  if (compare == NULL) return;
  dr_inside_free(compare->inside);
  for (int side = 0; side < 2; side++) {
    for (size_t i = 0; i < compare->sides[side].only.count; i++) free(compare->sides[side].only.items[i]);
    free(compare->sides[side].only.items);
  }
  for (size_t i = 0; i < compare->note_count; i++) free(compare->notes[i].text);
  free(compare->notes);
  free(compare->counts.column_updates);
  free(compare->readings);
  free(compare->is_key);
  dr_schema_unref(compare->schema);
  free(compare);
}

static int32_t run(struct dr_compare *compare, struct dray_error *error) {
  struct dr_compare_inside *inside = compare->inside;
  dr_board_phase("opening");
  DRAY_TRY(dr_inside_open(inside, error));
  compare->hollow = inside->from[0].hollow && inside->from[1].hollow;
  if (compare->hollow) return DRAY_OK;
  DRAY_TRY(dr_agree(compare, error));
  dr_board_phase("sieving");
  DRAY_TRY(dr_inside_sieve(compare, error));
  dr_board_phase("comparing");
  if (inside->sieve != NULL && dr_sieve_result(inside->sieve)->sievable) {
    DRAY_TRY(pairs_run(compare, &inside->pairs, error));
    if (inside->pairs != NULL) return DRAY_OK;
  }
  DRAY_TRY(dr_inside_redirect(compare, error));
  DRAY_TRY(open_mirror(compare, error));
  DRAY_TRY(load_old(compare, error));
  DRAY_TRY(pass_new(compare, error));
  dr_board_phase("telling");
  return settle_counts(compare, error);
}

int32_t dr_compare_run(const struct dr_compare_options *options, struct dr_compare **out, struct dray_error *error) {
  struct dr_compare *compare = calloc(1, sizeof(*compare));
  if (compare == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a comparison");
  int32_t rc = dr_inside_new(options, &compare->inside, error);
  if (rc == DRAY_OK) rc = run(compare, error);
  if (rc != DRAY_OK) {
    dr_compare_close(compare);
    return rc;
  }
  *out = compare;
  return DRAY_OK;
}
