// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// How many records a page is asked for: as many as the settings say, fewer while they are so large that an answer
// passes what is taken of one.
#ifndef ZENDESK_PAGE_SIZE_H
#define ZENDESK_PAGE_SIZE_H

#include "dray/sdk/text.h"

struct zendesk_page_size {
  int64_t now;      // to be asked for
  int64_t most;     // as far as the settings and the answers allow
  int64_t wish;     // the settings' and the vendor's
  int64_t held;     // so many, from where the read stands, were not enough to go on; 0: none was tried
  int64_t too_many; // so many, while more than `held` are wanted, were too large; 0: none was
};

void zendesk_page_size_init(struct zendesk_page_size *size, int64_t wish);
// An answer was too large: half of it is asked for, and where `held` were not enough, half of what is more than those.
// Returns 0 when there is nothing between, as with one record alone.
int zendesk_page_size_halve(struct zendesk_page_size *size);
// An answer was taken; when it was small, twice as many may be asked for again.
void zendesk_page_size_passed(struct zendesk_page_size *size, uint64_t body_bytes, uint64_t body_bytes_max);
// `asked` records fit, and more from the same place are needed to go on: as many as fit, up to `most`. Returns 0
// when no more do.
int zendesk_page_size_grow(struct zendesk_page_size *size, int64_t asked, int64_t most);
// The read has gone on: what it needs there is not known.
void zendesk_page_size_moved(struct zendesk_page_size *size);
// Puts a smaller page[size] into a path that has one. @errors LIMIT, OUT_OF_MEMORY.
DRAY_NODISCARD int32_t zendesk_page_size_put(const struct zendesk_page_size *size, struct dray_str path,
                                             struct dray_buffer *out, struct dray_error *error);

#endif // ZENDESK_PAGE_SIZE_H
