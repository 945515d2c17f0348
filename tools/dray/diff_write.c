// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The changes of a comparison for programs: NDJSON and CSV. Many changes are made whole in memory, by several
// threads, and written at once.
#include <stdlib.h>
#include <string.h>

#include "diff_out.h"
#include "dray/sdk/csv.h"
#include "dray/sdk/json.h"
#include "report.h"

#define KEY_BYTES_MAX 4096 // a name has at most 255 bytes
#define SEGMENTS_MAX 256

// Shared by the threads that write.
struct writing {
  const struct dr_compare *compare;
  struct dr_output *output;
  size_t fields;
  char **keys; // owned: ,"name": for every column, as JSON has it; NULL for CSV
  size_t *key_lens;
};

// One change on its way.
struct line {
  const struct writing *writing;
  const struct dr_compare_change *change;
  struct dray_buffer *out, *scratch;
  struct dray_error *error;
};

// Room is made once in a while: most pieces are a few bytes.
static inline int32_t put(const struct line *line, const char *text, size_t len) {
  struct dray_buffer *out = line->out;
  if (out->capacity - out->len <= len) return dray_buffer_append(out, text, len, line->error);
  memcpy(out->data + out->len, text, len);
  out->len += len;
  out->data[out->len] = '\0';
  return DRAY_OK;
}
#define PUT(line, literal) put(line, literal, sizeof(literal) - 1)

static int is_changed(const struct dr_compare_change *change, size_t column) {
  return (change->changed[column >> 3] >> (column & 7)) & 1;
}

// ---- values ----

// Whether a canonical text is to stand in JSON as it is: a number, a truth value, a document.
static int32_t is_bare(const struct line *line, const struct dr_reading *reading, struct dray_str text, int *out) {
  const int declared = reading->kind == DR_READING_DECLARED;
  const int kind = declared ? dr_reading_of_type(reading->type) : reading->kind;
  struct dray_str canonical;
  *out = 0;
  switch (kind) {
  case DR_READING_INTEGER:
  case DR_READING_NUMBER:
    *out = dr_reading_is_number(text);
    return DRAY_OK;
  case DR_READING_BOOL:
    *out = dray_str_is(text, "true") || dray_str_is(text, "false");
    return DRAY_OK;
  case DR_READING_JSON:
    return dr_reading_text(reading, text, line->scratch, &canonical, out, line->error);
  default:
    return DRAY_OK;
  }
}

// Nearly every text needs no escaping. What the border lets in is UTF-8.
static int is_plain(struct dray_str text) {
  const uint64_t ones = UINT64_C(0x0101010101010101), tops = UINT64_C(0x8080808080808080);
  uint64_t odd = 0;
  for (uint64_t i = 0; i < text.len; i += 8) {
    uint64_t word = ones * ' ';
    memcpy(&word, text.data + i, text.len - i < 8 ? (size_t)(text.len - i) : 8);
    const uint64_t quote = word ^ ones * '"', slash = word ^ ones * '\\', del = word ^ ones * 0x7F;
    // The top bit of each byte that is below 0x20, or one of the three; bytes above 0x7F say nothing of themselves.
    odd |= ((word - ones * 0x20) | (quote - ones) | (slash - ones) | (del - ones)) & ~word & tops;
  }
  return odd == 0;
}

static int32_t write_quoted(struct dray_buffer *out, struct dray_str text, struct dray_error *error) {
  char *to = NULL;
  if (!is_plain(text)) {
    struct dray_json_writer json;
    dray_json_writer_init(&json, out, error);
    dray_json_write_str(&json, text);
    return dray_json_writer_finish(&json);
  }
  DRAY_TRY(dray_buffer_reserve(out, (size_t)text.len + 2, &to, error));
  to[0] = '"';
  if (text.len > 0) memcpy(to + 1, text.data, (size_t)text.len);
  to[text.len + 1] = '"';
  out->len += (size_t)text.len + 2;
  return DRAY_OK;
}

static int32_t write_value(const struct line *line, struct dray_str text, size_t column) {
  int bare = 0;
  if (text.data == NULL) return PUT(line, "null");
  DRAY_TRY(is_bare(line, &line->writing->compare->readings[column], text, &bare));
  return bare ? put(line, text.data, (size_t)text.len) : write_quoted(line->out, text, line->error);
}

// ---- NDJSON ----

