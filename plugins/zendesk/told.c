// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// One text a name, of the run that has asked last.
#include "told.h"

#include <pthread.h>
#include <stdio.h>

#define NAMES_MAX 8
#define TEXT_BYTES_MAX (8u << 20)

static struct {
  const char *what;
  char run[sizeof(((struct zendesk_told *)NULL)->run)];
  struct dray_buffer text;
} kept[NAMES_MAX];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void zendesk_told_name(struct zendesk_told *told, const struct zendesk_client *client, struct dray_str run,
                       struct dray_str sync) {
  const int n =
      snprintf(told->run, sizeof(told->run), "%s %.*s %.*s", client->account, DRAY_STR_ARG(run), DRAY_STR_ARG(sync));
  if (n < 0 || (size_t)n >= sizeof(told->run) || run.len == 0) told->run[0] = '\0';
}

// With the lock. An empty place where there is none; NAMES_MAX: all are taken.
static size_t place_of(const char *what) {
  size_t i = 0;
  while (i < NAMES_MAX && kept[i].what != NULL && strcmp(kept[i].what, what) != 0) i++;
  return i;
}

int32_t zendesk_told_recall(const struct zendesk_told *told, const char *what, struct dray_buffer *out, int *out_found,
                            struct dray_error *error) {
  int32_t rc = DRAY_OK;
  *out_found = 0;
  if (told->run[0] == '\0') return DRAY_OK;
  (void)pthread_mutex_lock(&lock);
  const size_t i = place_of(what);
  const int found = i < NAMES_MAX && kept[i].what != NULL && strcmp(kept[i].run, told->run) == 0;
  if (found && kept[i].text.len > 0) rc = dray_buffer_append(out, kept[i].text.data, kept[i].text.len, error);
  (void)pthread_mutex_unlock(&lock);
  if (rc == DRAY_OK) *out_found = found;
  return rc;
}

int32_t zendesk_told_keep(const struct zendesk_told *told, const char *what, struct dray_str text,
                          struct dray_error *error) {
  int32_t rc = DRAY_OK;
  if (told->run[0] == '\0' || text.len > TEXT_BYTES_MAX) return DRAY_OK;
  (void)pthread_mutex_lock(&lock);
  const size_t i = place_of(what);
  if (i < NAMES_MAX) {
    dray_buffer_free(&kept[i].text);
    dray_buffer_init(&kept[i].text, TEXT_BYTES_MAX + 1);
    kept[i].run[0] = '\0';
    kept[i].what = what;
    if (text.len > 0) rc = dray_buffer_append(&kept[i].text, text.data, (size_t)text.len, error);
    if (rc == DRAY_OK) memcpy(kept[i].run, told->run, sizeof(told->run));
  }
  (void)pthread_mutex_unlock(&lock);
  return rc;
}
