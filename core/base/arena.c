// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Arenas: blocks in a list, a bump pointer in the newest.
#include "base/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_BYTES 16384
#define ALIGNMENT 16

struct dr_arena_block {
  struct dr_arena_block *next;
  size_t used, capacity;
  _Alignas(ALIGNMENT) unsigned char bytes[];
};

void dr_arena_init(struct dr_arena *arena, size_t max_bytes) {
  *arena = (struct dr_arena){NULL, 0, max_bytes};
}

static void free_blocks(struct dr_arena_block *block) {
  while (block != NULL) {
    struct dr_arena_block *next = block->next;
    free(block);
    block = next;
  }
}

void dr_arena_free(struct dr_arena *arena) {
  free_blocks(arena->head);
  dr_arena_init(arena, arena->max_bytes);
}

void dr_arena_clear(struct dr_arena *arena) {
  if (arena->head == NULL) return;
  free_blocks(arena->head->next);
  arena->head->next = NULL;
  arena->head->used = 0;
  arena->used_bytes = arena->head->capacity;
}

void *dr_arena_alloc(struct dr_arena *arena, size_t size) {
  if (size > arena->max_bytes) return NULL;
  const size_t need = (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
  struct dr_arena_block *block = arena->head;
  if (block == NULL || block->capacity - block->used < need) {
    const size_t capacity = need > BLOCK_BYTES ? need : BLOCK_BYTES;
    if (capacity > arena->max_bytes - arena->used_bytes) return NULL;
    block = malloc(sizeof(*block) + capacity);
    if (block == NULL) return NULL;
    block->next = arena->head;
    block->used = 0;
    block->capacity = capacity;
    arena->head = block;
    arena->used_bytes += capacity;
  }
  void *memory = block->bytes + block->used;
  block->used += need;
  memset(memory, 0, need);
  return memory;
}

char *dr_arena_str(struct dr_arena *arena, struct dray_str text) {
  char *copy = dr_arena_alloc(arena, (size_t)text.len + 1);
  if (copy != NULL && text.len > 0) memcpy(copy, text.data, (size_t)text.len);
  return copy;
}
