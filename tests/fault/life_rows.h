// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Rows of a life: made from numbers, and found again in changes.
#ifndef TESTS_FAULT_LIFE_ROWS_H
#define TESTS_FAULT_LIFE_ROWS_H

#include "life.h"

struct dr_schema *life_schema(const struct life_shape *shape);
struct dr_mirror_options life_options(const struct life *life, const char *folder, int create);
size_t life_key_of(const struct life_shape *shape, const struct dr_changes *changes, size_t i);

struct life_pass {
  uint32_t flags;       // DR_DIFF_*
  const uint32_t *rows; // versions
  uint64_t skip_salt;   // not 0: about half of the rows do not come
  uint64_t batch_rows;
};
int32_t life_pass(const struct life *life, struct dr_mirror *mirror, const char *set_path, const struct life_pass *pass,
                  struct dr_diff_counts *out, struct dray_error *error);
// Reads a whole set: a number that stands for all that is in it.
int32_t life_digest(const char *set_path, uint64_t *out, uint64_t *out_count, struct dray_error *error);

#endif // TESTS_FAULT_LIFE_ROWS_H
