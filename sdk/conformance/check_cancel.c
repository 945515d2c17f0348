// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The check of cancellation: a read, a write and a query that are told to end. The flag cannot be taken back, so
// everything is opened first; then the query is cancelled while it works, as the host's watcher does it, and the
// others are entered with the flag set. The plugin's own slots are called, since the host's wrappers do not enter a
// plugin once the run is cancelled.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cancel.h"
#include "base/clock.h"
#include "conformance/subject.h"

#define CANCEL_MS_MAX 1000
#define SLACK_MS 1000       // for servers and disks that are slow for reasons of their own
#define HANG_SECONDS_MAX 20 // a call that has not answered by then never will: nobody watches it here
#define QUERY_MS 100        // how long the query works before it is cancelled
// Works for many seconds in any engine of today, and gives its one row at the end.
#define LONG_QUERY                                                                                                     \
  "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30000000) SELECT count(*) AS n FROM n"

struct work {
  struct subject *subject;
  struct dr_source_instance source;
  struct dray_stream stream;
  int has_stream;
  struct delivery delivery;
  int has_delivery;
  struct dr_warehouse_instance warehouse;
  int has_warehouse;
  _Atomic int64_t cancelled_ms; // when; 0: not yet
  int64_t kept_ms;              // kept_waiting_ms() before the call that is judged
};

// ---- opening ----

static int32_t open_source(struct work *work, struct dray_error *error) {
  struct dray_json *catalog = NULL;
  const char **names = NULL;
  size_t count = 0;
  DRAY_TRY(subject_source(work->subject, &work->source, error));
  int32_t rc = subject_streams(work->subject, &work->source, &catalog, &names, &count, error);
  if (rc == DRAY_OK && count > 0) { // one stream stands for all
    const struct dray_read_request request = {.struct_size = sizeof(request),
                                              .mode = DRAY_READ_FULL,
                                              .stream = dray_str_of(names[0]),
                                              .batch_bytes_max = 65536,
                                              .batch_rows_max = 1000000};
    struct ArrowSchema schema = {.release = NULL};
    rc = dr_source_open(&work->source, &request, &work->stream, error);
    work->has_stream = rc == DRAY_OK;
    if (rc == DRAY_OK) rc = dr_stream_schema(&work->stream, work->source.label, &schema, error);
    dray_schema_release(&schema);
  }
  free(names);
  dray_json_free(catalog);
  return rc;
}

static int32_t open_all(struct work *work, struct dray_error *error) {
  struct subject *subject = work->subject;
  if (subject_has(subject, DR_ROLE_SOURCE)) DRAY_TRY(open_source(work, error));
  if (subject_has(subject, DR_ROLE_DESTINATION)) {
    const int32_t rc = delivery_open(subject, 0, &work->delivery, error);
    work->has_delivery = 1;
    if (rc != DRAY_OK && (work->delivery.has_caps || work->delivery.destination.self == NULL)) return rc;
  }
  if (subject_has(subject, DR_ROLE_WAREHOUSE)) {
    DRAY_TRY(subject_warehouse(subject, &work->warehouse, error));
    work->has_warehouse = 1;
    DRAY_TRY(dr_warehouse_open(&work->warehouse, error));
  }
  return DRAY_OK;
}

static void close_all(struct work *work) {
  struct dray_error error;
  if (work->has_delivery) (void)delivery_close(&work->delivery, DRAY_E_CANCELLED, &error);
  if (work->has_stream) dr_stream_close(&work->stream, work->source.label);
  dr_source_destroy(&work->source);
  dr_warehouse_destroy(&work->warehouse);
}

// ---- what each must do ----

// How long this thread could have run and was not let, in all: a busy machine is not the plugin's fault. 0 where the
// kernel does not say.
static int64_t kept_waiting_ms(void) {
  unsigned long long ran_ns = 0, kept_ns = 0;
  FILE *file = fopen("/proc/thread-self/schedstat", "re");
  if (file == NULL) return 0;
  if (fscanf(file, "%llu %llu", &ran_ns, &kept_ns) != 2) kept_ns = 0;
  (void)fclose(file);
  return (int64_t)(kept_ns / 1000000);
}

