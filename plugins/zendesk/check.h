// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Named steps of a check, each with what to grant. Nothing of a check changes anything at Zendesk.
#ifndef ZENDESK_CHECK_H
#define ZENDESK_CHECK_H

#include "objects.h"
#include "streams.h"

// Steps "reach" and "credentials". *out_goes_on = 0 when asking on makes no sense. @errors OUT_OF_MEMORY, CANCELLED.
DRAY_NODISCARD int32_t zendesk_check_account(struct zendesk_client *client, struct dray_json_writer *writer,
                                             int *out_goes_on, struct dray_error *error);
DRAY_NODISCARD int32_t zendesk_check_stream(struct zendesk_client *client, const struct zendesk_stream *stream,
                                            struct dray_json_writer *writer, struct dray_error *error);
// Whether `path` can be read; `scope` is what is to be granted.
DRAY_NODISCARD int32_t zendesk_check_path(struct zendesk_client *client, const char *name, const char *path,
                                          const char *scope, int gated, struct dray_json_writer *writer,
                                          struct dray_error *error);
// Whether the token's scopes let the objects be written, a step each: nothing is written to find it out. An API token
// has no scopes and no such steps; where Zendesk does not show a token's, one step says so.
DRAY_NODISCARD int32_t zendesk_check_scopes(struct zendesk_client *client, struct dray_json_writer *writer,
                                            struct dray_error *error);
// Whether what becomes of jobs can be seen, where use_bulk may send some.
DRAY_NODISCARD int32_t zendesk_check_jobs(struct zendesk_client *client, struct dray_json_writer *writer,
                                          struct dray_error *error);

#endif // ZENDESK_CHECK_H
