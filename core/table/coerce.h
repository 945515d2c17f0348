// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// From the canonical type that a value has to the one that its column wants. Inside core/table only.
#ifndef DR_TABLE_COERCE_H
#define DR_TABLE_COERCE_H

#include "table/fill.h"
#include "table/source.h"

// Appends `value` to `fill` as fill->type, exactly. @errors DATA_TYPE where the two types have nothing in common,
// DATA_* for a value that does not fit, OUT_OF_MEMORY. Nothing is appended then.
DRAY_NODISCARD int32_t dr_coerce(const struct dr_value *value, struct dr_fill *fill, struct dr_scratch *scratch,
                                 struct dray_error *error);

#endif // DR_TABLE_COERCE_H
