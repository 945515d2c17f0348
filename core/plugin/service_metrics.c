// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The metrics service: named counters of one instance. What does not fit (name, number of names) is left out with one
// word in the log: a counter must never fail a run.
#include <string.h>

#include "base/log.h"
#include "dray/sdk/json.h"
#include "plugin/services.h"

static int is_name(struct dray_str name) {
  if (name.len == 0 || name.len >= DR_METRIC_NAME_MAX) return 0;
  for (uint64_t i = 0; i < name.len; i++) {
    const char c = name.data[i];
    if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_')) return 0;
  }
  return 1;
}

// The counter, made when there is room; NULL when there is none. Under the lock.
static struct dr_metric *find(struct dr_host *host, struct dray_str name) {
  for (size_t i = 0; i < host->metric_count; i++) {
    if (dray_str_is(name, host->metric[i].name)) return &host->metric[i];
  }
  if (host->metric_count == DR_METRICS_MAX) return NULL;
  struct dr_metric *metric = &host->metric[host->metric_count++];
  memcpy(metric->name, name.data, name.len);
  metric->name[name.len] = '\0';
  metric->value = 0;
  return metric;
}

static void count(void *ctx, struct dray_str name, int64_t add) {
  struct dr_host *host = ctx;
  const int named = is_name(name);
  (void)pthread_mutex_lock(&host->lock);
  struct dr_metric *metric = named ? find(host, name) : NULL;
  if (metric != NULL && __builtin_add_overflow(metric->value, add, &metric->value)) {
    metric->value = add > 0 ? INT64_MAX : INT64_MIN;
  }
  int *said = named ? &host->metrics_overflowed : &host->metrics_misnamed;
  const int say = metric == NULL && !*said; // once: counters are raised in loops
  if (say) *said = 1;
  (void)pthread_mutex_unlock(&host->lock);
  if (say && named) {
    dr_log(DRAY_LOG_WARN, host->connection, "more than %d counters; %.*s and later ones are not counted",
           DR_METRICS_MAX, DRAY_STR_ARG(name));
  } else if (say) {
    dr_log(DRAY_LOG_WARN, host->connection, "the counter name \"%.*s\" is not 1 to %d of a-z, 0-9 and _; not counted",
           DRAY_STR_ARG(name), DR_METRIC_NAME_MAX - 1);
  }
}

void dr_service_metrics_init(struct dr_host *host) {
  host->metrics = (struct dray_metrics_service){sizeof(host->metrics), 0, host, count};
}

int32_t dr_host_metrics_json(const struct dr_host *host, struct dray_buffer *out, struct dray_error *error) {
  struct dr_host *locked = (struct dr_host *)(uintptr_t)host; // the lock is no part of what const promises
  struct dray_json_writer writer;
  dray_json_writer_init(&writer, out, error);
  dray_json_begin_object(&writer);
  (void)pthread_mutex_lock(&locked->lock);
  for (size_t i = 0; i < host->metric_count; i++) {
    dray_json_key(&writer, host->metric[i].name);
    dray_json_write_int(&writer, host->metric[i].value);
  }
  (void)pthread_mutex_unlock(&locked->lock);
  dray_json_end_object(&writer);
  return dray_json_writer_finish(&writer);
}
