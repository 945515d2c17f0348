// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// A host whose services do what a test has laid out and note what they were asked. One at a time. It allocates nothing,
// so that failing allocations are never its own.
#ifndef DRAY_TEST_FAKE_HOST_H
#define DRAY_TEST_FAKE_HOST_H

#include "dray/sdk/services.h"

#define FAKE_EXCHANGES_MAX 64
#define FAKE_TEXT_MAX 4096
#define FAKE_SHARED_MAX 4

// The answer to one request. Exchanges are used in the order in which requests are made.
struct fake_exchange {
  int32_t fail_code; // not 0: no answer, but this error
  int in_doubt;
  int32_t status;      // 0: 200
  const char *headers; // "Name: value\n" each; NULL: none
  const char *body;    // NULL: empty
  int32_t cut_code;    // not 0: the body ends with this error
};

struct fake_request {
  uint32_t flags;
  char line[512];     // "GET https://x/y"
  char headers[1024]; // "Name: value\n" each
  char body[FAKE_TEXT_MAX];
};

// A value of the state that connections share. A removed one is empty.
struct fake_state {
  char key[64];
  char text[FAKE_TEXT_MAX];
  size_t bytes;
};

struct fake_host {
  struct dray_host host;
  struct dray_services services;
  int cancelled;
  int64_t now_us;
  int without_mask, without_shared_state; // a host before 1.2

  const struct fake_exchange *exchanges;
  size_t exchange_count;
  size_t request_count;
  struct fake_request requests[FAKE_EXCHANGES_MAX];
  int open_answers, open_pending; // must be 0 when all is done

  const char *secrets[12]; // name, value, name, value, ..., NULL
  struct fake_state own;   // the connection's; its key is "oauth" or "token"
  struct fake_state shared[FAKE_SHARED_MAX];
  int put_count, lock_count, is_locked, random_count;
  int32_t put_fail_code;
  int put_fail_from; // how many puts succeed before

  char events
      [FAKE_TEXT_MAX]; // "start N\n", "finish N\n", "open N\n", "drop N\n", "put N\n", "own N\n": of the own state; N: the request's number
  char masked[FAKE_TEXT_MAX]; // "secret\n" each
};

void fake_host_init(struct fake_host *fake, const struct fake_exchange *exchanges, size_t exchange_count);
// As init, but keeps what is stored: another process, later.
void fake_host_again(struct fake_host *fake, const struct fake_exchange *exchanges, size_t exchange_count);
// Everything that was opened is closed and unlocked.
void fake_host_expect_idle(const struct fake_host *fake);

#endif // DRAY_TEST_FAKE_HOST_H
