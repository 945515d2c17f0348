// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// A host whose HTTP service gives the answers that a test has laid out, and keeps what it was asked.
#ifndef WEBHOOK_TEST_FAKE_H
#define WEBHOOK_TEST_FAKE_H

#include "dray/sdk.h"

struct fake {
  struct dray_host host;
  int cancelled;
  int64_t now_us;

  // The answer to the next requests.
  int32_t fail_code; // not 0: no answer, but this error
  int in_doubt;
  int32_t status;
  const char *content_type;
  const char *retry_after;
  const char *date;
  const char *body;
  int cut;       // the body ends with an error
  int too_large; // with LIMIT

  // The last request.
  int requests;
  uint32_t flags;
  char method[8];
  char url[512];
  char headers[4096]; // "Name: value\n" each
  char *asked;        // the body, NUL-terminated
  size_t asked_bytes;
  int open_answers; // must be 0 when all is done
};

void fake_init(struct fake *fake);
void fake_free(struct fake *fake);

#endif // WEBHOOK_TEST_FAKE_H
