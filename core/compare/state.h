// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What a comparison holds while it runs. Inside core/compare only.
#ifndef DR_COMPARE_STATE_H
#define DR_COMPARE_STATE_H

#include "compare/compare.h"
#include "table/cast.h"

struct dr_sieve;

struct dr_compare_inside {
  const struct dr_compare_options *options;
  struct dr_plugin_paths paths;
  struct dr_side from[2];
  struct dr_sieve *sieve;
  char *mirror_folder, *set_paths[2]; // owned
  struct dr_mirror *mirror;
  struct dr_changeset *sets[2];
  uint64_t seq; // of the next change to be told
  struct dray_buffer scratch;
  int all_plain;    // no column needs rewriting
  size_t *declared; // owned: fields with a declared type
  size_t declared_count;
  struct dr_hash128 *shunned; // owned, sorted: keys that OLD has more than once
  size_t shunned_count, shunned_capacity;
};

DRAY_NODISCARD int32_t dr_inside_new(const struct dr_compare_options *options, struct dr_compare_inside **out,
                                     struct dray_error *error);
void dr_inside_free(struct dr_compare_inside *inside);                                             // NULL is allowed
DRAY_NODISCARD int32_t dr_inside_open(struct dr_compare_inside *inside, struct dray_error *error); // both sides

// Which columns are compared, and how: fills schema, readings, keys, and the names that one side lacks.
DRAY_NODISCARD int32_t dr_agree(struct dr_compare *compare, struct dray_error *error);

// Where both sides are CSV files that it can take: settles what it can, and points both sides to what is left.
DRAY_NODISCARD int32_t dr_inside_sieve(struct dr_compare *compare, struct dray_error *error);
// "orders.csv line 12" for a reason that names a line of a rest file; "" for any other.
void dr_inside_place(struct dr_compare_inside *inside, int side, const char *reason, char *out, size_t out_bytes);

DRAY_NODISCARD int32_t dr_inside_shun(struct dr_compare_inside *inside, struct dr_hash128 key,
                                      struct dray_error *error);
void dr_inside_sort_shunned(struct dr_compare_inside *inside);
int dr_inside_is_shunned(const struct dr_compare_inside *inside, struct dr_hash128 key);

#endif // DR_COMPARE_STATE_H
