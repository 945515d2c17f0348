// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The builder: values are appended row by row and leave as an Arrow struct array, whose buffers are handed over, not
// copied. An append reserves all it needs before it writes anything, so that a failed one changes nothing.
// Validity bitmaps are made when the first null comes.
#include <stdlib.h>

#include "column_inside.h"
#include "dray/sdk/json.h"

#define REASON_BYTES_MAX (2 * DRAY_ERROR_TEXT_MAX)
#define TEXT_BYTES_MAX ((uint64_t)INT32_MAX) // Arrow's offsets are int32
#define ROWS_MAX ((uint64_t)INT32_MAX)
#define SHORT_BYTES 64 // texts up to this are copied and looked at in one go

struct grow {
  void *data; // owned
  size_t capacity;
  size_t hint; // what the batch before needed
};

struct column {
  struct dray_type type;
  unsigned takes;      // bit 1 << type.id; 0: nothing is appended by its caller (_dray_absent)
  const char *name;    // of the builder's schema
  int64_t absent_bit;  // -1: reserved
  uint64_t count;      // values, the open row's included
  uint64_t room;       // values for which there is memory in `values` and, once there is one, in `validity`
  uint64_t null_count; // as count
  uint64_t data_bytes; // used of `data`
  struct grow validity, values, data;
};

struct dray_builder {
  struct ArrowSchema schema; // owned copy
  size_t column_count;
  struct column *columns; // owned
  uint64_t rows;          // ended
  uint64_t row_bytes;     // of the open row
  uint64_t rows_max;      // between two that each value adds to: one load of both would miss the store forwarding
  size_t row_columns;     // appended to in the open row, without _dray_absent
  uint64_t bytes_max;
  uint64_t bytes;            // of ended rows
  ptrdiff_t absent;          // index of _dray_absent, -1: none
  ptrdiff_t bad;             // index of _dray_error, -1: none
  struct dray_buffer misfit; // why the open row is a bad one; empty: it is none
  int misfit_told;           // that stands in its error column
  uint8_t *absent_bits;      // owned: the open row's
  size_t absent_bytes;       // length of absent_bits
  int absent_given;          // the caller appended to _dray_absent in the open row
  struct dray_buffer scratch;
};

// ---- life ----

static int32_t describe_column(const struct ArrowSchema *schema, struct column *column, int64_t *next_bit,
                               struct dray_error *error) {
  DRAY_TRY(dray_schema_type(schema, &column->type, error));
  column->takes = 1u << column->type.id;
  column->name = schema->name != NULL ? schema->name : "";
  column->absent_bit = dray_column_reserved(column->name) ? -1 : (*next_bit)++;
  return DRAY_OK;
}

static int32_t describe(struct dray_builder *builder, struct dray_error *error) {
  int64_t bits = 0;
  for (size_t i = 0; i < builder->column_count; i++) {
    struct column *column = &builder->columns[i];
    DRAY_TRY(describe_column(builder->schema.children[i], column, &bits, error));
    if (strcmp(column->name, DRAY_COLUMN_ERROR) == 0) builder->bad = (ptrdiff_t)i;
    if (strcmp(column->name, DRAY_COLUMN_ABSENT) != 0) continue;
    if (column->type.id != DRAY_TYPE_BYTES || builder->absent >= 0) {
      return dray_fail(error, DRAY_E_SCHEMA_TYPE, "%s must be one column of bytes", DRAY_COLUMN_ABSENT);
    }
    builder->absent = (ptrdiff_t)i;
    column->takes = 0;
  }
  builder->absent_bytes = (size_t)(bits + 7) / 8;
  return DRAY_OK;
}

