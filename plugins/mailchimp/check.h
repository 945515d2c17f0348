// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The steps of `dray check`, for both roles.
#ifndef MAILCHIMP_CHECK_H
#define MAILCHIMP_CHECK_H

#include "client.h"

// Writes the array of steps: reach, credentials, then the right to read each kind of thing, or to write.
DRAY_NODISCARD int32_t mc_check(struct mc_client *client, int writes, struct dray_buffer *out,
                                struct dray_error *error);

#endif // MAILCHIMP_CHECK_H
