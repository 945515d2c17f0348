// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What the column files share. Inside the library only.
#ifndef DRAY_LIB_COLUMN_INSIDE_H
#define DRAY_LIB_COLUMN_INSIDE_H

#include "dray/sdk/column.h"

// How a type's values lie in memory.
static inline int dray_type_is_text(int32_t id) { // offsets and bytes
  return id == DRAY_TYPE_STRING || id == DRAY_TYPE_BYTES || id == DRAY_TYPE_JSON;
}
static inline size_t dray_type_width(int32_t id) { // bytes a value; 0 for bits and text
  if (id == DRAY_TYPE_DECIMAL) return 16;
  if (id == DRAY_TYPE_DATE) return 4;
  return id == DRAY_TYPE_INT64 || id == DRAY_TYPE_FLOAT64 || id == DRAY_TYPE_TIMESTAMP ? 8 : 0;
}

#endif // DRAY_LIB_COLUMN_INSIDE_H
