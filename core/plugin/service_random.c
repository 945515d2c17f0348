// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The random service: the kernel's cryptographic source.
#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/log.h"
#include "plugin/services.h"

static void fill(void *ctx, void *buffer, uint64_t buffer_bytes) {
  const struct dr_host *host = ctx;
  char *to = buffer;
  while (buffer_bytes > 0) {
    const ssize_t n = getrandom(to, (size_t)buffer_bytes, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) { // keys and nonces made of guesses would be worse than a dead run
      dr_log(DRAY_LOG_ERROR, host->connection, "the system gives no random bytes (errno %d)", errno);
      abort();
    }
    to += n;
    buffer_bytes -= (uint64_t)n;
  }
}

void dr_service_random_init(struct dr_host *host) {
  host->random = (struct dray_random_service){sizeof(host->random), 0, host, fill};
}
