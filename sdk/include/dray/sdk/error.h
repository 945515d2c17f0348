// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Filling and reading `struct dray_error`. Used by plugins and by the host alike.
#ifndef DRAY_SDK_ERROR_H
#define DRAY_SDK_ERROR_H

#include "dray/abi.h"

#ifdef __cplusplus
extern "C" {
#endif

// One row of errors.def.
struct dray_error_info {
  int32_t code;
  int32_t error_class;
  int32_t exit_code;
  const char *name; // lower case, e.g. "config_syntax": what the user sees and gives to `dray explain`
  const char *what;
  const char *fix;
};

// Starts an empty error of this SDK's size.
void dray_error_init(struct dray_error *error);

// Fills `error` with a code (its class from the table) and a formatted sentence, cut at a UTF-8 border when too
// long; other members are cleared. `error` may be NULL. Returns `code`, so that callers write
// `return dray_fail(error, DRAY_E_DATA_DATE, "...", ...)`. Never allocates. Any thread.
int32_t dray_fail(struct dray_error *error, int32_t code, const char *format, ...) DRAY_PRINTF(3, 4);

// As dray_fail, and names the setting or column at fault.
int32_t dray_fail_field(struct dray_error *error, int32_t code, const char *field, const char *format, ...)
    DRAY_PRINTF(4, 5);

// Puts "context: " before the text of an error that is passed on. Returns the error's code.
int32_t dray_error_prefix(struct dray_error *error, const char *format, ...) DRAY_PRINTF(2, 3);

// Table look-ups. An unknown code or name gives the row of INTERNAL, respectively NULL.
const struct dray_error_info *dray_error_info(int32_t code);
const struct dray_error_info *dray_error_info_by_name(struct dray_str name);
const struct dray_error_info *dray_error_table(size_t *out_count);
const char *dray_class_name(int32_t error_class); // "config", "auth", ...

// Returns from the enclosing function when the expression fails: the only macro that returns.
#define DRAY_TRY(expression)                                                                                           \
  do {                                                                                                                 \
    const int32_t dray_rc_ = (expression);                                                                             \
    if (dray_rc_ != DRAY_OK) return dray_rc_;                                                                          \
  } while (0)

#ifdef __cplusplus
}
#endif

#endif // DRAY_SDK_ERROR_H
