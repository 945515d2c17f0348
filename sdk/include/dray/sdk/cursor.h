// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Reading what is new by a column that grows: the greatest value seen, kept as JSON between reads, and the value from
// which the next read begins. SQL and the wire are the plugin's; what is known, and how it is kept, is the same for
// all. A read may show a row twice and must never skip one.
#ifndef DRAY_SDK_CURSOR_H
#define DRAY_SDK_CURSOR_H

#include "dray/sdk/column.h"

#ifdef __cplusplus
extern "C" {
#endif

// How a cursor's values are held and compared. DATE and TIMESTAMP are TIME; texts are compared byte by byte.
enum {
  DRAY_CURSOR_NONE = 0,
  DRAY_CURSOR_INTEGER = 1,
  DRAY_CURSOR_REAL = 2,
  DRAY_CURSOR_DECIMAL = 3,
  DRAY_CURSOR_TEXT = 4,
  DRAY_CURSOR_TIME = 5
};

struct dray_cursor_value {
  int64_t integer; // INTEGER; TIME: µs since 1970, of a date its midnight
  double real;
  struct dray_decimal decimal; // of the column's scale
  struct dray_str text;        // borrowed: from the cursor, until a greater one is noted
};

// How far below the greatest value a read begins. Transactions commit in another order than they draw numbers or look
// at the clock: what was not visible to one read may lie below what was.
struct dray_cursor_overlap {
  int64_t seconds; // of TIME, not negative
  int64_t units;   // of numbers, not negative
};

// Members are for reading only. One thread at a time.
struct dray_cursor {
  int32_t kind; // DRAY_CURSOR_*; NONE: not in use
  struct dray_type type;
  char *stream, *column;          // owned
  int32_t known;                  // `value` holds the greatest seen
  uint64_t null_count;            // rows noted that had no value
  struct dray_cursor_value value; // its text lies in `text`
  struct dray_buffer text, state; // owned
};

// DRAY_CURSOR_* of a column's type; NONE: bool, bytes and json have no order to go by.
int32_t dray_cursor_kind(struct dray_type type);
// Copies the names. Free with dray_cursor_free, also after a failure. @errors SCHEMA_COLUMN with the field `cursor`,
// OUT_OF_MEMORY.
DRAY_NODISCARD int32_t dray_cursor_init(struct dray_cursor *cursor, struct dray_str stream, struct dray_str column,
                                        struct dray_type type, struct dray_error *error);
void dray_cursor_free(struct dray_cursor *cursor); // back to NONE; a zeroed one is allowed

// Takes up where an earlier read ended; an empty state changes nothing. @errors STATE_CHECKPOINT when the state is not
// one of this stream, column and type; OUT_OF_MEMORY.
DRAY_NODISCARD int32_t dray_cursor_resume(struct dray_cursor *cursor, struct dray_str state, struct dray_error *error);
// Where the next read begins: what was resumed from, less the overlap, at the least that the type holds. To be asked
// before values are noted. Returns 0 when nothing is known, and all is to be read.
int dray_cursor_bound(const struct dray_cursor *cursor, struct dray_cursor_overlap overlap,
                      struct dray_cursor_value *out);
// That value as text: digits, 2024-05-01, 2024-05-01T10:00:00.123456Z, or the text itself. Appends, and *out_known = 0
// with nothing appended when all is to be read.
DRAY_NODISCARD int32_t dray_cursor_bound_text(const struct dray_cursor *cursor, struct dray_cursor_overlap overlap,
                                              struct dray_buffer *out, int *out_known, struct dray_error *error);

// Each notes one value of the cursor's kind that was given out; a lesser one than the greatest changes nothing. NaN,
// infinities and texts beyond 64 KiB are not kept: their rows are read again.
void dray_cursor_note_null(struct dray_cursor *cursor);
void dray_cursor_note_integer(struct dray_cursor *cursor, int64_t value); // INTEGER; TIME: µs
void dray_cursor_note_real(struct dray_cursor *cursor, double value);
void dray_cursor_note_decimal(struct dray_cursor *cursor, struct dray_decimal value);
DRAY_NODISCARD int32_t dray_cursor_note_text(struct dray_cursor *cursor, struct dray_str value,
                                             struct dray_error *error);
// All rows of a batch's column of the cursor's type. `skip` (NULL: none) is a column of the same batch whose rows with
// a value are not counted: _dray_error, since such a row's values are not there. @errors OUT_OF_MEMORY, PLUGIN_CONTRACT
// for a column of another type.
DRAY_NODISCARD int32_t dray_cursor_note_column(struct dray_cursor *cursor, const struct dray_column_view *column,
                                               const struct dray_column_view *skip, uint64_t row_count,
                                               struct dray_error *error);

// What `state` of a stream gives out: {"stream","column","type","cursor"}; empty while nothing is known. It is a safe
// place only when every row up to the greatest value was given out: at the end of a read, or in the middle of one whose
// rows come in the cursor's order. Valid until the next call on the cursor. @errors OUT_OF_MEMORY, LIMIT.
DRAY_NODISCARD int32_t dray_cursor_state(struct dray_cursor *cursor, struct dray_str *out, struct dray_error *error);

#ifdef __cplusplus
}
#endif

#endif // DRAY_SDK_CURSOR_H
