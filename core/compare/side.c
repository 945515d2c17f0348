// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Opening a side. Files are read as texts and typed here, by both sides together; tables come with their types.
#include "compare/side.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/board.h"
#include "dray/sdk/json.h"
#include "table/batch.h"

#define SETTINGS_BYTES_MAX (1u << 20)
#define FIELD_BYTES_MAX 16777216 // the most that the file plugin allows
#define CATALOG_BYTES_MAX (64u << 20)
#define PREFIX "sqlite:"

// ---- the place ----

static int ends_with(const char *path, const char *end) {
  size_t len = strlen(path);
  const size_t end_len = strlen(end);
  if (len > 3 && strcmp(path + len - 3, ".gz") == 0) len -= 3;
  return len > end_len && strncmp(path + len - end_len, end, end_len) == 0;
}

static int is_query(const char *text) {
  return strncasecmp(text, "select ", 7) == 0 || strncasecmp(text, "with ", 5) == 0;
}

static int32_t init_table(struct dr_side *side, struct dray_error *error) {
  const char *path = side->place + strlen(PREFIX);
  const char *hash = strchr(path, '#');
  if (hash == NULL || hash == path || hash[1] == '\0') {
    return dray_fail(error, DRAY_E_USAGE,
                     "%s names a database and no rows in it: write sqlite:PATH#TABLE, or "
                     "'sqlite:PATH#SELECT ...'",
                     side->place);
  }
  side->kind = is_query(hash + 1) ? DR_SIDE_QUERY : DR_SIDE_TABLE;
  side->path = dray_str_dup(dray_str_make(path, (uint64_t)(hash - path)));
  side->select = dray_str_dup(dray_str_of(hash + 1));
  if (side->path == NULL || side->select == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a path");
  return DRAY_OK;
}

int32_t dr_side_init(struct dr_side *side, const char *name, const char *place, const struct dr_side_dialect *dialect,
                     struct dray_error *error) {
  memset(side, 0, sizeof(*side));
  side->name = name;
  side->place = place;
  side->dialect = dialect;
  if (strncmp(place, PREFIX, strlen(PREFIX)) == 0) return init_table(side, error);
  const int lines = ends_with(place, ".jsonl") || ends_with(place, ".ndjson") || ends_with(place, ".json");
  side->kind = lines ? DR_SIDE_JSONL : DR_SIDE_CSV;
  side->path = dray_str_dup(dray_str_of(place));
  return side->path != NULL ? DRAY_OK : dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a path");
}

// What people take for a CSV file and is none, by its first bytes; NULL: nothing known.
static const char *foreign_kind(const char *start, ssize_t n) {
  static const struct {
    const char *magic;
    size_t len;
    const char *text;
  } kinds[] = {{"\xFF\xFE", 2, "in UTF-16: files are read as UTF-8 (iconv -f UTF-16 -t UTF-8 makes one)"},
               {"\xFE\xFF", 2, "in UTF-16: files are read as UTF-8 (iconv -f UTF-16 -t UTF-8 makes one)"},
               {"PK\003\004", 4, "a ZIP archive or a spreadsheet: save its rows as CSV"},
               {"PAR1", 4, "a Parquet file: export its rows as CSV or JSON Lines"}};
  for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
    if (n >= (ssize_t)kinds[i].len && memcmp(start, kinds[i].magic, kinds[i].len) == 0) return kinds[i].text;
  }
  return NULL;
}

