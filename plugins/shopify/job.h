// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Many rows by one bulk mutation: a file of variables is uploaded, Shopify works through it, its result says for each
// line what became of it. Between the two there is only a handle, which outlives the process.
#ifndef SHOPIFY_JOB_H
#define SHOPIFY_JOB_H

#include "bulk.h"
#include "operations.h"

// Which row each line of the file was: ranges of row numbers in the order of the lines.
struct shopify_lines {
  struct shopify_range {
    int64_t first;
    uint64_t count;
  } * ranges; // owned
  size_t range_count, capacity;
  uint64_t count;
};
void shopify_lines_free(struct shopify_lines *lines);
// @errors OUT_OF_MEMORY.
DRAY_NODISCARD int32_t shopify_lines_add(struct shopify_lines *lines, int64_t row, struct dray_error *error);
// The row of a line; INT64_MIN: there is no such line.
int64_t shopify_lines_row(const struct shopify_lines *lines, uint64_t line);

// {"v":1,"id":...,"op":"customerSet","rows":"0-99,120"}; *out_fits = 0 when it has more bytes than a handle can.
DRAY_NODISCARD int32_t shopify_handle_write(const char *id, int32_t operation, const struct shopify_lines *lines,
                                            struct dray_buffer *out, int *out_fits, struct dray_error *error);
// @errors PLUGIN_CONTRACT for a handle that is none of ours, OUT_OF_MEMORY.
DRAY_NODISCARD int32_t shopify_handle_read(struct dray_str handle, char id[SHOPIFY_BULK_ID_BYTES], int32_t *operation,
                                           struct shopify_lines *lines, struct dray_error *error);

// Uploads the file and starts the mutation. *out_started = 0: all slots are taken, nothing was done. @errors those of
// shopify_ask (in doubt: it may have started), of the upload, HTTP_STATUS with Shopify's words.
DRAY_NODISCARD int32_t shopify_job_start(struct shopify_client *client, int32_t operation, struct dray_str file,
                                         char id[SHOPIFY_BULK_ID_BYTES], int *out_started, struct dray_error *error);

// Reads the result of a job that has ended into tasks, one for each line; those of lines that are not in it keep the
// status 0. *out_refused = 1: its address is refused, a fresh one too, so nothing more of it will be known. @errors
// those of shopify_download_next.
DRAY_NODISCARD int32_t shopify_job_result(struct shopify_client *client, const char *id,
                                          struct shopify_bulk_status *status, int32_t operation,
                                          struct shopify_task *tasks, uint64_t count, struct dray_buffer *texts,
                                          int *out_refused, struct dray_error *error);

#endif // SHOPIFY_JOB_H
