// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The streams, as tables: what they hold, and how Zendesk gives them out.
#ifndef ZENDESK_STREAMS_H
#define ZENDESK_STREAMS_H

#include "fields.h"

enum {
  ZENDESK_BY_CURSOR = 1, // incremental export that goes on by after_cursor
  ZENDESK_BY_TIME = 2,   // incremental export that goes on by end_time
  ZENDESK_BY_LIST = 3,   // a list: page[after], or next_page
  ZENDESK_BY_TICKET = 4  // the export of tickets by cursor, and a list of each ticket of it
};
enum { ZENDESK_ROWS_RECORDS = 0, ZENDESK_ROWS_COMMENTS, ZENDESK_ROWS_METRICS };
enum {
  ZENDESK_GATED = 1, // an account's plan may not have it: 403 and 404 skip the stream with a warning
  ZENDESK_SINCE = 2, // a list that takes start_time
  ZENDESK_WHOLE = 4  // a list without pages: page[size] is not sent
};

struct zendesk_stream {
  struct dray_stream_def def;
  int how;             // ZENDESK_BY_*
  const char *path;    // "/api/v2/incremental/tickets/cursor"
  const char *include; // sideloads; NULL: none
  const char *records; // the list's name in an answer
  const char *stamp;   // when the record changed: a member of it, of exports in Unix seconds or ISO 8601
  int rows;            // ZENDESK_ROWS_*: what becomes of a record
  const char *child;   // BY_TICKET: the list, also its name in an answer
  int fields;          // ZENDESK_*_FIELDS that are columns too
  int flags;           // ZENDESK_GATED, ...
  const char *deleted; // how a record says that it is gone: a member; NULL: never
  const char *scope;   // what an OAuth client needs, for check
};

extern const struct zendesk_stream zendesk_streams[];
extern const size_t zendesk_stream_count;
const struct zendesk_stream *zendesk_stream_find(struct dray_str name); // NULL: none

#endif // ZENDESK_STREAMS_H
