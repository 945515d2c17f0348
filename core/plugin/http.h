// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The HTTP service that a plugin instance gets (struct dray_http_service of dray/host.h), on libcurl. One `struct
// dr_http` an instance; rate keys (concurrency and token buckets) are shared by all instances of the process, and those
// that a plugin names by all processes that use one folder. Knows nothing of plugins but the label that stands in log
// lines.
#ifndef DR_PLUGIN_HTTP_H
#define DR_PLUGIN_HTTP_H

#include "dray/host.h"
#include "dray/sdk/error.h"
#include "dray/sdk/text.h"

struct dr_http; // one thread at a time, like the instance it belongs to; must not cross a fork

// Makes the client of one instance; opens no connection. `label` ("plugin:connection") is copied and names log lines.
// `folder`: where processes share what they know of rate keys (gate.h), copied; NULL: nowhere.
// NULL: out of memory. Any thread; libcurl is initialised by the first call.
DRAY_NODISCARD struct dr_http *dr_http_new(const char *label, const char *folder);
// The vtable with its ctx filled, all slots set. Borrowed: valid until dr_http_free.
const struct dray_http_service *dr_http_service(struct dr_http *http);
// Closes the pooled connections and, with a warning, answers that the plugin left open. NULL is allowed.
void dr_http_free(struct dr_http *http);

#endif // DR_PLUGIN_HTTP_H
