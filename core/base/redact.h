// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The values that must never be shown. Whatever leaves the process as text (log, errors, store,
// JSON) passes through dr_redact.
#ifndef DR_BASE_REDACT_H
#define DR_BASE_REDACT_H

#include "dray/sdk/text.h"

// Remembers a secret, and its base64, percent-encoded and JSON-escaped forms. Values under 4 bytes are ignored:
// masking them would eat the text. Any thread. A secret that cannot be remembered (memory, more than 32,768 spellings)
// makes dr_redact mask every text whole.
void dr_redact_add(struct dray_str secret);
// Replaces every occurrence in place with asterisks; returns the new length (never longer).
size_t dr_redact(char *text, size_t len);
// Masks error->text, vendor_code and field.
void dr_redact_error(struct dray_error *error);
// Wipes everything remembered.
void dr_redact_clear(void);

#endif // DR_BASE_REDACT_H
