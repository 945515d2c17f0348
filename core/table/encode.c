// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The canonical encoding, as ENCODING.md specifies it. Rows are encoded in blocks, column by column: room for each row
// is made first, so that the loops over values neither ask for types nor look for room.
#include "table/encode.h"

#include <assert.h>
#include <stdlib.h>

#include "table/block.h"
#include "table/slice.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "values and bitmaps are moved as they stand in memory: a big-endian machine must turn them round"
#endif

// ---- order of columns ----

struct named {
  const char *name;
  uint32_t column;
};

static int compare_named(const void *a, const void *b) {
  const struct named *left = a, *right = b;
  return strcmp(left->name, right->name);
}

int32_t dr_encoder_init(struct dr_encoder *encoder, const struct dr_schema *schema, const uint32_t *columns,
                        size_t column_count, uint64_t seed, struct dray_error *error) {
  const size_t count = columns != NULL ? column_count : schema->field_count;
  struct named *order = malloc((count + 1) * sizeof(*order));
  uint32_t *sorted = malloc((count + 1) * sizeof(*sorted));
  if (order == NULL || sorted == NULL) {
    free(order);
    free(sorted);
    return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for an encoder of %zu columns", count);
  }
  for (size_t i = 0; i < count; i++) {
    const uint32_t column = columns != NULL ? columns[i] : (uint32_t)i;
    assert(column < schema->field_count);
    order[i] = (struct named){schema->fields[column].name, column};
  }
  qsort(order, count, sizeof(*order), compare_named);
  for (size_t i = 0; i < count; i++) sorted[i] = order[i].column;
  free(order);
  *encoder = (struct dr_encoder){seed, count, sorted};
  return DRAY_OK;
}

void dr_encoder_free(struct dr_encoder *encoder) {
  free(encoder->columns);
  encoder->columns = NULL;
  encoder->column_count = 0;
}

// ---- one value ----

#define ALWAYS_INLINE static inline __attribute__((always_inline))

#define COPY_BYTES 16u     // texts are copied in steps of as many bytes, beyond their ends
#define SHORT_TEXT 0x80u   // shorter texts have one byte of length
#define TEXT_HEAD_BYTES 6u // tag and length
#define VALUE_BYTES_MAX 19u

// An upper bound of what a value takes, without its text.
static const uint8_t value_room[] = {[DRAY_TYPE_BOOL] = 2,
                                     [DRAY_TYPE_INT64] = 9,
                                     [DRAY_TYPE_FLOAT64] = 9,
                                     [DRAY_TYPE_DECIMAL] = 19,
                                     [DRAY_TYPE_STRING] = TEXT_HEAD_BYTES,
                                     [DRAY_TYPE_BYTES] = TEXT_HEAD_BYTES,
                                     [DRAY_TYPE_DATE] = 5,
                                     [DRAY_TYPE_TIMESTAMP] = 9,
                                     [DRAY_TYPE_JSON] = TEXT_HEAD_BYTES};

static inline uint8_t tag_of(const struct dray_column_view *column) {
  return (uint8_t)(DR_TAG_VALUE + column->type.id);
}

static uint8_t *put_text_head(uint8_t *to, uint8_t tag, uint64_t len) {
  *to++ = tag;
  for (; len >= 0x80; len >>= 7) *to++ = (uint8_t)(len | 0x80);
  *to++ = (uint8_t)len;
  return to;
}

// Most texts are short, and their lengths cannot be foretold: whoever asks for them loses more time than a few bytes
// copied in vain. `safe`: COPY_BYTES behind the text may be read. As many behind its copy may be written.
ALWAYS_INLINE uint8_t *put_text(uint8_t *to, uint8_t tag, const char *from, size_t len, int safe) {
  if (len >= SHORT_TEXT || !safe) {
    to = put_text_head(to, tag, len);
    if (len > 0) memcpy(to, from, len);
    return to + len;
  }
  to[0] = tag;
  to[1] = (uint8_t)len;
  memcpy(to + 2, from, COPY_BYTES);
  for (size_t at = COPY_BYTES; at < len; at += COPY_BYTES) memcpy(to + 2 + at, from + at, COPY_BYTES);
  return to + 2 + len;
}

static inline uint64_t real_bits(double value) {
  const double sum = value + 0.0; // -0.0 + 0.0 = 0.0
  uint64_t bits;
  memcpy(&bits, &sum, sizeof(bits));
  return value != value ? DR_NAN_BITS : bits;
}

