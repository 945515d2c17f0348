// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Running command lines in the test's own process, with what they print caught. The commands that run things are
// stand-ins that say what they were called with.
#ifndef DRAY_TEST_CLI_HARNESS_H
#define DRAY_TEST_CLI_HARNESS_H

#include "command.h"

struct ran {
  int32_t code;
  char *data;     // stdout
  char *messages; // stderr
};
// Splits `line` on blanks ('_' in a word stands for a blank) and runs it against the table.
struct ran run_line(const struct dr_command *root, const char *line);
void ran_free(struct ran *ran);

// A temporary folder, and removing it with its contents.
char *folder_new(void);
void folder_free(char *folder);

#endif // DRAY_TEST_CLI_HARNESS_H
