// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What the command line says: data on stdout, messages on stderr, colour only on a terminal, NDJSON objects of the
// form
// {"v":1,"type":...} with --json. Every byte passes dr_redact on its way out. One thread at a time.
#ifndef DR_TOOL_OUTPUT_H
#define DR_TOOL_OUTPUT_H

#include <stdio.h>

#include "dray/sdk/error.h"
#include "dray/sdk/json.h"

struct dr_project;

struct dr_output {
  FILE *data;     // stdout
  FILE *messages; // stderr
  int json;       // NDJSON instead of text
  int quiet;      // no notes
  int terminal;   // messages go to a terminal: progress may be drawn there
  int colour_data, colour_messages;
  int failed; // errno of the first write that failed; EPIPE when the reader went away
};

// Looks whether the streams are terminals, at NO_COLOR and at TERM.
void dr_output_init(struct dr_output *output, FILE *data, FILE *messages);
void dr_output_no_colour(struct dr_output *output);
// Flushes. Returns `exit_code`; 1 with a message when the output could not be written and nothing worse happened.
int32_t dr_output_finish(struct dr_output *output, int32_t exit_code);

// ---- text ----

void dr_print(struct dr_output *output, const char *format, ...) DRAY_PRINTF(2, 3); // data
// A message that --quiet drops. With --json: {"v":1,"type":"note","text":...} on stderr.
void dr_note(struct dr_output *output, const char *format, ...) DRAY_PRINTF(2, 3);
// Prints `error[name]: text` and `fix: ...` on stderr; with --json {"v":1,"type":"error",...} on stdout, so that one
// stream tells a program everything. Returns the exit code that belongs to the error's code.
int32_t dr_print_error(struct dr_output *output, const struct dray_error *error);
// The same with the name that was meant, and a fix of its own in the place of the table's; both may be NULL.
int32_t dr_print_error_hint(struct dr_output *output, const struct dray_error *error, const char *nearest,
                            const char *fix);
// Prints every problem of the config, as errors are. Returns the exit code of the first (4, or 8 for a missing
// plugin), or 0 when there is none.
int32_t dr_print_problems(struct dr_output *output, const struct dr_project *project);
// Bytes as they are; for whole documents such as the man page.
void dr_print_str(struct dr_output *output, struct dray_str text);
// The same without a copy: what `text` holds is of no use afterwards.
void dr_print_buffer(struct dr_output *output, struct dray_buffer *text);

enum { DR_STYLE_RESET, DR_STYLE_BOLD, DR_STYLE_DIM, DR_STYLE_RED, DR_STYLE_GREEN, DR_STYLE_YELLOW, DR_STYLE_CYAN };
// The escape for a style on stdout, "" without colour.
const char *dr_style(const struct dr_output *output, int style);

// ---- NDJSON ----

// One object. Members are written through `json` (see dray/sdk/json.h) between begin and end.
struct dr_record {
  struct dr_output *output;
  struct dray_buffer text;
  struct dray_json_writer json;
  struct dray_error error;
};
void dr_record_begin(struct dr_record *record, struct dr_output *output, const char *type);
void dr_record_text(struct dr_record *record, const char *name, const char *value); // NULL: null
void dr_record_int(struct dr_record *record, const char *name, int64_t value);
void dr_record_count(struct dr_record *record, const char *name, uint64_t value);
void dr_record_bool(struct dr_record *record, const char *name, int value);
void dr_record_raw(struct dr_record *record, const char *name, struct dray_str json);
void dr_record_end(struct dr_record *record); // prints the line on stdout and frees

// ---- tables ----

struct dr_table_column {
  const char *title;
  int right; // 1: numbers
};
struct dr_table; // rows are kept until the end, to align the columns
// NULL when memory is short; every function takes NULL.
struct dr_table *dr_table_new(struct dr_output *output, const struct dr_table_column *columns, size_t column_count);
void dr_table_cell(struct dr_table *table, const char *format, ...) DRAY_PRINTF(2, 3); // left to right, row by row
void dr_table_print(struct dr_table *table); // and frees; nothing for a table without rows

#endif // DR_TOOL_OUTPUT_H
