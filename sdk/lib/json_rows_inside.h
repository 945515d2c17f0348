// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What the two halves of the rows reader share: json_rows.c feeds bytes, json_events.c makes rows of the events.
// Inside the library only.
#ifndef DRAY_LIB_JSON_ROWS_INSIDE_H
#define DRAY_LIB_JSON_ROWS_INSIDE_H

#include "json_fields.h"
#include "json_parser.h"
#include "json_text.h"

#define DRAY_JSON_NO_CAPTURE SIZE_MAX

// A container inside the record that some path leads into.
struct dray_json_frame {
  struct dray_json_node *node;
  struct dray_json_node *member; // of the key that came last; NULL: nobody wants its value
  uint64_t index;                // of the next element
  size_t capture;                // where its text begins in rows->text, or DRAY_JSON_NO_CAPTURE
  int32_t is_object;
};

// A container above the records.
struct dray_json_level {
  uint64_t index;
  int32_t is_object;
  int32_t hit; // the key that came last is the one records_path goes on with
};

// A value beside the records that somebody wants.
struct dray_json_watch {
  struct dray_json_capture *capture; // the caller's
  struct dray_json_step *steps;      // of its path: names only; owned
  size_t step_count;
  size_t matched; // steps whose containers are open
  int32_t hit;    // the key that came last is the next step
};

#define DRAY_JSON_NOTHING_TAKEN SIZE_MAX

struct dray_json_rows {
  struct dray_builder *builder; // borrowed
  struct dray_json_fields fields;
  struct dray_json_parser parser;
  struct dray_json_surrogates surrogates;

  // options
  struct dray_json_step *steps; // of records_path; owned, names in records_path
  size_t step_count;
  size_t array_at; // the first [*] among them; step_count: none
  char *records_path;
  char *name; // NULL: none
  uint64_t record_bytes_max;
  int32_t depth_max;
  int32_t lines;
  uint64_t lines_before;
  ptrdiff_t error_column;         // -1: none
  char *only_with, *only_without; // NULL: all records
  const char *const *members;     // borrowed
  size_t member_count;
  int (*wanted)(void *ctx, const struct dray_str *values);
  void *wanted_ctx;
  int32_t empty_is_null;
  const struct dray_json_constant *constants; // borrowed
  size_t constant_count;
  struct dray_buffer member_text[DRAY_JSON_MEMBERS_MAX];
  uint32_t member_seen; // a bit each: the text is of this record
  ptrdiff_t member_key; // the key that came last on the record's own level; -1: none of them

  // where the events are
  int32_t depth;      // containers open
  int32_t skip_depth; // depth of the outermost container that nobody wants; 0: none
  int32_t in_record;
  int32_t reached;        // see dray_json_rows_reached
  int32_t lone_surrogate; // the next string or key has an escape that no text can hold
  struct dray_json_level *levels;
  struct dray_json_frame *frames;
  size_t captures; // open frames that are captured
  struct dray_buffer text;
  struct dray_json_emitter emitter;
  struct dray_buffer scratch; // a scalar for a JSON column

  // what is wanted beside the records (json_captures.c)
  struct dray_json_watch *watches; // owned
  size_t watch_count;
  size_t taken; // the watch whose container is being written out, or DRAY_JSON_NOTHING_TAKEN
  int32_t taken_depth;
  struct dray_json_emitter taken_emitter;

  // the current record
  uint64_t record_count;
  uint64_t bad_count;
  uint64_t misfits;     // values of it that do not fit their columns; the builder knows why
  int32_t spoiled;      // it is bad as a whole, `bad` says why
  int32_t is_object;    // it is one
  int32_t is_whole;     // its last byte was seen, so that what it does not have is known
  int32_t filter_key;   // the key that came last on its own level: DRAY_JSON_FILTER_*
  int32_t filter_seen;  // those that have a value: DRAY_JSON_FILTER_*
  int32_t line_records; // lines: records begun in this line
  int32_t full;         // the builder wants to be finished
  struct dray_error bad;

  // where the bytes are
  const char *piece; // what the parser is being fed
  size_t piece_len;
  uint64_t piece_position; // documents: of its first byte in the input
  uint64_t line;           // lines that ended before the piece
  uint64_t line_start;     // documents: position of the first byte of the line that the piece begins in
  uint64_t mark;           // documents: where the record began, or where the last event outside of records was
  int32_t touched;         // documents: the parser has seen more than blanks
  int32_t bom_bytes;       // documents: of the BOM at the start; -1: past it
  uint64_t position;       // lines: of the current feed
  uint64_t told_bytes, told_lines;
  struct dray_buffer partial; // lines: the beginning of a line that goes on in the next feed
  int32_t overlong;           // lines: the rest of the line is skipped

  struct dray_error *error; // of the current call
  int32_t failed;           // the call failed for good
  struct dray_error failure;
};

enum { DRAY_JSON_FILTER_WITH = 1, DRAY_JSON_FILTER_WITHOUT = 2 };

extern const yajl_callbacks dray_json_rows_callbacks;

// What is wanted beside the records. @errors CONFIG_VALUE, OUT_OF_MEMORY; freed with the rest, also after a failure.
DRAY_NODISCARD int32_t dray_json_captures_make(struct dray_json_rows *rows, struct dray_json_capture *captures,
                                               size_t capture_count, struct dray_error *error);
void dray_json_captures_free(struct dray_json_rows *rows);
void dray_json_captures_forget(struct dray_json_rows *rows); // a new document begins
// Events outside of records, before the reader itself looks at them: rows->depth is that of the containers around the
// key or value, and of what closes its own. Called where watch_count is not 0. 0: the input has failed.
int dray_json_captures_key(struct dray_json_rows *rows, struct dray_str name, int lone);
int dray_json_captures_scalar(struct dray_json_rows *rows, int32_t kind, struct dray_str text, int lone);
int dray_json_captures_open(struct dray_json_rows *rows, int32_t kind);
int dray_json_captures_close(struct dray_json_rows *rows, char bracket);

// Ends the current record: its row, or one that says what was bad. 0 when the reading must stop (failed or full).
int dray_json_rows_end_record(struct dray_json_rows *rows);
// Makes the current record a bad one for the reason in rows->bad: the rest of it is skipped. Returns 1.
int dray_json_rows_spoil(struct dray_json_rows *rows);
// Ends the input for good: the error is in rows->error. Returns 0.
int dray_json_rows_stop(struct dray_json_rows *rows, int32_t code);
// Documents: 1, with the input ended for good, when more bytes than a record may have lie behind the mark. Asked
// wherever an error is told as well: size goes before syntax, whatever the cuts of the input (but for a token so
// large that it passes the limit alone where none may stand, whose end yajl does not tell).
int dray_json_rows_oversize(struct dray_json_rows *rows, uint64_t now);
// Fills `error` with "orders.jsonl line 7: " and the text. Returns the code.
int32_t dray_json_rows_fail_here(const struct dray_json_rows *rows, struct dray_error *error, int32_t code,
                                 const char *text);

#endif // DRAY_LIB_JSON_ROWS_INSIDE_H
