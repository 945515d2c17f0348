// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// dray.yaml and its companions as checked structs. Errors are collected, not thrown: all are shown at
// once, each with file:line:column, the line, a caret, what is wrong, why, and the nearest valid name.
#ifndef DR_CONFIG_PROJECT_H
#define DR_CONFIG_PROJECT_H

#include "config/node.h"
#include "dray/sdk/column.h"

struct dr_problem {
  struct dr_mark mark;
  uint32_t width;      // characters to underline; 0: 1
  int32_t code;        // DRAY_E_CONFIG_*
  const char *what;    // one line
  const char *why;     // may be NULL
  const char *nearest; // the nearest valid name; may be NULL
};
struct dr_problems {
  struct dr_problem *items; // in the project's arena
  size_t count;
  size_t more; // found beyond the 200 that are kept
};

struct dr_connection {
  const char *name;
  const char *plugin;             // "" when the config names none, which is a problem already; plugin_mark is then 0
  const struct dr_node *settings; // MAP without `plugin`
  struct dr_mark mark, plugin_mark;
};

struct dr_model {
  const char *name;
  size_t warehouse;     // index of a connection
  const char *sql;      // the statement's text (from the file or inline)
  const char *sql_file; // NULL when inline
  const char *const *key;
  size_t key_count;
  struct dr_mark mark;
};

enum {
  DR_MODE_APPEND = 1,
  DR_MODE_UPSERT,
  DR_MODE_MIRROR,
  DR_MODE_REPLACE,
  DR_MODE_HISTORY,
  DR_MODE_CREATE,
  DR_MODE_UPDATE,
  DR_MODE_REMOVE
};
enum { DR_DRIFT_EVOLVE = 1, DR_DRIFT_FREEZE, DR_DRIFT_DISCARD_ROW, DR_DRIFT_DISCARD_VALUE };

enum { DR_DIFF_LOCAL = 1, DR_DIFF_WAREHOUSE = 2 };

struct dr_map_entry {
  const char *from;  // column; NULL when `value` is given
  const char *to;    // field
  const char *value; // a constant, as text; NULL: none
  int keeps_nulls;   // a null says nothing of the field (nulls: keep); else it empties it
  struct dr_mark mark;
};

// What is on without a word in the config: more than 20 % of the mirror's rows and more than 50 rows deleted, or an
// empty read, stop the run. See README.md for the notation.
#define DR_GUARD_DELETES_SHARE 0.2
#define DR_GUARD_ROWS 50

struct dr_guard {
  int on;
  double deletes_share, changes_share;   // of the mirror's rows, 0..1; 1: no limit
  uint64_t deletes_count, changes_count; // both share and count must be passed to trip; UINT64_MAX: no limit
  int empty;                             // 1: a full read without any row trips while the mirror holds rows
};

// One sync of the config. A sync that lists several streams is one struct per stream, named "sync.stream" when there
// are more than one.
struct dr_sync {
  const char *name;
  // from: a model, or a connection with a stream
  ptrdiff_t model;           // index, -1: none
  ptrdiff_t from_connection; // index, -1: none
  const char *stream;
  const char *cursor;         // NULL: the stream's own
  int full;                   // read: full (1) or incremental when the stream can (0)
  const char *const *columns; // the stream's columns to read; column_count 0: all
  size_t column_count;
  const char *const *key; // overrides the stream's or model's; key_count 0: theirs
  size_t key_count;
  // to
  size_t to_connection;
  const char *schema;               // warehouse: schema; may be NULL
  const char *table;                // warehouse: table; NULL: the stream's or model's name
  const char *object;               // destination
  const struct dr_node *to_options; // the other keys of `to`, MAP; NULL: none
  int mode;                         // DR_MODE_*
  int soft_delete;                  // mirror mode into a warehouse
  const char *valid_from;           // history mode: the column that says since when; NULL: since it is written
  const struct dr_map_entry *map;
  size_t map_count;                    // 0: every column under its own name
  const struct dray_column_def *types; // declared types of source columns
  size_t type_count;
  int drift_table, drift_column, drift_type; // DR_DRIFT_*
  int duplicates;                            // DR_DUPLICATES_* of diff.h
  int keep;                                  // DR_KEEP_* of diff.h: what the mirror holds of each row
  int diff;                                  // DR_DIFF_LOCAL, or DR_DIFF_WAREHOUSE: its engine says what differs
  struct dr_guard guard;
  uint32_t attempts_max;   // before a rejected row is parked; default 5
  uint64_t commit_rows;    // incremental ingest: rows per committed window; default 1,000,000
  int commit_rows_given;   // the config says so; else the first window into a new table is cut by time alone
  int64_t commit_after_ms; // and the longest it is read before that; 0: every safe place; default 30 s
  const char *schedule;    // NULL: none
  struct dr_mark mark, stream_mark, object_mark;
};

