// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// A third party's source, written against the installed SDK alone: readings of a building's sensors. A logger writes
// one text file a day, 2026-11-22.log, with lines `SECONDS SENSOR VALUE [NOTE...]`. Days are read in their order; the
// place to go on from is a day and a position in it, so that a day that still grows is read on where reading ended.
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dray/sdk.h"

#define DOCUMENT_BYTES_MAX 65536
#define DAYS_MAX 10000
#define LINE_BYTES_MAX 4096
#define DAY_NAME_LEN 14 // YYYY-MM-DD.log

struct settings {
  char *folder;
};

static const struct dray_setting settings_table[] = {
    {.name = "folder",
     .kind = DRAY_SETTING_STRING,
     .required = 1,
     .offset = offsetof(struct settings, folder),
     .description = "where the logger writes its files"},
};

static const struct dray_column_def columns[] = {
    {"sensor", {DRAY_TYPE_STRING, 0, 0}, 0},          {"at", {DRAY_TYPE_TIMESTAMP, 0, 0}, 0},
    {"value", {DRAY_TYPE_DECIMAL, 18, 6}, 1},         {"note", {DRAY_TYPE_STRING, 0, 0}, 1},
    {DRAY_COLUMN_ERROR, {DRAY_TYPE_STRING, 0, 0}, 1},
};
#define DATA_COLUMNS (sizeof(columns) / sizeof(columns[0]) - 1)

struct dray_source {
  struct dray_services services;
  struct settings settings;
  struct dray_buffer document; // what check handed out last
};

struct days {
  char (*names)[DAY_NAME_LEN + 1]; // in their order
  size_t count;
};

struct reader {
  const struct dray_services *services;
  const char *folder; // the source's
  struct days days;
  struct ArrowSchema schema;
  struct dray_builder *builder;
  ptrdiff_t columns[DATA_COLUMNS + 1]; // index in the batch, -1: not asked for
  size_t day;
  FILE *file; // of that day; NULL: to be opened
  int64_t position;
  char state[64];
};

static struct dray_buffer spec; // lives as long as the process

int32_t dray_plugin_entry_v1(const struct dray_host *host, struct dray_plugin *out, struct dray_error *error) {
  extern const struct dray_source_vtable sensors_vtable;
  (void)host;
  dray_buffer_free(&spec);
  dray_buffer_init(&spec, DOCUMENT_BYTES_MAX);
  DRAY_TRY(dray_config_spec(settings_table, 1, &spec, error));
  out->abi_minor = DRAY_ABI_MINOR;
  out->name = dray_str_of("sensors");
  out->version = dray_str_of("0.3.0");
  out->source = &sensors_vtable;
  return DRAY_OK;
}

static int32_t get_spec(struct dray_str *out_json, struct dray_error *error) {
  (void)error;
  *out_json = dray_buffer_view(&spec);
  return DRAY_OK;
}

static void destroy(struct dray_source *source) {
  if (source == NULL) return;
  dray_config_release(settings_table, 1, &source->settings);
  dray_buffer_free(&source->document);
  free(source);
}

