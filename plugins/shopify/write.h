// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// A batch of changes: tasks, the way they are sent, receipts.
#ifndef SHOPIFY_WRITE_H
#define SHOPIFY_WRITE_H

#include "check.h"
#include "job.h"
#include "objects.h"

struct dray_destination {
  struct dray_services services;
  struct shopify_settings settings;
  struct shopify_client client;
  struct shopify_definitions definitions[SHOPIFY_OBJECT_COUNT];
  int has_definitions[SHOPIFY_OBJECT_COUNT];
  struct dray_buffer document; // what check or discover handed out last

  // From begin to end.
  int begun;
  int in_bulk;                      // so many changes are planned that jobs write them
  const struct ArrowSchema *schema; // of the plan, borrowed
  struct shopify_options options;
  struct shopify_mapping mapping;
  struct dray_buffer scopes; // of the app, where rows are of owners of several kinds; empty: not asked for yet

  int files_refused; // results of jobs could not be downloaded: no more of them

  // Of the last write or poll.
  struct dray_receipt_writer receipts;
  struct dray_buffer handle;
};

// The slots `write` and `poll` of the destination.
DRAY_NODISCARD int32_t shopify_write(struct dray_destination *destination, const struct ArrowArray *batch,
                                     const struct dray_batch_info *info, struct dray_receipts *out,
                                     struct dray_error *error);
DRAY_NODISCARD int32_t shopify_poll(struct dray_destination *destination, struct dray_str handle, const int64_t *rows,
                                    uint64_t row_count, struct dray_receipts *out, struct dray_error *error);

#endif // SHOPIFY_WRITE_H
