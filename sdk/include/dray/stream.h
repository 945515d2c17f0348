// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// A stream of batches, pulled by the host: what a source opens and what a warehouse query returns.
#ifndef DRAY_STREAM_H
#define DRAY_STREAM_H

#include "dray/abi.h"
#include "dray/arrow.h"

#ifdef __cplusplus
extern "C" {
#endif

// The nine canonical types and the Arrow format each crosses the line in. A plugin may hand over any
// other Arrow type; the host casts it exactly or rejects the row.
enum {
  DRAY_TYPE_BOOL = 1,      // "b"
  DRAY_TYPE_INT64 = 2,     // "l"
  DRAY_TYPE_FLOAT64 = 3,   // "g"
  DRAY_TYPE_DECIMAL = 4,   // "d:P,S", 128 bits, precision 1..38, scale 0..P
  DRAY_TYPE_STRING = 5,    // "u", UTF-8
  DRAY_TYPE_BYTES = 6,     // "z"
  DRAY_TYPE_DATE = 7,      // "tdD", days since 1970-01-01
  DRAY_TYPE_TIMESTAMP = 8, // "tsu:UTC", microseconds since 1970-01-01
  DRAY_TYPE_JSON = 9       // "u" with the metadata ARROW:extension:name = arrow.json
};

// Reserved columns of a batch. `_dray_absent` ("z", nullable) holds a bitmap per row, bit i (LSB first) set when the
// value of column i (counted without the reserved columns) is absent: not null, but not said. NULL means
// that nothing is absent.
#define DRAY_COLUMN_ABSENT "_dray_absent"
#define DRAY_COLUMN_ROW "_dray_row"         // "l": the row's number in the change set
#define DRAY_COLUMN_OP "_dray_op"           // "l": DRAY_OP_*
#define DRAY_COLUMN_CHANGED "_dray_changed" // "z": bitmap like _dray_absent, set where an update changes the column
// JSON, destination side, since 1.2 and only with DRAY_CAPS_UPDATE_NEEDS_BEFORE: of an update an object with the
// columns that it changes as they were last sent, {"tags": "a b"}, without those that nothing had been said of. NULL:
// that is not known, or the change is no update.
#define DRAY_COLUMN_BEFORE "_dray_before"
// "u", source side: why this record could not be read; its row is rejected. The text begins with the name of a DATA
// error, then the column where one value is to blame, then place and reason: "data_shape: orders.csv line 12: 7 fields,
// header has 8", "data_overflow: column 'total': 1e99 does not fit int64". Columns of the row that have a value say
// which record it was: the host shows its key.
#define DRAY_COLUMN_ERROR "_dray_error"
#define DRAY_COLUMN_DELETED "_dray_deleted" // "b", source side: true for a tombstone

struct dray_progress {
  uint32_t struct_size;
  uint32_t reserved;
  uint64_t rows;        // read so far
  uint64_t bytes;       // read so far
  uint64_t rows_total;  // 0: unknown
  uint64_t bytes_total; // 0: unknown
};

// Caller-owned; the opener fills it. One thread at a time.
struct dray_stream {
  uint32_t struct_size;
  uint32_t reserved;
  void *private_data;

  // Writes the schema of every batch: a struct whose children are the columns. May block (a query is
  // sent); stable for the life of the stream. The caller releases *out.
  DRAY_NODISCARD int32_t (*schema)(struct dray_stream *stream, struct ArrowSchema *out, struct dray_error *error);

  // Writes the next batch: a struct array of that schema with at least one row, within the caps of the
  // request. out->release is NULL at the end. The caller releases *out, which must not refer to the
  // stream: it may outlive it.
  // @errors any. DATA errors of one record belong into its row as `_dray_error`; an error returned here ends the
  // stream.
  // @thread blocks until rows are there; answers cancellation within a second.
  DRAY_NODISCARD int32_t (*next)(struct dray_stream *stream, struct ArrowArray *out, struct dray_error *error);

  // The place from which a later `open` continues, once everything returned so far is durable. len 0:
  // not a safe place. Opaque bytes, at most 1 MiB, valid until the next call on the stream. Resuming may
  // repeat rows and must never skip one. Warehouse queries leave this slot NULL.
  DRAY_NODISCARD int32_t (*state)(struct dray_stream *stream, struct dray_str *out, struct dray_error *error);

  // Optional (NULL allowed). Never blocks.
  void (*progress)(struct dray_stream *stream, struct dray_progress *out);

  // Frees what the stream holds. Called exactly once, also after an error.
  void (*close)(struct dray_stream *stream);
};

#ifdef __cplusplus
}
#endif

#endif // DRAY_STREAM_H
