// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Which values a table's columns do not take, as far as that is known before anything is loaded.
#ifndef DR_WAREHOUSE_LIMITS_H
#define DR_WAREHOUSE_LIMITS_H

#include "warehouse/table.h"

// Fills `limits` and `limit_count` of the plan, for the columns as they are when its DDL has run. @errors
// OUT_OF_MEMORY.
DRAY_NODISCARD int32_t dr_limits_plan(const struct dr_warehouse *warehouse, const struct dr_table_options *options,
                                      const struct dr_shape *after, struct dr_table_plan *plan,
                                      struct dray_error *error);

#endif // DR_WAREHOUSE_LIMITS_H
