// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The plugin under test, inside the child of one check: loaded, with its settings and a host. Private to the kit.
#ifndef DR_CONFORMANCE_SUBJECT_H
#define DR_CONFORMANCE_SUBJECT_H

#include "conformance/kit.h"
#include "dray/sdk/json.h"
#include "plugin/calls.h"
#include "table/cast.h"
#include "table/encode.h"

#define KIT_SECONDS_MAX 600 // alarm(): the end of a check that hangs in a call that nobody watches
#define KIT_CANARY "dray-canary-7f3a91c4e2"

// One role of the plugin: its settings, and a host that knows its secrets.
struct side {
  struct subject *subject;
  const char *name;            // "source", ...; also where the config keeps what differs for this role
  struct dray_buffer settings; // JSON handed to create
  struct dr_host *host;
};
#define KIT_SIDES (DR_ROLE_WAREHOUSE + 1)

struct kept {
  struct kept *next;
  char *key, *value; // owned
  uint64_t value_bytes;
  int shared; // of all connections
};

struct subject {
  const struct dr_kit_options *options;
  struct dr_manifest manifest;
  struct dr_plugin *plugin;     // NULL for the checks that look at the files alone
  struct dray_json *config;     // the kit's config
  struct side sides[KIT_SIDES]; // by DR_ROLE_*; 0 unused
  char scratch[256];            // an empty folder of this check; @SCRATCH@ in the config
  char shared[264];             // in it: where instances meet, made when one needs it
  char folder[512];             // of the config; @CONFIG@ in it
  uint64_t places;              // safe places that streams gave
  uint64_t writes;              // batches written so far, for keys of their own
  int secrets_asked;            // how often a secret was asked for
  int canary;                   // 1: secrets are canaries, whatever the config says
  struct kept *kept;            // what the plugin keeps by the state service; owned
  int64_t state_kept_bytes;     // how much it has put there
  char found[1024];             // what a check has found to be wrong
};

// What a check returns: PASS, FAIL or SKIP, with the reason in subject->found.
typedef int kit_check(struct subject *subject);

// ---- verdicts: `return kit_fail(subject, ...)` ----
int kit_fail(struct subject *subject, const char *format, ...) DRAY_PRINTF(2, 3);
int kit_skip(struct subject *subject, const char *format, ...) DRAY_PRINTF(2, 3);
int kit_fail_error(struct subject *subject, const char *doing, const struct dray_error *error);

void subject_init(struct subject *subject, const struct dr_kit_options *options);
// Reads the config alone, with its placeholders filled in. @errors CONFIG_*, DATA_JSON.
DRAY_NODISCARD int32_t kit_config_read(const char *path, const char *scratch, struct subject *subject,
                                       struct dray_error *error);
DRAY_NODISCARD int32_t subject_open(struct subject *subject, const char *scratch, int load, struct dray_error *error);
// Makes the hosts and settings of the roles, again when there are some: a host keeps the log's level of its birth.
DRAY_NODISCARD int32_t subject_hosts(struct subject *subject, struct dray_error *error);
void subject_close(struct subject *subject);
int subject_has(const struct subject *subject, int role);
// The secrets of a role in the config, or NULL.
const struct dray_json *subject_secrets(const struct subject *subject, int role);
// The streams to read: those of the config, else all that discover lists. `names` are owned by the config or `catalog`.
DRAY_NODISCARD int32_t subject_streams(struct subject *subject, struct dr_source_instance *source,
                                       struct dray_json **catalog, const char ***names, size_t *count,
                                       struct dray_error *error);
DRAY_NODISCARD int32_t subject_source(struct subject *subject, struct dr_source_instance *out,
                                      struct dray_error *error);
DRAY_NODISCARD int32_t subject_destination(struct subject *subject, struct dr_destination_instance *out,
                                           struct dray_error *error);
DRAY_NODISCARD int32_t subject_warehouse(struct subject *subject, struct dr_warehouse_instance *out,
                                         struct dray_error *error);

// ---- reading ----

// Runs `check` on each stream of the source. Skipped without a source, fails when there is no stream.
typedef int stream_check(struct subject *subject, struct dr_source_instance *source, const char *stream);
int each_stream(struct subject *subject, stream_check *check);

