// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Two halves of one piece of work. The second thread lives as long as its half.
#include "diff/two.h"

#include <pthread.h>
#include <stddef.h>

struct half {
  void (*work)(void *half);
  void *half;
};

static void *run(void *ctx) {
  const struct half *half = ctx;
  half->work(half->half);
  return NULL;
}

void dr_in_two(unsigned threads, void (*do_half)(void *half), void *first, void *second) {
  struct half other = {do_half, second};
  pthread_t thread;
  const int beside = threads != 1 && second != NULL && pthread_create(&thread, NULL, run, &other) == 0;
  do_half(first);
  if (beside) {
    (void)pthread_join(thread, NULL);
  } else if (second != NULL) {
    do_half(second);
  }
}
