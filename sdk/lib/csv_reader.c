// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The CSV reader: a state machine over the bytes as they come, so that a record may be cut by a feed at any byte.
// Fields are unescaped into one buffer per record; a record that passes a limit is read to its end without being
// kept. Knows nothing of headers, types and files.
#include "dray/sdk/csv.h"

#include <stdlib.h>

#define FIELD_BYTES_MAX (UINT64_C(1) << 20)
#define RECORD_BYTES_MAX (UINT64_C(16) << 20)
#define FIELDS_MAX UINT64_C(4096)
#define TEXT_BYTES_MIN 1024
#define FIELDS_MIN 16

enum {
  STATE_FIELD_START, // before the first byte of a field
  STATE_PLAIN,       // in a field, or in its part behind a closing quote
  STATE_QUOTED,
  STATE_QUOTE_SEEN // a quote inside quotes: the closing one, or the first of a doubled pair
};

struct dray_csv_reader {
  struct dray_csv_options options; // no member is 0
  char *text;                      // the current record's fields, unescaped, one after the other
  size_t text_len;
  size_t text_capacity;
  struct dray_csv_field *fields;
  size_t *field_ends; // in `text`, which moves as it grows: pointers are made when the record is whole
  size_t field_count;
  size_t field_capacity;
  size_t field_start;
  uint64_t position; // bytes consumed
  uint64_t line;     // of the next byte, from 1
  uint64_t record_line;
  uint64_t record_offset;
  int32_t code; // of the current record; once set, nothing more of it is kept
  uint8_t state;
  uint8_t in_record;
  uint8_t field_quoted;
  uint8_t after_cr;   // the last byte was a CR: a LF now belongs to it
  uint8_t bom_length; // bytes of the BOM seen at the start of the input
  uint8_t bom_done;
  uint8_t simple_pause; // records for which the short way is not tried, since one before them was not simple
};

static uint64_t or_default(uint64_t value, uint64_t otherwise) {
  return value != 0 ? value : otherwise;
}

static int is_line_end(char c) {
  return c == '\n' || c == '\r';
}

