// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What a comparison holds while it runs. Inside core/compare only.
#ifndef DR_COMPARE_STATE_H
#define DR_COMPARE_STATE_H

#include "compare/compare.h"
#include "table/cast.h"

struct dr_sieve;
struct pairs;

#define DR_COMPARE_SEED UINT64_C(0x64726179) // the same in every run, so that equal inputs are told in equal order
#define DR_COMPARE_FIELD_BYTES_MAX 16777216u // as side.c asks the file plugin for
#define DR_INSIDE_WHY_BYTES 512

struct dr_compare_inside {
  const struct dr_compare_options *options;
  struct dr_plugin_paths paths;
  struct dr_side from[2];
  struct dr_sieve *sieve;
  struct pairs *pairs;                // NULL: the engine compares, and the mirror and the sets are there
  char *mirror_folder, *set_paths[2]; // owned
  struct dr_mirror *mirror;
  struct dr_changeset *sets[2];
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

// Where both sides are CSV files that it can take: settles what it can.
DRAY_NODISCARD int32_t dr_inside_sieve(struct dr_compare *compare, struct dray_error *error);
// Points both sides to what the sieve left, when there was one.
DRAY_NODISCARD int32_t dr_inside_redirect(struct dr_compare *compare, struct dray_error *error);
// "orders.csv line 12" for a reason that names a line of a rest file; "" for any other.
void dr_inside_place(struct dr_compare_inside *inside, int side, const char *reason, char *out, size_t out_bytes);

// The texts of a row; data NULL: null. Valid as long as the batch.
void dr_inside_texts(const struct dr_batch *rows, uint64_t row, size_t fields, struct dray_str *out);
// A row that is withheld: "id=5, day=2024-01-01: WHY". `texts`: of its fields. @errors OUT_OF_MEMORY.
DRAY_NODISCARD int32_t dr_inside_note(struct dr_compare *compare, int side, int32_t code, const struct dray_str *texts,
                                      const char *why, struct dray_error *error);
void dr_inside_why_misfit(const struct dr_compare *compare, size_t field, struct dray_str text, char *out);
// Whether change `i` of a page is one to be told: *out_code = 0; else why it is withheld. @errors OUT_OF_MEMORY.
DRAY_NODISCARD int32_t dr_inside_verdict(struct dr_compare *compare, const struct dr_changes *changes, size_t i,
                                         int32_t *out_code, struct dray_error *error);

DRAY_NODISCARD int32_t dr_inside_shun(struct dr_compare_inside *inside, struct dr_hash128 key,
                                      struct dray_error *error);
void dr_inside_sort_shunned(struct dr_compare_inside *inside);
int dr_inside_is_shunned(const struct dr_compare_inside *inside, struct dr_hash128 key);

#endif // DR_COMPARE_STATE_H
