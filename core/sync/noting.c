// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// One thread for one window. It reads the change set through a handle of its own, since a handle holds the block that
// was read last. It does not look whether the run was cancelled: acknowledging is faster than loading, and the merge is
// given up when the load has failed.
#include "sync/noting.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct dr_noting {
  struct dr_mirror *mirror;
  struct dr_changeset *set;
  uint64_t count;
  int merges;
  atomic_int stop; // the merge is not wanted any more
  pthread_t thread;
  int started;
  int32_t code; // the thread's until it is joined, as is the error
  struct dray_error error;
};

static void *note(void *ctx) {
  struct dr_noting *noting = ctx;
  noting->code = dr_mirror_ack_all(noting->mirror, noting->set, noting->count, &noting->error);
  if (noting->code == DRAY_OK && noting->merges) dr_mirror_merge_ahead(noting->mirror, &noting->stop);
  return NULL;
}

int32_t dr_noting_start(struct dr_mirror *mirror, const struct dr_pass *pass, uint64_t count, int merges,
                        struct dr_noting **out, struct dray_error *error) {
  struct dr_noting *noting = calloc(1, sizeof *noting);
  if (noting == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to write a window");
  noting->mirror = mirror;
  noting->count = count;
  noting->merges = merges;
  dray_error_init(&noting->error);
  const int32_t code = dr_changeset_open(pass->path, &noting->set, error);
  if (code != DRAY_OK) {
    free(noting);
    return code;
  }
  // Without a thread, a limit of the system, it is done at the end.
  noting->started = pthread_create(&noting->thread, NULL, note, noting) == 0;
  *out = noting;
  return DRAY_OK;
}

int32_t dr_noting_end(struct dr_noting *noting, int32_t code, struct dray_error *error) {
  if (noting == NULL) return code;
  if (code != DRAY_OK) atomic_store(&noting->stop, 1);
  if (noting->started) {
    (void)pthread_join(noting->thread, NULL);
  } else if (code == DRAY_OK) {
    (void)note(noting);
  }
  if (code == DRAY_OK) {
    code = noting->code;
    if (code != DRAY_OK && error != NULL) *error = noting->error;
  }
  dr_changeset_close(noting->set);
  free(noting);
  return code;
}
