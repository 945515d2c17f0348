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

#endif // DR_DIFF_JOURNAL_INSIDE_H
