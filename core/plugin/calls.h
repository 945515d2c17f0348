// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// One wrapper per slot of the plugin line: keeps the board, masks secrets in errors, and checks what comes back (sizes,
// row counts, one receipt per row). A broken rule becomes PLUGIN_CONTRACT. Every wrapper returns CANCELLED without
// calling the plugin when the run was asked to end, except stream_state, stream_close, abort, commit and rollback: what
// is done can still be put on record and cleaned up.
#ifndef DR_PLUGIN_CALLS_H
#define DR_PLUGIN_CALLS_H

#include "plugin/plugin.h"

DRAY_NODISCARD int32_t dr_source_check(struct dr_source_instance *source, struct dray_str *out_json,
                                       struct dray_error *error);
DRAY_NODISCARD int32_t dr_source_discover(struct dr_source_instance *source, struct dray_str *out_json,
                                          struct dray_error *error);
DRAY_NODISCARD int32_t dr_source_open(struct dr_source_instance *source, const struct dray_read_request *request,
                                      struct dray_stream *out, struct dray_error *error);

// What `reader` left at the other side goes. *out_json: [{"kind", "name"}], "[]" when the source has no slot for it.
DRAY_NODISCARD int32_t dr_source_drop(struct dr_source_instance *source, const struct dray_read_request *request,
                                      struct dray_str *out_json, struct dray_error *error);
// *out_news = 1: a read would show something, or the source cannot tell (then without waiting).
DRAY_NODISCARD int32_t dr_source_wait(struct dr_source_instance *source, const struct dray_read_request *request,
                                      uint64_t timeout_ms, uint32_t *out_news, struct dray_error *error);

// Streams of either role; `label` names the instance on the board. The slots of a stream from dr_source_open or
// dr_warehouse_query are all set: a missing state is "not a safe place", a missing progress says nothing.
DRAY_NODISCARD int32_t dr_stream_schema(struct dray_stream *stream, const char *label, struct ArrowSchema *out,
                                        struct dray_error *error);
// *out_rows = 0 and out->release NULL at the end.
DRAY_NODISCARD int32_t dr_stream_next(struct dray_stream *stream, const char *label, const struct ArrowSchema *schema,
                                      struct ArrowArray *out, int64_t *out_rows, struct dray_error *error);
DRAY_NODISCARD int32_t dr_stream_state(struct dray_stream *stream, const char *label, struct dray_str *out,
                                       struct dray_error *error);
void dr_stream_progress(struct dray_stream *stream, struct dray_progress *out);
void dr_stream_close(struct dray_stream *stream, const char *label); // a closed or zeroed stream: no effect

DRAY_NODISCARD int32_t dr_destination_check(struct dr_destination_instance *destination, struct dray_str *out_json,
                                            struct dray_error *error);
DRAY_NODISCARD int32_t dr_destination_discover(struct dr_destination_instance *destination, struct dray_str *out_json,
                                               struct dray_error *error);
DRAY_NODISCARD int32_t dr_destination_caps(struct dr_destination_instance *destination, struct dray_str object,
                                           struct dray_str options_json, struct dray_caps *out,
                                           struct dray_error *error);
DRAY_NODISCARD int32_t dr_destination_begin(struct dr_destination_instance *destination,
                                            const struct dray_write_plan *plan, struct dray_error *error);
// `caps` bound the batch before the plugin sees it: beyond them LIMIT. `rows`/`row_count` are the batch's _dray_row
// values: every one must get exactly one receipt. Receipts of REJECTED, RETRY and UNKNOWN always have a code
// afterwards; their texts are masked copies, valid until the next call on the instance. PLUGIN_CONTRACT after a write
// says nothing of what was applied: the batch is in doubt.
DRAY_NODISCARD int32_t dr_destination_write(struct dr_destination_instance *destination, const struct dray_caps *caps,
                                            const struct ArrowArray *batch, uint64_t batch_bytes, const int64_t *rows,
                                            uint64_t row_count, const struct dray_batch_info *info,
                                            struct dray_receipts *out, struct dray_error *error);
DRAY_NODISCARD int32_t dr_destination_poll(struct dr_destination_instance *destination, struct dray_str handle,
                                           const int64_t *rows, uint64_t row_count, struct dray_receipts *out,
                                           struct dray_error *error);
DRAY_NODISCARD int32_t dr_destination_read_back(struct dr_destination_instance *destination,
                                                const struct ArrowArray *batch, const int64_t *rows, uint64_t row_count,
                                                struct dray_receipts *out, struct dray_error *error);
DRAY_NODISCARD int32_t dr_destination_end(struct dr_destination_instance *destination, struct dray_error *error);
void dr_destination_abort(struct dr_destination_instance *destination);

DRAY_NODISCARD int32_t dr_warehouse_check(struct dr_warehouse_instance *warehouse, struct dray_str *out_json,
                                          struct dray_error *error);
DRAY_NODISCARD int32_t dr_warehouse_open(struct dr_warehouse_instance *warehouse, struct dray_error *error);
DRAY_NODISCARD int32_t dr_warehouse_discover(struct dr_warehouse_instance *warehouse, struct dray_str *out_json,
                                             struct dray_error *error);
DRAY_NODISCARD int32_t dr_warehouse_query(struct dr_warehouse_instance *warehouse, struct dray_str sql,
                                          uint64_t batch_bytes_max, uint64_t batch_rows_max, struct dray_stream *out,
                                          struct dray_error *error);

// The instance as a vtable and a self of its own, each slot a wrapper as above: what core/warehouse is given, which
// knows only dray/warehouse.h. `self` is valid as long as the instance stays where it is. spec and create of this
// vtable refuse; destroy is dr_warehouse_destroy.
const struct dray_warehouse_vtable *dr_warehouse_guarded(void);
static inline struct dray_warehouse *dr_warehouse_guarded_self(struct dr_warehouse_instance *warehouse) {
  return (struct dray_warehouse *)(void *)warehouse;
}

#endif // DR_PLUGIN_CALLS_H
