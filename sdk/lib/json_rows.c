// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The rows reader, lower half: bytes go to the parser, line by line or as they come. What the events mean is decided in
// json_events.c. A parser that stopped cannot go on, so a batch that fills up in the middle of a document is followed
// by a new parser that is brought to the same place (see go_on).
#include "dray/sdk/json.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "json_rows_inside.h"

#define RECORD_BYTES_MAX (UINT64_C(16) << 20)
#define DEPTH_CONFIG_MAX 1024

// ---- making ----

static int32_t take_options(struct dray_json_rows *rows, const struct dray_json_rows_options *options,
                            struct dray_error *error) {
  const char *path = options->records_path != NULL ? options->records_path : "";
  if (options->depth_max < 0 || options->depth_max > DEPTH_CONFIG_MAX) {
    return dray_fail(error, DRAY_E_CONFIG_VALUE, "depth_max is %d and must be 1 to %d", options->depth_max,
                     DEPTH_CONFIG_MAX);
  }
  if (options->member_count > DRAY_JSON_MEMBERS_MAX) {
    return dray_fail(error, DRAY_E_CONFIG_VALUE, "%zu members are to be told of; at most %d are", options->member_count,
                     DRAY_JSON_MEMBERS_MAX);
  }
  if (options->lines && path[0] != '\0') {
    return dray_fail(error, DRAY_E_CONFIG_VALUE,
                     "records_path '%.200s' is not for JSON Lines, where every line is a record", path);
  }
  rows->lines = options->lines;
  rows->depth_max = options->depth_max != 0 ? options->depth_max : DRAY_JSON_DEPTH_MAX;
  rows->record_bytes_max = options->record_bytes_max != 0 ? options->record_bytes_max : RECORD_BYTES_MAX;
  if (rows->record_bytes_max > SIZE_MAX / 8) rows->record_bytes_max = SIZE_MAX / 8;
  rows->members = options->members;
  rows->member_count = options->member_count;
  rows->wanted = options->wanted;
  rows->wanted_ctx = options->wanted_ctx;
  rows->empty_is_null = options->empty_is_null;
  rows->constants = options->constants;
  rows->constant_count = options->constant_count;
  for (size_t i = 0; i < DRAY_JSON_MEMBERS_MAX; i++) {
    dray_buffer_init(&rows->member_text[i], (size_t)rows->record_bytes_max);
  }
  rows->lines_before = options->lines_before;
  rows->line = options->lines_before;
  rows->records_path = dray_str_dup(dray_str_of(path));
  rows->name = options->name != NULL ? dray_str_dup(dray_str_of(options->name)) : NULL;
  rows->only_with = options->only_with != NULL ? dray_str_dup(dray_str_of(options->only_with)) : NULL;
  rows->only_without = options->only_without != NULL ? dray_str_dup(dray_str_of(options->only_without)) : NULL;
  rows->steps = calloc(strlen(path) + 1, sizeof(*rows->steps)); // more than any path has
  rows->levels = calloc(strlen(path) + 1, sizeof(*rows->levels));
  rows->frames = calloc((size_t)rows->depth_max + 1, sizeof(*rows->frames));
  if (rows->records_path == NULL || (options->name != NULL && rows->name == NULL) ||
      (options->only_with != NULL && rows->only_with == NULL) ||
      (options->only_without != NULL && rows->only_without == NULL) || rows->steps == NULL || rows->levels == NULL ||
      rows->frames == NULL) {
    return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a JSON reader");
  }
  for (const char *at = rows->records_path;; rows->step_count++) {
    struct dray_json_step *step = &rows->steps[rows->step_count];
    DRAY_TRY(dray_json_step_next(rows->records_path, &at, step, error));
    if (step->kind == DRAY_JSON_STEP_END) break;
  }
  while (rows->array_at < rows->step_count && rows->steps[rows->array_at].kind != DRAY_JSON_STEP_ALL) rows->array_at++;
  if (rows->step_count >= (size_t)rows->depth_max) {
    return dray_fail(error, DRAY_E_CONFIG_VALUE, "records_path '%.200s' has more steps than the depth of %d allows",
                     path, rows->depth_max);
  }
  return dray_json_captures_make(rows, options->captures, options->capture_count, error);
}