static uint8_t *put_wide_decimal(uint8_t *to, __int128 bits, int32_t scale) {
  size_t count = 0;
  for (; scale > 0 && bits % 10 == 0; scale--) bits /= 10;
  for (__int128 rest = bits; rest != 0 && rest != -1; rest >>= 8) to[3 + count++] = (uint8_t)rest;
  if (bits < 0 && (count == 0 || to[2 + count] < 0x80)) to[3 + count++] = 0xFF;
  if (bits > 0 && to[2 + count] >= 0x80) to[3 + count++] = 0;
  to[1] = (uint8_t)scale;
  to[2] = (uint8_t)count;
  return to + 3 + count;
}

// The scale is as small as the value allows, so that 1, 1.0 and 1.00 are the same bytes; and as few bytes as keep the
// sign. Nearly every decimal fits 64 bits, where that is a matter of counting zeros.
ALWAYS_INLINE uint8_t *put_decimal(uint8_t *to, struct dray_decimal value, int32_t scale) {
  int64_t small = (int64_t)value.low;
  to[0] = DR_TAG_VALUE + DRAY_TYPE_DECIMAL;
  if (value.high != small >> 63) {
    return put_wide_decimal(to, (__int128)((unsigned __int128)(uint64_t)value.high << 64 | value.low), scale);
  }
  for (; scale > 0 && small % 10 == 0; scale--) small /= 10;
  const uint64_t folded = (uint64_t)(small ^ small >> 63); // the bits that differ from the sign
  const size_t count = small == 0 ? 0 : (size_t)(64 - __builtin_clzll(folded | 1)) / 8 + 1;
  to[1] = (uint8_t)scale;
  to[2] = (uint8_t)count;
  memcpy(to + 3, &small, sizeof(small));
  return to + 3 + count;
}

// Whether COPY_BYTES behind byte `end` of a column's text are surely there: the batch's last row ends no sooner.
static inline int is_safe(const struct dray_column_view *column, uint64_t rows, int32_t end) {
  return column->offsets[(uint64_t)column->offset + rows] - end >= (int32_t)COPY_BYTES;
}

// ---- one row ----

// A value that is no text; `at` counts from the column's first.
ALWAYS_INLINE uint8_t *put_value(uint8_t *to, const struct dray_column_view *column, uint64_t at) {
  uint64_t bits;
  to[0] = tag_of(column);
  switch (column->type.id) {
  case DRAY_TYPE_BOOL:
    to[1] = ((const uint8_t *)column->values)[at >> 3] >> (at & 7) & 1;
    return to + 2;
  case DRAY_TYPE_FLOAT64:
    bits = real_bits(((const double *)column->values)[at]);
    memcpy(to + 1, &bits, sizeof(bits));
    return to + 9;
  case DRAY_TYPE_DECIMAL:
    return put_decimal(to, ((const struct dray_decimal *)column->values)[at], column->type.scale);
  case DRAY_TYPE_DATE:
    memcpy(to + 1, (const int32_t *)column->values + at, 4);
    return to + 5;
  default: // int64, timestamp
    memcpy(to + 1, (const int64_t *)column->values + at, 8);
    return to + 9;
  }
}

size_t dr_encode_room(const struct dr_encoder *encoder, const struct dr_schema *schema) {
  size_t room = COPY_BYTES;
  for (size_t c = 0; c < encoder->column_count; c++) room += value_room[schema->fields[encoder->columns[c]].type.id];
  return room;
}

// Room for `columns` values, and for `texts` bytes of text. *out_spare: how much text fits, which may be more.
static int32_t make_room(struct dray_buffer *out, size_t columns, size_t texts, uint8_t **to, size_t *out_spare,
                         struct dray_error *error) {
  const size_t room = columns * VALUE_BYTES_MAX + COPY_BYTES;
  char *data = NULL;
  DRAY_TRY(dray_buffer_reserve(out, room + texts, &data, error));
  *to = (uint8_t *)data;
  *out_spare = out->capacity - 1 - out->len - room;
  return DRAY_OK;
}

int32_t dr_encode_row(const struct dr_encoder *encoder, const struct dr_batch *batch, uint64_t row,
                      struct dray_buffer *out, struct dray_error *error) {
  const size_t count = encoder->column_count, before = out->len;
  const uint64_t rows = dr_batch_rows(batch);
  uint8_t *to = NULL;
  size_t spare = 0;
  int32_t code = make_room(out, count, 0, &to, &spare, error);
  if (code != DRAY_OK) return code;
  for (size_t c = 0; c < count; c++) {
    const uint32_t column_at = encoder->columns[c];
    const struct dray_column_view *column = &batch->view.columns[column_at];
    const uint64_t at = row + (uint64_t)column->offset;
    if (dray_column_is_null(column, row)) {
      *to++ = dr_batch_is_absent(batch, column_at, row) ? DR_TAG_ABSENT : DR_TAG_NULL;
    } else if (column->offsets == NULL) {
      to = put_value(to, column, at);
    } else {
      const int32_t from = column->offsets[at];
      const size_t len = (size_t)(column->offsets[at + 1] - from);
      if (len > spare) {
        out->len = (size_t)((char *)to - out->data);
        code = make_room(out, count - c, len, &to, &spare, error);
        if (code != DRAY_OK) goto done;
      }
      spare -= len;
      to = put_text(to, tag_of(column), column->data + from, len, is_safe(column, rows, from + (int32_t)len));
    }
  }
done:
  out->len = code == DRAY_OK ? (size_t)((char *)to - out->data) : before;
  out->data[out->len] = '\0';
  return code;
}

