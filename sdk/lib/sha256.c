// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// FIPS 180-4 §6.2, a block at a time. What was worked with is wiped: it may be of a secret.
#include "sha256.h"

#include <string.h>

#define BLOCK_BYTES 64
#define LENGTH_BYTES 8 // at the end of the last block

// §4.2.2: of the cube roots of the first 64 primes, 32 bits behind the point.
static const uint32_t round_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t turn(uint32_t x, unsigned bits) {
  return (x >> bits) | (x << (32 - bits));
}

static void spread(const uint8_t block[BLOCK_BYTES], uint32_t words[64]) {
  for (size_t i = 0; i < 16; i++) {
    const uint8_t *at = block + 4 * i;
    words[i] = (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
  }
  for (size_t i = 16; i < 64; i++) {
    const uint32_t a = words[i - 15], b = words[i - 2];
    words[i] =
        words[i - 16] + (turn(a, 7) ^ turn(a, 18) ^ (a >> 3)) + words[i - 7] + (turn(b, 17) ^ turn(b, 19) ^ (b >> 10));
  }
}

static void add_block(uint32_t hash[8], const uint8_t block[BLOCK_BYTES]) {
  uint32_t words[64], v[8];
  spread(block, words);
  memcpy(v, hash, sizeof(v));
  for (size_t i = 0; i < 64; i++) {
    const uint32_t choice = (v[4] & v[5]) ^ (~v[4] & v[6]);
    const uint32_t majority = (v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]);
    const uint32_t one =
        v[7] + (turn(v[4], 6) ^ turn(v[4], 11) ^ turn(v[4], 25)) + choice + round_constants[i] + words[i];
    const uint32_t two = (turn(v[0], 2) ^ turn(v[0], 13) ^ turn(v[0], 22)) + majority;
    memmove(v + 1, v, 7 * sizeof(v[0]));
    v[4] += one;
    v[0] = one + two;
  }
  for (size_t i = 0; i < 8; i++) hash[i] += v[i];
  explicit_bzero(words, sizeof(words));
  explicit_bzero(v, sizeof(v));
}

void dray_sha256(const void *data, size_t len, uint8_t out[DRAY_SHA256_BYTES]) {
  // §5.3.3: of the square roots of the first 8 primes.
  uint32_t hash[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  const uint8_t *at = data;
  const uint64_t bits = (uint64_t)len * 8;
  uint8_t last[2 * BLOCK_BYTES] = {0};
  for (; len >= BLOCK_BYTES; len -= BLOCK_BYTES, at += BLOCK_BYTES) add_block(hash, at);
  if (len > 0) memcpy(last, at, len);
  last[len] = 0x80;
  const size_t end = len + 1 + LENGTH_BYTES <= BLOCK_BYTES ? BLOCK_BYTES : 2 * BLOCK_BYTES;
  for (size_t i = 0; i < LENGTH_BYTES; i++) last[end - 1 - i] = (uint8_t)(bits >> (8 * i));
  for (size_t i = 0; i < end; i += BLOCK_BYTES) add_block(hash, last + i);
  for (size_t i = 0; i < DRAY_SHA256_BYTES; i++) out[i] = (uint8_t)(hash[i / 4] >> (24 - 8 * (i % 4)));
  explicit_bzero(last, sizeof(last));
}
