// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What Zendesk told a run, for all lanes of it: several instances of one process begin after each other, and would each
// ask the same. Never for another run, in which it may be otherwise.
#ifndef ZENDESK_TOLD_H
#define ZENDESK_TOLD_H

#include "client.h"

// Which run; empty: nothing is kept.
struct zendesk_told {
  char run[240];
};
// Longer names are not told apart, so nothing is kept for them.
void zendesk_told_name(struct zendesk_told *told, const struct zendesk_client *client, struct dray_str run,
                       struct dray_str sync);
// Appends what was kept of `what`, a static name; *out_found = 0: nothing. @errors OUT_OF_MEMORY, LIMIT. @thread any.
DRAY_NODISCARD int32_t zendesk_told_recall(const struct zendesk_told *told, const char *what, struct dray_buffer *out,
                                           int *out_found, struct dray_error *error);
// Keeps it instead of what another run was told. @errors OUT_OF_MEMORY. @thread any.
DRAY_NODISCARD int32_t zendesk_told_keep(const struct zendesk_told *told, const char *what, struct dray_str text,
                                         struct dray_error *error);

#endif // ZENDESK_TOLD_H
