// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// One open stream: which pages are asked for, which of their records are new, and where a later read goes on.
#ifndef MAILCHIMP_READER_H
#define MAILCHIMP_READER_H

#include "parents.h"

// Opens a stream of pages. `merge_fields` (NULL: none) outlives it. @errors STATE_CHECKPOINT, SCHEMA_COLUMN, those of
// mc_parents_load and dray_pages_open.
DRAY_NODISCARD int32_t mc_reader_open(struct mc_client *client, const struct mc_stream *stream,
                                      const struct dray_field_list *merge_fields,
                                      const struct dray_read_request *request, struct dray_stream *out,
                                      struct dray_error *error);

// ---- what was seen (seen.c) ----

// A set of 64-bit keys.
struct mc_seen {
  uint64_t *slots;
  size_t count, capacity;
};
uint64_t mc_seen_key(const struct mc_parent *parent, struct dray_str id); // an archived member is the same member
// Adds a key. *out_new = 0: it was there. @errors OUT_OF_MEMORY; nothing is changed.
DRAY_NODISCARD int32_t mc_seen_add(struct mc_seen *seen, uint64_t key, int *out_new, struct dray_error *error);
void mc_seen_free(struct mc_seen *seen);

// ---- state (state.c) ----

// Takes cursors from a state into the parents that it names. @errors STATE_CHECKPOINT.
DRAY_NODISCARD int32_t mc_state_read(struct dray_str state, const struct mc_stream *stream, struct mc_parents *parents,
                                     struct dray_error *error);
// Appends the state.
DRAY_NODISCARD int32_t mc_state_write(const struct mc_stream *stream, const struct mc_parents *parents,
                                      struct dray_buffer *out, struct dray_error *error);

#endif // MAILCHIMP_READER_H
