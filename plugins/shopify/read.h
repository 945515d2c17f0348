// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// One open stream: lines come from pages or from a bulk operation, batches go out.
#ifndef SHOPIFY_READ_H
#define SHOPIFY_READ_H

#include "bulk.h"
#include "pages.h"

// `client` and `definitions` (NULL: none) are borrowed until the stream is closed. @errors SCHEMA_COLUMN,
// STATE_CHECKPOINT, CONFIG_VALUE (another cursor), LIMIT, OUT_OF_MEMORY. Sends nothing.
DRAY_NODISCARD int32_t shopify_read_open(struct shopify_client *client, const struct shopify_stream *stream,
                                         const struct shopify_definitions *definitions,
                                         const struct dray_read_request *request, struct dray_stream *out,
                                         struct dray_error *error);

#endif // SHOPIFY_READ_H
