// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Prints, and where they lie. Inside the filter (filter.c, filter_proof.c) only.
#ifndef DR_DIFF_FILTER_PRINT_H
#define DR_DIFF_FILTER_PRINT_H

#include "diff/filter.h"

// What stands in the place of a print when nothing may match it any more. TWIN: of a row that did not come, and whose
// print another row of its bucket has too: with each in the other's place nobody could tell which of them came first.
enum { DR_PRINT_SEEN = 0, DR_PRINT_PLAIN = 1, DR_PRINT_TWIN = 2, DR_PRINT_LEAST = 3 };

// What the filter knows of a row, but for its sums: the print is its top bits.
static inline uint64_t dr_print_mix(const struct dr_filter *filter, uint64_t high, uint64_t row_hash) {
  const unsigned __int128 product = (unsigned __int128)(high ^ filter->salt[0]) * (row_hash ^ filter->salt[1]);
  return (uint64_t)(product >> 64) ^ (uint64_t)product;
}
static inline uint32_t dr_print_of(uint64_t mixed, unsigned print_bytes) {
  const uint32_t print = (uint32_t)(mixed >> (64 - 8 * print_bytes));
  return print + (print < DR_PRINT_LEAST ? DR_PRINT_LEAST : 0);
}
static inline void dr_print_put(void *prints, uint64_t at, uint32_t print, unsigned print_bytes) {
  if (print_bytes == 4) ((uint32_t *)prints)[at] = print;
  if (print_bytes == 2) ((uint16_t *)prints)[at] = (uint16_t)print;
  if (print_bytes == 1) ((uint8_t *)prints)[at] = (uint8_t)print;
}
static inline uint32_t dr_print_get(const void *prints, uint64_t at, unsigned print_bytes) {
  if (print_bytes == 4) return ((const uint32_t *)prints)[at];
  return print_bytes == 2 ? ((const uint16_t *)prints)[at] : ((const uint8_t *)prints)[at];
}
static inline int dr_print_is_plain(const struct dr_filter *filter, uint64_t number) {
  return dr_print_get(filter->prints, number, filter->print_bytes) == DR_PRINT_PLAIN;
}
// Whether a row came for this one, or the overlay has it.
static inline int dr_print_is_gone(const struct dr_filter *filter, uint64_t number) {
  return dr_print_get(filter->prints, number, filter->print_bytes) < DR_PRINT_TWIN;
}
// Line and bucket, of which the line is that of dr_filter_line_of.
static inline uint64_t dr_print_place(const struct dr_filter *filter, uint64_t high, uint32_t *out_bucket) {
  const unsigned __int128 product = (unsigned __int128)high * filter->line_count;
  *out_bucket = (uint32_t)((unsigned __int128)(uint64_t)product * DR_FILTER_BUCKETS >> 64);
  return (uint64_t)(product >> 64);
}

#endif // DR_DIFF_FILTER_PRINT_H
