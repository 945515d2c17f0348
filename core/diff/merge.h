// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// A new base in the making: changes are gathered, then merged with the present base into a file that no head names.
// Inside core/diff only.
#ifndef DR_DIFF_MERGE_H
#define DR_DIFF_MERGE_H

#include <stdatomic.h>

#include "diff/mirror.h"

struct dr_merge;

// Changes beyond `memory_bytes` are sorted in a file.
DRAY_NODISCARD int32_t dr_merge_new(struct dr_mirror *mirror, uint64_t memory_bytes, struct dr_merge **out,
                                    struct dray_error *error);
// One change of the journal; `place`: of its payload there. `schema`: its number in the mirror.
DRAY_NODISCARD int32_t dr_merge_add(struct dr_merge *merge, const struct dr_change *change, uint64_t place,
                                    size_t schema, struct dray_error *error);
// All changes of the journal that stand before `end`.
DRAY_NODISCARD int32_t dr_merge_journal(struct dr_merge *merge, uint64_t end, struct dray_error *error);
// Writes base `number`, durably; once. *out: the head that names it. Of the mirror it reads what prepare and commit
// leave as it is, so that it may run beside them. A failure leaves a file that dr_mirror_sweep removes. @errors
// CANCELLED when *stop (NULL allowed) became other than 0, IO, DISK_FULL, MIRROR_CORRUPT, OUT_OF_MEMORY.
DRAY_NODISCARD int32_t dr_merge_write(struct dr_merge *merge, uint64_t number, const atomic_int *stop,
                                      struct dr_head *out, struct dray_error *error);
void dr_merge_free(struct dr_merge *merge); // NULL allowed

#endif // DR_DIFF_MERGE_H
