// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// A number's text taken apart, for those who read it exactly. Inside the library only.
#ifndef DRAY_LIB_VALUE_NUMBER_H
#define DRAY_LIB_VALUE_NUMBER_H

#include "dray/abi.h"

#define DRAY_EXPONENT_MAX 100000000 // where exponents are clamped: far beyond any column, far below overflow

struct dray_number_parts {
  int negative;
  int plain; // sign and digits alone
  int has_exponent;
  int64_t exponent;         // clamped to +-DRAY_EXPONENT_MAX
  struct dray_str whole;    // digits before the point, at least one
  struct dray_str fraction; // digits after it
};

// 1 when the whole text is a number of the grammar in value.h.
int dray_number_split(struct dray_str text, struct dray_number_parts *out);

#endif // DRAY_LIB_VALUE_NUMBER_H