void dr_encode_pieces(const struct dr_encoder *encoder, const struct dr_batch *batch, uint64_t row,
                      void (*take)(void *ctx, const void *bytes, size_t len), void *ctx) {
  uint8_t piece[32];
  for (size_t c = 0; c < encoder->column_count; c++) {
    const uint32_t at = encoder->columns[c];
    const struct dray_column_view *column = &batch->view.columns[at];
    if (dray_column_is_null(column, row)) {
      piece[0] = dr_batch_is_absent(batch, at, row) ? DR_TAG_ABSENT : DR_TAG_NULL;
      take(ctx, piece, 1);
    } else if (column->offsets == NULL) {
      take(ctx, piece, (size_t)(put_value(piece, column, row + (uint64_t)column->offset) - piece));
    } else {
      const struct dray_str text = dray_column_bytes(column, row);
      take(ctx, piece, (size_t)(put_text_head(piece, tag_of(column), text.len) - piece));
      take(ctx, text.data, (size_t)text.len);
    }
  }
}

// ---- rows of a block ----

// The rows of one column in a block, taken out of all structures: what is written could be any of them, for all the
// compiler knows.
struct span {
  size_t count;
  uint64_t bits;      // values of bools
  const void *values; // those of the first row
  const int32_t *offsets;
  const char *data;
  int32_t scale;
  uint8_t tag;
  uint8_t **to;
};

// One for each kind of column, all of one shape: the value of row i with its tag.
ALWAYS_INLINE uint8_t *put_bool(uint8_t *to, const struct span *span, size_t i) {
  to[0] = span->tag;
  to[1] = (uint8_t)(span->bits >> i & 1);
  return to + 2;
}
ALWAYS_INLINE uint8_t *put_8_bytes(uint8_t *to, const struct span *span, size_t i) {
  to[0] = span->tag;
  memcpy(to + 1, (const int64_t *)span->values + i, 8);
  return to + 9;
}
ALWAYS_INLINE uint8_t *put_4_bytes(uint8_t *to, const struct span *span, size_t i) {
  to[0] = span->tag;
  memcpy(to + 1, (const int32_t *)span->values + i, 4);
  return to + 5;
}
ALWAYS_INLINE uint8_t *put_real(uint8_t *to, const struct span *span, size_t i) {
  const uint64_t bits = real_bits(((const double *)span->values)[i]);
  to[0] = span->tag;
  memcpy(to + 1, &bits, sizeof(bits));
  return to + 9;
}
ALWAYS_INLINE uint8_t *put_number(uint8_t *to, const struct span *span, size_t i) {
  return put_decimal(to, ((const struct dray_decimal *)span->values)[i], span->scale);
}
ALWAYS_INLINE uint8_t *put_bytes(uint8_t *to, const struct span *span, size_t i) {
  const int32_t from = span->offsets[i], len = span->offsets[i + 1] - from;
  return put_text(to, span->tag, span->data + from, (size_t)len, 1);
}
ALWAYS_INLINE uint8_t *put_last_bytes(uint8_t *to, const struct span *span, size_t i) {
  const int32_t from = span->offsets[i], len = span->offsets[i + 1] - from;
  return put_text(to, span->tag, span->data + from, (size_t)len, 0);
}

ALWAYS_INLINE void put_each(const struct span span, uint8_t *(*put)(uint8_t *, const struct span *, size_t)) {
  for (size_t i = 0; i < span.count; i++) span.to[i] = put(span.to[i], &span, i);
}

static void put_span(struct span *span, const struct dray_column_view *column, uint64_t at, uint64_t rows) {
  switch (column->type.id) {
  case DRAY_TYPE_BOOL:
    span->bits = dr_load_bits(column->values, at, span->count);
    put_each(*span, put_bool);
    return;
  case DRAY_TYPE_INT64:
  case DRAY_TYPE_TIMESTAMP:
    span->values = (const int64_t *)column->values + at;
    put_each(*span, put_8_bytes);
    return;
  case DRAY_TYPE_FLOAT64:
    span->values = (const double *)column->values + at;
    put_each(*span, put_real);
    return;
  case DRAY_TYPE_DECIMAL:
    span->values = (const struct dray_decimal *)column->values + at;
    put_each(*span, put_number);
    return;
  case DRAY_TYPE_DATE:
    span->values = (const int32_t *)column->values + at;
    put_each(*span, put_4_bytes);
    return;
  default:
    span->offsets = column->offsets + at;
    span->data = column->data;
    if (is_safe(column, rows, span->offsets[span->count])) {
      put_each(*span, put_bytes);
    } else { // the batch's last rows
      put_each(*span, put_last_bytes);
    }
  }
}

