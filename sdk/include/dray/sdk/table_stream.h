// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Tables of a database as streams: what they are called, and the rows of a query as a stream that knows its cursor. SQL
// and the wire are the plugin's.
#ifndef DRAY_SDK_TABLE_STREAM_H
#define DRAY_SDK_TABLE_STREAM_H

#include "dray/sdk/cursor.h"
#include "dray/sdk/services.h"
#include "dray/stream.h"

#ifdef __cplusplus
extern "C" {
#endif

// A stream is called TABLE, or SCHEMA.TABLE where the schema is not empty. A part that is empty, or with a dot or a
// double quote in it, stands in double quotes, quotes doubled. Appends. @errors OUT_OF_MEMORY, LIMIT.
DRAY_NODISCARD int32_t dray_table_name_write(struct dray_str schema, struct dray_str table, struct dray_buffer *out,
                                             struct dray_error *error);
// Takes such a name apart: appends to both; nothing to `out_schema` where there is none. What they hold after a failure
// is not said. @errors SCHEMA_STREAM, OUT_OF_MEMORY.
DRAY_NODISCARD int32_t dray_table_name_read(struct dray_str stream, struct dray_buffer *out_schema,
                                            struct dray_buffer *out_table, struct dray_error *error);

struct dray_table_stream {
  const struct dray_services *services; // for what is to be warned of; outlives the stream
  struct dray_stream inner;             // the query's; taken over
  struct dray_cursor cursor;            // taken over; kind NONE: none
  int64_t cursor_at;                    // the cursor's place among the query's columns
  int32_t hidden;                       // that column is read for the cursor alone, and not given out
  struct dray_str end_state;            // without a cursor: the state at the end; copied; empty: none
};
// The query's rows, as they come. Every value of the cursor is noted, rows without one are warned of at the end, and
// the state, which is the cursor's where there is one, is given at the end only: rows come in any order. `from` is
// zeroed, also after a failure, which closes and frees what was taken over. @errors OUT_OF_MEMORY, those of the inner
// stream's schema.
DRAY_NODISCARD int32_t dray_table_stream_open(struct dray_table_stream *from, struct dray_stream *out,
                                              struct dray_error *error);

#ifdef __cplusplus
}
#endif

#endif // DRAY_SDK_TABLE_STREAM_H
