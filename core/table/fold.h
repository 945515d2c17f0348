// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Case folding: texts that differ by the case of letters alone, or by blanks around them, become one. Keys are folded
// where the other side compares them so; whoever does not ask for it pays nothing.
//
// What one character becomes is said in dray/sdk/fold.h. Its table is frozen: mirrors hold keys made by it, so another
// one would need another name for them (sync/mapping.c).
#ifndef DR_TABLE_FOLD_H
#define DR_TABLE_FOLD_H

#include "table/batch.h"

// Turns a batch into one of `schema`, which has the batch's fields and behind them `count` texts more: the i-th is
// field from[i], a text, folded, null and absent where that is. The batch, which nobody else holds, is consumed, also
// when it fails; its columns are moved. Nothing is allocated by row. @errors OUT_OF_MEMORY, DATA_TOO_LARGE when a
// column would pass 2 GiB.
DRAY_NODISCARD int32_t dr_batch_fold(struct dr_batch *batch, struct dr_schema *schema, const size_t *from, size_t count,
                                     struct dr_batch **out, struct dray_error *error);

#endif // DR_TABLE_FOLD_H
