// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The destination role: a log of changes, one row each, in the order in which they were sent.
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "records.h"
#include "roles.h"
#include "sets.h"
#include "sink.h"

#define BATCH_ROWS_MAX 65536u
#define BATCH_BYTES_MAX (8u << 20)
#define RENDERED_BYTES_MAX (1u << 30) // escapes and column names make text longer than its values

struct dray_destination {
  struct dray_services services;
  struct file_settings settings;
  struct dray_buffer document; // what check or discover handed out last
  struct dray_buffer rows;     // the batch as text
  struct dray_buffer cell;
  const struct ArrowSchema *schema; // of the plan, borrowed until end or abort
  char *sync;
  struct file_sink sink;
  int begun;
};

static int32_t destination_create(const struct dray_host *host, struct dray_str config_json,
                                  struct dray_destination **out, struct dray_error *error) {
  struct dray_destination *destination = calloc(1, sizeof(*destination));
  if (destination == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a destination");
  destination->sink.file = -1;
  destination->sink.journal.file = -1;
  dray_buffer_init(&destination->document, FILE_DOCUMENT_BYTES_MAX);
  dray_buffer_init(&destination->rows, RENDERED_BYTES_MAX);
  dray_buffer_init(&destination->cell, RENDERED_BYTES_MAX);
  int32_t rc = dray_services_init(&destination->services, host, error);
  if (rc == DRAY_OK) rc = file_settings_bind(config_json, &destination->settings, error);
  if (rc != DRAY_OK) {
    free(destination);
    return rc;
  }
  *out = destination;
  return DRAY_OK;
}

static void destination_abort(struct dray_destination *destination) {
  file_sink_close(&destination->sink);
  free(destination->sync);
  destination->sync = NULL;
  destination->schema = NULL;
  destination->begun = 0;
}

static void destination_destroy(struct dray_destination *destination) {
  if (destination == NULL) return;
  destination_abort(destination);
  file_settings_free(&destination->settings);
  dray_buffer_free(&destination->document);
  dray_buffer_free(&destination->rows);
  dray_buffer_free(&destination->cell);
  free(destination);
}

// ---- check ----

static int32_t destination_check(struct dray_destination *destination, struct dray_str *out_json,
                                 struct dray_error *error) {
  const char *path = destination->settings.path;
  struct dray_json_writer writer;
  struct stat info;
  char text[FILE_PATH_MAX + 100];
  dray_buffer_clear(&destination->document);
  dray_json_writer_init(&writer, &destination->document, error);
  dray_json_begin_array(&writer);
  if (stat(path, &info) != 0 && errno == ENOENT) {
    (void)snprintf(text, sizeof(text), "the folder %s is not there yet; it is made when something is written", path);
    dray_check_step_write(&writer, "folder", text, NULL);
  } else if (stat(path, &info) != 0 || !S_ISDIR(info.st_mode)) {
    (void)snprintf(text, sizeof(text), "%s is not a folder that can be used", path);
    dray_check_failure_write(&writer, "folder", DRAY_E_CONFIG_VALUE, text,
                             "set path to a folder; each object is a file in it");
  } else if (access(path, W_OK | X_OK) != 0) {
    (void)snprintf(text, sizeof(text), "the folder %s cannot be written to: %s", path, strerror(errno));
    dray_check_failure_write(&writer, "folder", DRAY_E_IO, text, "give this user the right to write to it");
  } else {
    (void)snprintf(text, sizeof(text), "the folder %s can be written to", path);
    dray_check_step_write(&writer, "folder", text, NULL);
  }
  dray_json_end_array(&writer);
  DRAY_TRY(dray_json_writer_finish(&writer));
  *out_json = dray_buffer_view(&destination->document);
  return DRAY_OK;
}

// ---- discover ----

static void write_operations(struct dray_json_writer *writer) {
  dray_json_key(writer, "operations");
  dray_json_begin_array(writer);
  dray_json_write_text(writer, "insert");
  dray_json_write_text(writer, "update");
  dray_json_write_text(writer, "delete");
  dray_json_end_array(writer);
}

// A file that is there. It lists no fields, also where a CSV header names them: text has no types, and to name a string
// would make the host cast every value to one, so that a second run would look like a change of all rows. Which fields
// the header has room for is checked by begin.
static int32_t write_object(struct dray_destination *destination, struct dray_json_writer *writer, const char *path,
                            int jsonl, struct dray_error *error) {
  const char *slash = strrchr(path, '/');
  struct file_names names = {0};
  if (!jsonl && destination->settings.header) {
    const int32_t rc = file_names_read(&destination->settings, path, &names, error);
    if (rc == DRAY_E_OUT_OF_MEMORY) return rc;
    if (rc != DRAY_OK) return DRAY_OK; // not a file to write to
  }
  int ours = jsonl || !destination->settings.header || names.count == 0;
  for (size_t i = 0; i < names.count; i++) ours |= strcmp(names.items[i], FILE_OP_COLUMN) == 0;
  if (ours) {
    dray_json_begin_object(writer);
    dray_json_key(writer, "name");
    dray_json_write_text(writer, slash != NULL ? slash + 1 : path);
    write_operations(writer);
    dray_json_key(writer, "description");
    dray_json_write_text(writer, jsonl ? "a log of changes, JSON Lines" : "a log of changes, CSV");
    dray_json_end_object(writer);
  }
  file_names_free(&names);
  return DRAY_OK;
}

static int is_compressed(const char *path) {
  const size_t len = strlen(path);
  return len > 3 && strcmp(path + len - 3, ".gz") == 0;
}

static int32_t write_objects(struct dray_destination *destination, struct dray_json_writer *writer,
                             struct dray_error *error) {
  struct stat info;
  struct file_sets sets = {0};
  if (stat(destination->settings.path, &info) != 0 || !S_ISDIR(info.st_mode)) return DRAY_OK;
  struct dray_error why;
  dray_error_init(&why);
  const int32_t found = file_sets_find(&destination->settings, &sets, &why);
  if (found == DRAY_E_OUT_OF_MEMORY) return dray_fail(error, found, "%s", why.text);
  int32_t rc = DRAY_OK; // an empty folder is a fine place to write to
  for (size_t i = 0; i < sets.count && rc == DRAY_OK; i++) {
    for (size_t k = 0; k < sets.items[i].count && rc == DRAY_OK; k++) {
      const char *path = sets.items[i].paths[k];
      if (!is_compressed(path)) rc = write_object(destination, writer, path, sets.items[i].jsonl, error);
    }
  }
  file_sets_free(&sets);
  return rc;
}

static int32_t no_options(struct dray_buffer *out, struct dray_error *error) {
  return dray_config_spec(NULL, 0, out, error);
}

static int32_t destination_discover(struct dray_destination *destination, struct dray_str *out_json,
                                    struct dray_error *error) {
  struct dray_json_writer writer;
  dray_catalog_begin(&writer, &destination->document, "objects", error);
  DRAY_TRY(write_objects(destination, &writer, error));
  return dray_catalog_end(&writer, no_options, out_json, error);
}

// ---- caps and begin ----

static int32_t check_options(struct dray_str options_json, struct dray_error *error) {
  int32_t nothing = 0;
  return dray_config_bind(NULL, 0, options_json, &nothing, error);
}

static int32_t destination_caps(struct dray_destination *destination, struct dray_str object,
                                struct dray_str options_json, struct dray_caps *out, struct dray_error *error) {
  char *name = NULL;
  int jsonl = 0;
  DRAY_TRY(check_options(options_json, error));
  DRAY_TRY(file_sink_name(&destination->settings, object, &name, &jsonl, error));
  free(name);
  out->flags = DRAY_CAPS_DYNAMIC_FIELDS;
  out->operations = DRAY_OP_INSERT | DRAY_OP_UPDATE | DRAY_OP_DELETE;
  out->doubt = DRAY_DOUBT_IDEMPOTENCY_KEY;
  out->batch_rows_max = BATCH_ROWS_MAX;
  out->batch_bytes_max = BATCH_BYTES_MAX;
  out->parallel_max = 1; // a log has an order
  return DRAY_OK;
}

static int32_t open_sink(struct dray_destination *destination, const struct dray_write_plan *plan,
                         struct dray_error *error) {
  char *name = NULL;
  int jsonl = 0;
  size_t count = 0;
  const size_t children = (size_t)plan->schema->n_children;
  char **columns = calloc(children + 1, sizeof(*columns)); // borrowed names
  if (columns == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for the columns");
  int32_t rc = file_sink_name(&destination->settings, plan->object, &name, &jsonl, error);
  for (size_t i = 0; i < children && rc == DRAY_OK; i++) {
    const char *column = plan->schema->children[i]->name;
    if (dray_column_reserved(column)) continue;
    if (strcmp(column, FILE_OP_COLUMN) == 0) {
      rc = dray_fail_field(error, DRAY_E_SCHEMA_FIELD, FILE_OP_COLUMN,
                           "the field %s is the operation, which dray writes itself", FILE_OP_COLUMN);
    }
    memcpy(&columns[count++], &column, sizeof(column));
  }
  if (rc == DRAY_OK)
    rc = file_sink_open(&destination->settings, name, jsonl, columns, count, &destination->sink, error);
  free(columns);
  free(name);
  return rc;
}

static int32_t destination_begin(struct dray_destination *destination, const struct dray_write_plan *plan,
                                 struct dray_error *error) {
  DRAY_TRY(check_options(plan->options_json, error));
  destination_abort(destination);
  destination->sync = dray_str_dup(plan->sync);
  if (destination->sync == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to begin");
  destination->schema = plan->schema;
  DRAY_TRY(open_sink(destination, plan, error));
  destination->begun = 1;
  return DRAY_OK;
}

// ---- write ----

static const char *operation_name(int64_t op) {
  return op == DRAY_OP_INSERT ? "insert" : op == DRAY_OP_UPDATE ? "update" : "delete";
}

static struct dray_csv_options csv_options(const struct dray_destination *destination) {
  const struct file_settings *settings = &destination->settings;
  const char *name = destination->sink.name;
  const size_t len = strlen(name);
  const int tabs = len > 4 && strcmp(name + len - 4, ".tsv") == 0;
  const struct dray_csv_options options = {.delimiter = settings->delimiter_char != '\0' ? settings->delimiter_char
                                                        : tabs                           ? '\t'
                                                                                         : ',',
                                           .quote = settings->quote_char};
  return options;
}

static int32_t csv_header(struct dray_destination *destination, const struct dray_csv_options *options,
                          struct dray_error *error) {
  for (size_t i = 0; i < destination->sink.column_count; i++) {
    if (i > 0) DRAY_TRY(dray_buffer_append_char(&destination->rows, options->delimiter, error));
    DRAY_TRY(dray_csv_write_field(&destination->rows, options, dray_str_of(destination->sink.columns[i]), 1, error));
  }
  return dray_buffer_append_char(&destination->rows, '\n', error);
}

// Null and absent are nothing; the empty text is "", and so is a text that would read as null.
static int32_t csv_cell(struct dray_destination *destination, const struct dray_view *view, ptrdiff_t column,
                        uint64_t row, const struct dray_csv_options *options, struct dray_error *error) {
  if (column < 0 || dray_view_absent(view, (size_t)column, row) || dray_column_is_null(&view->columns[column], row)) {
    return DRAY_OK;
  }
  dray_buffer_clear(&destination->cell);
  DRAY_TRY(dray_column_text(&view->columns[column], row, &destination->cell, error));
  return dray_csv_write_field(&destination->rows, options, dray_buffer_view(&destination->cell), 1, error);
}

static int32_t render_csv(struct dray_destination *destination, const struct dray_view *view, ptrdiff_t op_column,
                          struct dray_error *error) {
  const struct file_sink *sink = &destination->sink;
  const struct dray_csv_options options = csv_options(destination);
  ptrdiff_t *columns = malloc((sink->column_count + 1) * sizeof(*columns));
  if (columns == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a batch");
  int32_t rc = DRAY_OK;
  for (size_t i = 0; i < sink->column_count; i++) {
    const int is_op = strcmp(sink->columns[i], FILE_OP_COLUMN) == 0;
    columns[i] = is_op ? op_column : dray_view_find(view, dray_str_of(sink->columns[i]));
  }
  if (file_sink_is_empty(sink) && destination->settings.header) rc = csv_header(destination, &options, error);
  for (uint64_t row = 0; row < view->row_count && rc == DRAY_OK; row++) {
    for (size_t i = 0; i < sink->column_count && rc == DRAY_OK; i++) {
      if (i > 0) rc = dray_buffer_append_char(&destination->rows, options.delimiter, error);
      if (rc != DRAY_OK) break;
      rc = columns[i] == op_column
               ? dray_buffer_append_str(&destination->rows,
                                        operation_name(dray_column_int64(&view->columns[op_column], row)), error)
               : csv_cell(destination, view, columns[i], row, &options, error);
    }
    if (rc == DRAY_OK) rc = dray_buffer_append_char(&destination->rows, '\n', error);
  }
  free(columns);
  return rc;
}

static int32_t render_jsonl(struct dray_destination *destination, const struct dray_view *view, ptrdiff_t op_column,
                            struct dray_error *error) {
  for (uint64_t row = 0; row < view->row_count; row++) {
    struct dray_json_writer writer;
    dray_json_writer_init(&writer, &destination->rows, error);
    dray_json_begin_object(&writer);
    dray_json_key(&writer, FILE_OP_COLUMN);
    dray_json_write_text(&writer, operation_name(dray_column_int64(&view->columns[op_column], row)));
    for (size_t i = 0; i < view->column_count; i++) {
      const struct dray_column_view *column = &view->columns[i];
      if (dray_column_reserved(column->name) || dray_view_absent(view, i, row)) continue;
      dray_json_key(&writer, column->name);
      if (dray_column_is_null(column, row)) {
        dray_json_write_null(&writer);
      } else {
        dray_json_write_column(&writer, column, row);
      }
    }
    dray_json_end_object(&writer);
    DRAY_TRY(dray_json_writer_finish(&writer));
    DRAY_TRY(dray_buffer_append_char(&destination->rows, '\n', error));
  }
  return DRAY_OK;
}

static int32_t write_view(struct dray_destination *destination, const struct dray_view *view,
                          const struct dray_batch_info *info, struct dray_receipts *out, struct dray_error *error) {
  const ptrdiff_t op_column = dray_view_find(view, dray_str_of(DRAY_COLUMN_OP));
  const ptrdiff_t row_column = dray_view_find(view, dray_str_of(DRAY_COLUMN_ROW));
  if (op_column < 0 || row_column < 0 || out->capacity < view->row_count) {
    return dray_fail(error, DRAY_E_PLUGIN_CONTRACT, "a batch without %s or %s, or with too few receipts",
                     DRAY_COLUMN_OP, DRAY_COLUMN_ROW);
  }
  const struct dray_str sync = dray_str_of(destination->sync);
  if (!file_journal_has(&destination->sink.journal, sync, info->idempotency_key)) {
    dray_buffer_clear(&destination->rows);
    DRAY_TRY(destination->sink.jsonl ? render_jsonl(destination, view, op_column, error)
                                     : render_csv(destination, view, op_column, error));
    DRAY_TRY(
        file_sink_append(&destination->sink, dray_buffer_view(&destination->rows), sync, info->idempotency_key, error));
  }
  for (uint64_t row = 0; row < view->row_count; row++) {
    const struct dray_receipt receipt = {.row = dray_column_int64(&view->columns[row_column], row),
                                         .status = DRAY_RECEIPT_APPLIED};
    out->items[row] = receipt;
  }
  out->count = view->row_count;
  return DRAY_OK;
}

static int32_t destination_write(struct dray_destination *destination, const struct ArrowArray *batch,
                                 const struct dray_batch_info *info, struct dray_receipts *out,
                                 struct dray_error *error) {
  struct dray_view view;
  if (!destination->begun) return dray_fail(error, DRAY_E_PLUGIN_CONTRACT, "write without begin");
  DRAY_TRY(dray_cancel_check(&destination->services, error));
  DRAY_TRY(dray_view_init(&view, destination->schema, batch, error));
  const int32_t rc = write_view(destination, &view, info, out, error);
  dray_view_free(&view);
  return rc;
}

static int32_t destination_end(struct dray_destination *destination, struct dray_error *error) {
  (void)error;
  destination_abort(destination); // every batch was made durable when it was written
  return DRAY_OK;
}

const struct dray_destination_vtable file_destination_vtable = {
    .struct_size = sizeof(struct dray_destination_vtable),
    .spec = file_settings_spec,
    .create = destination_create,
    .destroy = destination_destroy,
    .check = destination_check,
    .discover = destination_discover,
    .caps = destination_caps,
    .begin = destination_begin,
    .write = destination_write,
    .end = destination_end,
    .abort = destination_abort,
};