static int32_t make_keys(struct writing *w, struct dray_error *error) {
  struct dray_buffer key;
  int32_t rc = DRAY_OK;
  dray_buffer_init(&key, KEY_BYTES_MAX);
  w->keys = calloc(w->fields + 1, sizeof(*w->keys));
  w->key_lens = calloc(w->fields + 1, sizeof(*w->key_lens));
  if (w->keys == NULL || w->key_lens == NULL) {
    rc = dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for the names of columns");
  }
  for (size_t c = 0; rc == DRAY_OK && c < w->fields; c++) {
    dray_buffer_clear(&key);
    rc = dray_buffer_append_char(&key, ',', error);
    if (rc == DRAY_OK) rc = write_quoted(&key, dray_str_of(w->compare->schema->fields[c].name), error);
    if (rc == DRAY_OK) rc = dray_buffer_append_char(&key, ':', error);
    w->key_lens[c] = key.len;
    if (rc == DRAY_OK && (w->keys[c] = dray_str_dup(dray_buffer_view(&key))) == NULL) {
      rc = dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for the names of columns");
    }
  }
  dray_buffer_free(&key);
  return rc;
}

static void free_keys(struct writing *w) {
  for (size_t c = 0; w->keys != NULL && c < w->fields; c++) free(w->keys[c]);
  free(w->keys);
  free(w->key_lens);
}

// "name":VALUE, with a comma in front but for the first.
static int32_t write_member(const struct line *line, const struct dray_str *texts, size_t column, int first) {
  const struct writing *w = line->writing;
  DRAY_TRY(put(line, w->keys[column] + first, w->key_lens[column] - (size_t)first));
  return write_value(line, texts[column], column);
}

static int32_t write_key(const struct line *line) {
  const struct dr_compare_change *change = line->change;
  int first = 1;
  for (size_t c = 0; c < line->writing->fields; c++) {
    if (!line->writing->compare->is_key[c]) continue;
    DRAY_TRY(write_member(line, change->after != NULL ? change->after : change->before, c, first));
    first = 0;
  }
  return DRAY_OK;
}

static int32_t write_changed(const struct line *line) {
  const struct writing *w = line->writing;
  size_t first = 1;
  for (size_t c = 0; line->change->op == DRAY_OP_UPDATE && c < w->fields; c++) {
    if (!is_changed(line->change, c)) continue;
    DRAY_TRY(put(line, w->keys[c] + first, w->key_lens[c] - first - 1));
    first = 0;
  }
  return DRAY_OK;
}

// segments[c]: where in `out` the member of column c begins, and behind the last one where it ends; NULL: not wanted.
static int32_t write_row(const struct line *line, const struct dray_str *texts, size_t *segments) {
  const size_t fields = line->writing->fields;
  if (texts == NULL) return PUT(line, "null");
  DRAY_TRY(PUT(line, "{"));
  for (size_t c = 0; c < fields; c++) {
    if (segments != NULL) segments[c] = line->out->len;
    DRAY_TRY(write_member(line, texts, c, c == 0));
  }
  if (segments != NULL) segments[fields] = line->out->len;
  return PUT(line, "}");
}

static int32_t repeat(const struct line *line, size_t from, size_t to) {
  char *place = NULL;
  DRAY_TRY(dray_buffer_reserve(line->out, to - from, &place, line->error));
  memcpy(place, line->out->data + from, to - from);
  line->out->len += to - from;
  return DRAY_OK;
}

// The row behind an update, of which most is as in the row before it.
static int32_t write_after(const struct line *line, const size_t *segments) {
  const size_t fields = line->writing->fields;
  size_t from = segments[0];
  DRAY_TRY(PUT(line, "{"));
  for (size_t c = 0; c < fields; c++) {
    if (!is_changed(line->change, c)) continue;
    DRAY_TRY(repeat(line, from, segments[c]));
    DRAY_TRY(write_member(line, line->change->after, c, c == 0));
    from = segments[c + 1];
  }
  DRAY_TRY(repeat(line, from, segments[fields]));
  return PUT(line, "}");
}

static int32_t write_object(void *context, const struct dr_compare_change *change, struct dray_buffer *out,
                            struct dray_buffer *scratch, struct dray_error *error) {
  const struct writing *w = context;
  const struct line line = {w, change, out, scratch, error};
  size_t segments[SEGMENTS_MAX + 1];
  const int repeats = change->op == DRAY_OP_UPDATE && w->fields <= SEGMENTS_MAX;
  const char *op = dr_report_op(change->op);
  DRAY_TRY(PUT(&line, "{\"op\":\""));
  DRAY_TRY(put(&line, op, strlen(op)));
  DRAY_TRY(PUT(&line, "\",\"key\":{"));
  DRAY_TRY(write_key(&line));
  DRAY_TRY(PUT(&line, "},\"changed\":["));
  DRAY_TRY(write_changed(&line));
  DRAY_TRY(PUT(&line, "],\"before\":"));
  DRAY_TRY(write_row(&line, change->before, repeats ? segments : NULL));
  DRAY_TRY(PUT(&line, ",\"after\":"));
  DRAY_TRY(repeats ? write_after(&line, segments) : write_row(&line, change->after, NULL));
  return PUT(&line, "}\n");
}