int32_t dray_csv_reader_new(const struct dray_csv_options *options, struct dray_csv_reader **out,
                            struct dray_error *error) {
  const struct dray_csv_options none = {0};
  const struct dray_csv_options *given = options != NULL ? options : &none;
  const char delimiter = given->delimiter != '\0' ? given->delimiter : ',';
  const char quote = given->quote != '\0' ? given->quote : '"';
  if (delimiter == quote || is_line_end(delimiter) || is_line_end(quote)) {
    return dray_fail(error, DRAY_E_CONFIG_VALUE,
                     "delimiter (byte %d) and quote (byte %d) must differ and not end lines", delimiter, quote);
  }
  struct dray_csv_reader *reader = calloc(1, sizeof(*reader));
  if (reader == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a CSV reader");
  reader->options = (struct dray_csv_options){
      .delimiter = delimiter,
      .quote = quote,
      .field_bytes_max = or_default(given->field_bytes_max, FIELD_BYTES_MAX),
      .record_bytes_max = or_default(given->record_bytes_max, RECORD_BYTES_MAX),
      .fields_max = or_default(given->fields_max, FIELDS_MAX),
  };
  reader->line = 1;
  *out = reader;
  return DRAY_OK;
}

void dray_csv_reader_free(struct dray_csv_reader *reader) {
  if (reader == NULL) return;
  free(reader->text);
  free(reader->fields);
  free(reader->field_ends);
  free(reader);
}

// Drops what was kept of the record and reads on to its end.
static void give_up(struct dray_csv_reader *reader, int32_t code) {
  reader->code = code;
  reader->field_count = 0;
  reader->text_len = 0;
  reader->field_start = 0;
}

static int32_t make_text_room(struct dray_csv_reader *reader, size_t len, struct dray_error *error) {
  if (len <= reader->text_capacity) return DRAY_OK;
  size_t capacity = reader->text_capacity != 0 ? reader->text_capacity : TEXT_BYTES_MIN;
  while (capacity < len) capacity *= 2;
  char *text = realloc(reader->text, capacity);
  if (text == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a CSV record of %zu bytes", capacity);
  reader->text = text;
  reader->text_capacity = capacity;
  return DRAY_OK;
}

static int32_t append(struct dray_csv_reader *reader, const char *data, size_t len, struct dray_error *error) {
  if (reader->code != 0 || len == 0) return DRAY_OK;
  if (len > reader->options.field_bytes_max ||
      reader->text_len - reader->field_start > reader->options.field_bytes_max - len ||
      reader->text_len + len > reader->options.record_bytes_max) {
    give_up(reader, DRAY_E_DATA_TOO_LARGE);
    return DRAY_OK;
  }
  DRAY_TRY(make_text_room(reader, reader->text_len + len, error));
  memcpy(reader->text + reader->text_len, data, len);
  reader->text_len += len;
  return DRAY_OK;
}

static int32_t grow_fields(struct dray_csv_reader *reader, struct dray_error *error) {
  const size_t capacity = reader->field_capacity != 0 ? reader->field_capacity * 2 : FIELDS_MIN;
  struct dray_csv_field *fields = realloc(reader->fields, capacity * sizeof(*fields));
  if (fields != NULL) reader->fields = fields;
  size_t *ends = realloc(reader->field_ends, capacity * sizeof(*ends));
  if (ends != NULL) reader->field_ends = ends;
  if (fields == NULL || ends == NULL) {
    return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a CSV record of %zu fields", capacity);
  }
  reader->field_capacity = capacity;
  return DRAY_OK;
}

static int32_t end_field(struct dray_csv_reader *reader, struct dray_error *error) {
  reader->state = STATE_FIELD_START;
  if (reader->code != 0) return DRAY_OK;
  if (reader->field_count == reader->options.fields_max) {
    give_up(reader, DRAY_E_DATA_TOO_LARGE);
    return DRAY_OK;
  }
  if (reader->field_count == reader->field_capacity) DRAY_TRY(grow_fields(reader, error));
  reader->fields[reader->field_count].quoted = reader->field_quoted;
  reader->field_ends[reader->field_count++] = reader->text_len;
  reader->field_start = reader->text_len;
  reader->field_quoted = 0;
  return DRAY_OK;
}

static void hand_out(struct dray_csv_reader *reader, struct dray_csv_record *record) {
  *record = (struct dray_csv_record){.fields = reader->fields,
                                     .field_count = reader->field_count,
                                     .line = reader->record_line,
                                     .byte_offset = reader->record_offset,
                                     .code = reader->code};
  reader->in_record = 0;
}

// `raw_bytes`: the record's length in the input, without its line end.
static void tell(struct dray_csv_reader *reader, uint64_t raw_bytes, struct dray_csv_record *record) {
  if (raw_bytes > reader->options.record_bytes_max && reader->code == 0) give_up(reader, DRAY_E_DATA_TOO_LARGE);
  size_t start = 0;
  for (size_t i = 0; i < reader->field_count; i++) {
    const size_t end = reader->field_ends[i];
    reader->fields[i].text = dray_str_make(end > start ? reader->text + start : "", end - start);
    reader->fields[i].reserved = 0;
    start = end;
  }
  hand_out(reader, record);
}

static void begin_record(struct dray_csv_reader *reader, uint64_t position) {
  reader->in_record = 1;
  reader->record_line = reader->line;
  reader->record_offset = position;
  reader->state = STATE_FIELD_START;
  reader->field_quoted = 0;
  reader->code = 0;
  reader->field_count = 0;
  reader->text_len = 0;
  reader->field_start = 0;
}

// Index of the first delimiter, CR or LF; `len` when there is none. Eight bytes at a time: (x - 01..) & ~x & 80.. marks
// bytes that are zero after the XOR, and a mark below which nothing is marked is never false.
static size_t find_plain_end(const char *data, size_t len, char delimiter) {
  size_t i = 0;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
  const uint64_t ones = UINT64_C(0x0101010101010101);
  const uint64_t highs = UINT64_C(0x8080808080808080);
  const uint64_t wanted = ones * (unsigned char)delimiter;
  for (; i + 8 <= len; i += 8) {
    uint64_t word;
    memcpy(&word, data + i, 8);
    const uint64_t a = word ^ wanted;
    const uint64_t b = word ^ (ones * '\n');
    const uint64_t c = word ^ (ones * '\r');
    const uint64_t hit = (((a - ones) & ~a) | ((b - ones) & ~b) | ((c - ones) & ~c)) & highs;
    if (hit != 0) return i + (size_t)__builtin_ctzll(hit) / 8;
  }
#endif
  while (i < len && data[i] != delimiter && !is_line_end(data[i])) i++;
  return i;
}

// ---- the short way ----

// Most records of most files are whole in what is fed and hold no quotes: one scan finds all their fields, and one copy
// keeps them. Whatever is not so simple goes the long way, from its first byte.
#define SIMPLE_PAUSE 15

// 0x80 in each byte of `word` that is zero: exact, since no carry leaves a byte.
static inline uint64_t zero_bytes(uint64_t word) {
  const uint64_t low = UINT64_C(0x7F7F7F7F7F7F7F7F);
  return ~(((word & low) + low) | word | low);
}

static size_t not_simple(struct dray_csv_reader *reader, size_t len) {
  reader->simple_pause = SIMPLE_PAUSE;
  return len;
}

// Finds the ends of the record's fields. Returns its length without the line end; `len` when it is not simple, or not
// whole.
static size_t scan_simple(struct dray_csv_reader *reader, const char *data, size_t len) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
  const char delimiter = reader->options.delimiter, quote = reader->options.quote;
  const uint64_t ones = UINT64_C(0x0101010101010101);
  const uint64_t wanted = ones * (unsigned char)delimiter;
  const uint64_t most = reader->options.fields_max;
  const size_t room = reader->field_capacity < most ? reader->field_capacity : (size_t)most;
  size_t start = 0, count = 0;
  if (data[0] == quote) return not_simple(reader, len);
  for (size_t i = 0; i + 8 <= len; i += 8) {
    uint64_t word;
    memcpy(&word, data + i, 8);
    uint64_t hits = zero_bytes(word ^ wanted) | zero_bytes(word ^ (ones * '\n')) | zero_bytes(word ^ (ones * '\r'));
    for (; hits != 0; hits &= hits - 1) {
      const size_t at = i + (size_t)__builtin_ctzll(hits) / 8;
      if (count == room || at - start > reader->options.field_bytes_max) return not_simple(reader, len);
      reader->field_ends[count++] = at;
      start = at + 1;
      if (data[at] != delimiter) {
        reader->field_count = count;
        return at;
      }
      if (start < len && data[start] == quote) return not_simple(reader, len);
    }
  }
#else
  (void)reader;
  (void)data;
#endif
  return len;
}

// Takes the record that begins here when it is simple: *out_used = 0 when it is not.
static int32_t take_simple(struct dray_csv_reader *reader, const char *data, size_t len, size_t *out_used,
                           struct dray_csv_record *record, struct dray_error *error) {
  *out_used = 0;
  if (reader->simple_pause > 0) {
    reader->simple_pause--;
    return DRAY_OK;
  }
  const size_t bytes = scan_simple(reader, data, len);
  if (bytes == len || bytes > reader->options.record_bytes_max) {
    reader->field_count = 0;
    return DRAY_OK;
  }
  DRAY_TRY(make_text_room(reader, bytes, error));
  memcpy(reader->text, data, bytes);
  size_t start = 0;
  for (size_t i = 0; i < reader->field_count; i++) {
    const size_t end = reader->field_ends[i];
    reader->fields[i] = (struct dray_csv_field){.text = dray_str_make(reader->text + start, end - start)};
    start = end + 1;
  }
  hand_out(reader, record);
  reader->line++;
  reader->after_cr = data[bytes] == '\r';
  *out_used = bytes + 1;
  return DRAY_OK;
}

// ---- the long way ----

// Counts the lines that end inside quotes; CRLF is one, also when it is cut in two.
static void count_lines(struct dray_csv_reader *reader, const char *data, size_t len) {
  uint8_t after_cr = reader->after_cr;
  for (size_t i = 0; i < len; i++) {
    if (data[i] == '\r' || (data[i] == '\n' && !after_cr)) reader->line++;
    after_cr = data[i] == '\r';
  }
  reader->after_cr = after_cr;
}

static int32_t step_quoted(struct dray_csv_reader *reader, const char *data, size_t len, size_t *out_used,
                           struct dray_error *error) {
  const char *quote = memchr(data, reader->options.quote, len);
  const size_t run = quote != NULL ? (size_t)(quote - data) : len;
  DRAY_TRY(append(reader, data, run, error));
  count_lines(reader, data, run);
  if (quote != NULL) {
    reader->state = STATE_QUOTE_SEEN;
    reader->after_cr = 0;
  }
  *out_used = quote != NULL ? run + 1 : run;
  return DRAY_OK;
}

// Takes a run of plain text and the byte that ends it. *out_whole = 1 when that byte ended the record.
static int32_t step_plain(struct dray_csv_reader *reader, const char *data, size_t len, size_t *out_used,
                          int *out_whole, struct dray_error *error) {
  const size_t run = find_plain_end(data, len, reader->options.delimiter);
  DRAY_TRY(append(reader, data, run, error));
  *out_used = run;
  if (run == len) {
    reader->state = STATE_PLAIN;
    return DRAY_OK;
  }
  DRAY_TRY(end_field(reader, error));
  *out_used = run + 1;
  if (data[run] == reader->options.delimiter) return DRAY_OK;
  reader->line++;
  reader->after_cr = data[run] == '\r';
  *out_whole = 1;
  return DRAY_OK;
}

// Takes at least one of `len` > 0 bytes inside a record.
static int32_t step(struct dray_csv_reader *reader, const char *data, size_t len, size_t *out_used, int *out_whole,
                    struct dray_error *error) {
  const int at_quote = data[0] == reader->options.quote;
  if (reader->state == STATE_QUOTED) return step_quoted(reader, data, len, out_used, error);
  if (reader->state == STATE_FIELD_START && at_quote) {
    reader->state = STATE_QUOTED;
    reader->field_quoted = 1;
    *out_used = 1;
    return DRAY_OK;
  }
  if (reader->state == STATE_QUOTE_SEEN && at_quote) {
    DRAY_TRY(append(reader, data, 1, error));
    reader->state = STATE_QUOTED;
    *out_used = 1;
    return DRAY_OK;
  }
  return step_plain(reader, data, len, out_used, out_whole, error);
}

// Skips the BOM at the start of the input. Bytes that began like a BOM and are none are the first record's text: they
// are put there, since they may have come in an earlier feed. Returns how many bytes of `data` were taken.
static int32_t skip_bom(struct dray_csv_reader *reader, const char *data, size_t len, int32_t end, size_t *out_used,
                        struct dray_error *error) {
  static const char bom[3] = {'\xEF', '\xBB', '\xBF'};
  size_t used = 0;
  uint8_t matched = reader->bom_length;
  while (used < len && matched < sizeof(bom) && data[used] == bom[matched]) {
    used++;
    matched++;
  }
  if (matched < sizeof(bom) && (used < len || end)) {
    if (matched > 0) {
      begin_record(reader, 0);
      DRAY_TRY(append(reader, bom, matched, error));
      reader->state = STATE_PLAIN;
    }
    reader->bom_done = 1;
  } else if (matched == sizeof(bom)) {
    reader->bom_done = 1;
  }
  reader->bom_length = matched;
  *out_used = used;
  return DRAY_OK;
}

// Skips line ends between records: empty lines, and the LF of a CR that ended the last record.
static size_t skip_line_ends(struct dray_csv_reader *reader, const char *data, size_t len) {
  size_t used = 0;
  while (used < len && is_line_end(data[used])) used++;
  count_lines(reader, data, used);
  if (used < len) reader->after_cr = 0;
  return used;
}

static int32_t finish_record(struct dray_csv_reader *reader, uint64_t position, struct dray_csv_record *record,
                             struct dray_error *error) {
  if (reader->state == STATE_QUOTED) {
    give_up(reader, DRAY_E_DATA_SHAPE);
  } else {
    DRAY_TRY(end_field(reader, error));
  }
  tell(reader, position - reader->record_offset, record);
  return DRAY_OK;
}

int32_t dray_csv_reader_feed(struct dray_csv_reader *reader, const char *data, size_t len, int32_t end,
                             size_t *out_used, struct dray_csv_record *record, int32_t *out_record,
                             struct dray_error *error) {
  size_t used = 0;
  int whole = 0, simple = 0;
  if (len == 0) data = ""; // which may be NULL
  if (!reader->bom_done) DRAY_TRY(skip_bom(reader, data, len, end, &used, error));
  if (!reader->in_record) {
    used += skip_line_ends(reader, data + used, len - used);
    if (used < len) {
      size_t taken = 0;
      begin_record(reader, reader->position + used);
      DRAY_TRY(take_simple(reader, data + used, len - used, &taken, record, error));
      used += taken;
      simple = whole = taken > 0;
    }
  }
  while (used < len && !whole) {
    size_t taken = 0;
    DRAY_TRY(step(reader, data + used, len - used, &taken, &whole, error));
    used += taken;
  }
  if (!whole && end && reader->in_record) {
    DRAY_TRY(finish_record(reader, reader->position + used, record, error));
    whole = 1;
  } else if (whole && !simple) {
    tell(reader, reader->position + used - 1 - reader->record_offset, record);
  }
  // The LF of a CRLF belongs to this record, so that the position after a record is where the next one begins.
  if (whole && used < len && reader->after_cr && data[used] == '\n') {
    used++;
    reader->after_cr = 0;
  }
  reader->position += used;
  *out_used = used;
  *out_record = whole;
  return DRAY_OK;
}