int32_t dray_builder_new(const struct ArrowSchema *schema, uint64_t rows_max, uint64_t bytes_max,
                         struct dray_builder **out, struct dray_error *error) {
  struct dray_builder *builder = calloc(1, sizeof *builder);
  int32_t code = DRAY_E_OUT_OF_MEMORY;
  if (builder == NULL) return dray_fail(error, code, "no memory for a builder");
  builder->rows_max = rows_max == 0 || rows_max > ROWS_MAX ? ROWS_MAX : rows_max;
  builder->bytes_max = bytes_max == 0 ? UINT64_MAX : bytes_max;
  builder->absent = builder->bad = -1;
  dray_buffer_init(&builder->scratch, (size_t)TEXT_BYTES_MAX);
  dray_buffer_init(&builder->misfit, REASON_BYTES_MAX);
  code = dray_schema_copy(schema, &builder->schema, error);
  if (code != DRAY_OK) goto done;
  if (strcmp(builder->schema.format, "+s") != 0) {
    code = dray_fail(error, DRAY_E_SCHEMA_TYPE, "a batch is a struct ('+s'), not '%s'", builder->schema.format);
    goto done;
  }
  builder->column_count = (size_t)builder->schema.n_children;
  builder->columns = calloc(builder->column_count + 1, sizeof *builder->columns);
  if (builder->columns != NULL) code = describe(builder, error);
  if (builder->columns != NULL && code != DRAY_OK) goto done;
  builder->absent_bits = calloc(builder->absent_bytes + 1, 1);
  if (builder->columns == NULL || builder->absent_bits == NULL) {
    code = dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a builder of %zu columns", builder->column_count);
  }
done:
  if (code != DRAY_OK) {
    dray_builder_free(builder);
    return code;
  }
  *out = builder;
  return DRAY_OK;
}

void dray_builder_free(struct dray_builder *builder) {
  if (builder == NULL) return;
  for (size_t i = 0; builder->columns != NULL && i < builder->column_count; i++) {
    free(builder->columns[i].validity.data);
    free(builder->columns[i].values.data);
    free(builder->columns[i].data.data);
  }
  free(builder->columns);
  free(builder->absent_bits);
  dray_schema_release(&builder->schema);
  dray_buffer_free(&builder->scratch);
  dray_buffer_free(&builder->misfit);
  free(builder);
}

// ---- room ----

