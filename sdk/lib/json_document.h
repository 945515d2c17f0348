// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Reading one whole document that lies in memory. Inside the library only; what the tree and dray_json_compact share.
#ifndef DRAY_LIB_JSON_DOCUMENT_H
#define DRAY_LIB_JSON_DOCUMENT_H

#include "json_parser.h"

// What callbacks report through: the code of their failure, with `error` filled.
struct dray_json_document {
  struct dray_error *error;
  int32_t failed;
  int32_t depth;
};

// Counts a container that opens or closes; 0 (stop) when it lies deeper than DRAY_JSON_DEPTH_MAX.
int dray_json_document_open(struct dray_json_document *document);
void dray_json_document_close(struct dray_json_document *document);
// Notes the outcome of a callback's work: 1 to go on, 0 to stop.
int dray_json_document_note(struct dray_json_document *document, int32_t code);

// Parses exactly one value. `ctx` is what the callbacks get, and begins with a struct dray_json_document.
// @errors DATA_JSON with line and column, DATA_UTF8, LIMIT (depth), OUT_OF_MEMORY, and what the callbacks failed with.
DRAY_NODISCARD int32_t dray_json_document_read(struct dray_str text, const yajl_callbacks *callbacks, void *ctx,
                                               struct dray_error *error);

#endif // DRAY_LIB_JSON_DOCUMENT_H
