// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Case folding: texts that differ by the case of letters alone become one. The host knows rows by it where an object's
// key is DRAY_FIELD_CASELESS, and a plugin compares with it what a vendor tells of such keys.
//
// It is Unicode's simple folding (CaseFolding.txt of Unicode 14, status C and S): one character for one, whatever the
// locale. Not ASCII alone, since a letter that the other side folds and dray does not makes two keys of one record, and
// the removal of one takes the other away; a letter that dray folds and the other side does not makes one key of two,
// and both rows are withheld and told. For the same reason the blanks of ASCII at both ends go, which vendors cut off
// addresses and forms leave there. Not full folding (ss for the sharp s), which vendors' lower-casing does not do.
// The table is frozen: mirrors hold keys made by it, so another one would need another name for them.
// What the C library knows of letters changes with the system and is therefore not asked.
#ifndef DRAY_SDK_FOLD_H
#define DRAY_SDK_FOLD_H

#include <stddef.h>
#include <stdint.h>

#include "dray/abi.h"

#ifdef __cplusplus
extern "C" {
#endif

// One character; others than letters with case are themselves.
uint32_t dray_fold_character(uint32_t character);
// UTF-8 to UTF-8. `out` has room for len + len / 2 bytes and may not overlap. Returns the bytes written. Bytes that are
// no UTF-8 stay as they are. Folding twice is folding once.
size_t dray_fold_text(const char *text, size_t len, char *out);

// Whether two texts are the same but for the case of letters. Blanks count, as do bytes that are no UTF-8.
int dray_fold_same(struct dray_str a, struct dray_str b);

#ifdef __cplusplus
}
#endif

#endif // DRAY_SDK_FOLD_H