struct dr_project {
  char *folder;          // absolute
  struct dr_arena arena; // all of it
  struct dr_config_file {
    const char *path;
    struct dray_str text;
  } * files;
  size_t file_count;
  struct dr_connection *connections;
  size_t connection_count;
  struct dr_model *models;
  size_t model_count;
  struct dr_sync *syncs;
  size_t sync_count;
  const char *const *plugin_paths; // extra folders
  size_t plugin_path_count;
  uint64_t memory_bytes;    // default 256 MiB
  int64_t stall_timeout_ms; // default 300,000
  struct dr_problems problems;
  struct dr_config_inside *inside; // the config module's own: what may be shown of the files
};

// Loads the project at `folder` (NULL: the nearest folder upwards with a dray.yaml). Returns DRAY_OK with `problems`
// filled when the files could be read but are wrong. @errors CONFIG_NO_PROJECT, CONFIG_FILE, CONFIG_LIMIT,
// OUT_OF_MEMORY.
DRAY_NODISCARD int32_t dr_project_load(const char *folder, struct dr_project **out, struct dray_error *error);
void dr_project_free(struct dr_project *project);
// Checks a connection's settings, or a sync's options, against a JSON Schema (the subset of source.h), adding
// problems with places and nearest names; secrets: a literal where writeOnly is refused, and a !secret where it is
// not.
DRAY_NODISCARD int32_t dr_project_check_settings(struct dr_project *project, const struct dr_node *settings,
                                                 struct dr_mark mark, struct dray_str json_schema,
                                                 struct dray_error *error);
// Writes settings as JSON with the schema's defaults filled in: what a plugin's create receives.
DRAY_NODISCARD int32_t dr_project_settings_json(const struct dr_node *settings, struct dray_str json_schema,
                                                struct dray_buffer *out, struct dray_error *error);
DRAY_NODISCARD int32_t dr_project_problem(struct dr_project *project, struct dr_mark mark, uint32_t width, int32_t code,
                                          const char *nearest, const char *why, const char *format, ...)
    DRAY_PRINTF(7, 8);
// Prints the problems for people (with the lines and carets) or as JSON lines. A PLUGIN_MISSING without a place is left
// out: a connection that names no plugin is a problem already, at its own place.
DRAY_NODISCARD int32_t dr_problems_print(const struct dr_project *project, int json, int colour,
                                         struct dray_buffer *out, struct dray_error *error);
// The nearest of `names` to `name` by edit distance, NULL when none is near.
const char *dr_nearest(const char *name, const char *const *names, size_t name_count);
// Resolves a secret reference ("env:", "file:", "exec:" run without a shell) below `settings` at a path such as
// "auth.token". The value is registered for redaction. Literals allowed by !literal are returned as they are.
// @errors CONFIG_SECRET_MISSING, CONFIG_MISSING, LIMIT (64 KiB).
DRAY_NODISCARD int32_t dr_secret_resolve(const struct dr_node *settings, struct dray_str path,
                                         const char *project_folder, struct dray_buffer *out, struct dray_error *error);

#endif // DR_CONFIG_PROJECT_H
