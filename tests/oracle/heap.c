// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Memory for SQLite, which asks for a block per row and column: freed blocks are kept by size and given out again. A
// sanitizer's malloc would take most of the time of a run, and it is not SQLite that is looked at here. One thread.
#include "heap.h"

#include <sqlite3.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define CLASSES 24
#define SMALLEST 32u // bytes of class 0, its head included; each class is twice the one before
#define SLAB_BYTES (256u << 10)

struct head { // before each block
  uint32_t class;
  uint32_t unused;
  struct head *next; // when free; 16 bytes: blocks are aligned
};

static struct head *free_blocks[CLASSES];
static char *slab;
static size_t slab_left;

static size_t class_bytes(uint32_t class) {
  return (size_t)SMALLEST << class;
}

static uint32_t class_of(size_t bytes) {
  uint32_t class = 0;
  while (class_bytes(class) < bytes + sizeof(struct head)) class ++;
  return class;
}

static void *heap_malloc(int bytes) {
  const uint32_t class = class_of((size_t)bytes);
  const size_t whole = class_bytes(class);
  struct head *head = free_blocks[class];
  if (head != NULL) {
    free_blocks[class] = head->next;
    return head + 1;
  }
  if (whole > SLAB_BYTES / 4) {
    head = malloc(whole);
  } else {
    if (slab_left < whole) {
      slab = malloc(SLAB_BYTES); // never given back: reachable to the end
      slab_left = slab != NULL ? SLAB_BYTES : 0;
    }
    head = slab_left >= whole ? (struct head *)(void *)slab : NULL;
    slab += head != NULL ? whole : 0;
    slab_left -= head != NULL ? whole : 0;
  }
  if (head == NULL) return NULL;
  head->class = class;
  return head + 1;
}

static void heap_free(void *block) {
  struct head *head = (struct head *)block - 1;
  head->next = free_blocks[head->class];
  free_blocks[head->class] = head;
}

static int heap_size(void *block) {
  return (int)(class_bytes(((struct head *)block - 1)->class) - sizeof(struct head));
}

static void *heap_realloc(void *block, int bytes) {
  if (bytes <= heap_size(block)) return block;
  void *larger = heap_malloc(bytes);
  if (larger == NULL) return NULL;
  memcpy(larger, block, (size_t)heap_size(block));
  heap_free(block);
  return larger;
}

static int heap_roundup(int bytes) {
  return (int)(class_bytes(class_of((size_t)bytes)) - sizeof(struct head));
}

static int heap_begin(void *unused) {
  (void)unused;
  return SQLITE_OK;
}

static void heap_end(void *unused) {
  (void)unused;
}

void heap_install(void) {
  static const sqlite3_mem_methods methods = {heap_malloc,  heap_free,  heap_realloc, heap_size,
                                              heap_roundup, heap_begin, heap_end,     NULL};
  if (sqlite3_config(SQLITE_CONFIG_MALLOC, &methods) != SQLITE_OK) abort();
  if (sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0) != SQLITE_OK) abort();
}
