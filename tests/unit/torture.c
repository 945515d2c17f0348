// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
#include "torture.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);

static _Atomic uint64_t countdown; // 0: not armed
static _Atomic int failed;

int torture_arm(uint64_t n) {
  const int had = atomic_exchange(&failed, 0);
  atomic_store(&countdown, n);
  return had;
}

static int must_fail(void) {
  uint64_t left = atomic_load(&countdown);
  while (left != 0) {
    if (!atomic_compare_exchange_weak(&countdown, &left, left - 1)) continue;
    if (left != 1) return 0;
    atomic_store(&failed, 1);
    return 1;
  }
  return 0;
}

void *__wrap_malloc(size_t size) {
  return must_fail() ? NULL : __real_malloc(size);
}
void *__wrap_calloc(size_t count, size_t size) {
  return must_fail() ? NULL : __real_calloc(count, size);
}
void *__wrap_realloc(void *memory, size_t size) {
  return must_fail() ? NULL : __real_realloc(memory, size);
}

uint64_t torture_every(int32_t (*attempt)(void *ctx), void *ctx) {
  for (uint64_t n = 1;; n++) {
    torture_arm(n);
    const int32_t code = attempt(ctx);
    const int had = torture_arm(0);
    if (!had && code == 0) return n - 1;
    if (had && code == 0) {
      fprintf(stderr, "allocation %llu failed and was reported as success\n", (unsigned long long)n);
      abort();
    }
    if (!had) {
      fprintf(stderr, "attempt failed with %d without an injected failure (n = %llu)\n", code, (unsigned long long)n);
      abort();
    }
  }
}
