// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What the tests of core/plugin share: a folder that goes away, files in it, and errors that are shown when a call that
// must succeed fails.
#ifndef DRAY_TEST_PLUGIN_SCENE_H
#define DRAY_TEST_PLUGIN_SCENE_H

// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on

#include "plugin/plugin.h"

// A cmocka setup and teardown: *state is a fresh folder's path.
int scene_setup(void **state);
int scene_teardown(void **state);
char *scene_path(const char *folder, const char *name); // freed by the fourth call from now
void scene_write(const char *path, const char *text);
void scene_folder(const char *path);
// Copies a file, with its mode.
void scene_copy(const char *from, const char *to);

// Asserts success, and shows the error's text otherwise.
#define scene_ok(expression) scene_ok_at((expression), &error, #expression, __FILE__, __LINE__)
void scene_ok_at(int32_t code, const struct dray_error *error, const char *expression, const char *file, int line);
// Asserts a code, its class from the table, and that the text says every one of the words (a NULL ends them).
void scene_failed(int32_t code, const struct dray_error *error, int32_t expected, ...) __attribute__((sentinel));

#endif // DRAY_TEST_PLUGIN_SCENE_H
