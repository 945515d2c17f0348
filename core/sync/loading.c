// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// One thread and one writer for one window. The pass's thread puts batches into a bounded queue and is held up by
// nothing else; the load's thread owns the writer from its begin until it is handed over. Whichever of the two gives up
// closes the queue, which the other then sees: the pass drops its batches, the load takes its transaction back.
//
// A transaction that is open while rows are read must not stay open for rows that do not come: it holds locks, and in
// some servers it keeps what others delete. So a load begins only when rows enough came soon enough, and it gives up
// when none come for a while, or when it has had little to do for long: then loading all of it later costs little.
#include "sync/loading.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/board.h"
#include "base/cancel.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/log.h"
#include "base/queue.h"

// So much is worth a load beside the reading, if it came soon enough.
#define BEGIN_ROWS 32768u
#define BEGIN_BYTES (4u << 20)
#define BEGIN_BATCHES 1024u
#define BEGIN_MS_MAX 10000
#define QUEUE_BATCHES_MAX (2 * BEGIN_BATCHES)
#define QUEUE_BYTES_MAX (2 * BEGIN_BYTES) // that wait; one batch that is larger may be alone there
#define PAUSE_MS_MAX 10000                // no batch came, or none was taken
#define WORTH_AFTER_MS 10000              // from then on it has to be at work
#define WORTH_SHARE 8                     // an eighth of the time

struct dr_loading {
  const struct dr_ingest *ingest;
  struct dr_queue *queue; // of struct dr_batch
  uint64_t begin_rows;
  int64_t pause_ms;
  // the pass's thread
  int64_t first_ms;              // when the first batch came
  uint64_t rows, bytes, batches; // that came before the thread was started
  int started, ended;            // the thread was; nothing more is put in
  pthread_t thread;
  // both
  atomic_int stop; // nothing of it is wanted any more
  // the load's thread, until it is joined
  struct dr_table_writer *writer; // NULL: not begun, or taken back
  uint64_t loaded;                // rows
  int32_t code;
  struct dray_error error;
};

// ---- the load's thread ----

static int32_t give_up(struct dr_loading *loading, const char *why) {
  return dray_fail(&loading->error, DRAY_E_CANCELLED, "%s", why);
}

// Whether the load, which waited for so much of its time so far, is still worth its transaction.
static int pays(int64_t begun_ms, int64_t waited_ms) {
  const int64_t lasted_ms = dr_monotonic_ms() - begun_ms;
  return lasted_ms < WORTH_AFTER_MS || (lasted_ms - waited_ms) * WORTH_SHARE >= lasted_ms;
}

// The next batch; *out = NULL at the end.
static int32_t next_batch(struct dr_loading *loading, int64_t begun_ms, int64_t *waited_ms, struct dr_batch **out) {
  void *item = NULL;
  const int64_t from_ms = dr_monotonic_ms();
  const int late = dr_queue_pop_within(loading->queue, loading->pause_ms, &item);
  *out = item;
  *waited_ms += dr_monotonic_ms() - from_ms;
  DRAY_TRY(dr_cancel_check(&loading->error));
  if (atomic_load(&loading->stop)) return give_up(loading, "it is not wanted any more");
  if (late) return give_up(loading, "no rows came for a while");
  if (item != NULL && !pays(begun_ms, *waited_ms)) return give_up(loading, "rows come too slowly");
  return DRAY_OK;
}

static int32_t load_batch(struct dr_loading *loading, const struct dr_batch *batch) {
  uint64_t rows = 0;
  const int number = dr_fault_point("sync.loading");
  if (number != 0) {
    errno = number;
    return dr_fail_errno(&loading->error, "loading rows", loading->ingest->table.name.table);
  }
  DRAY_TRY(dr_table_writer_inserts(loading->writer, batch, &rows, &loading->error));
  loading->loaded += rows;
  atomic_fetch_add_explicit(&dr_board()->applied, rows, memory_order_relaxed);
  return DRAY_OK;
}

static int32_t load_all(struct dr_loading *loading) {
  const struct dr_ingest *ingest = loading->ingest;
  int64_t waited_ms = 0;
  DRAY_TRY(dr_table_writer_begin(ingest->warehouse, &ingest->table, &ingest->plan, ingest->state.generation,
                                 &loading->writer, &loading->error));
  if (!dr_table_writer_direct(loading->writer)) return give_up(loading, "the table has rows");
  const int64_t begun_ms = dr_monotonic_ms();
  for (;;) {
    struct dr_batch *batch = NULL;
    int32_t rc = next_batch(loading, begun_ms, &waited_ms, &batch);
    if (rc == DRAY_OK && batch == NULL) return dr_table_writer_loaded(loading->writer, &loading->error);
    if (rc == DRAY_OK) rc = load_batch(loading, batch);
    dr_batch_free(batch);
    if (rc != DRAY_OK) return rc;
  }
}

// Takes back what was loaded.
static void take_back(struct dr_loading *loading) {
  dr_table_writer_free(loading->writer);
  loading->writer = NULL;
  atomic_fetch_sub_explicit(&dr_board()->applied, loading->loaded, memory_order_relaxed);
  loading->loaded = 0;
}

