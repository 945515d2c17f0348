// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Rows in doubt: whether Zendesk holds them.
#ifndef ZENDESK_READBACK_H
#define ZENDESK_READBACK_H

#include "work.h"

// Puts a receipt for each item: APPLIED, RETRY, or UNKNOWN while a job of the account is at work that may still bring
// the row. @errors those of zendesk_get.
DRAY_NODISCARD int32_t zendesk_read_back(struct zendesk_work *work, struct dray_error *error);

#endif // ZENDESK_READBACK_H
