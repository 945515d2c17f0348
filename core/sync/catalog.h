// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What a plugin's catalogue (its discover document) says of one stream or one object.
#ifndef DR_SYNC_CATALOG_H
#define DR_SYNC_CATALOG_H

#include "base/arena.h"
#include "dray/sdk/json.h"

struct dr_stream_facts {
  const char **key; // primary key columns, in the arena
  size_t key_count;
  const char *cursor; // NULL: none
  int incremental;    // the stream can be read incrementally
  int changes;        // an incremental read is a log of changes, rows that are gone included
};

struct dr_field_facts {
  const char *name;
  struct dray_type type; // id 0: any
  int required, writable, match_key;
  int caseless; // the destination compares its texts without regard to case
};

struct dr_object_facts {
  int found;
  struct dr_field_facts *fields; // in the arena
  size_t field_count;            // 0: takes any
  const char *options;           // JSON Schema of the options, in the arena; NULL: none is told
  int dynamic;                   // takes fields that are not listed (DRAY_CAPS_DYNAMIC_FIELDS)
};

// @errors SCHEMA_STREAM with the nearest name, PLUGIN_CONTRACT when the document is not a catalogue, OUT_OF_MEMORY.
DRAY_NODISCARD int32_t dr_catalog_stream(struct dray_str json, const char *stream, struct dr_arena *arena,
                                         struct dr_stream_facts *out, struct dray_error *error);
// An object that is not listed gives found = 0: `caps` decides whether the destination takes it.
DRAY_NODISCARD int32_t dr_catalog_object(struct dray_str json, const char *object, struct dr_arena *arena,
                                         struct dr_object_facts *out, struct dray_error *error);

#endif // DR_SYNC_CATALOG_H
