// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Scratch memory that is freed all at once: one arena per batch or per config file, with a maximum.
#ifndef DR_BASE_ARENA_H
#define DR_BASE_ARENA_H

#include <stddef.h>

#include "dray/sdk/text.h"

struct dr_arena {
  struct dr_arena_block *head;
  size_t used_bytes;
  size_t max_bytes;
};

void dr_arena_init(struct dr_arena *arena, size_t max_bytes); // does not allocate
void dr_arena_free(struct dr_arena *arena);
void dr_arena_clear(struct dr_arena *arena); // keeps one block
// Zeroed, aligned to 16; NULL when memory or the maximum is reached.
DRAY_NODISCARD void *dr_arena_alloc(struct dr_arena *arena, size_t size);
DRAY_NODISCARD char *dr_arena_str(struct dr_arena *arena, struct dray_str text); // NUL-terminated copy

#endif // DR_BASE_ARENA_H
