// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// A YAML or JSON document as a tree in which every value knows where it stands.
#ifndef DR_CONFIG_NODE_H
#define DR_CONFIG_NODE_H

#include "base/arena.h"
#include "dray/sdk/error.h"
#include "dray/sdk/text.h"

enum {
  DR_NODE_NULL = 1,
  DR_NODE_BOOL,
  DR_NODE_INT,
  DR_NODE_FLOAT,
  DR_NODE_STRING,
  DR_NODE_LIST,
  DR_NODE_MAP,
  DR_NODE_SECRET
};

struct dr_mark {
  uint32_t file;   // index into the project's files
  uint32_t line;   // from 1
  uint32_t column; // from 1, in characters
};

struct dr_node {
  int kind;                      // DR_NODE_*
  struct dr_mark mark;           // where the value begins
  uint32_t width;                // characters of the value on its first line; at least 1
  uint32_t end_line, end_column; // the first character after the value, as in a mark
  struct dr_mark name_mark;
  uint32_t name_width;
  struct dray_str name; // in a MAP: the key
  struct dray_str text; // scalars: as written; SECRET: "env:NAME", "file:PATH", "exec:COMMAND"
  int64_t integer;      // INT
  double number;        // INT, FLOAT
  int boolean;
  int literal; // SECRET written with !literal
  struct dr_node *child, *next;
  size_t child_count;
};

const struct dr_node *dr_node_get(const struct dr_node *map, const char *name); // NULL: not there
// Appends the node as JSON; secrets become {"$secret": "<path from the root>"}, with paths as in dray_json_path.
// Numbers keep their digits;
// .inf and .nan, which JSON lacks, become null. @errors LIMIT, OUT_OF_MEMORY.
DRAY_NODISCARD int32_t dr_node_to_json(const struct dr_node *node, struct dray_buffer *out, struct dray_error *error);

#endif // DR_CONFIG_NODE_H
