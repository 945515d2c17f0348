// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Streams on their way in: an empty one for the opener, a complete one for the host. Used by calls_source.c and
// calls_warehouse.c.
#ifndef DR_PLUGIN_STREAM_SLOTS_H
#define DR_PLUGIN_STREAM_SLOTS_H

#include "plugin/call.h"

void dr_stream_prepare(struct dray_stream *stream);
// Checks the slots and fills the optional ones. On a broken rule the stream is closed, where it can be, and zeroed.
DRAY_NODISCARD int32_t dr_stream_complete(const struct dr_call *call, struct dray_stream *stream, int needs_state);
// The schema of a struct with named, formatted children. @errors PLUGIN_CONTRACT; the schema stays the caller's.
DRAY_NODISCARD int32_t dr_stream_check_schema(const struct dr_call *call, const struct ArrowSchema *schema);

#endif // DR_PLUGIN_STREAM_SLOTS_H
