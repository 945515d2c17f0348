// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The destination role: a plugin that changes are written to.
#ifndef DRAY_DESTINATION_H
#define DRAY_DESTINATION_H

#include "dray/host.h"
#include "dray/stream.h"

#ifdef __cplusplus
extern "C" {
#endif

struct dray_destination; // one configured instance; defined by the plugin

enum { DRAY_OP_INSERT = 1, DRAY_OP_UPDATE = 2, DRAY_OP_DELETE = 4 }; // bits, so that caps can hold a set

// How a batch is resolved of which nobody knows whether it arrived.
enum {
  DRAY_DOUBT_RESEND = 1,          // the operation is an idempotent upsert: send it again
  DRAY_DOUBT_IDEMPOTENCY_KEY = 2, // send it again under the same idempotency key, while that is remembered (key_life_s)
  DRAY_DOUBT_READ_BACK = 3,       // ask the destination (`read_back`)
  DRAY_DOUBT_NONE = 4             // cannot be resolved: park and ask the operator
};

enum {
  DRAY_CAPS_PARTIAL = 1u,          // receipts are per row; without it a batch is applied or refused as a whole
  DRAY_CAPS_ASYNC = 2u,            // receipts may be PENDING with a job handle
  DRAY_CAPS_CHANGED_COLUMNS = 4u,  // an update may carry only its changed columns
  DRAY_CAPS_DELETE_NEEDS_ROW = 8u, // a delete needs all mapped columns as last sent, not the key alone
  DRAY_CAPS_DYNAMIC_FIELDS = 16u,  // fields that discover does not list are accepted
  // Since 1.2: an update needs the values that it replaces, which stand in the column _dray_before, as where what a
  // list lacks by now has to be taken away one by one. A mirror sync that keeps no rows is refused.
  DRAY_CAPS_UPDATE_NEEDS_BEFORE = 32u
};

// What one object can take. Caller-owned; the plugin fills it.
struct dray_caps {
  uint32_t struct_size;
  uint32_t flags;           // DRAY_CAPS_*
  uint32_t operations;      // set of DRAY_OP_*
  uint32_t doubt;           // DRAY_DOUBT_*
  uint64_t batch_rows_max;  // >= 1
  uint64_t batch_bytes_max; // >= 1
  // Batches in flight, each by an instance of its own, with begin and end; 1: in order. Where requests share a
  // rate_key, its concurrency_max is the limit, and one more here has the next request ready when an answer comes.
  uint32_t parallel_max;
  uint32_t reserved;
  uint32_t jobs_max; // since 1.2, with ASYNC: batches in jobs at once; the host polls before it sends more. 0: 16
  // Since 1.2, with DOUBT_IDEMPOTENCY_KEY: for how many seconds the other side surely remembers a key; 0: for ever. An
  // eighth before they are over no batch is sent again under its key: what is in doubt waits for an operator. A
  // destination that can look there says DOUBT_READ_BACK instead.
  uint32_t key_life_s;
};

// What the run will write. Borrowed during `begin`, except `schema`, which lives until end or abort.
struct dray_write_plan {
  uint32_t struct_size;
  uint32_t operations;              // set of DRAY_OP_* that will come
  struct dray_str object;           // a name from discover
  const struct ArrowSchema *schema; // columns of every batch, with the reserved ones
  // The columns that identify a row at the destination: of the object's match keys those that the sync's key feeds, and
  // constants; the key itself where the object declares none. The host knows rows by them too: no two rows of a run
  // have the same, and a row in which they change comes as a delete and an insert.
  const struct dray_str *match_keys;
  uint64_t match_key_count;
  struct dray_str options_json; // the `to:` settings of the sync that are not dray's own, a JSON object
  struct dray_str sync;         // names, for logs and idempotency
  struct dray_str run;
  uint64_t insert_count, update_count, delete_count; // planned
};

struct dray_batch_info {
  uint32_t struct_size;
  uint32_t attempt;                // 1, 2, ...
  uint64_t batch;                  // the batch's number in the ledger, unique per sync
  struct dray_str idempotency_key; // stable over every attempt of the same rows; ASCII, at most 64 bytes
};

enum {
  DRAY_RECEIPT_APPLIED = 1,   // the destination holds the row now
  DRAY_RECEIPT_UNCHANGED = 2, // it held it already
  DRAY_RECEIPT_REJECTED = 3,  // refused for what it is; sending it again unchanged would not help
  DRAY_RECEIPT_RETRY = 4,   // not applied for a passing reason; code THROTTLED: a limit, none of the row's fault. With
                            // no code it is THROTTLED where retry_after_ms is given, else BUSY
  DRAY_RECEIPT_PENDING = 5, // accepted into the job that `handle` names
  DRAY_RECEIPT_UNKNOWN = 6  // may or may not have been applied
};

// Since 1.2, a bit of dray_receipt.reserved.len, where the status is REJECTED, RETRY or UNKNOWN: a row takes several
// calls, and one before that which failed has changed something at the other side, or may have. So it is not as it was
// before: the host believes nothing of what it knew of the row, and sends all of it the next time, whatever it is then.
// Hosts before ignore it.
enum { DRAY_RECEIPT_PARTLY = 1 };

// The outcome of one row. Frozen layout (it is an array element). Strings are valid until the next call
// on the instance.
struct dray_receipt {
  int64_t row;              // the row's `_dray_row`
  int32_t status;           // DRAY_RECEIPT_*
  int32_t code;             // DRAY_E_*; 0 where applied
  int64_t retry_after_ms;   // for RETRY; 0: the host's backoff
  struct dray_str text;     // why, in the destination's own words
  struct dray_str reserved; // data: NULL; len: 0 or DRAY_RECEIPT_PARTLY
};

#define DRAY_HANDLE_BYTES_MAX 4000

struct dray_receipts {
  uint32_t struct_size;
  uint32_t reserved;
  struct dray_receipt *items; // caller-owned array of `capacity`, at least the batch's rows
  uint64_t capacity;
  uint64_t count; // written by the plugin
  // job handle where a receipt is PENDING: UTF-8 without NUL, at most DRAY_HANDLE_BYTES_MAX, valid until the next
  // call
  struct dray_str handle;
};

// All slots are called on one thread at a time per instance. Optional slots may be NULL.
struct dray_destination_vtable {
  uint32_t struct_size;
  uint32_t flags; // none defined: 0

  // As in dray_source_vtable.
  DRAY_NODISCARD int32_t (*spec)(struct dray_str *out_json, struct dray_error *error);
  DRAY_NODISCARD int32_t (*create)(const struct dray_host *host, struct dray_str config_json,
                                   struct dray_destination **out, struct dray_error *error);
  void (*destroy)(struct dray_destination *destination);
  DRAY_NODISCARD int32_t (*check)(struct dray_destination *destination, struct dray_str *out_json,
                                  struct dray_error *error);

  // Writes the objects: {"objects": [{"name", "fields": [{"name", "type", "required": false, "writable": true,
  // "match_key": false, "compare": "exact", "null": "emptied"}], "operations": ["insert", "update", "delete"], "description"}], "options":
  // JSON Schema of options_json}, in which options that say where rows go (a list, a path) are marked "place": true, as
  // such settings are in `spec`. An object may leave `fields` out when it takes any; a field its `type`, when it takes
  // values of any type as they are. `compare` is "caseless" for a text that the destination finds whatever the case of
  // its letters (sdk/catalog.h, DRAY_FIELD_CASELESS). `null` says what a null does to the field: "emptied", "kept" (it
  // stays as it is) or "refused" (the row is). What a sync's map keeps comes as absent, not as null.
  // A run asks `caps` of its object before: custom fields that only other objects or options have need not be looked up
  // then.
  DRAY_NODISCARD int32_t (*discover)(struct dray_destination *destination, struct dray_str *out_json,
                                     struct dray_error *error);

  // What `object` can take under `options_json`. @errors SCHEMA_OBJECT, CONFIG_VALUE.
  DRAY_NODISCARD int32_t (*caps)(struct dray_destination *destination, struct dray_str object,
                                 struct dray_str options_json, struct dray_caps *out, struct dray_error *error);

  DRAY_NODISCARD int32_t (*begin)(struct dray_destination *destination, const struct dray_write_plan *plan,
                                  struct dray_error *error);

  // Writes one batch within the caps and reports one receipt per row, in any order. `batch` is borrowed
  // during the call. Returning an error instead of receipts is a promise that no row was applied (class
  // TRANSIENT, THROTTLED, DATA for a batch refused as a whole, AUTH, CONFIG); if that cannot be promised, return
  // DRAY_OK with
  // UNKNOWN receipts. Plugins do not retry: the host does.
  // @thread blocks for as long as the destination takes; answers cancellation within a second.
  DRAY_NODISCARD int32_t (*write)(struct dray_destination *destination, const struct ArrowArray *batch,
                                  const struct dray_batch_info *info, struct dray_receipts *out,
                                  struct dray_error *error);

  // Required with DRAY_CAPS_ASYNC: asks for the receipts of a job, perhaps in a later process (after begin). Rows
  // still in
  // work are PENDING. A job that is not known any more gives UNKNOWN receipts for `rows`.
  DRAY_NODISCARD int32_t (*poll)(struct dray_destination *destination, struct dray_str handle, const int64_t *rows,
                                 uint64_t row_count, struct dray_receipts *out, struct dray_error *error);

  // Required with DRAY_DOUBT_READ_BACK: says for each row whether it is applied (APPLIED), not (RETRY), or still
  // UNKNOWN.
  DRAY_NODISCARD int32_t (*read_back)(struct dray_destination *destination, const struct ArrowArray *batch,
                                      struct dray_receipts *out, struct dray_error *error);

  DRAY_NODISCARD int32_t (*end)(struct dray_destination *destination, struct dray_error *error);
  void (*abort)(struct dray_destination *destination);
  void (*interrupt)(struct dray_destination *destination); // optional, see source.h
};

#ifdef __cplusplus
}
#endif

#endif // DRAY_DESTINATION_H
