// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// How far a stream was read: what is kept between reads, as small JSON.
#ifndef SHOPIFY_POSITION_H
#define SHOPIFY_POSITION_H

#include "settings.h"

#define SHOPIFY_CURSOR_BYTES_MAX 2048
#define SHOPIFY_GID_BYTES_MAX 128
#define SHOPIFY_SHAPE_BYTES 17

// A read that has ended knows `seen_us` alone. One that is `open` goes on in the same query: from `from_us`, after the
// page that ended with `after`, or behind the first `bytes` of a bulk operation's file.
struct shopify_position {
  int32_t open;
  int64_t from_us; // the query's bound; SHOPIFY_TIME_NONE: none
  int64_t seen_us; // everything up to here was given out when the read has ended; SHOPIFY_TIME_NONE: not known
  int64_t hold_us; // a record of that time was left for the next read; SHOPIFY_TIME_NONE: none was
  char after[SHOPIFY_CURSOR_BYTES_MAX];
  char bulk_id[SHOPIFY_GID_BYTES_MAX];
  int64_t bulk_at_us;
  uint64_t bulk_bytes;
  char bulk_shape[SHOPIFY_SHAPE_BYTES]; // of the query whose file it is
};

void shopify_position_init(struct shopify_position *position);
// Where a read begins: at an open one's place, or `lookback_us` before what is known; never before `start_us`. An empty
// state is the beginning. @errors STATE_CHECKPOINT when the state is not one of this stream.
DRAY_NODISCARD int32_t shopify_position_read(struct dray_str state, const char *stream, int64_t start_us,
                                             int64_t lookback_us, struct shopify_position *out,
                                             struct dray_error *error);
// Appends the state. @errors LIMIT, OUT_OF_MEMORY.
DRAY_NODISCARD int32_t shopify_position_write(const struct shopify_position *position, const char *stream,
                                              struct dray_buffer *out, struct dray_error *error);
// Notes the time of a record that was given out, or left for the next read.
void shopify_position_note(struct shopify_position *position, int64_t time_us, int left);
// The read has ended: only `seen_us` is left, not beyond what was left.
void shopify_position_end(struct shopify_position *position);

#endif // SHOPIFY_POSITION_H
