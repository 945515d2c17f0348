// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Inside of a host as one plugin instance sees it: the services and where they keep their state. One service_*.c each;
// only those files and host.c may include this.
#ifndef DR_PLUGIN_SERVICES_H
#define DR_PLUGIN_SERVICES_H

#include <pthread.h>

#include "plugin/http.h"
#include "plugin/plugin.h"

#define DR_CONNECTION_BYTES_MAX 64
#define DR_METRICS_MAX 64
#define DR_METRIC_NAME_MAX 64
#define DR_SECRET_BYTES_MAX 65536
#define DR_STATE_LOCKS_MAX 8 // of one instance at a time

struct dr_metric {
  char name[DR_METRIC_NAME_MAX];
  int64_t value;
};

struct dr_state_lock {
  int fd;
  int shared; // of the project's connections, not of this one alone
  char key[DRAY_STATE_KEY_BYTES_MAX + 1];
};

// The ctx of a state service: whose keys it has.
struct dr_state_scope {
  struct dr_host *host;
  int shared;
};

struct dr_host {
  struct dray_host abi;
  struct dr_host_options options;
  char connection[DR_CONNECTION_BYTES_MAX]; // copy of options.connection
  char *shared_folder;                      // copy of options.shared_folder; owned
  struct dray_log_service log;
  struct dray_cancel_service cancel;
  struct dray_clock_service clock;
  struct dray_secrets_service secrets;
  struct dray_state_service state, shared_state;
  struct dr_state_scope own_scope, shared_scope;
  struct dray_metrics_service metrics;
  struct dray_random_service random;
  struct dray_pace_service pace;
  struct dr_http *http; // owned
  struct dr_state_lock state_lock[DR_STATE_LOCKS_MAX];
  size_t state_lock_count;
  pthread_mutex_t lock; // guards the metrics, which a watcher may read while the plugin runs
  struct dr_metric metric[DR_METRICS_MAX];
  size_t metric_count;
  int metrics_overflowed; // each said once
  int metrics_misnamed;
};

// Each fills its vtable in the host; `host` is the service's ctx.
void dr_service_log_init(struct dr_host *host);
void dr_service_cancel_init(struct dr_host *host);
void dr_service_clock_init(struct dr_host *host);
void dr_service_secrets_init(struct dr_host *host);
void dr_service_state_init(struct dr_host *host);
void dr_service_metrics_init(struct dr_host *host);
void dr_service_random_init(struct dr_host *host);
void dr_service_pace_init(struct dr_host *host);
void dr_service_state_end(struct dr_host *host); // gives back what the instance left locked

#endif // DR_PLUGIN_SERVICES_H
