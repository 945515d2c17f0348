// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What the two files of the journal share.
#ifndef DR_DIFF_JOURNAL_INSIDE_H
#define DR_DIFF_JOURNAL_INSIDE_H

#include "diff/journal.h"
#include "dray/destination.h"

#define DR_MAGIC_FRAME "DRFR"
#define DR_MAGIC_MARK "DRAYMARK"
#define DR_MARK_BYTES 512u

// What sums of a journal are seeded with. The twin is another for each journal, so that blocks of a removed one that a
// power cut left in a new one's file never pass for its own.
static inline uint64_t dr_journal_seed(const struct dr_file_info *info, uint64_t offset) {
  return info->twin + offset;
}

#endif // DR_DIFF_JOURNAL_INSIDE_H