// A file, readable, not empty: what the plugin says of anything else speaks of projects.
static int32_t look_at_file(struct dr_side *side, struct dray_error *error) {
  static const char magic[16] = "SQLite format 3";
  char start[sizeof(magic)];
  struct stat info;
  const int file = open(side->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); // a pipe that nobody writes must not hang
  if (file < 0 || fstat(file, &info) != 0) {
    const int32_t rc =
        dray_fail(error, DRAY_E_CONFIG_FILE, "%s (%s) cannot be read: %s", side->place, side->name, strerror(errno));
    if (file >= 0) (void)close(file);
    return rc;
  }
  const ssize_t n = S_ISREG(info.st_mode) ? read(file, start, sizeof(start)) : -1;
  (void)close(file);
  if (!S_ISREG(info.st_mode)) {
    return dray_fail(error, DRAY_E_CONFIG_FILE, "%s (%s) is %s", side->place, side->name,
                     S_ISDIR(info.st_mode) ? "a folder and no regular file"
                                           : "no regular file: it is read more than once, which a pipe cannot be");
  }
  if (n == (ssize_t)sizeof(start) && memcmp(start, magic, sizeof(start)) == 0 && side->kind <= DR_SIDE_JSONL) {
    return dray_fail(error, DRAY_E_CONFIG_FILE, "%s (%s) is a SQLite database: name a table of it, sqlite:%s#TABLE",
                     side->place, side->name, side->place);
  }
  const char *foreign = side->kind <= DR_SIDE_JSONL ? foreign_kind(start, n) : NULL;
  if (foreign != NULL) {
    return dray_fail(error, DRAY_E_CONFIG_FILE, "%s (%s) is %s", side->place, side->name, foreign);
  }
  size_t blank = 0;
  while (n > 0 && blank < (size_t)n && strchr(" \t\r\n", start[blank]) != NULL) blank++;
  if (side->kind == DR_SIDE_JSONL && n > 0 && blank < (size_t)n && start[blank] == '[') {
    return dray_fail(error, DRAY_E_CONFIG_FILE,
                     "%s (%s) is one JSON array: records are read from lines, one object each (jq -c '.[]' makes them)",
                     side->place, side->name);
  }
  side->hollow = info.st_size == 0 && side->kind <= DR_SIDE_JSONL;
  return DRAY_OK;
}

// ---- the plugin ----

char dr_side_delimiter(const struct dr_side *side) {
  const char *given = side->dialect->delimiter;
  if (given == NULL) return ends_with(side->place, ".tsv") ? '\t' : ',';
  return strcmp(given, "tab") == 0 ? '\t' : given[0];
}

static void write_file_settings(const struct dr_side *side, const char *path, int infer,
                                struct dray_json_writer *json) {
  const struct dr_side_dialect *dialect = side->dialect;
  const char delimiter[2] = {dr_side_delimiter(side), '\0'};
  const struct {
    const char *name, *value;
  } texts[] = {{"path", path},
               {"format", side->kind == DR_SIDE_JSONL ? "jsonl" : "csv"},
               {"streams", "one"},
               {"stream", "rows"},
               {"delimiter", delimiter[0] == '\t' ? "tab" : delimiter}};
  for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
    dray_json_key(json, texts[i].name);
    dray_json_write_text(json, texts[i].value);
  }
  dray_json_key(json, "header");
  dray_json_write_bool(json, !dialect->no_header);
  dray_json_key(json, "infer");
  dray_json_write_bool(json, infer);
  dray_json_key(json, "max_field_bytes");
  dray_json_write_int(json, FIELD_BYTES_MAX);
  if (dialect->null_values == NULL) return;
  dray_json_key(json, "null_values");
  dray_json_begin_array(json);
  for (size_t i = 0; i < dialect->null_count; i++) dray_json_write_text(json, dialect->null_values[i]);
  dray_json_end_array(json);
}

static int32_t write_settings(const struct dr_side *side, const char *path, int infer, struct dray_buffer *out,
                              struct dray_error *error) {
  struct dray_json_writer json;
  dray_json_writer_init(&json, out, error);
  dray_json_begin_object(&json);
  if (side->kind <= DR_SIDE_JSONL) {
    write_file_settings(side, path, infer, &json);
  } else {
    dray_json_key(&json, "path");
    dray_json_write_text(&json, path);
  }
  if (side->kind == DR_SIDE_QUERY) {
    dray_json_key(&json, "read_only");
    dray_json_write_bool(&json, 1);
  }
  dray_json_end_object(&json);
  return dray_json_writer_finish(&json);
}

