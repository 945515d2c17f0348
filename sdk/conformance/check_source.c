// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Checks of a source: a stable catalogue, resuming, reading twice.
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "conformance/subject.h"

#define RESUMES_MAX 40
#define WAIT_MS 200

// Runs `check` on each stream of the plugin.
int each_stream(struct subject *subject, stream_check *check) {
  struct dr_source_instance source;
  struct dray_error error;
  struct dray_json *catalog = NULL;
  const char **names = NULL;
  size_t count = 0;
  dray_error_init(&error);
  if (!subject_has(subject, DR_ROLE_SOURCE)) return kit_skip(subject, "no source");
  if (subject_source(subject, &source, &error) != DRAY_OK) return kit_fail_error(subject, "create", &error);
  int verdict = DR_KIT_PASS;
  if (subject_streams(subject, &source, &catalog, &names, &count, &error) != DRAY_OK) {
    verdict = kit_fail_error(subject, "discover", &error);
  } else if (count == 0) {
    verdict = kit_fail(subject, "discover lists no stream");
  }
  for (size_t i = 0; verdict == DR_KIT_PASS && i < count; i++) verdict = check(subject, &source, names[i]);
  free(names);
  dray_json_free(catalog);
  dr_source_destroy(&source);
  return verdict;
}

// ---- discover ----