static inline uint8_t null_tag(uint64_t absent, size_t i) {
  return (uint8_t)(DR_TAG_NULL - (absent >> i & 1));
}

// A null is as hard to foretell as a length, so nobody asks for it: all values are written, those in the place of nulls
// too, which may be anything but are there; then the nulls go over them.
static void put_column(const struct dr_encoder *encoder, const struct dr_batch *batch, size_t c,
                       struct dr_block *block) {
  const uint32_t at = encoder->columns[c];
  const struct dray_column_view *column = &batch->view.columns[at];
  const uint8_t *absent_bits = batch->absent != NULL ? batch->absent[at] : NULL;
  const uint64_t absent = absent_bits != NULL ? dr_load_bits(absent_bits, block->first, block->count) : 0;
  const uint64_t nulls = dr_all_bits(block->count) & ~dr_valid_bits(column, block->first, block->count);
  struct span span = {.count = block->count, .tag = tag_of(column), .scale = column->type.scale, .to = block->to};
  uint8_t *starts[DR_BLOCK_ROWS];
  size_t count = 0;
  if (nulls == dr_all_bits(block->count)) { // there need not even be values
    for (size_t i = 0; i < block->count; i++) *block->to[i]++ = null_tag(absent, i);
    return;
  }
  for (uint64_t left = nulls; left != 0; left &= left - 1) starts[count++] = block->to[__builtin_ctzll(left)];
  put_span(&span, column, block->first + (uint64_t)column->offset, dr_batch_rows(batch));
  count = 0;
  for (uint64_t left = nulls; left != 0; left &= left - 1) {
    const size_t i = (size_t)__builtin_ctzll(left);
    uint8_t *const to = starts[count++];
    *to = null_tag(absent, i);
    block->to[i] = to + 1;
  }
}

// Bytes that the texts of rows have, values in the place of nulls included.
static uint64_t text_bytes(const struct dr_encoder *encoder, const struct dr_batch *batch, uint64_t first,
                           size_t count) {
  uint64_t bytes = 0;
  for (size_t c = 0; c < encoder->column_count; c++) {
    const struct dray_column_view *column = &batch->view.columns[encoder->columns[c]];
    if (column->offsets == NULL) continue;
    const int32_t *offsets = column->offsets + (uint64_t)column->offset + first;
    bytes += (uint64_t)(offsets[count] - offsets[0]);
  }
  return bytes;
}

// Gives each row its place in the scratch; all fit, so that 32 bits do for the sums.
static void place_rows(const struct dr_encoder *encoder, const struct dr_batch *batch, size_t room, uint8_t *scratch,
                       struct dr_block *block) {
  uint32_t texts[DR_BLOCK_ROWS] = {0};
  for (size_t c = 0; c < encoder->column_count; c++) {
    const struct dray_column_view *column = &batch->view.columns[encoder->columns[c]];
    if (column->offsets == NULL) continue;
    const int32_t *offsets = column->offsets + (uint64_t)column->offset + block->first;
    if (block->count == DR_BLOCK_ROWS) { // a loop of a length that the compiler knows takes four at a time
      for (size_t i = 0; i < DR_BLOCK_ROWS; i++) texts[i] += (uint32_t)offsets[i + 1] - (uint32_t)offsets[i];
    } else {
      for (size_t i = 0; i < block->count; i++) texts[i] += (uint32_t)offsets[i + 1] - (uint32_t)offsets[i];
    }
  }
  for (size_t i = 0; i < block->count; i++) {
    block->from[i] = block->to[i] = scratch;
    scratch += room + texts[i];
  }
}

size_t dr_block_encode(const struct dr_encoder *encoder, const struct dr_batch *batch, uint64_t first, size_t room,
                       uint8_t *scratch, size_t scratch_bytes, struct dr_block *out) {
  const uint64_t left = dr_batch_rows(batch) - first;
  size_t count = left < DR_BLOCK_ROWS ? (size_t)left : DR_BLOCK_ROWS;
  while (count * room + text_bytes(encoder, batch, first, count) > scratch_bytes) {
    if (count == 1) return 0;
    count /= 2;
  }
  out->first = first;
  out->count = count;
  place_rows(encoder, batch, room, scratch, out);
  for (size_t c = 0; c < encoder->column_count; c++) put_column(encoder, batch, c, out);
  return count;
}
