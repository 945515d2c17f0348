// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Projects in a temporary folder, for the tests of this folder.
#ifndef DRAY_TEST_CONFIG_SCRATCH_H
#define DRAY_TEST_CONFIG_SCRATCH_H

#include "config/inside.h"

// A fresh folder; scratch_free removes it with all that is in it.
char *scratch_new(void);
void scratch_free(char *folder);
// Writes a file below the folder, making its folders.
void scratch_write(const char *folder, const char *path, const char *text, size_t len);
// A folder with this dray.yaml, loaded; asserts that loading worked (problems are allowed).
struct dr_project *scratch_load(char *folder, const char *yaml);
// The problems as people see them; free() it.
char *scratch_problems(const struct dr_project *project, int json);

#endif // DRAY_TEST_CONFIG_SCRATCH_H
