// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Random numbers that are a function of what they are drawn for: leaving a row, a column or a step out of a life does
// not change what the others are. That is what makes a failing life small by taking parts of it away.
#ifndef DRAY_ORACLE_DICE_H
#define DRAY_ORACLE_DICE_H

#include <stdint.h>

struct dice {
  uint64_t state;
};

static inline uint64_t dice_mix(uint64_t x) {
  x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
  return x ^ (x >> 31);
}
static inline struct dice dice_at(uint64_t seed, uint64_t purpose, uint64_t a, uint64_t b, uint64_t c) {
  uint64_t state = dice_mix(seed + UINT64_C(0x9e3779b97f4a7c15));
  state = dice_mix(state + purpose * UINT64_C(0x9e3779b97f4a7c15) + 1);
  state = dice_mix(state + a * UINT64_C(0x9e3779b97f4a7c15) + 2);
  state = dice_mix(state + b * UINT64_C(0x9e3779b97f4a7c15) + 3);
  state = dice_mix(state + c * UINT64_C(0x9e3779b97f4a7c15) + 4);
  return (struct dice){state};
}
static inline uint64_t dice_roll(struct dice *dice) {
  dice->state += UINT64_C(0x9e3779b97f4a7c15);
  return dice_mix(dice->state);
}
static inline uint32_t dice_below(struct dice *dice, uint32_t end) { // 0 for end 0
  return end == 0 ? 0 : (uint32_t)((dice_roll(dice) >> 32) * end >> 32);
}
static inline int dice_one_in(struct dice *dice, uint32_t n) { // never for 0
  return n != 0 && dice_below(dice, n) == 0;
}

#endif // DRAY_ORACLE_DICE_H
