// The destination role: one object, `changes`, a JSON Lines file that every change is appended to: {"op": "insert",
// then
// the columns of the row}. The last line of a key wins, so that a batch may be sent twice without harm.
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugin.h"

#define OBJECT_NAME "changes"
#define DOCUMENT_BYTES_MAX (1u << 20)
#define BATCH_ROWS_MAX 1000
#define BATCH_BYTES_MAX (1u << 20)
#define LINES_BYTES_MAX (64u << 20) // a batch as text
#define RECEIPTS_BYTES_MAX (1u << 20)

struct dray_destination {
  struct dray_services services;
  struct settings settings;
  struct dray_buffer document; // what check handed out last
  struct dray_buffer lines;    // the batch being written
  struct dray_receipt_writer receipts;
  const struct ArrowSchema *schema; // from begin to end or abort; borrowed
  int fd;                           // -1: not writing
};

static int32_t destination_create(const struct dray_host *host, struct dray_str config_json,
                                  struct dray_destination **out, struct dray_error *error) {
  struct dray_destination *destination = calloc(1, sizeof(*destination));
  if (destination == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a destination");
  destination->fd = -1;
  dray_buffer_init(&destination->document, DOCUMENT_BYTES_MAX);
  dray_buffer_init(&destination->lines, LINES_BYTES_MAX);
  dray_receipts_init(&destination->receipts, RECEIPTS_BYTES_MAX);
  int32_t rc = dray_services_init(&destination->services, host, error);
  if (rc == DRAY_OK) rc = settings_bind(config_json, &destination->settings, error);
  if (rc != DRAY_OK) {
    free(destination);
    return rc;
  }
  *out = destination;
  return DRAY_OK;
}

static void stop_writing(struct dray_destination *destination) {
  if (destination->fd >= 0) (void)close(destination->fd);
  destination->fd = -1;
  destination->schema = NULL;
}

static void destination_destroy(struct dray_destination *destination) {
  if (destination == NULL) return;
  stop_writing(destination);
  settings_release(&destination->settings);
  dray_buffer_free(&destination->document);
  dray_buffer_free(&destination->lines);
  dray_receipts_free(&destination->receipts);
  free(destination);
}

static int32_t fail_errno(struct dray_error *error, const char *doing, const char *path) {
  const int number = errno;
  const int32_t code = number == ENOSPC || number == EDQUOT                       ? DRAY_E_DISK_FULL
                       : number == ENOENT || number == EACCES || number == EISDIR ? DRAY_E_CONFIG_FILE
                                                                                  : DRAY_E_IO;
  return dray_fail(error, code, "cannot %s %s: %s", doing, path, strerror(number));
}

static int32_t open_file(const struct dray_destination *destination, int *out, struct dray_error *error) {
  *out = open(destination->settings.path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  return *out >= 0 ? DRAY_OK : fail_errno(error, "write to", destination->settings.path);
}

// 0 when the file could be appended to. Nothing is made: a check leaves no traces.
static int try_file(const char *path) {
  if (access(path, F_OK) == 0) return access(path, W_OK);
  char *folder = dray_str_dup(dray_str_of(path));
  if (folder == NULL) return -1;
  char *slash = strrchr(folder, '/');
  if (slash != NULL) slash[slash == folder] = '\0';
  const int result = access(slash != NULL ? folder : ".", W_OK | X_OK);
  const int number = errno;
  free(folder);
  errno = number;
  return result;
}

static int32_t destination_check(struct dray_destination *destination, struct dray_str *out_json,
                                 struct dray_error *error) {
  struct dray_json_writer writer;
  const char *path = destination->settings.path;
  const char *why = try_file(path) == 0 ? NULL : strerror(errno);
  dray_buffer_clear(&destination->document);
  dray_json_writer_init(&writer, &destination->document, error);
  dray_json_begin_array(&writer);
  dray_check_step_write(&writer, "write", why == NULL ? path : why,
                        why == NULL ? NULL : "check `path` and its permissions");
  dray_json_end_array(&writer);
  DRAY_TRY(dray_json_writer_finish(&writer));
  *out_json = dray_buffer_view(&destination->document);
  return DRAY_OK;
}

static int32_t destination_discover(struct dray_destination *destination, struct dray_str *out_json,
                                    struct dray_error *error) {
  (void)destination, (void)error;
  *out_json =
      dray_str_of("{\"objects\":[{\"name\":\"" OBJECT_NAME "\",\"operations\":[\"insert\",\"update\",\"delete\"],"
                  "\"description\":\"changes, one a line; takes any fields\"}]}");
  return DRAY_OK;
}

static int32_t check_object(struct dray_str object, struct dray_error *error) {
  if (dray_str_is(object, OBJECT_NAME)) return DRAY_OK;
  return dray_fail(error, DRAY_E_SCHEMA_OBJECT, "there is no object %.*s, only %s", DRAY_STR_ARG(object), OBJECT_NAME);
}

static int32_t destination_caps(struct dray_destination *destination, struct dray_str object,
                                struct dray_str options_json, struct dray_caps *out, struct dray_error *error) {
  (void)destination;
  DRAY_TRY(check_object(object, error));
  DRAY_TRY(dray_config_bind(NULL, 0, options_json, NULL, error)); // no options: refuses any
  out->flags = DRAY_CAPS_PARTIAL | DRAY_CAPS_DYNAMIC_FIELDS;
  out->operations = DRAY_OP_INSERT | DRAY_OP_UPDATE | DRAY_OP_DELETE;
  out->doubt = DRAY_DOUBT_RESEND; // the last line of a key wins
  out->batch_rows_max = BATCH_ROWS_MAX;
  out->batch_bytes_max = BATCH_BYTES_MAX;
  out->parallel_max = 1;
  return DRAY_OK;
}

static int32_t destination_begin(struct dray_destination *destination, const struct dray_write_plan *plan,
                                 struct dray_error *error) {
  DRAY_TRY(check_object(plan->object, error));
  stop_writing(destination);
  DRAY_TRY(open_file(destination, &destination->fd, error));
  destination->schema = plan->schema;
  return DRAY_OK;
}

// ---- batches ----

static const char *operation_name(int64_t operation) {
  return operation == DRAY_OP_INSERT ? "insert" : operation == DRAY_OP_UPDATE ? "update" : "delete";
}

// Appends the change as one line. Absent values are left out, nulls are written.
static int32_t write_line(struct dray_buffer *lines, const struct dray_changes *changes, uint64_t i,
                          struct dray_error *error) {
  struct dray_json_writer writer;
  dray_json_writer_init(&writer, lines, error);
  dray_json_begin_object(&writer);
  dray_json_key(&writer, "op");
  dray_json_write_text(&writer, operation_name(dray_change_op(changes, i)));
  for (size_t column = 0; column < changes->view.column_count; column++) {
    if (!dray_change_says(changes, column, i)) continue;
    dray_json_key(&writer, changes->view.columns[column].name);
    dray_json_write_column(&writer, &changes->view.columns[column], i);
  }
  dray_json_end_object(&writer);
  DRAY_TRY(dray_json_writer_finish(&writer));
  return dray_buffer_append_char(lines, '\n', error);
}

// Turns the batch into lines, with a receipt for each row: what cannot be written is rejected, the rest will be
// applied.
static int32_t make_lines(struct dray_destination *destination, const struct dray_changes *changes,
                          struct dray_receipts *out, struct dray_error *error) {
  struct dray_buffer *lines = &destination->lines;
  const int64_t line_bytes = destination->settings.line_bytes;
  dray_buffer_clear(lines);
  dray_receipts_begin(&destination->receipts, out);
  for (uint64_t i = 0; i < changes->view.row_count; i++) {
    const int64_t row = dray_change_row(changes, i);
    const size_t before = lines->len;
    DRAY_TRY(write_line(lines, changes, i, error));
    if (lines->len - before <= (uint64_t)line_bytes) {
      dray_receipt_put(&destination->receipts, row, DRAY_RECEIPT_APPLIED, 0, 0, NULL);
      continue;
    }
    dray_receipt_put(&destination->receipts, row, DRAY_RECEIPT_REJECTED, DRAY_E_DATA_TOO_LARGE, 0,
                     "the row has %zu bytes as text, and line_bytes is %lld", lines->len - before,
                     (long long)line_bytes);
    lines->len = before;
  }
  return dray_receipts_end(&destination->receipts, error);
}

// Appends all of it or nothing: an error promises that nothing was applied. Where that cannot be promised, the receipts
// say UNKNOWN instead.
static int32_t append_lines(struct dray_destination *destination, struct dray_receipts *out, struct dray_error *error) {
  struct stat info;
  if (fstat(destination->fd, &info) != 0) return fail_errno(error, "look at", destination->settings.path);
  const struct dray_buffer *lines = &destination->lines;
  size_t done = 0;
  while (done < lines->len) {
    const ssize_t n = write(destination->fd, lines->data + done, lines->len - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) break;
    done += (size_t)n;
  }
  if (done == lines->len && fsync(destination->fd) == 0) return DRAY_OK;
  const int32_t code = fail_errno(error, "write to", destination->settings.path);
  if (ftruncate(destination->fd, info.st_size) == 0) return code;
  for (uint64_t i = 0; i < out->count; i++) {
    if (out->items[i].status == DRAY_RECEIPT_APPLIED) out->items[i].status = DRAY_RECEIPT_UNKNOWN;
  }
  return DRAY_OK;
}

static int32_t destination_write(struct dray_destination *destination, const struct ArrowArray *batch,
                                 const struct dray_batch_info *info, struct dray_receipts *out,
                                 struct dray_error *error) {
  struct dray_changes changes;
  (void)info; // its idempotency key is for destinations that remember keys
  DRAY_TRY(dray_cancel_check(&destination->services, error));
  DRAY_TRY(dray_changes_open(&changes, destination->schema, batch, out->capacity, error));
  int32_t rc = make_lines(destination, &changes, out, error);
  if (rc == DRAY_OK) rc = append_lines(destination, out, error);
  dray_changes_free(&changes);
  return rc;
}

static int32_t destination_end(struct dray_destination *destination, struct dray_error *error) {
  (void)error; // every batch was made durable by its own write
  stop_writing(destination);
  return DRAY_OK;
}

static void destination_abort(struct dray_destination *destination) {
  stop_writing(destination);
}

const struct dray_destination_vtable destination_vtable = {
    .struct_size = sizeof(struct dray_destination_vtable),
    .spec = settings_spec,
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
