// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// One read of a stream, page by page.
#ifndef ZENDESK_READ_H
#define ZENDESK_READ_H

#include "record.h"

// Opens it; `client` and `fields` outlive the stream. @errors STATE_CHECKPOINT for a state of another stream or
// version, SCHEMA_COLUMN, OUT_OF_MEMORY.
DRAY_NODISCARD int32_t zendesk_read_open(struct zendesk_client *client, const struct zendesk_stream *stream,
                                         const struct zendesk_fields *fields, const struct dray_read_request *request,
                                         struct dray_stream *out, struct dray_error *error);

// ---- its parts, for tests ----

// Where a read goes on.
struct zendesk_position {
  struct dray_buffer cursor; // after_cursor; empty: by start
  int64_t start;             // Unix seconds
  int64_t seen;              // the greatest stamp that was given out; -1: none
  int custom;                // whether custom fields were columns of what was read; -1: not known
};
void zendesk_position_init(struct zendesk_position *position);
void zendesk_position_free(struct zendesk_position *position);
DRAY_NODISCARD int32_t zendesk_position_write(const struct zendesk_position *position, const char *stream,
                                              struct dray_buffer *out, struct dray_error *error);
// @errors STATE_CHECKPOINT, OUT_OF_MEMORY.
DRAY_NODISCARD int32_t zendesk_position_read(struct zendesk_position *position, const char *stream,
                                             struct dray_str state, struct dray_error *error);

#endif // ZENDESK_READ_H
