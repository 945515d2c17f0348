// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Case folding: texts that differ by the case of letters alone, or by blanks around them, become one. Keys are folded
// where the other side compares them so; whoever does not ask for it pays nothing.
//
// It is Unicode's simple folding (CaseFolding.txt of Unicode 14, status C and S): one character for one, whatever the
// locale. Not ASCII alone, since a letter that the other side folds and dray does not makes two keys of one record, and
// the removal of one takes the other away; a letter that dray folds and the other side does not makes one key of two,
// and both rows are withheld and told. For the same reason the blanks of ASCII at both ends go, which vendors cut off
// addresses and forms leave there. Not full folding (ss for the sharp s), which vendors' lower-casing does not do.
// The table is frozen: mirrors hold keys made by it, so another one would need another name for them (sync/mapping.c).
// What the C library knows of letters changes with the system and is therefore not asked.
#ifndef DR_TABLE_FOLD_H
#define DR_TABLE_FOLD_H

#include "table/batch.h"

// One character; others than letters with case are themselves.
uint32_t dr_fold_character(uint32_t character);
// UTF-8 to UTF-8. `out` has room for len + len / 2 bytes and may not overlap. Returns the bytes written. Bytes that are
// no UTF-8 stay as they are. Folding twice is folding once.
size_t dr_fold_text(const char *text, size_t len, char *out);

// Turns a batch into one of `schema`, which has the batch's fields and behind them `count` texts more: the i-th is
// field from[i], a text, folded, null and absent where that is. The batch, which nobody else holds, is consumed, also
// when it fails; its columns are moved. Nothing is allocated by row. @errors OUT_OF_MEMORY, DATA_TOO_LARGE when a
// column would pass 2 GiB.
DRAY_NODISCARD int32_t dr_batch_fold(struct dr_batch *batch, struct dr_schema *schema, const size_t *from, size_t count,
                                     struct dr_batch **out, struct dray_error *error);

#endif // DR_TABLE_FOLD_H