static int32_t create(const struct dray_host *host, struct dray_str config_json, struct dray_source **out,
                      struct dray_error *error) {
  struct dray_source *source = calloc(1, sizeof(*source));
  if (source == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a source");
  dray_buffer_init(&source->document, DOCUMENT_BYTES_MAX);
  int32_t rc = dray_services_init(&source->services, host, error);
  if (rc == DRAY_OK) rc = dray_config_bind(settings_table, 1, config_json, &source->settings, error);
  if (rc != DRAY_OK) {
    destroy(source);
    return rc;
  }
  *out = source;
  return DRAY_OK;
}

// ---- days ----

static int is_day(const char *name) {
  int32_t days;
  return strlen(name) == DAY_NAME_LEN && strcmp(name + 10, ".log") == 0 &&
         dray_parse_date(dray_str_make(name, 10), &days, NULL) == DRAY_OK;
}

static int by_name(const void *a, const void *b) {
  return strcmp(a, b);
}

static int32_t find_days(const char *folder, struct days *out, struct dray_error *error) {
  DIR *dir = opendir(folder);
  if (dir == NULL)
    return dray_fail_field(error, DRAY_E_CONFIG_VALUE, "folder", "cannot open %s: %s", folder, strerror(errno));
  struct days days = {NULL, 0};
  int32_t rc = DRAY_OK;
  for (struct dirent *entry = readdir(dir); rc == DRAY_OK && entry != NULL; entry = readdir(dir)) {
    if (!is_day(entry->d_name)) continue;
    void *grown = days.count < DAYS_MAX ? realloc(days.names, (days.count + 1) * sizeof(*days.names)) : NULL;
    if (grown == NULL) {
      rc = days.count < DAYS_MAX ? dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for days")
                                 : dray_fail(error, DRAY_E_LIMIT, "more than %d days", DAYS_MAX);
      break;
    }
    days.names = grown;
    memcpy(days.names[days.count++], entry->d_name, DAY_NAME_LEN + 1);
  }
  (void)closedir(dir);
  if (rc != DRAY_OK) {
    free(days.names);
    return rc;
  }
  if (days.count > 0) qsort(days.names, days.count, sizeof(*days.names), by_name);
  *out = days;
  return DRAY_OK;
}

static int32_t check(struct dray_source *source, struct dray_str *out_json, struct dray_error *error) {
  struct dray_json_writer writer;
  struct dray_error why;
  struct days days = {NULL, 0};
  dray_error_init(&why);
  const int32_t rc = find_days(source->settings.folder, &days, &why);
  free(days.names);
  if (rc == DRAY_E_OUT_OF_MEMORY) return dray_fail(error, rc, "%s", why.text);
  dray_buffer_clear(&source->document);
  dray_json_writer_init(&writer, &source->document, error);
  dray_json_begin_array(&writer);
  dray_json_begin_object(&writer);
  dray_json_key(&writer, "name");
  dray_json_write_text(&writer, "read");
  dray_json_key(&writer, "ok");
  dray_json_write_bool(&writer, rc == DRAY_OK);
  dray_json_key(&writer, "text");
  dray_json_write_text(&writer, rc == DRAY_OK ? source->settings.folder : why.text);
  if (rc != DRAY_OK) {
    dray_json_key(&writer, "fix");
    dray_json_write_text(&writer, "name the logger's folder in `folder`");
  }
  dray_json_end_object(&writer);
  dray_json_end_array(&writer);
  DRAY_TRY(dray_json_writer_finish(&writer));
  *out_json = dray_buffer_view(&source->document);
  return DRAY_OK;
}

static int32_t discover(struct dray_source *source, struct dray_str *out_json, struct dray_error *error) {
  (void)source, (void)error;
  *out_json = dray_str_of("{\"streams\":[{\"name\":\"readings\",\"columns\":["
                          "{\"name\":\"sensor\",\"type\":\"string\",\"nullable\":false},"
                          "{\"name\":\"at\",\"type\":\"timestamp\",\"nullable\":false},"
                          "{\"name\":\"value\",\"type\":\"decimal(18,6)\",\"nullable\":true},"
                          "{\"name\":\"note\",\"type\":\"string\",\"nullable\":true}],"
                          "\"primary_key\":[\"sensor\",\"at\"],\"cursor\":null,\"modes\":[\"full\",\"incremental\"],"
                          "\"description\":\"what the sensors said, oldest first\"}]}");
  return DRAY_OK;
}

// ---- lines ----

static int32_t put(struct reader *reader, size_t column, struct dray_str text, int is_null, struct dray_error *error) {
  if (reader->columns[column] < 0) return DRAY_OK;
  const size_t index = (size_t)reader->columns[column];
  return is_null ? dray_builder_null(reader->builder, index, error)
                 : dray_builder_text(reader->builder, index, text, error);
}

static struct dray_str next_word(struct dray_str *rest) {
  const char *blank = memchr(rest->data, ' ', rest->len);
  const uint64_t len = blank != NULL ? (uint64_t)(blank - rest->data) : rest->len;
  const struct dray_str word = dray_str_make(rest->data, len);
  const uint64_t taken = blank != NULL ? len + 1 : len;
  *rest = dray_str_make(rest->data + taken, rest->len - taken);
  return word;
}

static int32_t put_reading(struct reader *reader, struct dray_str line, struct dray_error *error) {
  int64_t seconds = 0;
  char at[DRAY_FORMAT_BYTES_MAX];
  struct dray_str rest = line;
  const struct dray_str when = next_word(&rest), sensor = next_word(&rest), value = next_word(&rest);
  if (sensor.len == 0 || value.len == 0) return dray_fail(error, DRAY_E_DATA_SHAPE, "fewer than three words");
  DRAY_TRY(dray_parse_int64(when, &seconds, error));
  if (seconds < 0 || seconds > INT64_C(4102444800))
    return dray_fail(error, DRAY_E_DATA_DATE, "not a time of this century");
  const size_t at_len = dray_format_timestamp(seconds * 1000000, at);
  DRAY_TRY(put(reader, 0, sensor, 0, error));
  DRAY_TRY(put(reader, 1, dray_str_make(at, at_len), 0, error));
  DRAY_TRY(put(reader, 2, value, dray_str_is(value, "-"), error));
  DRAY_TRY(put(reader, 3, rest, rest.len == 0, error));
  return put(reader, DATA_COLUMNS, rest, 1, error);
}

// A line that cannot be read is a row with the reason.
static int32_t put_line(struct reader *reader, struct dray_str line, struct dray_error *error) {
  struct dray_error why;
  char text[512];
  dray_error_init(&why);
  int32_t rc = put_reading(reader, line, &why);
  if (rc != DRAY_OK && why.error_class != DRAY_CLASS_DATA) return dray_fail(error, rc, "%s", why.text);
  if (rc != DRAY_OK) {
    dray_builder_abandon_row(reader->builder);
    (void)snprintf(text, sizeof(text), "%s: %s at byte %lld: %.300s", dray_error_info(rc)->name,
                   reader->days.names[reader->day], (long long)reader->position, why.text);
    DRAY_TRY(put(reader, 0, dray_str_of("?"), 0, error));
    DRAY_TRY(put(reader, 1, dray_str_of("1970-01-01T00:00:00Z"), 0, error));
    DRAY_TRY(put(reader, 2, line, 1, error));
    DRAY_TRY(put(reader, 3, line, 1, error));
    DRAY_TRY(put(reader, DATA_COLUMNS, dray_str_of(text), 0, error));
  }
  return DRAY_OK;
}

static int32_t open_day(struct reader *reader, struct dray_error *error) {
  char path[4096];
  const char *name = reader->days.names[reader->day];
  (void)snprintf(path, sizeof(path), "%s/%s", reader->folder, name);
  reader->file = fopen(path, "re");
  if (reader->file == NULL) return dray_fail(error, DRAY_E_IO, "cannot open %s: %s", path, strerror(errno));
  if (fseek(reader->file, (long)reader->position, SEEK_SET) == 0) return DRAY_OK;
  return dray_fail(error, DRAY_E_STATE_CHECKPOINT, "%s has no byte %lld", name, (long long)reader->position);
}

// One line, without its end. A line without an end is one when its day is over; on the last day the logger may still
// be writing it. *out_done 1: no more lines.
static int32_t next_line(struct reader *reader, char *line, struct dray_str *out, int *out_done,
                         struct dray_error *error) {
  while (reader->day < reader->days.count) {
    if (reader->file == NULL) DRAY_TRY(open_day(reader, error));
    if (fgets(line, LINE_BYTES_MAX, reader->file) != NULL) {
      const size_t len = strlen(line);
      const int ended = len > 0 && line[len - 1] == '\n';
      if (!ended && len + 1 >= LINE_BYTES_MAX)
        return dray_fail(error, DRAY_E_DATA_TOO_LARGE, "%s has a line of more than %d bytes",
                         reader->days.names[reader->day], LINE_BYTES_MAX);
      if (ended || reader->day + 1 < reader->days.count) {
        *out = dray_str_make(line, len - (size_t)ended);
        return DRAY_OK;
      }
      if (fseek(reader->file, (long)reader->position, SEEK_SET) != 0)
        return dray_fail(error, DRAY_E_IO, "cannot go back in %s", reader->days.names[reader->day]);
    }
    if (reader->day + 1 == reader->days.count) break; // the place stays within the last day: it may grow
    (void)fclose(reader->file);
    reader->file = NULL;
    reader->day++;
    reader->position = 0;
  }
  *out_done = 1;
  return DRAY_OK;
}

// ---- the stream ----

static int32_t reader_schema(struct dray_stream *stream, struct ArrowSchema *out, struct dray_error *error) {
  return dray_schema_copy(&((const struct reader *)stream->private_data)->schema, out, error);
}

static int32_t reader_next(struct dray_stream *stream, struct ArrowArray *out, struct dray_error *error) {
  struct reader *reader = stream->private_data;
  char line[LINE_BYTES_MAX];
  int32_t full = 0;
  DRAY_TRY(dray_cancel_check(reader->services, error));
  for (int done = 0; !full;) {
    struct dray_str text = {NULL, 0};
    DRAY_TRY(next_line(reader, line, &text, &done, error));
    if (done) break;
    if (text.len > 0) DRAY_TRY(put_line(reader, text, error));
    reader->position += (int64_t)text.len + 1;
    if (text.len > 0) DRAY_TRY(dray_builder_end_row(reader->builder, &full, error));
  }
  return dray_builder_finish(reader->builder, out, error);
}

// "2026-11-22.log 4711": everything before that byte of that day was handed out.
static int32_t reader_state(struct dray_stream *stream, struct dray_str *out, struct dray_error *error) {
  struct reader *reader = stream->private_data;
  (void)error;
  if (reader->days.count == 0) {
    *out = dray_str_of("");
    return DRAY_OK;
  }
  (void)snprintf(reader->state, sizeof(reader->state), "%s %lld", reader->days.names[reader->day],
                 (long long)reader->position);
  *out = dray_str_of(reader->state);
  return DRAY_OK;
}

static void reader_close(struct dray_stream *stream) {
  struct reader *reader = stream->private_data;
  if (reader->file != NULL) (void)fclose(reader->file);
  dray_builder_free(reader->builder);
  dray_schema_release(&reader->schema);
  free(reader->days.names);
  free(reader);
}

static int32_t read_state(struct reader *reader, struct dray_str state, struct dray_error *error) {
  if (state.len == 0) return DRAY_OK;
  const int shaped = state.len > DAY_NAME_LEN + 1 && state.data[DAY_NAME_LEN] == ' ';
  const struct dray_str number =
      shaped ? dray_str_make(state.data + DAY_NAME_LEN + 1, state.len - DAY_NAME_LEN - 1) : dray_str_make("", 0);
  if (dray_parse_int64(number, &reader->position, NULL) != DRAY_OK || reader->position < 0)
    return dray_fail(error, DRAY_E_STATE_CHECKPOINT, "\"%.*s\" is no place in the readings", DRAY_STR_ARG(state));
  for (; reader->day < reader->days.count; reader->day++) {
    const int order = strncmp(reader->days.names[reader->day], state.data, DAY_NAME_LEN);
    if (order == 0) return DRAY_OK;
    if (order > 0) break;
  }
  return dray_fail(error, DRAY_E_STATE_CHECKPOINT, "%.*s is not in the folder any more", DAY_NAME_LEN, state.data);
}

static int32_t choose_columns(struct reader *reader, const struct dray_read_request *request,
                              struct dray_error *error) {
  struct dray_column_def chosen[DATA_COLUMNS + 1];
  size_t count = 0, found = 0;
  for (size_t i = 0; i <= DATA_COLUMNS; i++) {
    int wanted = request->column_count == 0 || i == DATA_COLUMNS;
    for (uint64_t j = 0; j < request->column_count; j++) {
      if (!dray_str_is(request->columns[j], columns[i].name)) continue;
      wanted = 1;
      found++;
    }
    reader->columns[i] = wanted ? (ptrdiff_t)count : -1;
    if (wanted) chosen[count++] = columns[i];
  }
  if (found != request->column_count)
    return dray_fail(error, DRAY_E_SCHEMA_COLUMN, "readings have the columns sensor, at, value and note");
  return dray_schema_make(chosen, count, &reader->schema, error);
}

static int32_t open_stream(struct dray_source *source, const struct dray_read_request *request, struct dray_stream *out,
                           struct dray_error *error) {
  if (!dray_str_is(request->stream, "readings"))
    return dray_fail(error, DRAY_E_SCHEMA_STREAM, "there is no stream %.*s, only readings",
                     DRAY_STR_ARG(request->stream));
  struct reader *reader = calloc(1, sizeof(*reader));
  if (reader == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a stream");
  out->private_data = reader;
  reader->services = &source->services;
  reader->folder = source->settings.folder;
  int32_t rc = find_days(source->settings.folder, &reader->days, error);
  if (rc == DRAY_OK) rc = read_state(reader, request->state, error);
  if (rc == DRAY_OK) rc = choose_columns(reader, request, error);
  if (rc == DRAY_OK)
    rc = dray_builder_new(&reader->schema, request->batch_rows_max, request->batch_bytes_max, &reader->builder, error);
  if (rc != DRAY_OK) {
    reader_close(out);
    return rc;
  }
  out->schema = reader_schema;
  out->next = reader_next;
  out->state = reader_state;
  out->close = reader_close;
  return DRAY_OK;
}

extern const struct dray_source_vtable sensors_vtable;
const struct dray_source_vtable sensors_vtable = {
    .struct_size = sizeof(struct dray_source_vtable),
    .spec = get_spec,
    .create = create,
    .destroy = destroy,
    .check = check,
    .discover = discover,
    .open = open_stream,
};