static int32_t load_plugin(struct dr_side *side, const struct dr_plugin_paths *paths, struct dray_error *error) {
  struct dr_manifest manifest;
  const struct dr_host_options options = {.connection = side->name};
  DRAY_TRY(dr_plugin_find(paths, side->kind <= DR_SIDE_JSONL ? "file" : "sqlite", &manifest, error));
  DRAY_TRY(dr_plugin_load(&manifest, &side->plugin, error));
  return dr_host_new(&options, &side->host, error);
}

static int32_t make_source(struct dr_side *side, const char *path, int infer, struct dr_source_instance *out,
                           struct dray_error *error) {
  struct dray_buffer settings;
  dray_buffer_init(&settings, SETTINGS_BYTES_MAX);
  int32_t rc = write_settings(side, path, infer, &settings, error);
  if (rc == DRAY_OK) {
    rc = dr_source_create(side->plugin, side->host, side->name, dray_buffer_view(&settings), out, error);
  }
  dray_buffer_free(&settings);
  return rc;
}

static int32_t open_source(struct dr_side *side, const char *path, struct dray_error *error) {
  const struct dray_read_request request = {.struct_size = sizeof(request),
                                            .mode = DRAY_READ_FULL,
                                            .stream = dray_str_of(side->kind == DR_SIDE_TABLE ? side->select : "rows"),
                                            .batch_bytes_max = DR_BATCH_BYTES_DEFAULT,
                                            .batch_rows_max = DR_BATCH_ROWS_DEFAULT};
  DRAY_TRY(make_source(side, path, 0, &side->source, error));
  return dr_source_open(&side->source, &request, &side->stream, error);
}

static int32_t open_query(struct dr_side *side, struct dray_error *error) {
  struct dray_buffer settings;
  dray_buffer_init(&settings, SETTINGS_BYTES_MAX);
  int32_t rc = write_settings(side, side->path, 0, &settings, error);
  if (rc == DRAY_OK) {
    rc =
        dr_warehouse_create(side->plugin, side->host, side->name, dray_buffer_view(&settings), &side->warehouse, error);
  }
  if (rc == DRAY_OK) rc = dr_warehouse_open(&side->warehouse, error);
  if (rc == DRAY_OK) {
    rc = dr_warehouse_query(&side->warehouse, dray_str_of(side->select), DR_BATCH_BYTES_DEFAULT, DR_BATCH_ROWS_DEFAULT,
                            &side->stream, error);
  }
  dray_buffer_free(&settings);
  return rc;
}

static const char *label_of(const struct dr_side *side) {
  return side->kind == DR_SIDE_QUERY ? side->warehouse.label : side->source.label;
}

static int32_t open_stream(struct dr_side *side, const char *path, struct dray_error *error) {
  DRAY_TRY(side->kind == DR_SIDE_QUERY ? open_query(side, error) : open_source(side, path, error));
  side->stream_open = 1;
  return dr_stream_schema(&side->stream, label_of(side), &side->arrow, error);
}

static void close_stream(struct dr_side *side) {
  if (side->stream_open) dr_stream_close(&side->stream, label_of(side));
  side->stream_open = 0;
  dr_source_destroy(&side->source);
  dr_warehouse_destroy(&side->warehouse);
  memset(&side->source, 0, sizeof(side->source));
  memset(&side->warehouse, 0, sizeof(side->warehouse));
  dray_schema_release(&side->arrow);
}

static void drop_sample(struct dr_side *side) {
  for (size_t i = 0; i < side->sample_count; i++) dray_array_release(&side->sample[i]);
  side->sample_count = side->sample_at = 0;
}

