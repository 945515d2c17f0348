// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// A plugin whose rows are in memory, built once whole and once per fault: -DFAULT=FAULT_x breaks it in exactly one
// way. What the kit says about each build is what test_broken.py looks at.
#ifndef BROKEN_MEMORY_H
#define BROKEN_MEMORY_H

#include "dray/sdk.h"

enum {
  FAULT_NONE = 0,
  FAULT_EXPORTS,          // a symbol too many
  FAULT_MANIFEST,         // another version than the manifest says
  FAULT_SPEC_SECRET,      // a secret that is not marked
  FAULT_SPEC_OPEN,        // a schema that takes any setting
  FAULT_UNKNOWN_SETTING,  // create takes any setting
  FAULT_CANARY_PRINT,     // the secret goes to stderr
  FAULT_CANARY_LOG,       // ... to the log
  FAULT_CANARY_DEBUG,     // ... to the log, at a level that is off by default
  FAULT_CANARY_TEXT,      // ... into what check says
  FAULT_CANARY_STATE,     // ... into a stream's state
  FAULT_CANARY_RECEIPT,   // ... into a receipt
  FAULT_DISCOVER,         // a counter in the catalogue
  FAULT_RESUME,           // states are a batch too far
  FAULT_RESUME_MEMORY,    // states mean something to the instance that gave them only
  FAULT_SECOND_SYNC,      // a value that differs with every read
  FAULT_RECEIPTS_MISSING, // a row without a receipt
  FAULT_RECEIPTS_DOUBLE,  // a row with two
  FAULT_CAPS_ZERO,        // no row fits into a batch
  FAULT_CAPS_DOUBT,       // a way to resolve doubt that there is not
  FAULT_CANCEL_NEXT,      // next sleeps on
  FAULT_CANCEL_HANG,      // next waits for ever
  FAULT_CANCEL_WRITE,     // write sleeps on
  FAULT_ALLOCATION_CRASH, // malloc is not looked at
  FAULT_ALLOCATION_LEAK,  // a failure forgets what it had
  FAULT_ALLOCATION_LIE,   // a failure is reported as something else
  FAULT_ALLOCATION_WRITE, // write leaks what it had
  FAULT_LIFECYCLE_WRITE,  // each write forgets something
  FAULT_LIFECYCLE,        // destroy forgets something
  FAULT_VALUES_UNICODE,   // characters beyond the BMP are lost
  FAULT_VALUES_DECIMAL,   // decimals go through a double
  FAULT_VALUES_NULL,      // null becomes empty
  FAULT_VALUES_EMPTY      // the destination refuses empty texts
};
#ifndef FAULT
#define FAULT FAULT_NONE
#endif
#define HAS(fault) (FAULT == FAULT_##fault)

struct settings {
  int64_t rows;
  int32_t has_token;
};

// settings.c
DRAY_NODISCARD int32_t settings_spec(struct dray_str *out_json, struct dray_error *error);
DRAY_NODISCARD int32_t settings_bind(struct dray_str json, struct settings *out, struct dray_error *error);
// Asks for the token, and shows it where the fault says so. *out_token is the caller's to free; NULL: none was given.
DRAY_NODISCARD int32_t settings_token(const struct dray_services *services, const struct settings *settings,
                                      char **out_token, struct dray_error *error);
// The answer of check: one step.
DRAY_NODISCARD int32_t settings_check(const struct dray_services *services, const struct settings *settings,
                                      struct dray_buffer *out, struct dray_error *error);
// What every call that may last looks at. The broken one sleeps on, five seconds, once the run was cancelled.
DRAY_NODISCARD int32_t settings_cancelled(const struct dray_services *services, int broken, struct dray_error *error);

extern const struct dray_source_vtable source_vtable;
extern const struct dray_destination_vtable destination_vtable;

#endif // BROKEN_MEMORY_H
