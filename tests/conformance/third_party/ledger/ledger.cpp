// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// A third party's destination in C++17, written against the installed SDK alone: every change is appended to a file
// as one JSON line. A batch ends with a line of its own, {"end": KEY}; what stands behind the last of these was never
// acknowledged and is cut off, and a batch whose key is known is not written again. No exception leaves a slot.
#include <cerrno>
#include <cstring>
#include <new>
#include <string>
#include <unordered_set>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dray/sdk.h"

namespace {

constexpr std::size_t document_bytes_max = 65536;
constexpr std::size_t batch_text_max = 64u << 20;
constexpr std::uint64_t ledger_bytes_max = 1u << 30;
const char object_name[] = "changes";

struct settings {
  char *path;
};

const dray_setting settings_table[] = {
    {"path", DRAY_SETTING_STRING, 1, offsetof(settings, path), "the file that is appended to", nullptr, nullptr, 0, 0,
     nullptr},
};

// A buffer of the SDK that frees itself.
class text {
public:
  explicit text(std::size_t max) { dray_buffer_init(&buffer_, max); }
  ~text() { dray_buffer_free(&buffer_); }
  text(const text &) = delete;
  text &operator=(const text &) = delete;
  dray_buffer *operator->() { return &buffer_; }
  dray_buffer *get() { return &buffer_; }

private:
  dray_buffer buffer_{};
};

text &spec_text() {
  static text spec(document_bytes_max);
  return spec;
}

std::int32_t fail_errno(dray_error *error, const char *doing, const char *path) {
  const int number = errno;
  return dray_fail(error, number == ENOSPC ? DRAY_E_DISK_FULL : DRAY_E_IO, "cannot %s %s: %s", doing, path,
                   std::strerror(number));
}

} // namespace

struct dray_destination {
  dray_services services{};
  settings bound{};
  text document{document_bytes_max};
  text lines{batch_text_max};
  const ArrowSchema *schema = nullptr; // from begin to end or abort; borrowed
  int fd = -1;
  std::unordered_set<std::string> keys; // of the batches in the file

  ~dray_destination() {
    close_file();
    dray_config_release(settings_table, 1, &bound);
  }

  void close_file() {
    if (fd >= 0) (void)close(fd);
    fd = -1;
    schema = nullptr;
    keys.clear();
  }

  std::int32_t open_file(dray_error *error);
  std::int32_t read_back(dray_error *error);
  std::int32_t append(dray_error *error);
};

// ---- the file ----