void dr_side_close(struct dr_side *side) {
  drop_sample(side);
  close_stream(side);
  dr_host_free(side->host);
  dr_schema_unref(side->schema);
  free(side->guessed);
  free(side->path);
  free(side->select);
  memset(side, 0, sizeof(*side));
}

// ---- the sample ----

static void report_progress(struct dr_side *side, int64_t rows) {
  struct dr_board *board = dr_board();
  struct dray_progress progress = {.struct_size = sizeof(progress)};
  atomic_fetch_add_explicit(&board->rows_read, (uint64_t)rows, memory_order_relaxed);
  dr_stream_progress(&side->stream, &progress);
  atomic_store_explicit(&board->bytes_read, progress.bytes, memory_order_relaxed);
  atomic_store_explicit(&board->bytes_total, progress.bytes_total, memory_order_relaxed);
  dr_board_beat();
}

static int32_t pull(struct dr_side *side, struct ArrowArray *out, int64_t *out_rows, struct dray_error *error) {
  struct ArrowArray array = {.release = NULL};
  int64_t rows = 0;
  *out_rows = 0;
  if (side->ended) return DRAY_OK;
  DRAY_TRY(dr_stream_next(&side->stream, label_of(side), &side->arrow, &array, &rows, error));
  side->ended = rows == 0;
  *out = array;
  *out_rows = rows;
  if (rows > 0) report_progress(side, rows);
  return DRAY_OK;
}

static int32_t guess_from(struct dr_side *side, const struct ArrowArray *array, uint64_t *left,
                          struct dr_guess *guesses, struct dray_error *error) {
  struct dray_view view;
  DRAY_TRY(dray_view_init(&view, &side->arrow, array, error));
  const uint64_t rows = view.row_count < *left ? view.row_count : *left;
  for (size_t i = 0; i < side->schema->field_count; i++) {
    const ptrdiff_t at = dray_view_find(&view, dray_str_of(side->schema->fields[i].name));
    if (at < 0 || view.columns[at].type.id != DRAY_TYPE_STRING) continue;
    for (uint64_t row = 0; row < rows; row++) {
      if (!dray_column_is_null(&view.columns[at], row)) {
        dr_guess_text(&guesses[i], dray_column_bytes(&view.columns[at], row));
      }
    }
  }
  *left -= rows;
  dray_view_free(&view);
  return DRAY_OK;
}

// In JSON a text in quotes is a text, also when it looks like a number: the plugin's own inference tells.
static int32_t keep_quoted(struct dr_side *side, struct dray_error *error) {
  struct dr_source_instance instance = {.self = NULL};
  struct dray_str catalog = {NULL, 0};
  struct dray_json *root = NULL;
  int32_t rc = make_source(side, side->path, 1, &instance, error);
  if (rc == DRAY_OK) rc = dr_source_discover(&instance, &catalog, error);
  if (rc == DRAY_OK) rc = dray_json_parse(catalog, CATALOG_BYTES_MAX, &root, error);
  const struct dray_json *columns = rc == DRAY_OK ? dray_json_path(root, "streams[0].columns") : NULL;
  for (const struct dray_json *item = columns != NULL ? columns->child : NULL; item != NULL; item = item->next) {
    const ptrdiff_t at = dr_schema_find(side->schema, dray_json_string(dray_json_get(item, "name"), ""));
    const struct dray_str type = dray_json_string(dray_json_get(item, "type"), "");
    if (at < 0 || !dray_str_is(type, "string") || side->guessed[at].kind == DR_READING_UNSEEN) continue;
    side->guessed[at].kind = DR_READING_TEXT;
  }
  dray_json_free(root);
  dr_source_destroy(&instance);
  return rc;
}

