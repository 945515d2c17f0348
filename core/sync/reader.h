// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The reading end of a run: a source's stream or a warehouse's query, pulled on a thread of its own into a
// bounded queue, so that reading goes on while the previous batch is hashed or written.
#ifndef DR_SYNC_READER_H
#define DR_SYNC_READER_H

#include "sync/catalog.h"
#include "sync/session.h"

// One pulled batch. The consumer owns it.
struct dr_read_item {
  struct ArrowArray array;
  uint64_t rows, first_row;
  char *state; // the stream's state after this batch, owned; NULL: not a safe place
  size_t state_bytes;
};
void dr_read_item_free(struct dr_read_item *item);

struct dr_reader_options {
  const struct dr_sync *sync;
  struct dray_str checkpoint; // for an incremental read; empty: from the beginning
  int full;                   // 1: read everything whatever the checkpoint says
  struct dray_str query;      // of a model: what is asked instead of its own SQL; empty: that
};

struct dr_reader;
// Opens stream or query and learns its schema; reading starts with the first dr_reader_next. @errors SCHEMA_STREAM,
// CONFIG_SQL, the plugin's own.
DRAY_NODISCARD int32_t dr_reader_open(struct dr_session *session, const struct dr_reader_options *options,
                                      struct dr_reader **out, struct dray_error *error);
// Ends the thread and closes the stream, so that its connection is free for writing; what was learnt stays.
void dr_reader_finish(struct dr_reader *reader);
void dr_reader_close(struct dr_reader *reader);
const struct ArrowSchema *dr_reader_schema(const struct dr_reader *reader);
const struct dr_stream_facts *dr_reader_facts(const struct dr_reader *reader); // key: the stream's or the model's
uint64_t dr_reader_bytes(const struct dr_reader *reader);                      // of the values that were taken so far
int dr_reader_incremental(const struct dr_reader *reader);                     // what is not shown may still exist
// The next batch; *out = NULL at the end.
DRAY_NODISCARD int32_t dr_reader_next(struct dr_reader *reader, struct dr_read_item **out, struct dray_error *error);

#endif // DR_SYNC_READER_H