static void *work(void *ctx) {
  struct dr_loading *loading = ctx;
  loading->code = load_all(loading);
  if (loading->code == DRAY_OK) return NULL;
  dr_queue_close(loading->queue); // nobody waits for room any more
  take_back(loading);
  return NULL;
}

// ---- the pass's thread ----

// Rows of a model or stream of the same connection: an engine may take no second statement beside the one that reads,
// or let the two wait for each other.
static int reads_what_it_writes(const struct dr_context *run) {
  const struct dr_sync *sync = run->sync;
  if (sync->model < 0) return sync->from_connection == (ptrdiff_t)sync->to_connection;
  return dr_session_project(run->session)->models[sync->model].warehouse == sync->to_connection;
}

static int is_first_load(const struct dr_context *run, const struct dr_ingest *ingest) {
  struct dr_mirror_info mirror;
  if (dr_planning(run) || (run->options->flags & DR_RUN_BASELINE) != 0 || run->prefilter != NULL) return 0;
  if (ingest->state.generation != 0 || ingest->table.valid_from != NULL || reads_what_it_writes(run)) return 0;
  dr_mirror_info(run->mirror, &mirror);
  return mirror.rows == 0;
}

// Tests begin with fewer rows (0: never), and wait less.
static uint64_t limit_of(const char *name, uint64_t usual) {
  const char *test = getenv("DRAY_TEST"), *text = getenv(name);
  if (test == NULL || strcmp(test, "1") != 0 || text == NULL) return usual;
  const uint64_t limit = strtoull(text, NULL, 10);
  return limit > 0 ? limit : UINT64_MAX;
}

static void free_batch(void *batch) {
  dr_batch_free(batch);
}

int32_t dr_loading_new(const struct dr_context *run, const struct dr_ingest *ingest, struct dr_loading **out,
                       struct dray_error *error) {
  *out = NULL;
  if (!is_first_load(run, ingest)) return DRAY_OK;
  struct dr_loading *loading = calloc(1, sizeof(*loading));
  if (loading != NULL) loading->queue = dr_queue_new(QUEUE_BATCHES_MAX, QUEUE_BYTES_MAX);
  if (loading == NULL || loading->queue == NULL) {
    free(loading);
    return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a load");
  }
  loading->ingest = ingest;
  loading->begin_rows = limit_of("DRAY_LOAD_ROWS", BEGIN_ROWS);
  loading->pause_ms = (int64_t)limit_of("DRAY_LOAD_PAUSE_MS", PAUSE_MS_MAX);
  dray_error_init(&loading->error);
  *out = loading;
  return DRAY_OK;
}

// Drops what waits, so that it holds no memory, and takes nothing more.
static void give_up_here(struct dr_loading *loading) {
  loading->ended = 1;
  atomic_store(&loading->stop, 1);
  dr_queue_close(loading->queue);
  while (!loading->started) {
    struct dr_batch *batch = dr_queue_pop(loading->queue);
    if (batch == NULL) break;
    dr_batch_free(batch);
  }
}

// Before a batch is put in: while nobody takes batches out there has to be room for it.
static void start_when_worth(struct dr_loading *loading, const struct dr_batch *batch) {
  if (loading->batches == 0) loading->first_ms = dr_monotonic_ms();
  loading->rows += dr_batch_rows(batch);
  loading->bytes += batch->bytes;
  loading->batches++;
  const int much = loading->bytes >= BEGIN_BYTES || loading->batches >= BEGIN_BATCHES;
  if (dr_monotonic_ms() - loading->first_ms > BEGIN_MS_MAX || (much && loading->begin_rows == UINT64_MAX)) {
    give_up_here(loading);
  } else if (loading->rows >= loading->begin_rows || much) {
    loading->started = pthread_create(&loading->thread, NULL, work, loading) == 0;
    if (!loading->started) give_up_here(loading); // a limit of the system
  }
}

void dr_loading_add(struct dr_loading *loading, struct dr_batch *batch) {
  if (!loading->ended && !loading->started) start_when_worth(loading, batch);
  if (loading->ended) return;
  if (dr_queue_push_within(loading->queue, dr_batch_ref(batch), (size_t)batch->bytes, loading->pause_ms) != 0) {
    dr_batch_free(batch);
    give_up_here(loading);
  }
}

void dr_loading_close(struct dr_loading *loading) {
  loading->ended = 1;
  dr_queue_close(loading->queue);
}

struct dr_table_writer *dr_loading_end(struct dr_loading *loading, uint64_t rows) {
  if (loading == NULL) return NULL;
  if (rows == DR_LOADING_NONE) atomic_store(&loading->stop, 1);
  dr_loading_close(loading);
  if (loading->started) (void)pthread_join(loading->thread, NULL);
  if (loading->writer != NULL && (atomic_load(&loading->stop) || loading->loaded != rows)) take_back(loading);
  struct dr_table_writer *writer = loading->writer;
  if (loading->started && writer == NULL) {
    dr_log(DRAY_LOG_INFO, "load", "what was loaded into %s beside the reading was taken back: %s",
           loading->ingest->table.name.table,
           loading->code != DRAY_OK ? loading->error.text : "some rows do not stand as they were read");
  }
  dr_queue_free(loading->queue, free_batch);
  free(loading);
  return writer;
}
