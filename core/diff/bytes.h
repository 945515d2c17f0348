// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Little-endian integers in bytes, and the checksum of this module's files. Inside core/diff only.
#ifndef DR_DIFF_BYTES_H
#define DR_DIFF_BYTES_H

#include <stdint.h>
#include <string.h>
#include <xxhash.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the files are little-endian and so must be the machine: swap the bytes in the four functions below"
#endif
static inline void dr_put_u32(void *to, uint32_t value) {
  memcpy(to, &value, 4);
}
static inline void dr_put_u64(void *to, uint64_t value) {
  memcpy(to, &value, 8);
}
static inline uint32_t dr_get_u32(const void *from) {
  uint32_t value;
  memcpy(&value, from, 4);
  return value;
}
static inline uint64_t dr_get_u64(const void *from) {
  uint64_t value;
  memcpy(&value, from, 8);
  return value;
}

// Every checksum is XXH3-64. What lies in a file is seeded with its offset, so that a whole block at the wrong place
// is noticed as well as a changed one.
static inline uint64_t dr_sum(const void *data, size_t len, uint64_t offset) {
  return XXH3_64bits_withSeed(data, len, offset);
}

#endif // DR_DIFF_BYTES_H
