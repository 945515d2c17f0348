// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// One request and its answer, with credentials and signature.
#ifndef WEBHOOK_EXCHANGE_H
#define WEBHOOK_EXCHANGE_H

#include "answer.h"

// The secrets, read when a run begins and wiped when it ends. NULL: not set.
struct webhook_secrets {
  char *bearer; // the whole value of the header: "Bearer ..."
  char *auth;
  char *hmac;
};

DRAY_NODISCARD int32_t webhook_secrets_read(const struct dray_services *services,
                                            const struct webhook_settings *settings, struct webhook_secrets *out,
                                            struct dray_error *error);
void webhook_secrets_free(struct webhook_secrets *secrets);

struct webhook_request {
  const char *url;
  const char *method;
  struct dray_str body;
  struct dray_str key; // idempotency key; empty: none is sent
};

// Sends and reads the answer, whatever its status. `answer->body` is cleared first. @errors those of the HTTP service;
// vendor_code is "in_doubt" when the request may have been received.
DRAY_NODISCARD int32_t webhook_exchange(const struct dray_services *services, const struct webhook_settings *settings,
                                        const struct webhook_secrets *secrets, const struct webhook_request *request,
                                        struct webhook_answer *answer, struct dray_error *error);
// Writes "sha256=" and the HMAC-SHA256 of "STAMP.BODY" in hexadecimal.
#define WEBHOOK_SIGNATURE_BYTES 80
DRAY_NODISCARD int32_t webhook_sign(const char *secret, const char *stamp, struct dray_str body,
                                    char out[WEBHOOK_SIGNATURE_BYTES], struct dray_error *error);

#endif // WEBHOOK_EXCHANGE_H
