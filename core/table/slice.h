// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The tags of the canonical encoding (ENCODING.md). Inside core/table only.
#ifndef DR_TABLE_SLICE_H
#define DR_TABLE_SLICE_H

#include <stdint.h>

#define DR_TAG_ABSENT 0x00
#define DR_TAG_NULL 0x01
#define DR_TAG_VALUE 0x10 // + DRAY_TYPE_*: 0x11 bool to 0x19 json

#define DR_NAN_BITS UINT64_C(0x7FF8000000000000)

#endif // DR_TABLE_SLICE_H
