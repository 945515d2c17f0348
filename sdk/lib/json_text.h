// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// JSON as text: strings with escapes, compact documents from events, surrogates that stand alone, paths. Inside the
// library only; shared by the reader, the tree and the writer.
#ifndef DRAY_LIB_JSON_TEXT_H
#define DRAY_LIB_JSON_TEXT_H

#include "dray/sdk/error.h"
#include "dray/sdk/text.h"

// Appends `text` in quotes with the escapes RFC 8259 asks for and no others; bytes that are not UTF-8 become U+FFFD.
DRAY_NODISCARD int32_t dray_json_append_quoted(struct dray_buffer *out, struct dray_str text, struct dray_error *error);

// ---- compact text from events ----

// Appends events as compact JSON; zero-initialise all but `out`.
struct dray_json_emitter {
  struct dray_buffer *out;
  int32_t comma; // 1: a value ended just now, the next element needs a comma before it
};
DRAY_NODISCARD int32_t dray_json_emit_open(struct dray_json_emitter *emitter, char bracket, struct dray_error *error);
DRAY_NODISCARD int32_t dray_json_emit_close(struct dray_json_emitter *emitter, char bracket, struct dray_error *error);
DRAY_NODISCARD int32_t dray_json_emit_key(struct dray_json_emitter *emitter, struct dray_str name,
                                          struct dray_error *error);
DRAY_NODISCARD int32_t dray_json_emit_string(struct dray_json_emitter *emitter, struct dray_str text,
                                             struct dray_error *error);
// Digits, true, false or null, as they are.
DRAY_NODISCARD int32_t dray_json_emit_literal(struct dray_json_emitter *emitter, struct dray_str text,
                                              struct dray_error *error);

// ---- escaped surrogates that stand alone ----

// yajl turns "\ud83d" without its other half into "?" and a lone low half into bytes that are not UTF-8. Nothing in its
// events tells, so the bytes are looked through before it gets them. State between calls; zero-initialise. In valid
// JSON a backslash stands in strings only, so the scan needs no other context.
struct dray_json_surrogates {
  uint8_t state;
  uint8_t high; // the escape before this one was a high half
  uint16_t unit;
};
// Scans until a lone half is certain. Returns the index of the byte that made it so, or `len`. That byte was scanned:
// go on behind it. The string with the lone half is not closed before that byte.
size_t dray_json_surrogates_scan(struct dray_json_surrogates *scan, const char *data, size_t len);

// ---- paths ----

enum { DRAY_JSON_STEP_END, DRAY_JSON_STEP_NAME, DRAY_JSON_STEP_INDEX, DRAY_JSON_STEP_ALL };

struct dray_json_step {
  int32_t kind;
  int32_t escaped;      // the name stands in ["..."] and may hold \" and \\.
  struct dray_str name; // borrowed from the path
  uint64_t index;
};

// Reads the next step of "a.b[2][\"c.d\"][*]" from *at, which begins as the path itself. END at its end.
// @errors CONFIG_VALUE with `path` in the message.
DRAY_NODISCARD int32_t dray_json_step_next(const char *path, const char **at, struct dray_json_step *out,
                                           struct dray_error *error);
int dray_json_step_is(const struct dray_json_step *step, struct dray_str name);
// Copies the name without its escapes into `out` (at least name.len bytes); returns its length.
size_t dray_json_step_name(const struct dray_json_step *step, char *out);

#endif // DRAY_LIB_JSON_TEXT_H
