// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What the store's tests share: a folder that goes away, and this program run again as another process, with its own
// environment (a fault is armed by the environment and read once a process).
#ifndef DRAY_TEST_STORE_SCENE_H
#define DRAY_TEST_STORE_SCENE_H

// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on

#include <sys/types.h>

#include "store/store.h"

// A cmocka group's setup and teardown: *state is a fresh folder's path.
int scene_setup(void **state);
int scene_teardown(void **state);
char *scene_path(const char *folder, const char *name); // freed by the next call but one
void scene_write(const char *path, const void *data, size_t len);
size_t scene_size(const char *path);

// Starts this program again as `argv[1] = role, argv[2] = folder` with DRAY_TEST=1 and DRAY_FAULT=fault (NULL: none).
pid_t scene_start(const char *role, const char *folder, const char *fault);
int scene_wait(pid_t pid); // the exit code, or 1000 + the signal
int scene_run(const char *role, const char *folder, const char *fault);

// Asserts success, and shows the error's text otherwise.
#define scene_ok(expression) scene_ok_at((expression), &error, #expression, __FILE__, __LINE__)
void scene_ok_at(int32_t code, const struct dray_error *error, const char *expression, const char *file, int line);

#endif // DRAY_TEST_STORE_SCENE_H
