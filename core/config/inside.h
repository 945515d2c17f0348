// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What the files of this folder share with each other and with nobody else: the YAML reader, the record of
// what may be shown of a file, and the vocabulary that sections are read with.
#ifndef DR_CONFIG_INSIDE_H
#define DR_CONFIG_INSIDE_H

#include "config/project.h"

#define DR_CONFIG_FILE_BYTES_MAX (1024 * 1024)
#define DR_CONFIG_FILES_MAX 1024
#define DR_CONFIG_NODES_MAX 100000
#define DR_CONFIG_DEPTH_MAX 32
#define DR_CONFIG_KEYS_MAX 4096 // of one mapping
#define DR_CONFIG_ARENA_BYTES_MAX (256u * 1024 * 1024)
#define DR_CONFIG_PROBLEMS_MAX 200
#define DR_CONFIG_NAME_BYTES_MAX 64
#define DR_SECRET_BYTES_MAX 65536
extern int64_t dr_secret_timeout_ms; // for a command that prints a secret; a variable so that tests need not wait

// ---- what may be shown ----

// A value of a connection's settings. It stays masked in every message until a plugin's schema has said
// that it is no secret: before the plugin is known, nobody can tell.
struct dr_span {
  struct dr_mark mark;
  uint32_t end_line, end_column;
  int cleared;
};

struct dr_config_inside {
  struct dr_span *spans; // sorted by file, line, column once `sorted`
  size_t span_count, span_capacity;
  int sorted;
  size_t problem_capacity;
  size_t node_count;
  uint8_t *broken; // per file: 1 when it was not understood to its end
  size_t file_capacity;
  int incomplete; // a broken file may define connections or models: names that are not found are not missed
};

// Masks a scalar, or every scalar below a node but the value of `plugin`, until it is cleared.
DRAY_NODISCARD int32_t dr_mask(struct dr_project *project, const struct dr_node *node, struct dray_error *error);
void dr_unmask(struct dr_project *project, const struct dr_node *node);
// A line of a file as it may be shown, in characters; see mask.c. `line` counts from 1.
struct dr_shown_line {
  uint32_t *chars;   // code points; owned
  uint32_t *columns; // the source column (from 1) of each; owned
  size_t count;
};
DRAY_NODISCARD int32_t dr_shown_line(const struct dr_project *project, uint32_t file, uint32_t line,
                                     struct dr_shown_line *out, struct dray_error *error);
void dr_shown_line_free(struct dr_shown_line *line);
// The bytes of a line without its break, by YAML 1.1's breaks (which is how libyaml counts). 0: there is no such
// line.
int dr_line_at(struct dray_str text, uint32_t line, struct dray_str *out);
// Whether a key's name sounds like that of a secret.
int dr_name_is_secret(struct dray_str name);
// Decodes one character of valid UTF-8; an invalid byte gives U+FFFD. Returns the bytes taken.
size_t dr_utf8_next(const char *data, size_t len, uint32_t *out);

// ---- memory ----

// Zeroed memory of the project's arena. @errors OUT_OF_MEMORY, CONFIG_LIMIT.
DRAY_NODISCARD int32_t dr_project_alloc(struct dr_project *project, size_t size, void *out_pointer,
                                        struct dray_error *error);
DRAY_NODISCARD int32_t dr_project_text(struct dr_project *project, struct dray_str text, const char **out,
                                       struct dray_error *error);
// Formats into the arena.
DRAY_NODISCARD int32_t dr_project_format(struct dr_project *project, const char **out, struct dray_error *error,
                                         const char *format, ...) DRAY_PRINTF(4, 5);

// ---- YAML ----

// Reads one file's text into a tree. What is wrong becomes problems; *out is then NULL and the file `broken`. An
// empty
// file gives NULL without a problem. @errors OUT_OF_MEMORY, CONFIG_LIMIT for the arena.
DRAY_NODISCARD int32_t dr_yaml_read(struct dr_project *project, uint32_t file, struct dray_str text,
                                    struct dr_node **out, struct dray_error *error);
// Fills kind and value of a plain scalar by the core schema of YAML 1.2.
void dr_scalar_resolve(struct dr_node *node);

// ---- reading sections ----

struct dr_reader {
  struct dr_project *project;
  const char *where; // "sync \"x\"": ends the sentences
  void *target;      // the struct being filled
  struct dray_error *error;
};
// A key of a section: its name and what reads its value into the target.
struct dr_key {
  const char *name;
  int32_t (*read)(struct dr_reader *reader, const struct dr_node *node);
};
// Reads a mapping by a table of keys; keys outside it are problems. A node that is no mapping is a problem.
DRAY_NODISCARD int32_t dr_read_section(struct dr_reader *reader, const struct dr_node *map, const struct dr_key *keys,
                                       size_t key_count);
