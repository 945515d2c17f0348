// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// yajl behind a fence: the only place where its parser is created, fed and freed. Inside the library only; replacing
// yajl means replacing json_parser.c and these callbacks.
#ifndef DRAY_LIB_JSON_PARSER_H
#define DRAY_LIB_JSON_PARSER_H

#include <setjmp.h>
#include <yajl/yajl_parse.h>

#include "dray/sdk/error.h"
#include "dray/sdk/text.h"

enum {
  DRAY_JSON_PARSED,   // all bytes were taken
  DRAY_JSON_STOPPED,  // a callback returned 0; the parser cannot be fed any more
  DRAY_JSON_SYNTAX,   // see dray_json_parser_reason; the parser cannot be fed any more
  DRAY_JSON_NO_MEMORY // the parser is gone, as if it had been freed
};

struct dray_json_parser {
  yajl_handle handle;                 // NULL: not started
  struct dray_json_parser_block *all; // every allocation of the handle
  jmp_buf escape;
};

// Starts a parser of any number of values one after the other, or of exactly one. Strings are NOT checked for UTF-8:
// yajl lets overlong forms and surrogates pass, so callers check with dray_utf8_valid what they keep. `parser` must
// not move while it is started. @errors OUT_OF_MEMORY.
DRAY_NODISCARD int32_t dray_json_parser_start(struct dray_json_parser *parser, const yajl_callbacks *callbacks,
                                              void *ctx, int many_values, struct dray_error *error);
void dray_json_parser_free(struct dray_json_parser *parser); // back to not started; harmless when it is
DRAY_NODISCARD int dray_json_parser_feed(struct dray_json_parser *parser, const char *data, size_t len);
// Says that the input is over: a value that is not whole is DRAY_JSON_SYNTAX.
DRAY_NODISCARD int dray_json_parser_finish(struct dray_json_parser *parser);
// Bytes of the last feed taken up to the current token, its own included. Also inside callbacks.
size_t dray_json_parser_offset(const struct dray_json_parser *parser);
// Why the last feed was DRAY_JSON_SYNTAX; cut to `out_bytes`. @errors OUT_OF_MEMORY.
DRAY_NODISCARD int32_t dray_json_parser_reason(struct dray_json_parser *parser, char *out, size_t out_bytes,
                                               struct dray_error *error);

#endif // DRAY_LIB_JSON_PARSER_H
