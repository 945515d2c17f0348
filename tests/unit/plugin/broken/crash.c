// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Dies in a constructor, before its entry point could say anything.
#include "slots.h"

#include <signal.h>

static const struct dray_source_vtable source = SOURCE_VTABLE(sizeof(source));

__attribute__((constructor)) static void die(void) {
  (void)signal(SIGABRT, SIG_DFL);
  (void)raise(SIGABRT);
}

int32_t dray_plugin_entry_v1(const struct dray_host *host, struct dray_plugin *out, struct dray_error *error) {
  (void)host, (void)error;
  return introduce(out, "crash", &source);
}