static int32_t reserve_slow(struct grow *grow, size_t bytes, struct dray_error *error) {
  size_t capacity = grow->capacity == 0 ? grow->hint + grow->hint / 8 : grow->capacity * 2;
  if (capacity < bytes) capacity = bytes;
  capacity = (capacity + 63) & ~(size_t)63;
  void *data = realloc(grow->data, capacity);
  if (data == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a column of %zu bytes", capacity);
  grow->data = data;
  grow->capacity = capacity;
  return DRAY_OK;
}

static inline int32_t reserve(struct grow *grow, size_t bytes, struct dray_error *error) {
  return bytes <= grow->capacity ? DRAY_OK : reserve_slow(grow, bytes, error);
}

// Writes the whole byte at its first bit, so that no byte is ever half unset.
static inline void put_bit(void *bits, uint64_t i, int value) {
  uint8_t *byte = (uint8_t *)bits + (i >> 3);
  const uint8_t mask = (uint8_t)(1u << (i & 7));
  if (mask == 1) {
    *byte = (uint8_t)value;
  } else if (value) {
    *byte |= mask;
  } else {
    *byte &= (uint8_t)~mask;
  }
}

static uint64_t room_in(const struct column *column) {
  const size_t width = dray_type_width(column->type.id), bytes = column->values.capacity;
  const uint64_t bits = (uint64_t)column->validity.capacity * 8;
  uint64_t values = 0;
  if (width != 0) {
    values = bytes / width;
  } else if (column->type.id == DRAY_TYPE_BOOL) {
    values = (uint64_t)bytes * 8;
  } else if (bytes > 0) {
    values = bytes / sizeof(int32_t) - 1; // offsets are one more
  }
  return column->validity.data != NULL && bits < values ? bits : values;
}

static int32_t make_room(struct column *column, struct dray_error *error) {
  const size_t count = (size_t)column->count, width = dray_type_width(column->type.id);
  size_t bytes = (count + 2) * sizeof(int32_t);
  if (width != 0) bytes = (count + 1) * width;
  if (column->type.id == DRAY_TYPE_BOOL) bytes = count / 8 + 1;
  if (column->validity.data != NULL) DRAY_TRY(reserve(&column->validity, count / 8 + 1, error));
  DRAY_TRY(reserve(&column->values, bytes, error));
  column->room = room_in(column);
  return DRAY_OK;
}

// Room for one more value, the validity bit included once there is a bitmap. Texts need room in `data` besides.
static inline int32_t reserve_value(struct column *column, struct dray_error *error) {
  return column->count < column->room ? DRAY_OK : make_room(column, error);
}

// Begins the bitmap: everything so far was a value.
static int32_t make_validity(struct column *column, struct dray_error *error) {
  const size_t bytes = (size_t)column->count / 8 + 1;
  DRAY_TRY(reserve(&column->validity, bytes, error));
  memset(column->validity.data, 0xFF, bytes);
  column->room = room_in(column);
  return DRAY_OK;
}

// ---- appends ----

static int32_t refuse_column(const struct dray_builder *builder, size_t index, const char *given,
                             struct dray_error *error) {
  char type[24];
  if (index >= builder->column_count) {
    return dray_fail(error, DRAY_E_PLUGIN_CONTRACT, "a value was appended to column %zu of %zu", index,
                     builder->column_count);
  }
  const struct column *column = &builder->columns[index];
  if (column->count != builder->rows || (ptrdiff_t)index == builder->absent) {
    return dray_fail_field(error, DRAY_E_PLUGIN_CONTRACT, column->name, "column '%s' was appended to twice in one row",
                           column->name);
  }
  return dray_fail_field(error, DRAY_E_DATA_TYPE, column->name, "column '%s' is %s and takes no %s", column->name,
                         dray_type_format(column->type, type, sizeof type), given);
}

// The column, when it is one of `types` (bits 1 << id) and has nothing in this row yet; else NULL.
static inline struct column *claim(struct dray_builder *builder, size_t index, unsigned types) {
  if (index >= builder->column_count) return NULL;
  struct column *column = &builder->columns[index];
  return column->count == builder->rows && (column->takes & types) != 0 ? column : NULL;
}

static inline void settle(struct dray_builder *builder, struct column *column, uint64_t bytes) {
  if (column->validity.data != NULL) put_bit(column->validity.data, column->count, 1);
  column->count++;
  builder->row_columns++;
  builder->row_bytes += bytes;
}

// The text's bytes are in `data` already.
static inline void put_end(struct column *column, uint64_t len) {
  int32_t *offsets = column->values.data;
  if (column->count == 0) offsets[0] = 0;
  column->data_bytes += len;
  offsets[column->count + 1] = (int32_t)column->data_bytes;
}

static inline void put_zero(struct column *column) {
  switch (column->type.id) {
  case DRAY_TYPE_BOOL:
    put_bit(column->values.data, column->count, 0);
    return;
  case DRAY_TYPE_DECIMAL:
    ((struct dray_decimal *)column->values.data)[column->count] = (struct dray_decimal){0, 0};
    return;
  case DRAY_TYPE_DATE:
    ((int32_t *)column->values.data)[column->count] = 0;
    return;
  case DRAY_TYPE_INT64:
  case DRAY_TYPE_FLOAT64:
  case DRAY_TYPE_TIMESTAMP:
    ((int64_t *)column->values.data)[column->count] = 0;
    return;
  default:
    put_end(column, 0);
    return;
  }
}

static int32_t append_null(struct dray_builder *builder, struct column *column, struct dray_error *error) {
  DRAY_TRY(reserve_value(column, error));
  if (column->validity.data == NULL) DRAY_TRY(make_validity(column, error));
  put_zero(column);
  put_bit(column->validity.data, column->count, 0);
  column->count++;
  column->null_count++;
  builder->row_bytes += dray_type_width(column->type.id) + 1;
  return DRAY_OK;
}

// Bytes for _dray_absent wait in absent_bits until the row ends.
static int32_t give_absent(struct dray_builder *builder, struct dray_str bits, struct dray_error *error) {
  if (builder->absent_given) return refuse_column(builder, (size_t)builder->absent, "bytes", error);
  if (bits.len > builder->absent_bytes) {
    return dray_fail_field(error, DRAY_E_DATA_TYPE, DRAY_COLUMN_ABSENT, "%s takes at most %zu bytes, not %llu",
                           DRAY_COLUMN_ABSENT, builder->absent_bytes, (unsigned long long)bits.len);
  }
  for (uint64_t i = 0; i < bits.len; i++) builder->absent_bits[i] |= (uint8_t)bits.data[i];
  builder->absent_given = 1;
  return DRAY_OK;
}

int32_t dray_builder_null(struct dray_builder *builder, size_t index, struct dray_error *error) {
  if (builder->absent >= 0 && index == (size_t)builder->absent) {
    return give_absent(builder, dray_str_make(NULL, 0), error);
  }
  struct column *column = claim(builder, index, ~0u);
  if (column == NULL) return refuse_column(builder, index, "null", error);
  DRAY_TRY(append_null(builder, column, error));
  builder->row_columns++;
  return DRAY_OK;
}

int32_t dray_builder_bool(struct dray_builder *builder, size_t index, int32_t value, struct dray_error *error) {
  struct column *column = claim(builder, index, 1u << DRAY_TYPE_BOOL);
  if (column == NULL) return refuse_column(builder, index, "bool", error);
  DRAY_TRY(reserve_value(column, error));
  put_bit(column->values.data, column->count, value != 0);
  settle(builder, column, 1);
  return DRAY_OK;
}

int32_t dray_builder_int64(struct dray_builder *builder, size_t index, int64_t value, struct dray_error *error) {
  struct column *column = claim(builder, index, 1u << DRAY_TYPE_INT64);
  if (column == NULL) return refuse_column(builder, index, "int64", error);
  DRAY_TRY(reserve_value(column, error));
  ((int64_t *)column->values.data)[column->count] = value;
  settle(builder, column, 8);
  return DRAY_OK;
}

int32_t dray_builder_float64(struct dray_builder *builder, size_t index, double value, struct dray_error *error) {
  struct column *column = claim(builder, index, 1u << DRAY_TYPE_FLOAT64);
  if (column == NULL) return refuse_column(builder, index, "float64", error);
  DRAY_TRY(reserve_value(column, error));
  ((double *)column->values.data)[column->count] = value;
  settle(builder, column, 8);
  return DRAY_OK;
}

int32_t dray_builder_decimal(struct dray_builder *builder, size_t index, struct dray_decimal value,
                             struct dray_error *error) {
  struct column *column = claim(builder, index, 1u << DRAY_TYPE_DECIMAL);
  if (column == NULL) return refuse_column(builder, index, "decimal", error);
  if (!dray_decimal_fits(value, column->type.precision)) {
    char text[DRAY_FORMAT_BYTES_MAX];
    (void)dray_format_decimal(value, column->type.scale, text);
    return dray_fail_field(error, DRAY_E_DATA_OVERFLOW, column->name, "%s does not fit decimal(%d,%d)", text,
                           column->type.precision, column->type.scale);
  }
  DRAY_TRY(reserve_value(column, error));
  ((struct dray_decimal *)column->values.data)[column->count] = value;
  settle(builder, column, 16);
  return DRAY_OK;
}

int32_t dray_builder_date(struct dray_builder *builder, size_t index, int32_t days, struct dray_error *error) {
  struct column *column = claim(builder, index, 1u << DRAY_TYPE_DATE);
  if (column == NULL) return refuse_column(builder, index, "date", error);
  if (days < DRAY_DATE_MIN || days > DRAY_DATE_MAX) {
    return dray_fail_field(error, DRAY_E_DATA_DATE, column->name, "day %d is outside the years 0001 to 9999", days);
  }
  DRAY_TRY(reserve_value(column, error));
  ((int32_t *)column->values.data)[column->count] = days;
  settle(builder, column, 4);
  return DRAY_OK;
}

int32_t dray_builder_timestamp(struct dray_builder *builder, size_t index, int64_t us, struct dray_error *error) {
  struct column *column = claim(builder, index, 1u << DRAY_TYPE_TIMESTAMP);
  if (column == NULL) return refuse_column(builder, index, "timestamp", error);
  if (us < DRAY_TIMESTAMP_MIN || us > DRAY_TIMESTAMP_MAX) {
    return dray_fail_field(error, DRAY_E_DATA_DATE, column->name, "%lld µs is outside the years 0001 to 9999",
                           (long long)us);
  }
  DRAY_TRY(reserve_value(column, error));
  ((int64_t *)column->values.data)[column->count] = us;
  settle(builder, column, 8);
  return DRAY_OK;
}

static int32_t refuse_text(const struct column *column, struct dray_str value, struct dray_error *error) {
  return dray_fail_field(error, DRAY_E_DATA_UTF8, column->name,
                         "'%.*s' is not valid UTF-8 from its byte %llu on, or holds a NUL", DRAY_VALUE_ARG(value),
                         (unsigned long long)dray_value_shown(value) + 1);
}

// Copies a text of at most SHORT_BYTES; 1 when all of it is ASCII without a NUL, which most text is. 0 tells nothing.
static int copy_short(char *to, const char *from, size_t len) {
  uint64_t word = 1, odd = 0;
  if (len >= 8) {
    for (size_t i = 0; i + 8 < len; i += 8) {
      memcpy(&word, from + i, 8);
      memcpy(to + i, &word, 8);
      odd |= dray_text_odd(word);
    }
    memcpy(&word, from + len - 8, 8); // some of what came before again, where the length is no multiple of 8
    memcpy(to + len - 8, &word, 8);
    return (odd | dray_text_odd(word)) == 0;
  }
  for (size_t i = 0; i < len; i++) {
    to[i] = from[i];
    odd |= (uint64_t)((signed char)from[i] <= 0);
  }
  return odd == 0;
}

// The same with `size` bytes read and written whatever the length, which saves a guess of the processor: called with
// constants.
static inline __attribute__((always_inline)) int copy_whole(char *to, const char *from, size_t len, size_t size) {
  static const uint64_t ones = UINT64_C(0x0101010101010101);
  static const unsigned char keep[2 * SHORT_BYTES] = {[0 ... SHORT_BYTES - 1] = 0xFF};
  const unsigned char *mask = keep + SHORT_BYTES - len; // as many bytes of 0xFF
  uint64_t odd = 0;
  for (size_t i = 0; i < size; i += 8) {
    uint64_t word, kept;
    memcpy(&word, from + i, 8);
    memcpy(&kept, mask + i, 8);
    memcpy(to + i, &word, 8);
    odd |= dray_text_odd((word & kept) | (ones & ~kept));
  }
  return odd == 0;
}

// Copies to the end of `data`, where there is room. 1: it is a text that a column takes, or need not be one.
static inline int copy_text(struct column *column, struct dray_str value, uint64_t readable, int is_text) {
  char *to = (char *)column->data.data + column->data_bytes;
  int plain = 0;
  if (value.len <= SHORT_BYTES / 4 && readable >= SHORT_BYTES / 4) {
    plain = copy_whole(to, value.data, value.len, SHORT_BYTES / 4);
  } else if (value.len <= SHORT_BYTES && readable >= SHORT_BYTES) {
    plain = copy_whole(to, value.data, value.len, SHORT_BYTES);
  } else if (value.len <= SHORT_BYTES) {
    plain = copy_short(to, value.data, value.len);
  } else {
    memcpy(to, value.data, (size_t)value.len);
  }
  return plain || !is_text || dray_text_valid(value);
}

static int32_t append_bytes(struct dray_builder *builder, struct column *column, struct dray_str value,
                            uint64_t readable, struct dray_error *error) {
  const int is_text = column->type.id != DRAY_TYPE_BYTES;
  if (value.len > TEXT_BYTES_MAX - column->data_bytes) {
    if (is_text && !dray_text_valid(value)) return refuse_text(column, value, error);
    return dray_fail_field(error, DRAY_E_DATA_TOO_LARGE, column->name,
                           "a value of %llu bytes passes the 2 GiB that one column of a batch holds",
                           (unsigned long long)value.len);
  }
  DRAY_TRY(reserve_value(column, error));
  DRAY_TRY(reserve(&column->data, (size_t)(column->data_bytes + value.len + SHORT_BYTES), error));
  if (!copy_text(column, value, readable, is_text)) return refuse_text(column, value, error);
  put_end(column, value.len);
  settle(builder, column, value.len + sizeof(int32_t));
  return DRAY_OK;
}

#define TEXT_TYPES (1u << DRAY_TYPE_STRING | 1u << DRAY_TYPE_BYTES | 1u << DRAY_TYPE_JSON)

int32_t dray_builder_bytes_within(struct dray_builder *builder, size_t index, struct dray_str value, uint64_t readable,
                                  struct dray_error *error) {
  if (builder->absent >= 0 && index == (size_t)builder->absent) return give_absent(builder, value, error);
  struct column *column = claim(builder, index, TEXT_TYPES);
  if (column == NULL) return refuse_column(builder, index, "bytes", error);
  return append_bytes(builder, column, value, readable, error);
}

int32_t dray_builder_bytes(struct dray_builder *builder, size_t index, struct dray_str value,
                           struct dray_error *error) {
  return dray_builder_bytes_within(builder, index, value, value.len, error);
}

// ---- text of any type ----

static int32_t text_as_parsed(struct dray_builder *builder, size_t index, struct dray_str text,
                              struct dray_error *error) {
  const struct dray_type type = builder->columns[index].type;
  int32_t small = 0;
  int64_t number = 0;
  double real = 0;
  struct dray_decimal decimal;
  switch (type.id) {
  case DRAY_TYPE_BOOL:
    DRAY_TRY(dray_parse_bool(text, &small, error));
    return dray_builder_bool(builder, index, small, error);
  case DRAY_TYPE_INT64:
    DRAY_TRY(dray_parse_int64(text, &number, error));
    return dray_builder_int64(builder, index, number, error);
  case DRAY_TYPE_FLOAT64:
    DRAY_TRY(dray_parse_float64(text, &real, error));
    return dray_builder_float64(builder, index, real, error);
  case DRAY_TYPE_DECIMAL:
    DRAY_TRY(dray_parse_decimal(text, type.precision, type.scale, &decimal, error));
    return dray_builder_decimal(builder, index, decimal, error);
  case DRAY_TYPE_DATE:
    DRAY_TRY(dray_parse_date(text, &small, error));
    return dray_builder_date(builder, index, small, error);
  case DRAY_TYPE_TIMESTAMP:
    DRAY_TRY(dray_parse_timestamp(text, &number, error));
    return dray_builder_timestamp(builder, index, number, error);
  default:
    break;
  }
  dray_buffer_clear(&builder->scratch);
  if (type.id == DRAY_TYPE_BYTES) {
    DRAY_TRY(dray_base64_decode(text, &builder->scratch, error));
  } else {
    DRAY_TRY(dray_json_compact(text, &builder->scratch, error));
  }
  return dray_builder_bytes(builder, index, dray_buffer_view(&builder->scratch), error);
}

int32_t dray_builder_text(struct dray_builder *builder, size_t index, struct dray_str text, struct dray_error *error) {
  if (index >= builder->column_count) return refuse_column(builder, index, "text", error);
  if (builder->columns[index].type.id == DRAY_TYPE_STRING) return dray_builder_bytes(builder, index, text, error);
  return text_as_parsed(builder, index, text, error);
}

// ---- rows ----

// Columns that nobody appended to. Those filled before a failure stay filled, with their absent bits set: the row can
// be ended again or abandoned.
static int32_t fill_missing(struct dray_builder *builder, struct dray_error *error) {
  for (size_t i = 0; i < builder->column_count; i++) {
    struct column *column = &builder->columns[i];
    if (column->count != builder->rows || (ptrdiff_t)i == builder->absent) continue;
    DRAY_TRY(append_null(builder, column, error));
    if (builder->absent >= 0 && column->absent_bit >= 0) {
      builder->absent_bits[column->absent_bit >> 3] |= (uint8_t)(1u << (column->absent_bit & 7));
    }
  }
  return DRAY_OK;
}

static int32_t end_absent(struct dray_builder *builder, struct dray_error *error) {
  struct column *column = &builder->columns[builder->absent];
  int any = 0;
  for (size_t i = 0; i < builder->absent_bytes; i++) any |= builder->absent_bits[i];
  if (!any) return append_null(builder, column, error);
  const struct dray_str bits = dray_str_make((const char *)builder->absent_bits, builder->absent_bytes);
  return append_bytes(builder, column, bits, bits.len, error);
}

// The reason of a bad row. Names and values in it may have been cut in the middle of a character.
static int32_t put_reason(struct dray_builder *builder, size_t error_column, struct dray_str reason,
                          struct dray_error *error) {
  if (dray_text_valid(reason)) return dray_builder_bytes(builder, error_column, reason, error);
  dray_buffer_clear(&builder->scratch);
  DRAY_TRY(dray_buffer_append(&builder->scratch, reason.data, (size_t)reason.len, error));
  for (size_t i = 0; i < builder->scratch.len; i++) {
    const unsigned char c = (unsigned char)builder->scratch.data[i];
    if (c >= 0x80 || c == 0) builder->scratch.data[i] = '?';
  }
  return dray_builder_bytes(builder, error_column, dray_buffer_view(&builder->scratch), error);
}

// The error column: null in a good row.
static int32_t end_bad(struct dray_builder *builder, struct dray_error *error) {
  const size_t bad = (size_t)builder->bad;
  const int open = builder->columns[bad].count == builder->rows;
  if (builder->misfit.len == 0) return open ? dray_builder_null(builder, bad, error) : DRAY_OK;
  if (builder->misfit_told) return DRAY_OK;
  DRAY_TRY(put_reason(builder, bad, dray_buffer_view(&builder->misfit), error));
  builder->misfit_told = 1;
  return DRAY_OK;
}

static void begin_row(struct dray_builder *builder) {
  if (builder->misfit.len > 0) dray_buffer_clear(&builder->misfit);
  builder->misfit_told = 0;
  builder->row_bytes = 0;
  builder->row_columns = 0;
  builder->absent_given = 0;
  if (builder->absent >= 0) memset(builder->absent_bits, 0, builder->absent_bytes);
}

int32_t dray_builder_end_row(struct dray_builder *builder, int32_t *out_full, struct dray_error *error) {
  if (builder->rows == ROWS_MAX) {
    return dray_fail(error, DRAY_E_LIMIT, "a batch holds at most %llu rows", (unsigned long long)ROWS_MAX);
  }
  if (builder->bad >= 0) DRAY_TRY(end_bad(builder, error));
  if (builder->row_columns < builder->column_count) DRAY_TRY(fill_missing(builder, error));
  if (builder->absent >= 0) DRAY_TRY(end_absent(builder, error));
  builder->rows++;
  builder->bytes += builder->row_bytes;
  begin_row(builder);
  if (out_full != NULL) *out_full = builder->rows >= builder->rows_max || builder->bytes >= builder->bytes_max;
  return DRAY_OK;
}

int32_t dray_builder_end_bad_row(struct dray_builder *builder, size_t error_column, struct dray_str reason,
                                 int32_t *out_full, struct dray_error *error) {
  DRAY_TRY(put_reason(builder, error_column, reason, error));
  for (size_t i = 0; i < builder->column_count; i++) {
    if (builder->columns[i].count != builder->rows || (ptrdiff_t)i == builder->absent) continue;
    DRAY_TRY(dray_builder_null(builder, i, error));
  }
  return dray_builder_end_row(builder, out_full, error);
}

int32_t dray_builder_misfit(struct dray_builder *builder, size_t index, const struct dray_error *why,
                            struct dray_error *error) {
  if (builder->bad < 0 || dray_error_info(why->code)->error_class != DRAY_CLASS_DATA) {
    if (error != NULL) *error = *why;
    return why->code;
  }
  const int is_first = builder->misfit.len == 0;
  if (is_first) {
    const char *name = index < builder->column_count ? builder->columns[index].name : "?";
    DRAY_TRY(dray_buffer_printf(&builder->misfit, error, "%s: column '%s': %s", dray_error_info(why->code)->name, name,
                                why->text));
  }
  const int32_t code = dray_builder_null(builder, index, error);
  if (code != DRAY_OK && is_first) dray_buffer_clear(&builder->misfit);
  return code;
}

void dray_builder_abandon_row(struct dray_builder *builder) {
  for (size_t i = 0; i < builder->column_count; i++) {
    struct column *column = &builder->columns[i];
    if (column->count == builder->rows) continue;
    column->count--;
    if (column->validity.data != NULL) {
      const uint8_t byte = ((const uint8_t *)column->validity.data)[column->count >> 3];
      column->null_count -= (uint64_t)((byte >> (column->count & 7)) & 1) ^ 1;
    }
    if (dray_type_is_text(column->type.id)) {
      column->data_bytes = (uint64_t)((const int32_t *)column->values.data)[column->count];
    }
  }
  begin_row(builder);
}

uint64_t dray_builder_rows(const struct dray_builder *builder) {
  return builder->rows;
}

struct dray_type dray_builder_type(const struct dray_builder *builder, size_t column) {
  return column < builder->column_count ? builder->columns[column].type : (struct dray_type){0, 0, 0};
}

const struct ArrowSchema *dray_builder_schema(const struct dray_builder *builder) {
  return &builder->schema;
}

// ---- handing over ----

struct child_private {
  const void *buffers[3]; // owned
};

struct batch_private {
  struct ArrowArray *children; // owned; one that was moved out has no release
  const void *buffers[1];
};

static void release_child(struct ArrowArray *array) {
  struct child_private *private_data = array->private_data;
  for (int i = 0; i < 3; i++) free((void *)(uintptr_t)private_data->buffers[i]);
  free(private_data);
  array->release = NULL;
}

static void release_batch(struct ArrowArray *array) {
  struct batch_private *private_data = array->private_data;
  for (int64_t i = 0; i < array->n_children; i++) dray_array_release(&private_data->children[i]);
  free(private_data->children);
  free(private_data);
  array->release = NULL;
}

// An empty struct array with all the memory that handing over needs.
static int32_t make_batch(size_t column_count, struct ArrowArray *out, struct dray_error *error) {
  struct batch_private *private_data = calloc(1, sizeof *private_data + column_count * sizeof(void *));
  struct ArrowArray *children = calloc(column_count + 1, sizeof *children);
  if (private_data == NULL || children == NULL) {
    free(private_data);
    free(children);
    return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a batch of %zu columns", column_count);
  }
  struct ArrowArray **pointers = (struct ArrowArray **)(void *)(private_data + 1);
  private_data->children = children;
  *out = (struct ArrowArray){.n_buffers = 1,
                             .n_children = (int64_t)column_count,
                             .buffers = private_data->buffers,
                             .children = column_count > 0 ? pointers : NULL,
                             .release = release_batch,
                             .private_data = private_data};
  for (size_t i = 0; i < column_count; i++) {
    pointers[i] = &children[i];
    children[i].private_data = calloc(1, sizeof(struct child_private));
    if (children[i].private_data == NULL) {
      dray_array_release(out);
      return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a batch of %zu columns", column_count);
    }
    children[i].release = release_child;
  }
  return DRAY_OK;
}

static void *hand_over(struct grow *grow, size_t used) {
  void *data = grow->data;
  *grow = (struct grow){NULL, 0, used};
  return data;
}

static void move_column(struct column *column, struct ArrowArray *child) {
  struct child_private *private_data = child->private_data;
  const size_t count = (size_t)column->count, width = dray_type_width(column->type.id);
  const int text = dray_type_is_text(column->type.id);
  if (column->null_count == 0) { // the only null was abandoned
    free(column->validity.data);
    column->validity = (struct grow){NULL, 0, 0};
  }
  const size_t used = text ? (count + 1) * sizeof(int32_t) : width != 0 ? count * width : count / 8 + 1;
  private_data->buffers[0] = hand_over(&column->validity, 0);
  private_data->buffers[1] = hand_over(&column->values, used);
  private_data->buffers[2] = hand_over(&column->data, (size_t)column->data_bytes);
  child->length = (int64_t)count;
  child->null_count = (int64_t)column->null_count;
  child->n_buffers = text ? 3 : 2;
  child->buffers = private_data->buffers;
  column->count = column->room = column->null_count = column->data_bytes = 0;
}

int32_t dray_builder_finish(struct dray_builder *builder, struct ArrowArray *out, struct dray_error *error) {
  struct ArrowArray batch;
  if (builder->row_columns > 0 || builder->absent_given) {
    return dray_fail(error, DRAY_E_PLUGIN_CONTRACT, "a batch was finished in the middle of its row %llu",
                     (unsigned long long)builder->rows + 1);
  }
  if (builder->rows == 0) {
    memset(out, 0, sizeof *out);
    return DRAY_OK;
  }
  DRAY_TRY(make_batch(builder->column_count, &batch, error));
  for (size_t i = 0; i < builder->column_count; i++) move_column(&builder->columns[i], batch.children[i]);
  batch.length = (int64_t)builder->rows;
  builder->rows = builder->bytes = 0;
  begin_row(builder);
  *out = batch;
  return DRAY_OK;
}