struct rows {
  uint64_t *hashes; // one per row, in the order read
  size_t count, capacity;
  struct {
    size_t after;
    char *state;
    size_t state_bytes;
  } * states; // safe places: after so many rows
  size_t state_count;
  size_t batches;
};
void rows_free(struct rows *rows);
#define KIT_READER "conformance-kit" // who reads
struct reading_plan {
  const char *stream;
  int mode;               // DRAY_READ_*
  struct dray_str state;  // empty: from the beginning
  struct dray_str cursor; // empty: the stream's own
};
// The column to read a stream incrementally by, as the config says; empty: the stream's own.
struct dray_str subject_cursor(const struct subject *subject, const char *stream);
// Reads a stream to its end through the host's wrappers and the border cast.
DRAY_NODISCARD int32_t rows_read(struct dr_source_instance *source, const struct reading_plan *plan, struct rows *out,
                                 struct dray_error *error);
// How many rows of `part` (with their multiplicity) are not in `whole`; both are sorted by it.
size_t rows_missing(struct rows *part, struct rows *whole);

// ---- writing ----

#define EDGE_ROWS_MAX 64
#define EDGE_COLUMNS_MAX 32
#define EDGE_KEYS_MAX 4
// The rows that are written: the kit's own of edge values, a key and a column of each canonical type, or the config's.
struct edge {
  struct ArrowSchema schema;
  struct ArrowArray array;
  int64_t rows[EDGE_ROWS_MAX];
  size_t row_count;
  size_t column_count;
};
void edge_free(struct edge *edge);
// For a destination (`reserved` 1): the reserved columns are there. `row_limit` 0: all rows there are.
DRAY_NODISCARD int32_t edge_make(int reserved, size_t row_limit, struct edge *out, struct dray_error *error);
// The rows that the config gives, for a destination. @errors CONFIG_VALUE, those of value.h.
DRAY_NODISCARD int32_t edge_take(const struct subject *subject, size_t row_limit, struct edge *out,
                                 struct dray_error *error);
int edge_is_given(const struct subject *subject);
// Writes at most EDGE_KEYS_MAX names and returns how many; 0: the config names none.
size_t edge_match_keys(const struct subject *subject, struct dray_str *out);
const char *subject_object(const struct subject *subject);
struct dray_str subject_options(const struct subject *subject, struct dray_buffer *buffer);
// A destination that is being written to: instance, caps, edge rows, begun.
struct delivery {
  struct subject *subject;
  struct dr_destination_instance destination;
  struct dray_caps caps;
  struct edge edge;
  struct dray_receipts answer;
  int has_caps; // 0: caps failed, which is for the check of caps to judge
  int begun;
};
// `row_limit` 0: all edge rows that the caps take. Close it also after a failure.
DRAY_NODISCARD int32_t delivery_open(struct subject *subject, size_t row_limit, struct delivery *out,
                                     struct dray_error *error);
DRAY_NODISCARD int32_t delivery_write(struct delivery *delivery, const struct dray_caps *caps,
                                      struct dray_error *error);
// Asks for the rows of the last write that are in a job until none is, for half a minute. Their receipts in
// delivery->answer become the final ones, without texts. @errors the plugin's; TIMEOUT.
DRAY_NODISCARD int32_t delivery_await(struct delivery *delivery, struct dray_error *error);
// Ends what was begun, or aborts it when `rc` is a failure, and returns the first failure.
int32_t delivery_close(struct delivery *delivery, int32_t rc, struct dray_error *error);

// ---- imports.c: the plugin's own calls of malloc, calloc and realloc fail at will ----

// Redirects the allocation functions that the library imports. Returns how many were found.
size_t imports_patch(const char *library);
// The n-th allocation of the plugin from now on fails, once (n from 1); 0: none. Returns whether one failed since the
// last call.
int imports_arm(uint64_t n);
uint64_t imports_live(void); // blocks that the plugin has allocated and not freed since imports_patch

// ---- the checks ----
kit_check check_exports, check_manifest, check_spec, check_unknown_setting, check_canary, check_discover, check_resume,
    check_second, check_values, check_receipts, check_caps, check_cancel, check_allocation, check_lifecycle;

#endif // DR_CONFORMANCE_SUBJECT_H
