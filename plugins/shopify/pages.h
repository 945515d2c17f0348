// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// A stream read page by page. A page is turned into the lines that a bulk operation would have given for its records,
// so that both ways end in one reader. The records below a parent come in pages of their own, however many there are:
// they are given out one such page after the other, so that memory does not grow with a parent.
#ifndef SHOPIFY_PAGES_H
#define SHOPIFY_PAGES_H

#include "document.h"
#include "given.h"
#include "position.h"

struct shopify_pages {
  struct shopify_client *client;
  const struct shopify_stream *stream;
  const struct shopify_selection *selection;
  struct shopify_position *position; // moved on with every page
  int by_time;                       // sorted by the stream's time
  int started, ended;
  int64_t first, size_max;
  int64_t below_max; // records below a parent that are asked for at once, at most
  int64_t began_us;  // the shop's clock when the first page was asked for; by id only
  uint64_t deep;     // records since the query's bound was moved
  int64_t last_us;   // time of the last record
  struct shopify_shape shape, shape_below;
  struct dray_buffer document, document_below, filter, body, body_below, variables, lines, denied;
  struct shopify_request request;
  struct dray_api_pending *pending; // the next page
  struct shopify_given given;

  // The page that is being given out, and where in it.
  struct shopify_reply page;         // root NULL: there is none
  const struct dray_json *node;      // the next one; NULL: none is left
  const struct dray_json *element;   // NESTED: the next of the list in the node before; NULL: none is left
  struct dray_str owner, parent;     // ids of that node and of what the records are below
  struct dray_buffer after_below;    // where the records below `parent` go on; empty: nowhere
  uint64_t place;                    // records below `parent` so far
  uint64_t below_count, below_bytes; // records below all parents so far, and their lines
};

// Everything is borrowed until close. @errors LIMIT, OUT_OF_MEMORY.
DRAY_NODISCARD int32_t shopify_pages_open(struct shopify_pages *pages, struct shopify_client *client,
                                          const struct shopify_stream *stream,
                                          const struct shopify_selection *selection, struct shopify_position *position,
                                          int by_time, struct dray_error *error);
void shopify_pages_close(struct shopify_pages *pages); // also of a zeroed one
// The next lines, valid until the next call: those of a page, or of a part of it. The position is behind the page, and
// the page after it is under way, when all of it was given out; until then it is before it. *out_end = 1: there is no
// further page, and no lines.
DRAY_NODISCARD int32_t shopify_pages_next(struct shopify_pages *pages, struct dray_str *out, int *out_end,
                                          struct dray_error *error);

// Asks for one record, to learn what may not be seen: said as a warning. @errors AUTH_FORBIDDEN when it is all of them;
// those of shopify_ask.
DRAY_NODISCARD int32_t shopify_pages_probe(struct shopify_client *client, const struct shopify_stream *stream,
                                           const struct shopify_selection *selection, struct dray_error *error);

#endif // SHOPIFY_PAGES_H
