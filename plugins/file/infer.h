// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What type a column is of, guessed from values. A guess starts with every type open and each value closes
// those that it is not; so the order of the values does not matter.
#ifndef FILE_INFER_H
#define FILE_INFER_H

#include "dray/sdk.h"

struct file_guess {
  uint32_t open;     // set of the types that every value so far could be; 0 while no value was seen
  int32_t whole_max; // most digits before the point
  int32_t scale_max; // most digits after it
  uint32_t seen;     // 0 or 1
};

// A CSV field that is not null.
void file_guess_text(struct file_guess *guess, struct dray_str text);
// A JSON value; null says nothing.
void file_guess_json(struct file_guess *guess, const struct dray_json *value);
// The type. A column without any value is a string.
struct dray_type file_guess_type(const struct file_guess *guess);

#endif // FILE_INFER_H
