// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// One side of a comparison: where its rows are, as the user wrote it, and these rows as a stream of a plugin. A sample
// from the beginning tells how its columns are read; it is kept and comes out again before the rest.
#ifndef DR_COMPARE_SIDE_H
#define DR_COMPARE_SIDE_H

#include "compare/reading.h"
#include "plugin/calls.h"
#include "table/schema.h"

#define DR_SIDE_SAMPLE_ROWS 10000u
#define DR_SIDE_SAMPLE_BATCHES 8 // of about 1 MiB

enum { DR_SIDE_CSV = 1, DR_SIDE_JSONL, DR_SIDE_TABLE, DR_SIDE_QUERY };

// How CSV files are written; of both sides.
struct dr_side_dialect {
  const char *delimiter;          // one character or "tab"; NULL: by the file's name
  int no_header;                  // columns are column_1, column_2, ...
  const char *const *null_values; // unquoted fields that mean null; NULL: the empty one
  size_t null_count;
};

struct dr_side {
  const char *name;  // "OLD" or "NEW"
  const char *place; // borrowed
  int kind;          // DR_SIDE_*
  char *path;        // owned
  char *select;      // owned: the table's name, or the query
  const struct dr_side_dialect *dialect;
  int hollow; // an empty file: no columns, no rows

  struct dr_plugin *plugin; // loaded for good
  struct dr_host *host;
  struct dr_source_instance source;
  struct dr_warehouse_instance warehouse;
  struct dray_stream stream;
  int stream_open;
  struct ArrowSchema arrow;
  struct dr_schema *schema;   // the same, canonical: names and types
  struct dr_reading *guessed; // owned, per field of schema: INTEGER, NUMBER, ...
  struct ArrowArray sample[DR_SIDE_SAMPLE_BATCHES];
  int64_t sample_rows[DR_SIDE_SAMPLE_BATCHES];
  size_t sample_count, sample_at;
  int ended;
};

// `place`: a file, or sqlite:PATH#TABLE, or sqlite:PATH#SELECT ... @errors USAGE, OUT_OF_MEMORY. Closed with
// dr_side_close, also after a failure.
DRAY_NODISCARD int32_t dr_side_init(struct dr_side *side, const char *name, const char *place,
                                    const struct dr_side_dialect *dialect, struct dray_error *error);
// Opens the stream and takes the sample. @errors those of the plugins; CONFIG_FILE for a database without its prefix.
DRAY_NODISCARD int32_t dr_side_open(struct dr_side *side, const struct dr_plugin_paths *paths,
                                    struct dray_error *error);
// Goes on with another CSV file of the same dialect and columns, from its beginning, in place of its own: `rows` of it.
DRAY_NODISCARD int32_t dr_side_redirect(struct dr_side *side, const char *path, uint64_t rows,
                                        struct dray_error *error);
// The next rows as the plugin gives them; *out_rows = 0 at the end. The caller releases *out.
DRAY_NODISCARD int32_t dr_side_next(struct dr_side *side, struct ArrowArray *out, int64_t *out_rows,
                                    struct dray_error *error);
// The delimiter of a CSV side.
char dr_side_delimiter(const struct dr_side *side);
void dr_side_close(struct dr_side *side);

#endif // DR_COMPARE_SIDE_H