// ---- CSV ----

static int32_t write_field(const struct line *line, const struct dray_str *texts, size_t column) {
  DRAY_TRY(PUT(line, ","));
  if (texts == NULL || texts[column].data == NULL) return DRAY_OK;
  return dray_csv_write_field(line->out, NULL, texts[column], 1, line->error);
}

// op and key: what every line of a change begins with.
static int32_t write_start(const struct line *line) {
  const struct dr_compare_change *change = line->change;
  DRAY_TRY(dray_buffer_append_str(line->out, dr_report_op(change->op), line->error));
  for (size_t c = 0; c < line->writing->fields; c++) {
    if (!line->writing->compare->is_key[c]) continue;
    DRAY_TRY(write_field(line, change->after != NULL ? change->after : change->before, c));
  }
  return PUT(line, ",");
}

static int32_t write_lines(void *context, const struct dr_compare_change *change, struct dray_buffer *out,
                           struct dray_buffer *scratch, struct dray_error *error) {
  const struct writing *w = context;
  const struct dr_schema *schema = w->compare->schema;
  const struct line line = {w, change, out, scratch, error};
  int lines = 0;
  for (size_t c = 0; c < w->fields; c++) {
    if (w->compare->is_key[c] || (change->op == DRAY_OP_UPDATE && !is_changed(change, c))) continue;
    DRAY_TRY(write_start(&line));
    DRAY_TRY(dray_csv_write_field(out, NULL, dray_str_of(schema->fields[c].name), 1, error));
    DRAY_TRY(write_field(&line, change->before, c));
    DRAY_TRY(write_field(&line, change->after, c));
    DRAY_TRY(PUT(&line, "\n"));
    lines++;
  }
  if (lines > 0) return DRAY_OK;
  DRAY_TRY(write_start(&line)); // a row of nothing but its key
  return PUT(&line, ",,\n");
}

static int32_t write_header(const struct writing *w, struct dray_buffer *out, struct dray_error *error) {
  DRAY_TRY(dray_buffer_append_str(out, "op", error));
  for (size_t c = 0; c < w->fields; c++) {
    if (!w->compare->is_key[c]) continue;
    DRAY_TRY(dray_buffer_append_char(out, ',', error));
    DRAY_TRY(dray_csv_write_field(out, NULL, dray_str_of(w->compare->schema->fields[c].name), 1, error));
  }
  return dray_buffer_append_str(out, ",column,before,after\n", error);
}

// ---- all of them ----

static int take(void *context, struct dray_buffer *text) {
  const struct writing *w = context;
  dr_print_buffer(w->output, text);
  return w->output->failed == 0;
}

int32_t dr_diff_ndjson(struct dr_output *output, struct dr_compare *compare, struct dray_error *error) {
  struct writing w = {.compare = compare, .output = output};
  const struct dr_compare_teller teller = {write_object, take, &w, DR_COMPARE_ALL_OPS, UINT64_MAX};
  w.fields = compare->schema != NULL ? compare->schema->field_count : 0;
  int32_t rc = make_keys(&w, error);
  if (rc == DRAY_OK) rc = dr_compare_tell(compare, &teller, error);
  free_keys(&w);
  return rc;
}

int32_t dr_diff_csv(struct dr_output *output, struct dr_compare *compare, struct dray_error *error) {
  struct writing w = {.compare = compare, .output = output};
  const struct dr_compare_teller teller = {write_lines, take, &w, DR_COMPARE_ALL_OPS, UINT64_MAX};
  struct dray_buffer header;
  w.fields = compare->schema != NULL ? compare->schema->field_count : 0;
  dray_buffer_init(&header, 1u << 30);
  const int32_t rc = write_header(&w, &header, error);
  if (rc == DRAY_OK) dr_print_buffer(output, &header);
  dray_buffer_free(&header);
  return rc == DRAY_OK ? dr_compare_tell(compare, &teller, error) : rc;
}
