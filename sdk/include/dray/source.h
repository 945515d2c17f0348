// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The source role: a plugin that rows are read from.
#ifndef DRAY_SOURCE_H
#define DRAY_SOURCE_H

#include "dray/host.h"
#include "dray/stream.h"

#ifdef __cplusplus
extern "C" {
#endif

struct dray_source; // one configured instance; defined by the plugin

enum {
  DRAY_READ_FULL = 1,       // every row that exists; what is not shown does not exist
  DRAY_READ_INCREMENTAL = 2 // what is new or changed since `state` (everything when state is empty)
};

// Flags of a request (since 1.1).
enum {
  DRAY_READ_LOOK = 1u // what is read is only looked at: nothing may be made, moved or confirmed at the other side
};

// What to read. Borrowed during the call only.
struct dray_read_request {
  uint32_t struct_size;
  uint32_t mode;                  // DRAY_READ_*
  struct dray_str stream;         // a name from discover
  const struct dray_str *columns; // the columns wanted; column_count 0: all
  uint64_t column_count;
  struct dray_str cursor;   // the column to read incrementally by; empty: the stream's own
  struct dray_str state;    // from an earlier `state`; empty: from the beginning
  uint64_t batch_bytes_max; // about 1 MiB; a batch ends at the first row that passes it
  uint64_t batch_rows_max;
  // Since 1.1. Who reads: the same in every read of one sync, and of no other sync of any project. What has to be kept
  // at the other side between reads (a replication slot) is named after it. [A-Za-z0-9_.-], 1 to 96 bytes; empty: a
  // reader that does not come back.
  struct dray_str reader;
  uint32_t flags; // since 1.1: DRAY_READ_*
  uint32_t reserved;
  // Since 1.2. The columns by which the reader knows rows; key_count 0: it does not say. A log of changes whose
  // tombstones could not have these columns is refused.
  const struct dray_str *key;
  uint64_t key_count;
  // Since 1.2. Of a read from the beginning: the last state of the reads by `reader` whose place this one takes; empty:
  // none is known. It may be of another stream, and what was kept for it at the other side goes.
  struct dray_str former;
};

// All slots are called on one thread at a time per instance; instances run in parallel. Slots marked
// optional may be NULL.
struct dray_source_vtable {
  uint32_t struct_size;
  uint32_t flags; // none defined: 0

  // Writes the settings this role takes: a JSON Schema (draft 2020-12 subset: type, properties,
  // required, additionalProperties false, enum, default, minimum, maximum, minLength, maxLength, pattern is not
  // used, items, description) of one object; secrets carry "writeOnly": true, settings that say which place the
  // instance speaks of (host, database, account) "place": true. Static memory. Never blocks.
  DRAY_NODISCARD int32_t (*spec)(struct dray_str *out_json, struct dray_error *error);

  // Makes an instance from settings that passed `spec` with defaults filled in. `config_json` is borrowed
  // during the call, `host` until destroy. Opens no connection, reads no secret.
  // @owner *out belongs to the host, freed by `destroy`. @errors CONFIG_VALUE with `field`, OUT_OF_MEMORY.
  DRAY_NODISCARD int32_t (*create)(const struct dray_host *host, struct dray_str config_json, struct dray_source **out,
                                   struct dray_error *error);

  void (*destroy)(struct dray_source *source); // NULL allowed

  // Tries the connection, step by step. Writes a JSON array of
  // {"name": "reach", "ok": true, "text": "...", "fix": "..."}; `fix` and `code` (DRAY_E_*) only if not ok. Valid until
  // the next call on the instance. Returns an error only when the checks could not be made at all.
  DRAY_NODISCARD int32_t (*check)(struct dray_source *source, struct dray_str *out_json, struct dray_error *error);

  // Writes the streams: {"streams": [{"name", "columns": [{"name", "type": "decimal(10,2)", "nullable": true}],
  // "primary_key": ["id"], "cursor": "updated_at" or null, "modes": ["full", "incremental"], "changes": false,
  // "description"}]}. "changes": true (since 1.1): an incremental read is a log: every row that there is when it has no
  // state, and from there on every change, rows that are gone as tombstones. Rows of one key are its versions, the last
  // of which counts.
  // "incremental" is
  // listed when the stream can be read so without being told a cursor. Types are
  // spelt bool, int64, float64, decimal(P,S), string, bytes, date, timestamp, json. Stable: two calls give equal
  // bytes while the other side does not change. Valid until the next call on the instance.
  DRAY_NODISCARD int32_t (*discover)(struct dray_source *source, struct dray_str *out_json, struct dray_error *error);

  // Opens one stream. Several may be open in one instance, pulled by one thread.
  // @errors SCHEMA_STREAM, SCHEMA_COLUMN, STATE_CHECKPOINT when `state` is not one of this stream's.
  DRAY_NODISCARD int32_t (*open)(struct dray_source *source, const struct dray_read_request *request,
                                 struct dray_stream *out, struct dray_error *error);

  // Optional: called from another thread while a call blocks outside the host's services.
  void (*interrupt)(struct dray_source *source);

  // Optional, since 1.1. Removes what reads of `request->stream` by `request->reader` have left at the other side;
  // `state` is the last one known, if any; the other members are not looked at. Works when the stream is gone, and
  // again after it has worked. Writes a JSON array of {"kind": "replication slot", "name": "..."}, what was removed: empty
  // when there was nothing. Valid until the next call on the instance. Without the slot nothing is ever left.
  // @errors any; nothing is left half removed that a second call would not remove.
  DRAY_NODISCARD int32_t (*drop)(struct dray_source *source, const struct dray_read_request *request,
                                 struct dray_str *out_json, struct dray_error *error);

  // Optional, since 1.1. Waits until a read that continues from `request->state` would show something, or timeout_ms
  // have passed. *out_news = 1: read now; 0: nothing is known to be new. Costs the other side no more than an open
  // connection, moves and confirms nothing, and may be wrong towards 1. The default says 1 at once: whoever cannot
  // tell is read by the clock. @thread blocks; answers cancellation within a second. @errors those of `open`.
  DRAY_NODISCARD int32_t (*wait)(struct dray_source *source, const struct dray_read_request *request,
                                 uint64_t timeout_ms, uint32_t *out_news, struct dray_error *error);
};

#ifdef __cplusplus
}
#endif

#endif // DRAY_SOURCE_H