// Whether a mapping has a key, or one so near to its name that the slip is reported already.
int dr_has_key(const struct dr_node *map, const char *name, const struct dr_key *keys, size_t key_count);
// Problems, at a value or at a key. Return DRAY_OK: reading goes on.
DRAY_NODISCARD int32_t dr_problem_at(struct dr_reader *reader, const struct dr_node *node, int32_t code,
                                     const char *nearest, const char *why, const char *format, ...) DRAY_PRINTF(6, 7);
DRAY_NODISCARD int32_t dr_problem_at_name(struct dr_reader *reader, const struct dr_node *node, int32_t code,
                                          const char *nearest, const char *why, const char *format, ...)
    DRAY_PRINTF(6, 7);
const char *dr_node_kind_name(int kind); // "a text", "a mapping", ...
// "`memory` must be a size, not a list", with a hint where YAML surprises.
DRAY_NODISCARD int32_t dr_problem_type(struct dr_reader *reader, const struct dr_node *node, const char *wanted);

// "mode:upsert" without the blank is a key without a value to YAML. The problem does not repeat it: it may hold a
// secret.
int dr_name_is_torn(const struct dr_node *node);
DRAY_NODISCARD int32_t dr_problem_torn(struct dr_reader *reader, const struct dr_node *node);

// In {...} YAML ends a value at a comma: decimal(10,2) without quotes becomes "decimal(10" and a key "2)". Torn: both
// halves are there; open: the first is.
#define DR_TORN_DECIMAL_WHY "put it in quotes: YAML cuts it at the comma"
int dr_is_open_decimal(const struct dr_node *node);
int dr_is_torn_decimal(const struct dr_node *node);

struct dr_choice {
  const char *name;
  int value;
};
// Values; on a problem *out is left as it is.
DRAY_NODISCARD int32_t dr_read_text(struct dr_reader *reader, const struct dr_node *node, const char **out);
DRAY_NODISCARD int32_t dr_read_texts(struct dr_reader *reader, const struct dr_node *node, const char *const **out,
                                     size_t *out_count);
DRAY_NODISCARD int32_t dr_read_choice(struct dr_reader *reader, const struct dr_node *node,
                                      const struct dr_choice *choices, size_t choice_count, int *out);
DRAY_NODISCARD int32_t dr_read_count(struct dr_reader *reader, const struct dr_node *node, uint64_t minimum,
                                     uint64_t maximum, uint64_t *out);
DRAY_NODISCARD int32_t dr_read_size(struct dr_reader *reader, const struct dr_node *node, uint64_t *out);
DRAY_NODISCARD int32_t dr_read_duration(struct dr_reader *reader, const struct dr_node *node, int64_t *out_ms);

// Texts with units. Return 1 when the text is well formed and fits.
int dr_parse_size(struct dray_str text, uint64_t *out_bytes);  // 64KiB, 256MiB, 1 GiB, 10MB, 4096
int dr_parse_duration(struct dray_str text, int64_t *out_ms);  // 500ms, 30s, 5m, 2h, 1d, 1h30m
int dr_parse_percent(struct dray_str text, double *out_share); // 20%, 0.5%
// Checks a schedule, "every 5m" or five fields of cron; NULL: good, else what is wrong with it.
const char *dr_schedule_fault(struct dray_str text);

// One section each. A name and its mapping, found in whichever file.
struct dr_entry {
  struct dray_str name;
  const struct dr_node *node; // its name_mark is where the name stands
  struct dr_entry *next;
};
struct dr_entries {
  struct dr_entry *first, **last;
  size_t count;
};
DRAY_NODISCARD int32_t dr_read_connections(struct dr_project *project, const struct dr_entries *entries,
                                           struct dray_error *error);
DRAY_NODISCARD int32_t dr_read_models(struct dr_project *project, const struct dr_entries *entries,
                                      struct dray_error *error);
DRAY_NODISCARD int32_t dr_read_syncs(struct dr_project *project, const struct dr_entries *entries,
                                     struct dray_error *error);
DRAY_NODISCARD int32_t dr_read_map(struct dr_reader *reader, const struct dr_node *node);
DRAY_NODISCARD int32_t dr_read_types(struct dr_reader *reader, const struct dr_node *node);
DRAY_NODISCARD int32_t dr_read_guard(struct dr_reader *reader, const struct dr_node *node);
DRAY_NODISCARD int32_t dr_read_drift(struct dr_reader *reader, const struct dr_node *node);
// Finds a connection by a node that names it; -1 with a problem when there is none.
DRAY_NODISCARD int32_t dr_read_connection_name(struct dr_reader *reader, const struct dr_node *node, ptrdiff_t *out);

#endif // DR_CONFIG_INSIDE_H
