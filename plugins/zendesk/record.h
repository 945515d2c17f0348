// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// From a record of an answer to a row.
#ifndef ZENDESK_RECORD_H
#define ZENDESK_RECORD_H

#include "streams.h"

struct zendesk_cell {
  const char *name; // of the member; of a custom field, its number or key
  struct dray_type type;
  int custom; // it is a custom field
};

// How rows of one read are made. Names are borrowed from the definition and the list of custom fields.
struct zendesk_rows {
  const struct zendesk_stream *stream;
  struct zendesk_cell *cells;
  size_t count;
  ptrdiff_t deleted_column;
  struct dray_buffer scratch;
  int32_t full; // the batch has reached a bound; set to 0 by the caller
};

// @errors OUT_OF_MEMORY.
DRAY_NODISCARD int32_t zendesk_rows_init(struct zendesk_rows *rows, const struct zendesk_stream *stream,
                                         const struct zendesk_fields *fields, const struct dray_selection *selection,
                                         struct dray_error *error);
void zendesk_rows_free(struct zendesk_rows *rows);

// A record and what it came with: what it does not say itself, `parent` says (NULL: none). What cannot be converted
// makes a bad row.
DRAY_NODISCARD int32_t zendesk_rows_add(struct zendesk_rows *rows, const struct dray_json *record,
                                        const struct dray_json *parent, struct dray_builder *builder,
                                        struct dray_error *error);
// A tombstone: the key alone, of the record's `id`.
DRAY_NODISCARD int32_t zendesk_rows_add_deleted(struct zendesk_rows *rows, const struct dray_json *record,
                                                struct dray_builder *builder, struct dray_error *error);
// Whether the record says that it is gone.
int zendesk_record_deleted(const struct zendesk_stream *stream, const struct dray_json *record);
// Its `stamp` in Unix seconds, rounded down; -1: none.
int64_t zendesk_record_stamp(const struct zendesk_stream *stream, const struct dray_json *record);

#endif // ZENDESK_RECORD_H
