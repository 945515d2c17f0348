// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Jobs that are at work: several are asked for by one call, and whether the account's jobs may be seen at all. Zendesk
// shows jobs to agents whose token has the scope read; a 403 says nothing of whether any is at work.
#include <pthread.h>
#include <stdio.h>

#include "work.h"

#define FRESH_US INT64_C(2000000)
#define KEYS_BYTES_MAX 3000u // as many ids as an address takes
#define STATE_KEY "jobs"
#define STATE_AGE_US INT64_C(60000000)
#define FORGOTTEN_US INT64_C(3660000000) // Zendesk knows no job that is older than about an hour
#define TOLD "jobs"

// ---- jobs of this instance ----

static ptrdiff_t find(const struct zendesk_open *open, const char *id) {
  for (size_t i = 0; i < open->count; i++) {
    if (strcmp(open->ids[i], id) == 0) return (ptrdiff_t)i;
  }
  return -1;
}

static void remove_at(struct zendesk_open *open, size_t at) {
  open->count--;
  memmove(&open->ids[at], &open->ids[at + 1], (open->count - at) * sizeof(open->ids[0]));
  memmove(&open->fresh[at], &open->fresh[at + 1], (open->count - at) * sizeof(open->fresh[0]));
  memmove(&open->of_run[at], &open->of_run[at + 1], (open->count - at) * sizeof(open->of_run[0]));
}

void zendesk_open_note(struct zendesk_open *open, const char *id) {
  if (find(open, id) >= 0) return;
  if (open->count == ZENDESK_OPEN_MAX) remove_at(open, 0); // it is asked for by itself when its turn comes
  (void)snprintf(open->ids[open->count], sizeof(open->ids[0]), "%s", id);
  open->of_run[open->count] = 0;
  open->fresh[open->count++] = 0;
}

int zendesk_open_has(const struct zendesk_open *open, const char *id) {
  return find(open, id) >= 0;
}

// ---- jobs of the run ----

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct zendesk_open begun; // by all lanes of the run that began one last

static void note_of_run(struct zendesk_open *open, const char *id) {
  zendesk_open_note(open, id);
  open->of_run[find(open, id)] = 1;
}

void zendesk_open_begun(struct zendesk_open *open, const char *id) {
  note_of_run(open, id);
  if (open->told.run[0] == '\0') return;
  (void)pthread_mutex_lock(&lock);
  if (strcmp(begun.told.run, open->told.run) != 0) begun.count = 0;
  begun.told = open->told;
  zendesk_open_note(&begun, id);
  (void)pthread_mutex_unlock(&lock);
}

// What other lanes have begun, without what they have seen the end of.
static void learn(struct zendesk_open *open) {
  (void)pthread_mutex_lock(&lock);
  if (open->told.run[0] != '\0' && strcmp(begun.told.run, open->told.run) == 0) {
    for (size_t i = open->count; i > 0; i--) {
      if (open->of_run[i - 1] && find(&begun, open->ids[i - 1]) < 0) remove_at(open, i - 1);
    }
    for (size_t i = 0; i < begun.count; i++) note_of_run(open, begun.ids[i]);
  }
  (void)pthread_mutex_unlock(&lock);
}

void zendesk_open_forget(struct zendesk_open *open, const char *id) {
  ptrdiff_t at = find(open, id);
  if (at >= 0) remove_at(open, (size_t)at);
  (void)pthread_mutex_lock(&lock);
  at = find(&begun, id);
  if (at >= 0) remove_at(&begun, (size_t)at);
  (void)pthread_mutex_unlock(&lock);
}

void zendesk_open_free(struct zendesk_open *open) {
  dray_json_free(open->answer);
  memset(open, 0, sizeof(*open));
}

// ---- asking ----

static const struct dray_json *status_in(const struct dray_json *root, const char *id) {
  const struct dray_json *list = dray_json_get(root, "job_statuses");
  for (const struct dray_json *item = list != NULL ? list->child : NULL; item != NULL; item = item->next) {
    if (dray_str_is(dray_json_string(dray_json_get(item, "id"), ""), id)) return item;
  }
  return NULL;
}

static int32_t ask_many(struct zendesk_client *client, struct zendesk_open *open, struct dray_error *error) {
  struct dray_buffer keys, path;
  struct dray_json *root = NULL;
  struct dray_error why;
  dray_error_init(&why);
  dray_buffer_init(&keys, KEYS_BYTES_MAX + ZENDESK_JOB_ID_BYTES_MAX);
  dray_buffer_init(&path, 4 * KEYS_BYTES_MAX);
  int32_t rc = dray_buffer_append_str(&path, "/api/v2/job_statuses/show_many", &why);
  for (size_t i = 0; rc == DRAY_OK && i < open->count && keys.len < KEYS_BYTES_MAX; i++) {
    rc = dray_buffer_printf(&keys, &why, "%s%s", i > 0 ? "," : "", open->ids[i]);
  }
  if (rc == DRAY_OK) rc = dray_api_query(&path, 1, "ids", dray_buffer_view(&keys), &why);
  if (rc == DRAY_OK) rc = zendesk_get(client, path.data, &root, &why);
  dray_buffer_free(&keys);
  dray_buffer_free(&path);
  // Not there, or not in this shape: one by one, which also says what is wrong with the credentials.
  const int refused =
      why.http_status >= 400 && why.http_status < 500 && why.http_status != 401 && why.http_status != 429;
  open->one_by_one = refused || (rc == DRAY_OK && dray_json_get(root, "job_statuses") == NULL);
  if (rc != DRAY_OK && !refused) {
    if (error != NULL) *error = why;
    return rc;
  }
  dray_json_free(open->answer);
  open->answer = root;
  open->asked_us = client->services.clock->now_us(client->services.clock->ctx);
  for (size_t i = 0; i < open->count; i++) open->fresh[i] = status_in(root, open->ids[i]) != NULL;
  return DRAY_OK;
}