static int32_t discover_copy(struct subject *subject, int role, char **out, struct dray_error *error) {
  struct dray_str text = {NULL, 0};
  int32_t rc;
  if (role == DR_ROLE_SOURCE) {
    struct dr_source_instance source;
    DRAY_TRY(subject_source(subject, &source, error));
    rc = dr_source_discover(&source, &text, error);
    if (rc == DRAY_OK) *out = dray_str_dup(text);
    dr_source_destroy(&source);
  } else if (role == DR_ROLE_DESTINATION) {
    struct dr_destination_instance destination;
    DRAY_TRY(subject_destination(subject, &destination, error));
    rc = dr_destination_discover(&destination, &text, error);
    if (rc == DRAY_OK) *out = dray_str_dup(text);
    dr_destination_destroy(&destination);
  } else {
    struct dr_warehouse_instance warehouse;
    DRAY_TRY(subject_warehouse(subject, &warehouse, error));
    rc = dr_warehouse_open(&warehouse, error);
    if (rc == DRAY_OK) rc = dr_warehouse_discover(&warehouse, &text, error);
    if (rc == DRAY_OK) *out = dray_str_dup(text);
    dr_warehouse_destroy(&warehouse);
  }
  if (rc == DRAY_OK && *out == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a catalogue");
  return rc;
}

int check_discover(struct subject *subject) {
  for (int role = DR_ROLE_SOURCE; role <= DR_ROLE_WAREHOUSE; role++) {
    char *first = NULL, *second = NULL;
    struct dray_error error;
    dray_error_init(&error);
    if (!subject_has(subject, role)) continue;
    int32_t rc = discover_copy(subject, role, &first, &error);
    if (rc == DRAY_OK) rc = discover_copy(subject, role, &second, &error);
    const int same = rc == DRAY_OK && strcmp(first, second) == 0;
    free(first);
    free(second);
    if (rc != DRAY_OK) return kit_fail_error(subject, "discover", &error);
    if (!same) return kit_fail(subject, "two calls of discover give different catalogues");
  }
  return DR_KIT_PASS;
}

// ---- resuming ----

// A read that is killed after `after` rows and resumed from the state given there must show every row.
static int resume_at(struct subject *subject, const char *stream, const struct rows *full, size_t place, int mode) {
  struct dr_source_instance source; // another one, as after a kill: what the first one remembers must not help
  struct rows seen, wanted;
  struct dray_error error;
  dray_error_init(&error);
  const struct dray_str state = dray_str_make(full->states[place].state, full->states[place].state_bytes);
  const size_t before = full->states[place].after;
  if (subject_source(subject, &source, &error) != DRAY_OK) return kit_fail_error(subject, "create", &error);
  const struct dray_str cursor =
      mode == DRAY_READ_INCREMENTAL ? subject_cursor(subject, stream) : dray_str_make(NULL, 0);
  const struct reading_plan plan = {stream, mode, state, cursor};
  const int32_t rc = rows_read(&source, &plan, &seen, &error);
  dr_source_destroy(&source);
  if (rc != DRAY_OK) return kit_fail_error(subject, "resuming", &error);
  memset(&wanted, 0, sizeof(wanted));
  uint64_t *hashes = realloc(seen.hashes, (seen.count + before + 1) * sizeof(*hashes));
  wanted.hashes = malloc((full->count + 1) * sizeof(*wanted.hashes));
  if (hashes == NULL || wanted.hashes == NULL) return kit_fail(subject, "no memory");
  seen.hashes = hashes;
  memcpy(seen.hashes + seen.count, full->hashes, before * sizeof(*hashes));
  seen.count += before;
  wanted.count = full->count;
  memcpy(wanted.hashes, full->hashes, full->count * sizeof(*hashes));
  const size_t missing = rows_missing(&wanted, &seen);
  rows_free(&seen);
  rows_free(&wanted);
  if (missing == 0) return DR_KIT_PASS;
  return kit_fail(subject, "stream %s: resumed from the state after %zu rows, %zu of %zu rows never came", stream,
                  before, missing, full->count);
}

// What incremental reads left at the other side goes, and a second call finds nothing.
static int drop_twice(struct subject *subject, struct dr_source_instance *source, const char *stream) {
  struct dray_error error;
  struct dray_str removed = {NULL, 0};
  dray_error_init(&error);
  const struct dray_read_request request = {.struct_size = sizeof(request),
                                            .mode = DRAY_READ_INCREMENTAL,
                                            .stream = dray_str_of(stream),
                                            .reader = dray_str_of(KIT_READER)};
  for (int i = 0; i < 2; i++) {
    if (dr_source_drop(source, &request, &removed, &error) != DRAY_OK) return kit_fail_error(subject, "drop", &error);
  }
  if (dray_str_is(removed, "[]")) return DR_KIT_PASS;
  return kit_fail(subject, "stream %s: a second drop still removes something: %.*s", stream, DRAY_STR_ARG(removed));
}

// Waiting for news from the last place answers, within about the time it was given.
static int wait_at_end(struct subject *subject, struct dr_source_instance *source, const char *stream,
                       const struct rows *full) {
  struct dray_error error;
  uint32_t news = 0;
  dray_error_init(&error);
  if (full->state_count == 0) return DR_KIT_PASS;
  const size_t last = full->state_count - 1;
  const struct dray_read_request request = {.struct_size = sizeof(request),
                                            .mode = DRAY_READ_INCREMENTAL,
                                            .stream = dray_str_of(stream),
                                            .cursor = subject_cursor(subject, stream),
                                            .state =
                                                dray_str_make(full->states[last].state, full->states[last].state_bytes),
                                            .reader = dray_str_of(KIT_READER)};
  const int64_t start = dr_monotonic_ms();
  if (dr_source_wait(source, &request, WAIT_MS, &news, &error) != DRAY_OK)
    return kit_fail_error(subject, "wait", &error);
  if (dr_monotonic_ms() - start < 150 * WAIT_MS) return DR_KIT_PASS;
  return kit_fail(subject, "stream %s: wait was given %d ms and took %lld", stream, WAIT_MS,
                  (long long)(dr_monotonic_ms() - start));
}

static int resume_stream(struct subject *subject, struct dr_source_instance *source, const char *stream) {
  struct rows full;
  struct dray_error error;
  dray_error_init(&error);
  const struct dray_str none = {NULL, 0}, cursor = subject_cursor(subject, stream);
  int32_t rc = rows_read(source, &(struct reading_plan){stream, DRAY_READ_INCREMENTAL, none, cursor}, &full, &error);
  const int mode = rc == DRAY_OK ? DRAY_READ_INCREMENTAL : DRAY_READ_FULL;
  // A stream without a cursor says so; any other failure is one.
  if (rc != DRAY_OK && (error.error_class == DRAY_CLASS_CONFIG || error.error_class == DRAY_CLASS_SCHEMA))
    rc = rows_read(source, &(struct reading_plan){stream, DRAY_READ_FULL, none, none}, &full, &error);
  if (rc != DRAY_OK) return kit_fail_error(subject, "reading", &error);
  const size_t step = full.state_count > RESUMES_MAX ? full.state_count / RESUMES_MAX : 1;
  int verdict = DR_KIT_PASS;
  subject->places += full.state_count;
  for (size_t place = 0; verdict == DR_KIT_PASS && place < full.state_count; place += step) {
    verdict = resume_at(subject, stream, &full, place, mode);
  }
  if (verdict == DR_KIT_PASS && mode == DRAY_READ_INCREMENTAL) verdict = wait_at_end(subject, source, stream, &full);
  rows_free(&full);
  return verdict == DR_KIT_PASS ? drop_twice(subject, source, stream) : verdict;
}

int check_resume(struct subject *subject) {
  const int verdict = each_stream(subject, resume_stream);
  if (verdict == DR_KIT_PASS && subject->places == 0) return kit_skip(subject, "no stream gave a place to resume from");
  return verdict;
}

// ---- reading twice ----

static int second_stream(struct subject *subject, struct dr_source_instance *source, const char *stream) {
  struct rows first, second;
  struct dray_error error;
  dray_error_init(&error);
  const struct reading_plan plan = {stream, DRAY_READ_FULL, {NULL, 0}, {NULL, 0}};
  if (rows_read(source, &plan, &first, &error) != DRAY_OK) return kit_fail_error(subject, "reading", &error);
  if (rows_read(source, &plan, &second, &error) != DRAY_OK) {
    rows_free(&first);
    return kit_fail_error(subject, "reading again", &error);
  }
  const size_t gone = rows_missing(&first, &second), added = rows_missing(&second, &first);
  rows_free(&first);
  rows_free(&second);
  if (gone + added == 0) return DR_KIT_PASS;
  const size_t differ = gone > added ? gone : added;
  return kit_fail(subject,
                  "stream %s: two full reads of the same data differ in %zu rows: a second sync would write them",
                  stream, differ);
}

// ---- second sync, for every role ----

int check_second_warehouse(struct subject *subject);

int check_second(struct subject *subject) {
  if (subject_has(subject, DR_ROLE_WAREHOUSE)) {
    const int verdict = check_second_warehouse(subject);
    if (verdict != DR_KIT_PASS) return verdict;
  }
  return subject_has(subject, DR_ROLE_SOURCE) ? each_stream(subject, second_stream)
         : subject_has(subject, DR_ROLE_WAREHOUSE)
             ? DR_KIT_PASS
             : kit_skip(subject, "only the host decides what is sent to a destination");
}