static int32_t take_sample(struct dr_side *side, struct dray_error *error) {
  const size_t fields = side->schema->field_count;
  struct dr_guess *guesses = calloc(fields + 1, sizeof(*guesses));
  side->guessed = calloc(fields + 1, sizeof(*side->guessed));
  int32_t rc = DRAY_OK;
  if (guesses == NULL || side->guessed == NULL) {
    rc = dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for %zu columns", fields);
  }
  uint64_t left = DR_SIDE_SAMPLE_ROWS;
  while (rc == DRAY_OK && left > 0 && side->sample_count < DR_SIDE_SAMPLE_BATCHES) {
    const size_t at = side->sample_count;
    rc = pull(side, &side->sample[at], &side->sample_rows[at], error);
    if (rc != DRAY_OK || side->sample_rows[at] == 0) break;
    side->sample_count++;
    if (side->kind <= DR_SIDE_JSONL) {
      rc = guess_from(side, &side->sample[at], &left, guesses, error);
    } else {
      left -= (uint64_t)side->sample_rows[at] < left ? (uint64_t)side->sample_rows[at] : left;
    }
  }
  for (size_t i = 0; rc == DRAY_OK && i < fields; i++) {
    const struct dray_type type = side->schema->fields[i].type;
    const int typed = side->kind > DR_SIDE_JSONL || type.id != DRAY_TYPE_STRING;
    side->guessed[i].kind = typed ? dr_reading_of_type(type) : dr_guess_kind(&guesses[i]);
  }
  free(guesses);
  return rc;
}

// What the plugin advises about names is a setting of a project's connection, and another thing than --columns.
static void drop_advice(struct dray_error *error) {
  char *advice = error->code == DRAY_E_SCHEMA_NAME ? strstr(error->text, "; give names with") : NULL;
  if (advice != NULL) *advice = '\0';
}

int32_t dr_side_open(struct dr_side *side, const struct dr_plugin_paths *paths, struct dray_error *error) {
  DRAY_TRY(look_at_file(side, error));
  if (side->hollow) return DRAY_OK;
  DRAY_TRY(load_plugin(side, paths, error));
  int32_t rc = open_stream(side, side->path, error);
  // The file is there and can be read (looked at above): what the plugin misses is a record.
  if (rc == DRAY_E_CONFIG_FILE && side->kind == DR_SIDE_CSV) {
    close_stream(side);
    side->hollow = 1;
    return DRAY_OK;
  }
  if (rc == DRAY_E_CONFIG_FILE && side->kind == DR_SIDE_JSONL) {
    return dray_fail(error, rc, "%s (%s) holds no record that can be read: JSON Lines are one object a line",
                     side->place, side->name);
  }
  if (rc == DRAY_OK) rc = dr_schema_from_arrow(&side->arrow, &side->schema, error);
  if (rc == DRAY_OK) rc = take_sample(side, error);
  if (rc == DRAY_OK && side->kind == DR_SIDE_JSONL) rc = keep_quoted(side, error);
  if (rc != DRAY_OK) drop_advice(error);
  return rc == DRAY_OK ? rc : dray_error_prefix(error, "%s", side->name);
}

int32_t dr_side_redirect(struct dr_side *side, const char *path, uint64_t rows, struct dray_error *error) {
  drop_sample(side);
  close_stream(side);
  side->ended = 0;
  side->hollow = rows == 0;
  if (side->hollow) return DRAY_OK;
  const int32_t rc = open_stream(side, path, error);
  return rc == DRAY_OK ? rc : dray_error_prefix(error, "%s", side->name);
}

int32_t dr_side_next(struct dr_side *side, struct ArrowArray *out, int64_t *out_rows, struct dray_error *error) {
  *out_rows = 0;
  if (side->hollow) return DRAY_OK;
  if (side->sample_at < side->sample_count) {
    *out_rows = side->sample_rows[side->sample_at];
    *out = side->sample[side->sample_at];
    side->sample[side->sample_at++].release = NULL; // moved
    return DRAY_OK;
  }
  const int32_t rc = pull(side, out, out_rows, error);
  return rc == DRAY_OK ? rc : dray_error_prefix(error, "%s", side->name);
}
