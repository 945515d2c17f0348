// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// A private folder for the temporary files of one comparison. It lies in TMPDIR (else /tmp) as dray-diff-XXXXXX and is
// locked while somebody works in it: what a killed process left behind is removed when the next folder is made.
#ifndef DR_COMPARE_SCRATCH_H
#define DR_COMPARE_SCRATCH_H

#include "dray/sdk/error.h"

struct dr_scratch_folder {
  char *path; // owned
  int lock;   // descriptor; a forked child holds it as well
};

// @errors IO, DISK_FULL, OUT_OF_MEMORY. The caller removes it, also a zeroed one.
DRAY_NODISCARD int32_t dr_scratch_folder_make(struct dr_scratch_folder *out, struct dray_error *error);
void dr_scratch_folder_remove(struct dr_scratch_folder *folder);

#endif // DR_COMPARE_SCRATCH_H
