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
  int follow; // 1: tombstones can be taken, so that a log of changes is followed also where `full` is set
  int anew;   // 1: a log of changes is begun anew; others are read in full
  int look;   // 1: nothing comes of it: the source must leave no trace
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
// A log of changes is read: rows of one key are its versions, in their order.
int dr_reader_changes(const struct dr_reader *reader);
// Everything that exists is shown: a full read, or a log of changes from its beginning.
int dr_reader_whole(const struct dr_reader *reader);
// Removes what reading left at the sync's source (slots); `state` is the last one known, if any. *out_json as the
// source's drop says it: valid until the next call to the source.
DRAY_NODISCARD int32_t dr_reader_drop(struct dr_session *session, const struct dr_sync *sync, struct dray_str state,
                                      struct dray_str *out_json, struct dray_error *error);
// The same where a log was begun and the run failed before anything that stands on it was committed: nobody will go on
// from there. Ends the reading. `reader` NULL, and readings of other kinds, leave nothing. What cannot be removed is
// warned of.
void dr_reader_abandon(struct dr_session *session, const struct dr_sync *sync, struct dr_reader *reader);
// Whether it is known already, without waiting, that no rows come any more (perhaps a state does).
int dr_reader_drained(const struct dr_reader *reader);
// The next batch; *out = NULL at the end.
DRAY_NODISCARD int32_t dr_reader_next(struct dr_reader *reader, struct dr_read_item **out, struct dray_error *error);

#endif // DR_SYNC_READER_H