std::int32_t dray_destination::open_file(dray_error *error) {
  fd = open(bound.path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  return fd >= 0 ? read_back(error) : fail_errno(error, "open", bound.path);
}

// Learns the keys, and cuts off a batch that was never finished.
std::int32_t dray_destination::read_back(dray_error *error) {
  static const std::string mark = "{\"end\":\"";
  struct stat info {};
  if (fstat(fd, &info) != 0) return fail_errno(error, "look at", bound.path);
  if (static_cast<std::uint64_t>(info.st_size) > ledger_bytes_max)
    return dray_fail(error, DRAY_E_LIMIT, "%s is larger than a ledger may be", bound.path);
  std::string line;
  char chunk[65536];
  off_t place = 0, sound = 0; // behind the last line, behind the last whole batch
  for (off_t at = 0;;) {
    const ssize_t n = pread(fd, chunk, sizeof(chunk), at);
    if (n < 0) return fail_errno(error, "read", bound.path);
    if (n == 0) break;
    at += n;
    for (ssize_t i = 0; i < n; i++) {
      if (chunk[i] != '\n') {
        if (line.size() < 256) line.push_back(chunk[i]);
        continue;
      }
      place = at - n + i + 1;
      if (line.compare(0, mark.size(), mark) == 0) {
        keys.insert(line.substr(mark.size(), line.size() - mark.size() - 2));
        sound = place;
      }
      line.clear();
    }
  }
  return info.st_size == sound || ftruncate(fd, sound) == 0 ? DRAY_OK : fail_errno(error, "cut", bound.path);
}

// All of the lines or none: an error promises that nothing was applied.
std::int32_t dray_destination::append(dray_error *error) {
  struct stat before {};
  if (fstat(fd, &before) != 0) return fail_errno(error, "look at", bound.path);
  std::size_t done = 0;
  while (done < lines->len) {
    const ssize_t n = write(fd, lines->data + done, lines->len - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) break;
    done += static_cast<std::size_t>(n);
  }
  if (done == lines->len && fsync(fd) == 0) return DRAY_OK;
  const std::int32_t code = fail_errno(error, "write", bound.path);
  // Without its last line the batch does not count, whether the cut succeeds or not; but nothing may follow it.
  if (ftruncate(fd, before.st_size) != 0) close_file();
  return code;
}

namespace {

// Runs what may throw.
template <typename body> std::int32_t guarded(dray_error *error, body &&run) noexcept {
  try {
    return run();
  } catch (const std::bad_alloc &) {
    return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for the ledger");
  } catch (...) {
    return dray_fail(error, DRAY_E_INTERNAL, "an exception of an unknown kind");
  }
}

std::int32_t get_spec(dray_str *out_json, dray_error *) {
  *out_json = dray_buffer_view(spec_text().get());
  return DRAY_OK;
}

std::int32_t create(const dray_host *host, dray_str config_json, dray_destination **out, dray_error *error) {
  return guarded(error, [&] {
    auto *destination = new dray_destination;
    std::int32_t rc = dray_services_init(&destination->services, host, error);
    if (rc == DRAY_OK) rc = dray_config_bind(settings_table, 1, config_json, &destination->bound, error);
    if (rc == DRAY_OK) {
      *out = destination;
    } else {
      delete destination;
    }
    return rc;
  });
}

void destroy(dray_destination *destination) {
  delete destination;
}

std::int32_t check(dray_destination *destination, dray_str *out_json, dray_error *error) {
  dray_json_writer writer;
  const std::string path = destination->bound.path;
  const std::string folder = path.find('/') == std::string::npos ? "." : path.substr(0, path.rfind('/') + 1);
  const bool good =
      access(path.c_str(), W_OK) == 0 || (access(path.c_str(), F_OK) != 0 && access(folder.c_str(), W_OK | X_OK) == 0);
  dray_buffer_clear(destination->document.get());
  dray_json_writer_init(&writer, destination->document.get(), error);
  dray_json_begin_array(&writer);
  dray_json_begin_object(&writer);
  dray_json_key(&writer, "name");
  dray_json_write_text(&writer, "write");
  dray_json_key(&writer, "ok");
  dray_json_write_bool(&writer, good ? 1 : 0);
  dray_json_key(&writer, "text");
  dray_json_write_text(&writer, path.c_str());
  if (!good) {
    dray_json_key(&writer, "fix");
    dray_json_write_text(&writer, "make the folder, and let this user write to it");
  }
  dray_json_end_object(&writer);
  dray_json_end_array(&writer);
  DRAY_TRY(dray_json_writer_finish(&writer));
  *out_json = dray_buffer_view(destination->document.get());
  return DRAY_OK;
}

std::int32_t discover(dray_destination *, dray_str *out_json, dray_error *) {
  *out_json = dray_str_of("{\"objects\":[{\"name\":\"changes\",\"operations\":[\"insert\",\"update\",\"delete\"],"
                          "\"description\":\"one line a change; takes any fields\"}]}");
  return DRAY_OK;
}

std::int32_t check_object(dray_str object, dray_error *error) {
  if (dray_str_is(object, object_name)) return DRAY_OK;
  return dray_fail(error, DRAY_E_SCHEMA_OBJECT, "there is no object %.*s, only %s", DRAY_STR_ARG(object), object_name);
}

std::int32_t caps(dray_destination *, dray_str object, dray_str options_json, dray_caps *out, dray_error *error) {
  DRAY_TRY(check_object(object, error));
  DRAY_TRY(dray_config_bind(nullptr, 0, options_json, nullptr, error)); // there are none
  out->flags = DRAY_CAPS_PARTIAL | DRAY_CAPS_DYNAMIC_FIELDS;
  out->operations = DRAY_OP_INSERT | DRAY_OP_UPDATE | DRAY_OP_DELETE;
  out->doubt = DRAY_DOUBT_IDEMPOTENCY_KEY;
  out->batch_rows_max = 500;
  out->batch_bytes_max = 4u << 20;
  out->parallel_max = 1;
  return DRAY_OK;
}

std::int32_t begin(dray_destination *destination, const dray_write_plan *plan, dray_error *error) {
  return guarded(error, [&]() -> std::int32_t {
    DRAY_TRY(check_object(plan->object, error));
    destination->close_file();
    DRAY_TRY(destination->open_file(error));
    destination->schema = plan->schema;
    return DRAY_OK;
  });
}

// ---- batches ----

std::int32_t add_line(dray_buffer *lines, const dray_view &view, const char *operation, std::uint64_t row,
                      dray_error *error) {
  dray_json_writer writer;
  dray_json_writer_init(&writer, lines, error);
  dray_json_begin_object(&writer);
  dray_json_key(&writer, "op");
  dray_json_write_text(&writer, operation);
  dray_json_key(&writer, "row");
  dray_json_begin_object(&writer);
  for (std::size_t i = 0; i < view.column_count; i++) {
    if (dray_column_reserved(view.columns[i].name) || dray_view_absent(&view, i, row)) continue;
    dray_json_key(&writer, view.columns[i].name);
    dray_json_write_column(&writer, &view.columns[i], row);
  }
  dray_json_end_object(&writer);
  dray_json_end_object(&writer);
  DRAY_TRY(dray_json_writer_finish(&writer));
  return dray_buffer_append_char(lines, '\n', error);
}

std::int32_t add_batch(dray_destination *destination, const dray_view &view, const std::string &key, dray_receipts *out,
                       dray_error *error) {
  const std::ptrdiff_t rows = dray_view_find(&view, dray_str_of(DRAY_COLUMN_ROW));
  const std::ptrdiff_t operations = dray_view_find(&view, dray_str_of(DRAY_COLUMN_OP));
  if (rows < 0 || operations < 0) return dray_fail(error, DRAY_E_INTERNAL, "the batch lacks its row numbers");
  const bool known = destination->keys.count(key) != 0;
  dray_buffer_clear(destination->lines.get());
  for (std::uint64_t row = 0; row < view.row_count; row++) {
    const std::int64_t operation = dray_column_int64(&view.columns[operations], row);
    const char *name = operation == DRAY_OP_INSERT ? "insert" : operation == DRAY_OP_UPDATE ? "update" : "delete";
    if (!known) DRAY_TRY(add_line(destination->lines.get(), view, name, row, error));
    out->items[row].row = dray_column_int64(&view.columns[rows], row);
    out->items[row].status = known ? DRAY_RECEIPT_UNCHANGED : DRAY_RECEIPT_APPLIED;
  }
  if (!known) {
    DRAY_TRY(dray_buffer_printf(destination->lines.get(), error, "{\"end\":\"%s\"}\n", key.c_str()));
    destination->keys.insert(key); // before the write: nothing may fail after it
    const std::int32_t rc = destination->append(error);
    if (rc != DRAY_OK) destination->keys.erase(key);
    DRAY_TRY(rc);
  }
  out->count = view.row_count;
  return DRAY_OK;
}

std::int32_t write_batch(dray_destination *destination, const ArrowArray *batch, const dray_batch_info *info,
                         dray_receipts *out, dray_error *error) {
  return guarded(error, [&]() -> std::int32_t {
    if (destination->fd < 0) return dray_fail(error, DRAY_E_IO, "%s is not open", destination->bound.path);
    DRAY_TRY(dray_cancel_check(&destination->services, error));
    const std::string key(info->idempotency_key.data, info->idempotency_key.len);
    struct view {
      dray_view view{};
      ~view() { dray_view_free(&view); }
    } columns;
    DRAY_TRY(dray_view_init(&columns.view, destination->schema, batch, error));
    return add_batch(destination, columns.view, key, out, error);
  });
}

std::int32_t end(dray_destination *destination, dray_error *) { // every batch was made durable by its own write
  destination->close_file();
  return DRAY_OK;
}

void abort_run(dray_destination *destination) {
  destination->close_file();
}

dray_destination_vtable make_vtable() {
  dray_destination_vtable vtable{};
  vtable.struct_size = sizeof(vtable);
  vtable.spec = get_spec;
  vtable.create = create;
  vtable.destroy = destroy;
  vtable.check = [](dray_destination *destination, dray_str *out_json, dray_error *error) {
    return guarded(error, [&] { return check(destination, out_json, error); });
  };
  vtable.discover = discover;
  vtable.caps = caps;
  vtable.begin = begin;
  vtable.write = write_batch;
  vtable.end = end;
  vtable.abort = abort_run;
  return vtable;
}

} // namespace

extern "C" std::int32_t dray_plugin_entry_v1(const dray_host *, dray_plugin *out, dray_error *error) {
  static const dray_destination_vtable vtable = make_vtable();
  dray_buffer_clear(spec_text().get());
  DRAY_TRY(dray_config_spec(settings_table, 1, spec_text().get(), error));
  out->abi_minor = DRAY_ABI_MINOR;
  out->name = dray_str_of("ledger");
  out->version = dray_str_of("1.4.0");
  out->destination = &vtable;
  return DRAY_OK;
}
