// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The GraphQL documents of a read, made from a stream's columns.
#ifndef SHOPIFY_DOCUMENT_H
#define SHOPIFY_DOCUMENT_H

#include "metafields.h"
#include "streams.h"

#define SHOPIFY_BELOW_FIRST 10 // records of a connection below, asked for with each parent

// What is asked of a record: the selection set of the columns that are wanted, as text, and how many objects it makes
// the API look up for each.
struct shopify_selection {
  struct dray_buffer text;
  double objects;
};

// `columns` are places in the definition, then in `definitions` (dray_selection.columns). @errors LIMIT, OUT_OF_MEMORY.
// @owner free text.
DRAY_NODISCARD int32_t shopify_selection_make(const struct shopify_stream *stream,
                                              const struct shopify_definitions *definitions, const size_t *columns,
                                              size_t column_count, struct shopify_selection *out,
                                              struct dray_error *error);

// query($first,$after,$query) for a page. `by_time`: sorted by the stream's time, else by id.
DRAY_NODISCARD int32_t shopify_document_page(const struct shopify_stream *stream,
                                             const struct shopify_selection *selection, int by_time,
                                             struct dray_buffer *out, struct dray_error *error);
// query($id,$first,$after) for more of a connection below one parent, CONNECTION and NESTED.
DRAY_NODISCARD int32_t shopify_document_below(const struct shopify_stream *stream,
                                              const struct shopify_selection *selection, struct dray_buffer *out,
                                              struct dray_error *error);
// The query of a bulk operation; `filter` may be empty.
DRAY_NODISCARD int32_t shopify_document_bulk(const struct shopify_stream *stream,
                                             const struct shopify_selection *selection, struct dray_str filter,
                                             struct dray_buffer *out, struct dray_error *error);
// The text for `query:`: the stream's own filter, and records from `from_us` on (SHOPIFY_TIME_NONE: all).
DRAY_NODISCARD int32_t shopify_filter(const struct shopify_stream *stream, int64_t from_us, struct dray_buffer *out,
                                      struct dray_error *error);
// How many records a page can have at most, by what one of them costs.
int64_t shopify_page_size(const struct shopify_stream *stream, const struct shopify_selection *selection,
                          int64_t size_max);

#endif // SHOPIFY_DOCUMENT_H