static int is_fresh(const struct zendesk_client *client, const struct zendesk_open *open, const char *id) {
  const int64_t age = client->services.clock->now_us(client->services.clock->ctx) - open->asked_us;
  const ptrdiff_t at = find(open, id);
  return at >= 0 && open->fresh[at] && age >= 0 && age < FRESH_US;
}

int32_t zendesk_open_ask(struct zendesk_client *client, struct zendesk_open *open, const struct zendesk_jobs *jobs,
                         struct dray_error *error) {
  int stale = 0;
  for (size_t j = 0; j < jobs->count; j++) stale |= !is_fresh(client, open, jobs->items[j].id);
  if (stale) learn(open);
  for (size_t j = 0; j < jobs->count; j++) zendesk_open_note(open, jobs->items[j].id);
  return stale && open->count > 1 && !open->one_by_one ? ask_many(client, open, error) : DRAY_OK;
}

const struct dray_json *zendesk_open_take(struct zendesk_client *client, struct zendesk_open *open, const char *id) {
  if (!is_fresh(client, open, id)) return NULL;
  open->fresh[find(open, id)] = 0;
  return status_in(open->answer, id);
}

// ---- whether jobs may be seen ----

// A token that was asked for with the scope read has it, and an API token has all.
static int has_read(const struct zendesk_settings *settings) {
  if (settings->auth == ZENDESK_AUTH_API_TOKEN) return 1;
  if (settings->auth != ZENDESK_AUTH_CLIENT) return 0;
  return zendesk_asks_scope(settings, dray_str_of("read"));
}

static int32_t ask_whether(struct zendesk_work *work, int *out, struct dray_error *error) {
  struct zendesk_client *client = work->client;
  struct dray_json *root = NULL;
  struct dray_error why;
  dray_error_init(&why);
  const int32_t rc = zendesk_get(client, "/api/v2/job_statuses?page%5Bsize%5D=1", &root, &why);
  dray_json_free(root);
  *out = rc == DRAY_OK;
  if (rc == DRAY_OK) return DRAY_OK;
  if (why.http_status != 403 && why.http_status != 404) {
    if (error != NULL) *error = why;
    return rc;
  }
  dray_log_printf(&client->services, DRAY_LOG_WARN,
                  "zendesk: rows go one by one, since what became of a job may not be seen; grant the OAuth client the "
                  "scope read, and its user the role of an agent or admin (%s)",
                  why.text);
  return DRAY_OK;
}

int32_t zendesk_jobs_may_be_seen(struct zendesk_work *work, int *out, struct dray_error *error) {
  struct dray_buffer told;
  *out = 1;
  if (work->jobs_seen || has_read(&work->client->settings)) return DRAY_OK;
  dray_buffer_init(&told, 8);
  int found = 0;
  int32_t rc = zendesk_told_recall(&work->told, TOLD, &told, &found, error);
  if (rc == DRAY_OK && found) *out = told.len > 0;
  if (rc == DRAY_OK && !found) {
    rc = ask_whether(work, out, error);
    if (rc == DRAY_OK) rc = zendesk_told_keep(&work->told, TOLD, dray_str_of(*out ? "1" : ""), error);
  }
  dray_buffer_free(&told);
  if (rc == DRAY_OK) work->jobs_seen = *out;
  return rc;
}

// ---- that there was a job ----

int32_t zendesk_jobs_note(struct zendesk_work *work, struct dray_error *error) {
  const struct dray_services *services = &work->client->services;
  const int64_t now = services->clock->now_us(services->clock->ctx);
  char text[DRAY_FORMAT_BYTES_MAX];
  if (work->jobs_noted_us > 0 && now >= work->jobs_noted_us && now - work->jobs_noted_us < STATE_AGE_US) return DRAY_OK;
  (void)dray_format_int64(now, text);
  DRAY_TRY(services->state->put(services->state->ctx, dray_str_of(STATE_KEY), dray_str_of(text), error));
  work->jobs_noted_us = now;
  return DRAY_OK;
}

int32_t zendesk_jobs_lately(struct zendesk_work *work, int *out, struct dray_error *error) {
  const struct dray_services *services = &work->client->services;
  char text[32];
  uint64_t len = 0;
  int64_t noted = 0;
  DRAY_TRY(services->state->get(services->state->ctx, dray_str_of(STATE_KEY), text, sizeof(text), &len, error));
  struct dray_error why;
  dray_error_init(&why);
  const int known = len > 0 && dray_parse_int64(dray_str_make(text, len), &noted, &why) == DRAY_OK;
  *out = known && services->clock->now_us(services->clock->ctx) - noted < FORGOTTEN_US;
  return DRAY_OK;
}
