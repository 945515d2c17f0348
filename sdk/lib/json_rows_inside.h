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

struct dray_json_rows {
  struct dray_builder *builder; // borrowed
  struct dray_json_fields fields;
  struct dray_json_parser parser;
  struct dray_json_surrogates surrogates;

  // options
  struct dray_json_step *steps; // of records_path; owned, names in records_path
  size_t step_count;
  char *records_path;
  char *name; // NULL: none
  uint64_t record_bytes_max;
  int32_t depth_max;
  int32_t lines;
  ptrdiff_t error_column; // -1: none

  // where the events are
  int32_t depth;      // containers open
  int32_t skip_depth; // depth of the outermost container that nobody wants; 0: none
  int32_t in_record;
  int32_t lone_surrogate; // the next string or key has an escape that no text can hold
  struct dray_json_level *levels;
  struct dray_json_frame *frames;
  size_t captures; // open frames that are captured
  struct dray_buffer text;
  struct dray_json_emitter emitter;
  struct dray_buffer scratch; // a scalar for a JSON column

  // the current record
  uint64_t record_count;
  uint64_t bad_count;
  int32_t spoiled;      // it is bad, `bad` says why
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

extern const yajl_callbacks dray_json_rows_callbacks;

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
