// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Between node.c and settings_json.c: writing nodes while keeping the path to where one is.
#ifndef DR_CONFIG_JSON_OUT_H
#define DR_CONFIG_JSON_OUT_H

#include "config/node.h"
#include "dray/sdk/json.h"

#define DR_PATH_BYTES_MAX (256 * 1024)

// "auth.token", "headers[0]", "[\"a.b\"]", as in dray_json_path.
struct dr_path {
  struct dray_buffer text;
};
DRAY_NODISCARD int32_t dr_path_push(struct dr_path *path, struct dray_str name, struct dray_error *error);
DRAY_NODISCARD int32_t dr_path_push_index(struct dr_path *path, size_t index, struct dray_error *error);
void dr_path_pop(struct dr_path *path, size_t len); // back to the length before a push
DRAY_NODISCARD int32_t dr_node_write(const struct dr_node *node, struct dray_json_writer *writer, struct dr_path *path,
                                     struct dray_error *error);

#endif // DR_CONFIG_JSON_OUT_H
