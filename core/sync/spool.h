// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Rows put by on disk between reading and writing, for where the two cannot go on at once: a model that is written
// into its own warehouse, where what holds the read (a connection, a lock, a snapshot) is given back before the write
// begins, and rows that are to replace a table's, which may be the same.
// The file has no name: a run that is killed leaves nothing.
#ifndef DR_SYNC_SPOOL_H
#define DR_SYNC_SPOOL_H

#include "table/batch.h"

struct dr_spool; // one thread
// `folder` is where the file is made. Takes a reference of the schema. @errors IO, DISK_FULL, OUT_OF_MEMORY.
DRAY_NODISCARD int32_t dr_spool_new(const char *folder, struct dr_schema *schema, struct dr_spool **out,
                                    struct dray_error *error);
void dr_spool_free(struct dr_spool *spool); // NULL allowed
// Adds rows of exactly that schema, absent values as absent; tombstones are rows here. Not after dr_spool_next.
// @errors IO, DISK_FULL, OUT_OF_MEMORY.
DRAY_NODISCARD int32_t dr_spool_add(struct dr_spool *spool, const struct dr_batch *batch, struct dray_error *error);
// The next rows in the order in which they came, about DR_BATCH_BYTES_DEFAULT; *out = NULL at the end. The caller frees
// them. @errors IO, OUT_OF_MEMORY, MIRROR_CORRUPT: the file was damaged.
DRAY_NODISCARD int32_t dr_spool_next(struct dr_spool *spool, struct dr_batch **out, struct dray_error *error);

#endif // DR_SYNC_SPOOL_H
