// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Requests that were begun and that nobody waits for yet: start, finish and drop of the HTTP service. They are sent in
// the order in which they were asked for, each as soon as its rate key has room; one that has none holds up those
// behind it, so that whoever finishes them in that order never waits for a place that its own later request has.
#include <stdlib.h>

#include "plugin/http_parts.h"

struct dray_http_pending {
  struct dr_http *http;
  struct dray_http_pending *next;
  struct dr_http_plan plan;
  struct dray_http_response *begun; // NULL: not sent yet
};

int dr_http_ahead_begun(const struct dr_http *http) {
  for (const struct dray_http_pending *pending = http->ahead; pending != NULL; pending = pending->next) {
    if (pending->begun != NULL && pending->begun->place >= 0) return 1;
  }
  return 0;
}

// Sends what has room. What cannot be begun is told by whoever finishes it.
static void begin_waiting(struct dr_http *http) {
  int running = 0;
  struct dray_http_pending *pending = http->ahead;
  for (; pending != NULL; pending = pending->next) {
    if (pending->begun != NULL) continue;
    struct dray_error ignored;
    dray_error_init(&ignored);
    if (dr_http_begin(http, &pending->plan, 0, &pending->begun, &ignored) != DRAY_OK || pending->begun == NULL) break;
  }
  (void)curl_multi_perform(http->multi, &running);
}

static void remove_from_ahead(struct dray_http_pending *pending) {
  struct dray_http_pending **at = &pending->http->ahead;
  while (*at != NULL && *at != pending) at = &(*at)->next;
  if (*at == pending) *at = pending->next;
}

int32_t dr_http_start(void *ctx, const struct dray_http_request *request, struct dray_http_pending **out,
                      struct dray_error *error) {
  struct dr_http *http = ctx;
  struct dray_error local;
  dray_error_init(&local);
  struct dray_http_pending *pending = calloc(1, sizeof(*pending));
  if (pending == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a request");
  if (dr_http_plan_init(&pending->plan, request, &local) != DRAY_OK) {
    dr_http_plan_free(&pending->plan);
    free(pending);
    return dr_http_report(error, &local);
  }
  pending->http = http;
  struct dray_http_pending **at = &http->ahead;
  while (*at != NULL) at = &(*at)->next;
  *at = pending;
  begin_waiting(http);
  *out = pending;
  return DRAY_OK;
}

int32_t dr_http_finish(struct dray_http_pending *pending, struct dray_http_response **out, struct dray_error *error) {
  struct dr_http *http = pending->http;
  struct dray_error local;
  dray_error_init(&local);
  begin_waiting(http);
  struct dray_http_response *begun = pending->begun;
  pending->begun = NULL;
  remove_from_ahead(pending);
  const int32_t code = dr_http_exchange(http, &pending->plan, begun, out, &local);
  dr_http_plan_free(&pending->plan);
  free(pending);
  return code == DRAY_OK ? DRAY_OK : dr_http_report(error, &local);
}

void dr_http_drop(struct dray_http_pending *pending) {
  if (pending == NULL) return;
  remove_from_ahead(pending);
  dr_http_response_free(pending->begun);
  dr_http_plan_free(&pending->plan);
  free(pending);
}
