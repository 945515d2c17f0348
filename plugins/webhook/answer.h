// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What an answer means for the rows of its request. Decides; sends nothing.
#ifndef WEBHOOK_ANSWER_H
#define WEBHOOK_ANSWER_H

#include "settings.h"

struct webhook_answer {
  int32_t status;
  int is_html;
  int cut;                // the body ended early or could not be read to its end
  int too_large;          // it is longer than max_answer_bytes; `body` is its beginning
  int64_t retry_after_ms; // -1: not said
  struct dray_buffer body;
};

// What it is judged by.
struct webhook_judge {
  const struct webhook_results *results; // NULL: 2xx means that all is applied
  int sent_key;                          // the request had an idempotency key
};

// Fills one receipt per change, or returns the error that promises that nothing was applied. Texts of receipts
// point into `answer`, into *out_json (freed by the caller once the receipts are not needed) or into static memory.
DRAY_NODISCARD int32_t webhook_answer_judge(const struct webhook_judge *judge, const struct webhook_answer *answer,
                                            const struct dray_changes *changes, struct dray_receipts *out,
                                            struct dray_json **out_json, struct dray_error *error);

#endif // WEBHOOK_ANSWER_H
