// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The conformance kit: what every plugin must do, tried on a plugin. Each check runs in a child process of its own,
// so that one that crashes fails one check. Used by `dray plugin test`; README.md describes every check.
#ifndef DR_CONFORMANCE_KIT_H
#define DR_CONFORMANCE_KIT_H

#include "plugin/plugin.h"

enum { DR_KIT_PASS = 1, DR_KIT_FAIL, DR_KIT_SKIP };

struct dr_kit_result {
  const char *check;   // static
  const char *meaning; // static, half a line
  int status;          // DR_KIT_*
  char text[1024];     // what was found, or why it was skipped
  int64_t took_ms;
};

struct dr_kit_options {
  const char *library; // path to the .so, its manifest.json beside it
  const char *config;  // path to the kit's JSON: settings, secrets, streams, object, options; see README.md
  const char *only;    // one check; NULL: all
};

// Runs the checks in their order. The caller frees *out with free(). @errors PLUGIN_MISSING, PLUGIN_MANIFEST when
// there is no manifest to read, CONFIG_* when the config is not usable or `only` names no check, OUT_OF_MEMORY.
DRAY_NODISCARD int32_t dr_kit_run(const struct dr_kit_options *options, struct dr_kit_result **out, size_t *out_count,
                                  struct dray_error *error);
// Appends the machine-readable report:
// {"v":1,"plugin","version","library","passed","failed","skipped","checks":[{"check","status","text","took_ms"}]}.
DRAY_NODISCARD int32_t dr_kit_report(const struct dr_kit_options *options, const struct dr_kit_result *results,
                                     size_t count, struct dray_buffer *out, struct dray_error *error);

#endif // DR_CONFORMANCE_KIT_H