static int judge(const struct work *work, const char *what, int64_t since_ms, int32_t rc,
                 const struct dray_error *error) {
  struct subject *subject = work->subject;
  const int64_t took = dr_monotonic_ms() - since_ms - (kept_waiting_ms() - work->kept_ms);
  if (took > CANCEL_MS_MAX + SLACK_MS) {
    return kit_fail(subject, "%s answered %lld ms after the run was cancelled, at most %d are allowed", what,
                    (long long)took, CANCEL_MS_MAX);
  }
  if (rc == DRAY_OK || rc == DRAY_E_CANCELLED) return DR_KIT_PASS;
  return kit_fail(subject, "%s after a cancel: %s: %s", what, dray_error_info(rc)->name, error->text);
}

static void *cancel_soon(void *arg) {
  struct work *work = arg;
  const struct timespec pause = {0, QUERY_MS * 1000000L};
  (void)nanosleep(&pause, NULL);
  work->cancelled_ms = dr_monotonic_ms(); // before: the query may answer at once
  dr_cancel_request();
  const struct dray_warehouse_vtable *vtable = &work->warehouse.plugin->warehouse;
  if (vtable->interrupt != NULL) vtable->interrupt(work->warehouse.self);
  return NULL;
}

static int cancel_query(struct work *work) {
  struct dray_error error;
  struct dray_stream stream;
  struct ArrowSchema schema = {.release = NULL};
  struct ArrowArray array = {.release = NULL};
  pthread_t thread;
  dray_error_init(&error);
  memset(&stream, 0, sizeof(stream));
  stream.struct_size = sizeof(stream);
  work->kept_ms = kept_waiting_ms();
  if (pthread_create(&thread, NULL, cancel_soon, work) != 0) return kit_fail(work->subject, "no thread");
  const struct dray_warehouse_vtable *vtable = &work->warehouse.plugin->warehouse;
  int32_t rc = vtable->query(work->warehouse.self, dray_str_of(LONG_QUERY), 65536, 1000, &stream, &error);
  const int open = rc == DRAY_OK;
  if (rc == DRAY_OK) rc = stream.schema(&stream, &schema, &error);
  if (rc == DRAY_OK) rc = stream.next(&stream, &array, &error);
  const int early = work->cancelled_ms == 0;
  (void)pthread_join(thread, NULL);
  int verdict = judge(work, "query", work->cancelled_ms, rc, &error);
  if (verdict == DR_KIT_PASS && early && rc == DRAY_E_CANCELLED)
    verdict = kit_fail(work->subject, "query was cancelled before anybody asked for it");
  dray_array_release(&array);
  dray_schema_release(&schema);
  if (open) stream.close(&stream);
  return verdict;
}

static int cancel_next(struct work *work) {
  struct dray_error error;
  struct ArrowArray array = {.release = NULL};
  dray_error_init(&error);
  const int64_t start = dr_monotonic_ms();
  work->kept_ms = kept_waiting_ms();
  (void)alarm(HANG_SECONDS_MAX);
  const int32_t rc = work->stream.next(&work->stream, &array, &error);
  const int verdict = judge(work, "next", start, rc, &error);
  dray_array_release(&array);
  return verdict;
}

static int cancel_write(struct work *work) {
  struct dray_error error;
  dray_error_init(&error);
  const struct dray_batch_info info = {
      .struct_size = sizeof(info), .attempt = 1, .batch = 1, .idempotency_key = dray_str_of("dray-kit-cancel")};
  struct delivery *delivery = &work->delivery;
  const struct dray_destination_vtable *vtable = &delivery->destination.plugin->destination;
  const int64_t start = dr_monotonic_ms();
  work->kept_ms = kept_waiting_ms();
  (void)alarm(HANG_SECONDS_MAX);
  const int32_t rc = vtable->write(delivery->destination.self, &delivery->edge.array, &info, &delivery->answer, &error);
  return judge(work, "write", start, rc, &error);
}

int check_cancel(struct subject *subject) {
  struct work work;
  struct dray_error error;
  memset(&work, 0, sizeof(work));
  work.subject = subject;
  dray_error_init(&error);
  int verdict = open_all(&work, &error) == DRAY_OK ? DR_KIT_PASS : kit_fail_error(subject, "opening", &error);
  if (verdict == DR_KIT_PASS && work.has_warehouse) verdict = cancel_query(&work);
  dr_cancel_request();
  if (verdict == DR_KIT_PASS && work.has_stream) verdict = cancel_next(&work);
  if (verdict == DR_KIT_PASS && work.delivery.begun) verdict = cancel_write(&work);
  (void)alarm(KIT_SECONDS_MAX);
  close_all(&work);
  return verdict;
}
