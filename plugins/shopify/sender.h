// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Sends tasks in requests of several and writes each one's outcome.
#ifndef SHOPIFY_SENDER_H
#define SHOPIFY_SENDER_H

#include "operations.h"

#define SHOPIFY_ALIASES_MAX 25 // tasks in a request: 250 points of the bucket
#define SHOPIFY_LIST_MAX 25    // elements of a list, by the API

struct shopify_sender {
  struct shopify_client *client;
  struct dray_buffer *texts; // of outcomes
  struct dray_buffer body;
  double cost_each;      // points of a task, as last said
  struct dray_error why; // of the failure that stopped it
};
void shopify_sender_init(struct shopify_sender *sender, struct shopify_client *client, struct dray_buffer *texts);
void shopify_sender_free(struct shopify_sender *sender);

// Sends the tasks that have no outcome yet, of one kind: those of operations that take a list, those of others, or
// queries. `values` is what they point into. A request that is refused as a whole is halved until the bad task is
// alone. A failure that concerns more than its tasks stops: DRAY_OK is not returned, `why` says it, and tasks without
// an outcome were not applied. @errors those of shopify_ask, LIMIT, OUT_OF_MEMORY.
DRAY_NODISCARD int32_t shopify_send_tasks(struct shopify_sender *sender, struct shopify_task *tasks, size_t count,
                                          const char *values);

#endif // SHOPIFY_SENDER_H
