// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Whether a document is compact already. Inside the library only.
#ifndef DRAY_LIB_JSON_COMPACT_SCAN_H
#define DRAY_LIB_JSON_COMPACT_SCAN_H

#include "dray/sdk/text.h"

// 1: `text` is one JSON value of valid UTF-8, nested no deeper than DRAY_JSON_DEPTH_MAX, without blanks outside strings
// and without an escape that could be spelled shorter. 0: it is not, or holds a \u escape, which is not judged here.
int dray_json_is_compact(struct dray_str text);

#endif // DRAY_LIB_JSON_COMPACT_SCAN_H
