// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The ground of the ABI: strings, error codes, error classes and the error struct. Everything that
// crosses the plugin line is built from these, from fixed-width integers and from Arrow's structs.
//
// Rules for every struct below `include/dray` that begins with `struct_size`: the caller sets it to
// sizeof the struct it was compiled with; the callee reads and writes at most the smaller of that and
// its own sizeof; members are only ever appended within an ABI major.
#ifndef DRAY_ABI_H
#define DRAY_ABI_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DRAY_ABI_MAJOR 1
#define DRAY_ABI_MINOR 2

#if defined(__GNUC__) || defined(__clang__)
#define DRAY_NODISCARD __attribute__((warn_unused_result))
#define DRAY_PRINTF(format_index, first_index) __attribute__((format(printf, format_index, first_index)))
#define DRAY_EXPORT __attribute__((visibility("default")))
#else
#define DRAY_NODISCARD
#define DRAY_PRINTF(format_index, first_index)
#define DRAY_EXPORT
#endif

// A borrowed run of bytes; not NUL-terminated. UTF-8 unless its docstring says bytes. Who owns `data`
// and for how long it may be read is written where a dray_str is passed. Frozen: no struct_size.
struct dray_str {
  const char *data; // may be NULL only when len is 0
  uint64_t len;     // bytes
};

// What the host does about an error is driven by its class alone.
enum {
  DRAY_CLASS_CONFIG = 1,    // stop, show the field
  DRAY_CLASS_AUTH = 2,      // refresh once, then stop
  DRAY_CLASS_TRANSIENT = 3, // back off and try again; promises that nothing was applied
  DRAY_CLASS_THROTTLED = 4, // wait retry_after_ms; promises that nothing was applied
  DRAY_CLASS_DATA = 5,      // reject the row; for a whole batch: halve it until the bad row is alone
  DRAY_CLASS_SCHEMA = 6,    // drift policy
  DRAY_CLASS_STATE = 7,     // needs consent to resync
  DRAY_CLASS_CANCELLED = 8, // the run was asked to end
  DRAY_CLASS_BUG = 9        // stop and keep evidence
};

// Error codes: DRAY_E_CONFIG_SYNTAX and so on, from errors.def. 0 is success.
enum {
  DRAY_OK = 0,
#define DRAY_ERROR(name, number, cls, exit_code, what, fix) DRAY_E_##name = (number),
#include "dray/errors.def"
#undef DRAY_ERROR
};

#define DRAY_ERROR_TEXT_MAX 1024

// The report of a failure. Caller-owned, inline, freed by nobody. A callee that fails fills it and
// returns `code`; a callee that succeeds leaves it alone. All text is UTF-8 and NUL-terminated, and
// never holds a secret.
struct dray_error {
  uint32_t struct_size;
  int32_t code;                   // DRAY_E_*
  int32_t error_class;            // DRAY_CLASS_*
  int32_t http_status;            // 0 when no HTTP answer was involved
  int64_t retry_after_ms;         // for THROTTLED and TRANSIENT: wait at least this long; 0 when unknown
  char vendor_code[64];           // the other side's own code, e.g. "ACCESS_DENIED"
  char field[128];                // the setting or column at fault, e.g. "api_key"
  char text[DRAY_ERROR_TEXT_MAX]; // one sentence: what happened, with the values that matter
};

#ifdef __cplusplus
}
#endif

#endif // DRAY_ABI_H