static void find_error_column(struct dray_json_rows *rows, const struct ArrowSchema *schema) {
  rows->error_column = -1;
  for (size_t i = 0; i < (size_t)schema->n_children; i++) {
    const char *name = schema->children[i]->name != NULL ? schema->children[i]->name : "";
    if (strcmp(name, DRAY_COLUMN_ERROR) == 0) rows->error_column = (ptrdiff_t)i;
  }
}

int32_t dray_json_rows_new(const struct dray_json_field *fields, size_t field_count,
                           const struct dray_json_rows_options *options, struct dray_builder *builder,
                           struct dray_json_rows **out, struct dray_error *error) {
  const struct dray_json_rows_options defaults = {0};
  const struct ArrowSchema *schema = dray_builder_schema(builder);
  struct dray_json_rows *rows = calloc(1, sizeof(*rows));
  if (rows == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a JSON reader");
  rows->builder = builder;
  dray_error_init(&rows->bad);
  dray_error_init(&rows->failure);
  find_error_column(rows, schema);
  int32_t rc = take_options(rows, options != NULL ? options : &defaults, error);
  if (rc == DRAY_OK) rc = dray_json_fields_make(fields, field_count, schema, &rows->fields, error);
  if (rc != DRAY_OK) {
    dray_json_rows_free(rows);
    return rc;
  }
  dray_buffer_init(&rows->text, (size_t)rows->record_bytes_max);
  dray_buffer_init(&rows->partial, (size_t)rows->record_bytes_max + 1);
  dray_buffer_init(&rows->scratch, (size_t)rows->record_bytes_max * 6 + 2); // every byte an escape
  rows->emitter.out = &rows->text;
  *out = rows;
  return DRAY_OK;
}

void dray_json_rows_free(struct dray_json_rows *rows) {
  if (rows == NULL) return;
  dray_json_parser_free(&rows->parser);
  dray_json_captures_free(rows);
  dray_json_fields_free(&rows->fields);
  dray_buffer_free(&rows->text);
  dray_buffer_free(&rows->partial);
  dray_buffer_free(&rows->scratch);
  free(rows->steps);
  free(rows->levels);
  free(rows->frames);
  free(rows->records_path);
  free(rows->name);
  for (size_t i = 0; i < DRAY_JSON_MEMBERS_MAX; i++) dray_buffer_free(&rows->member_text[i]);
  free(rows->only_with);
  free(rows->only_without);
  free(rows);
}

uint64_t dray_json_rows_count(const struct dray_json_rows *rows) {
  return rows->record_count;
}

uint64_t dray_json_rows_bad(const struct dray_json_rows *rows) {
  return rows->bad_count;
}

int dray_json_rows_reached(const struct dray_json_rows *rows) {
  return rows->reached;
}

void dray_json_rows_mark(const struct dray_json_rows *rows, uint64_t *out_bytes, uint64_t *out_lines) {
  *out_bytes = rows->told_bytes;
  *out_lines = rows->told_lines;
}

// ---- feeding the parser ----

// Goes past the first `taken` bytes of the piece: lines and positions for messages.
static void pass(struct dray_json_rows *rows, size_t taken) {
  const char *end = rows->piece + taken;
  for (const char *p = rows->piece; taken > 0 && (p = memchr(p, '\n', (size_t)(end - p))) != NULL; p++) {
    rows->line++;
    rows->line_start = rows->piece_position + (uint64_t)(p - rows->piece) + 1;
  }
  rows->piece_position += taken;
}

// Feeds bytes in pieces, cut before every byte that makes a lone surrogate certain, so that the mark is set while its
// string is still open. Pieces are passed but for the last, which stays for the caller to pass or to look at.
static int feed_parser(struct dray_json_rows *rows, const char *data, size_t len) {
  size_t scanned = 0;
  rows->piece = data;
  for (;;) {
    const size_t cut = scanned + dray_json_surrogates_scan(&rows->surrogates, data + scanned, len - scanned);
    rows->piece_len = (size_t)(data + cut - rows->piece);
    if (rows->piece_len > 0) {
      const int outcome = dray_json_parser_feed(&rows->parser, rows->piece, rows->piece_len);
      if (outcome != DRAY_JSON_PARSED) return outcome;
    }
    if (cut == len) return DRAY_JSON_PARSED;
    pass(rows, rows->piece_len);
    rows->lone_surrogate = 1;
    rows->piece = data + cut;
    scanned = cut + 1;
  }
}

static int32_t fail_syntax(struct dray_json_rows *rows, uint64_t byte, struct dray_error *error) {
  char reason[160];
  char text[256];
  DRAY_TRY(dray_json_parser_reason(&rows->parser, reason, sizeof(reason), error));
  (void)snprintf(text, sizeof(text), "near byte %llu: %s", (unsigned long long)byte, reason);
  return dray_json_rows_fail_here(rows, error, DRAY_E_DATA_JSON, text);
}

static int32_t no_memory(struct dray_json_rows *rows) {
  rows->failed = dray_fail(rows->error, DRAY_E_OUT_OF_MEMORY, "no memory to read JSON");
  return rows->failed;
}

static void forget_place(struct dray_json_rows *rows) {
  rows->depth = 0;
  rows->skip_depth = 0;
  rows->in_record = 0;
  rows->captures = 0;
  rows->lone_surrogate = 0;
  rows->surrogates = (struct dray_json_surrogates){0};
}

void dray_json_rows_restart(struct dray_json_rows *rows) {
  dray_json_parser_free(&rows->parser);
  dray_builder_abandon_row(rows->builder);
  forget_place(rows);
  dray_json_captures_forget(rows);
  dray_buffer_clear(&rows->partial);
  rows->overlong = 0;
  rows->spoiled = 0;
  rows->misfits = 0;
  rows->reached = 0;
  rows->touched = 0;
  rows->bom_bytes = 0;
  rows->line = rows->lines_before;
  rows->line_start = rows->piece_position = rows->mark = rows->position = 0;
  rows->told_bytes = rows->told_lines = 0;
  rows->failed = DRAY_OK;
}

// ---- lines ----

static void spoil_line(struct dray_json_rows *rows, int32_t code, const char *text) {
  if (rows->spoiled) return;
  (void)dray_json_rows_fail_here(rows, &rows->bad, code, text);
  rows->spoiled = 1;
}

// Parses a line; what is wrong with it ends up in rows->bad. Only what concerns the whole input is returned.
static int32_t parse_line(struct dray_json_rows *rows, const char *line, size_t len) {
  if (rows->parser.handle == NULL) {
    rows->failed = dray_json_parser_start(&rows->parser, &dray_json_rows_callbacks, rows, 1, rows->error);
    if (rows->failed != DRAY_OK) return rows->failed;
  }
  int outcome = feed_parser(rows, line, len);
  size_t offset = (size_t)(rows->piece - line);
  if (outcome == DRAY_JSON_PARSED && (len == 0 || line[len - 1] != '\n')) {
    outcome = feed_parser(rows, "\n", 1);
    offset = len;
  }
  if (outcome == DRAY_JSON_NO_MEMORY) return no_memory(rows);
  if (rows->failed != DRAY_OK) return rows->failed;
  if (outcome == DRAY_JSON_SYNTAX && !rows->spoiled) {
    offset += dray_json_parser_offset(&rows->parser);
    if (fail_syntax(rows, offset < len ? offset : len, &rows->bad) == DRAY_E_OUT_OF_MEMORY) return no_memory(rows);
    rows->spoiled = 1;
  }
  if (outcome == DRAY_JSON_PARSED && rows->depth > 0) {
    spoil_line(rows, DRAY_E_DATA_JSON, "the line ends inside an object or array");
    outcome = DRAY_JSON_SYNTAX;
  }
  if (outcome != DRAY_JSON_PARSED) dray_json_parser_free(&rows->parser);
  return DRAY_OK;
}

static int is_line_too_long(const struct dray_json_rows *rows, const char *line, size_t len) {
  if (rows->overlong) return 1;
  const size_t end = len > 0 && line[len - 1] == '\n' ? len - 1 : len;
  return end > rows->record_bytes_max;
}

// Tells one whole line, with or without its newline.
static int32_t tell_line(struct dray_json_rows *rows, const char *line, size_t len) {
  rows->line_records = 0;
  rows->is_whole = 0;
  if (is_line_too_long(rows, line, len)) {
    char text[128];
    (void)snprintf(text, sizeof(text), "the line has more than %llu bytes", (unsigned long long)rows->record_bytes_max);
    spoil_line(rows, DRAY_E_DATA_TOO_LARGE, text);
  } else {
    if (rows->told_bytes == 0 && len >= 3 && memcmp(line, "\xEF\xBB\xBF", 3) == 0) {
      line += 3;
      len -= 3;
    }
    DRAY_TRY(parse_line(rows, line, len));
  }
  const int is_record = rows->line_records > 0 || rows->spoiled; // else the line is blank
  if (rows->line_records == 0 && rows->spoiled) rows->record_count++;
  forget_place(rows);
  if (is_record) (void)dray_json_rows_end_record(rows);
  return rows->failed;
}

// Keeps the beginning of a line that goes on in the next feed.
static int32_t keep_partial(struct dray_json_rows *rows, const char *data, size_t len) {
  if (!rows->overlong && rows->partial.len + len <= rows->record_bytes_max + 1) {
    rows->failed = dray_buffer_append(&rows->partial, data, len, rows->error);
    return rows->failed;
  }
  rows->overlong = 1;
  dray_buffer_clear(&rows->partial);
  return DRAY_OK;
}

static int32_t feed_lines(struct dray_json_rows *rows, const char *data, size_t len, int32_t end, size_t *out_used) {
  size_t used = 0;
  while (!rows->full) {
    const char *newline = used < len ? memchr(data + used, '\n', len - used) : NULL;
    const size_t n = newline != NULL ? (size_t)(newline - data) + 1 - used : len - used;
    const int kept = rows->partial.len > 0 || rows->overlong;
    if (newline == NULL && !end) {
      if (n > 0) DRAY_TRY(keep_partial(rows, data + used, n));
      used = len;
      break;
    }
    if (n == 0 && !kept) break;
    const char *line = data + used;
    size_t line_len = n;
    if (kept) {
      if (n > 0) DRAY_TRY(keep_partial(rows, data + used, n));
      line = rows->partial.data;
      line_len = rows->partial.len;
    }
    DRAY_TRY(tell_line(rows, line, line_len));
    used += n;
    rows->told_bytes = rows->position + used;
    rows->told_lines += newline != NULL;
    rows->line += newline != NULL;
    rows->overlong = 0;
    dray_buffer_clear(&rows->partial);
  }
  *out_used = used;
  return DRAY_OK;
}

// ---- documents ----

// A new parser at the place where the last one was stopped: behind a record, inside the containers of records_path.
// It is brought there by a beginning that has the same containers open and a value behind it: {"":["" for items[*].
static int32_t go_on(struct dray_json_rows *rows) {
  rows->failed = dray_json_parser_start(&rows->parser, &dray_json_rows_callbacks, rows, 1, rows->error);
  if (rows->failed != DRAY_OK || rows->depth == 0) return rows->failed;
  dray_buffer_clear(&rows->scratch);
  for (int32_t i = 0; i < rows->depth; i++) {
    rows->failed = dray_buffer_append_str(&rows->scratch, rows->levels[i].is_object ? "{\"\":" : "[", rows->error);
    if (rows->failed != DRAY_OK) return rows->failed;
  }
  rows->failed = dray_buffer_append_str(&rows->scratch, "\"\"", rows->error);
  if (rows->failed != DRAY_OK) return rows->failed;
  const int32_t depth = rows->depth;
  rows->depth = 0;
  rows->skip_depth = INT32_MAX; // its events are nobody's
  rows->in_record = 1;
  const int outcome = dray_json_parser_feed(&rows->parser, rows->scratch.data, rows->scratch.len);
  rows->depth = depth;
  rows->skip_depth = 0;
  rows->in_record = 0;
  if (outcome == DRAY_JSON_NO_MEMORY) return no_memory(rows);
  assert(outcome == DRAY_JSON_PARSED);
  return DRAY_OK;
}

// Skips the BOM at the start of the input; returns how many bytes of it were there.
static size_t skip_bom(struct dray_json_rows *rows, const char *data, size_t len) {
  size_t used = 0;
  while (rows->bom_bytes >= 0 && rows->bom_bytes < 3 && used < len && data[used] == "\xEF\xBB\xBF"[rows->bom_bytes]) {
    used++;
    rows->bom_bytes++;
  }
  if (rows->bom_bytes == 3 || (rows->bom_bytes == 0 && used < len)) rows->bom_bytes = -1;
  rows->piece_position += used;
  rows->line_start += used;
  return used;
}

static int is_blank(const char *data, size_t len) {
  while (len > 0 && memchr(" \t\r\n\v\f", data[len - 1], 6) != NULL) len--; // what yajl skips
  return len == 0;
}

static int32_t fail_document(struct dray_json_rows *rows, size_t offset) {
  if (dray_json_rows_oversize(rows, rows->piece_position + offset)) return rows->failed;
  uint64_t start = rows->line_start;
  for (size_t i = 0; i < offset && i < rows->piece_len; i++) {
    if (rows->piece[i] == '\n') start = rows->piece_position + i + 1;
  }
  rows->failed = fail_syntax(rows, rows->piece_position + offset - start, rows->error);
  return rows->failed;
}

// Feeds until the parser stops or the bytes end. *out_taken of them were taken.
static int32_t feed_some(struct dray_json_rows *rows, const char *data, size_t len, size_t *out_taken) {
  const int outcome = feed_parser(rows, data, len);
  if (outcome == DRAY_JSON_NO_MEMORY) return no_memory(rows);
  if (rows->failed != DRAY_OK) return rows->failed;
  if (outcome == DRAY_JSON_SYNTAX) return fail_document(rows, dray_json_parser_offset(&rows->parser));
  const size_t taken = outcome == DRAY_JSON_PARSED ? rows->piece_len : dray_json_parser_offset(&rows->parser);
  *out_taken = (size_t)(rows->piece - data) + taken;
  pass(rows, taken);
  if (outcome == DRAY_JSON_STOPPED) { // the batch is full
    dray_json_parser_free(&rows->parser);
    rows->surrogates = (struct dray_json_surrogates){0};
    rows->touched = rows->depth > 0;
    return DRAY_OK;
  }
  rows->piece_len = 0;
  (void)dray_json_rows_oversize(rows, rows->piece_position);
  return rows->failed;
}

// The input is over: a number at its end is now whole, anything else that is not whole is an error.
static int32_t finish_document(struct dray_json_rows *rows) {
  static const char nothing[1] = "";
  if (rows->bom_bytes > 0) {
    rows->failed = dray_json_rows_fail_here(rows, rows->error, DRAY_E_DATA_JSON, "the input ends inside a BOM");
    return rows->failed;
  }
  if (!rows->touched) return DRAY_OK;
  if (rows->parser.handle == NULL) DRAY_TRY(go_on(rows)); // the batch was full just before
  rows->piece = nothing;
  rows->piece_len = 0;
  const int outcome = dray_json_parser_finish(&rows->parser);
  if (outcome == DRAY_JSON_NO_MEMORY) return no_memory(rows);
  if (rows->failed != DRAY_OK) return rows->failed;
  if (outcome == DRAY_JSON_SYNTAX) return fail_document(rows, 0);
  dray_json_parser_free(&rows->parser);
  rows->touched = outcome == DRAY_JSON_STOPPED && rows->depth > 0; // full: the next call finds what is not whole
  return DRAY_OK;
}

static int32_t feed_document(struct dray_json_rows *rows, const char *data, size_t len, int32_t end, size_t *out_used) {
  size_t used = skip_bom(rows, data, len);
  if (rows->bom_bytes > 0 && used < len) { // began like a BOM: no JSON begins so
    rows->failed = dray_json_rows_fail_here(rows, rows->error, DRAY_E_DATA_JSON, "near byte 1: the input is not JSON");
    return rows->failed;
  }
  if (used < len) {
    if (rows->parser.handle == NULL) DRAY_TRY(go_on(rows));
    if (!rows->touched) rows->touched = !is_blank(data + used, len - used);
    size_t taken = 0;
    DRAY_TRY(feed_some(rows, data + used, len - used, &taken));
    used += taken;
  }
  if (end && used == len && !rows->full) DRAY_TRY(finish_document(rows));
  *out_used = used;
  return DRAY_OK;
}

// ---- public ----

int32_t dray_json_rows_feed(struct dray_json_rows *rows, const char *data, size_t len, int32_t end, size_t *out_used,
                            int32_t *out_full, struct dray_error *error) {
  if (rows->failed != DRAY_OK) return dray_fail(error, rows->failure.code, "%s", rows->failure.text);
  if (rows->full && dray_builder_rows(rows->builder) > 0) { // nobody finished it
    *out_used = 0;
    *out_full = 1;
    return DRAY_OK;
  }
  rows->full = 0;
  rows->error = &rows->failure;
  if (len == 0) data = ""; // which may be NULL
  size_t used = 0;
  if (rows->lines) {
    (void)feed_lines(rows, data, len, end, &used);
  } else {
    (void)feed_document(rows, data, len, end, &used);
  }
  if (rows->failed != DRAY_OK) {
    dray_builder_abandon_row(rows->builder);
    return dray_fail(error, rows->failure.code, "%s", rows->failure.text);
  }
  rows->position += used;
  *out_used = used;
  *out_full = rows->full;
  return DRAY_OK;
}
