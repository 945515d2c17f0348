// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Reads files, plain or gzip, as one stream of bytes. A gzip that is damaged or cut is always an error: a file that
// silently ends early looks like deleted rows further on.
#include "dray/sdk/input.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#define CHUNK_BYTES (64 * 1024)
#define WINDOW_BITS_GZIP (15 + 16) // zlib: gzip wrapper only
#define PATH_SHOWN_MAX 200

struct dray_input {
  int file;
  int32_t failed; // code of the first failure; it sticks
  uint8_t is_gzip;
  uint8_t inflating; // `inflater` is initialised
  uint8_t in_member; // between a member's first and last byte
  uint8_t at_file_end;
  uint64_t raw_position; // bytes read from the file and taken from `chunk`
  size_t chunk_start;    // unread bytes: chunk[chunk_start .. chunk_end)
  size_t chunk_end;
  z_stream inflater;
  char path[PATH_SHOWN_MAX + 1]; // for messages, cut
  unsigned char chunk[CHUNK_BYTES];
};

// zlib through our own allocator, so that the failing-allocation tests reach it.
static voidpf zlib_alloc(voidpf ctx, uInt count, uInt size) {
  (void)ctx;
  return calloc(count, size);
}

static void zlib_free(voidpf ctx, voidpf memory) {
  (void)ctx;
  free(memory);
}

static int32_t fill(struct dray_input *input, struct dray_error *error) {
  assert(input->chunk_start == input->chunk_end);
  ssize_t n;
  do {
    n = read(input->file, input->chunk, sizeof(input->chunk));
  } while (n < 0 && errno == EINTR);
  if (n < 0) return dray_fail(error, DRAY_E_IO, "cannot read %s: %s", input->path, strerror(errno));
  input->chunk_start = 0;
  input->chunk_end = (size_t)n;
  input->at_file_end = n == 0;
  return DRAY_OK;
}

static void take(struct dray_input *input, size_t bytes) {
  input->chunk_start += bytes;
  input->raw_position += bytes;
}

// Reads until the first two bytes are there, which may come one by one from a pipe.
static int32_t sniff(struct dray_input *input, struct dray_error *error) {
  while (input->chunk_end < 2 && !input->at_file_end) {
    const ssize_t n = read(input->file, input->chunk + input->chunk_end, sizeof(input->chunk) - input->chunk_end);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return dray_fail(error, DRAY_E_IO, "cannot read %s: %s", input->path, strerror(errno));
    input->chunk_end += (size_t)n;
    input->at_file_end = n == 0;
  }
  input->is_gzip = input->chunk_end >= 2 && input->chunk[0] == 0x1F && input->chunk[1] == 0x8B;
  if (!input->is_gzip) return DRAY_OK;
  input->inflater.zalloc = zlib_alloc;
  input->inflater.zfree = zlib_free;
  const int rc = inflateInit2(&input->inflater, WINDOW_BITS_GZIP);
  if (rc != Z_OK) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to unpack %s", input->path);
  input->inflating = 1;
  input->in_member = 1;
  return DRAY_OK;
}

static int32_t open_file(const char *path, int *out, struct dray_error *error) {
  const int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) {
    const int missing =
        errno == ENOENT || errno == ENOTDIR || errno == EACCES || errno == ELOOP || errno == ENAMETOOLONG;
    return dray_fail(error, missing ? DRAY_E_CONFIG_FILE : DRAY_E_IO, "cannot open %s: %s", path, strerror(errno));
  }
  struct stat info;
  if (fstat(file, &info) == 0 && S_ISDIR(info.st_mode)) {
    (void)close(file);
    return dray_fail(error, DRAY_E_CONFIG_FILE, "cannot read %s: it is a folder", path);
  }
  *out = file;
  return DRAY_OK;
}

int32_t dray_input_open(const char *path, struct dray_input **out, struct dray_error *error) {
  int file = -1;
  DRAY_TRY(open_file(path, &file, error));
  struct dray_input *input = calloc(1, sizeof(*input));
  if (input == NULL) {
    (void)close(file);
    return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to read %s", path);
  }
  input->file = file;
  const size_t shown = strnlen(path, PATH_SHOWN_MAX);
  memcpy(input->path, path, shown);
  const int32_t rc = sniff(input, error);
  if (rc != DRAY_OK) {
    dray_input_close(input);
    return rc;
  }
  *out = input;
  return DRAY_OK;
}

void dray_input_close(struct dray_input *input) {
  if (input == NULL) return;
  if (input->inflating) (void)inflateEnd(&input->inflater);
  (void)close(input->file);
  free(input);
}

uint64_t dray_input_raw_position(const struct dray_input *input) {
  return input->raw_position;
}

static int32_t read_plain(struct dray_input *input, void *buffer, size_t capacity, size_t *out_bytes,
                          struct dray_error *error) {
  const size_t left = input->chunk_end - input->chunk_start;
  if (left > 0) {
    const size_t n = left < capacity ? left : capacity;
    memcpy(buffer, input->chunk + input->chunk_start, n);
    take(input, n);
    *out_bytes = n;
    return DRAY_OK;
  }
  ssize_t n;
  do {
    n = read(input->file, buffer, capacity < SSIZE_MAX ? capacity : SSIZE_MAX);
  } while (n < 0 && errno == EINTR);
  if (n < 0) return dray_fail(error, DRAY_E_IO, "cannot read %s: %s", input->path, strerror(errno));
  input->raw_position += (uint64_t)n;
  *out_bytes = (size_t)n;
  return DRAY_OK;
}

static int32_t damaged(const struct dray_input *input, const char *why, struct dray_error *error) {
  return dray_fail(error, DRAY_E_DATA_ENCODING, "%s is damaged: %s (near byte %llu of the file)", input->path, why,
                   (unsigned long long)input->raw_position);
}

// Between members: the next one, zeros to the end, or the end. *out_more = 0 at the end.
static int32_t next_member(struct dray_input *input, int *out_more, struct dray_error *error) {
  int padding = 0;
  for (;;) {
    if (input->chunk_start == input->chunk_end) {
      if (!input->at_file_end) DRAY_TRY(fill(input, error));
      if (input->at_file_end) break;
    }
    const unsigned char byte = input->chunk[input->chunk_start];
    if (byte == 0) {
      padding = 1;
      take(input, 1);
      continue;
    }
    if (padding) return damaged(input, "data follows the zero bytes behind the last gzip member", error);
    if (byte != 0x1F) return damaged(input, "what follows a gzip member is not another one", error);
    if (inflateReset(&input->inflater) != Z_OK) return damaged(input, "the unpacker cannot go on", error);
    input->in_member = 1;
    *out_more = 1;
    return DRAY_OK;
  }
  *out_more = 0;
  return DRAY_OK;
}

// Unpacks some bytes of the current member; *out_bytes may be 0.
static int32_t inflate_some(struct dray_input *input, unsigned char *buffer, size_t capacity, size_t *out_bytes,
                            struct dray_error *error) {
  if (input->chunk_start == input->chunk_end && !input->at_file_end) DRAY_TRY(fill(input, error));
  if (input->at_file_end && input->chunk_start == input->chunk_end) {
    return damaged(input, "the gzip data is cut off", error);
  }
  z_stream *z = &input->inflater;
  const uInt room = capacity < UINT_MAX ? (uInt)capacity : UINT_MAX;
  const uInt given = (uInt)(input->chunk_end - input->chunk_start);
  z->next_in = input->chunk + input->chunk_start;
  z->avail_in = given;
  z->next_out = buffer;
  z->avail_out = room;
  const int rc = inflate(z, Z_NO_FLUSH);
  take(input, given - z->avail_in);
  if (rc == Z_MEM_ERROR) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to unpack %s", input->path);
  // Z_BUF_ERROR only says that this call could not move; the next one has more input.
  if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR) {
    return damaged(input, z->msg != NULL ? z->msg : "the gzip data does not unpack", error);
  }
  if (rc == Z_STREAM_END) input->in_member = 0;
  *out_bytes = room - z->avail_out;
  return DRAY_OK;
}

static int32_t read_gzip(struct dray_input *input, void *buffer, size_t capacity, size_t *out_bytes,
                         struct dray_error *error) {
  size_t n = 0;
  while (n == 0) {
    if (!input->in_member) {
      int more = 0;
      DRAY_TRY(next_member(input, &more, error));
      if (!more) break;
    }
    DRAY_TRY(inflate_some(input, buffer, capacity, &n, error));
  }
  *out_bytes = n;
  return DRAY_OK;
}

int32_t dray_input_read(struct dray_input *input, void *buffer, size_t capacity, size_t *out_bytes,
                        struct dray_error *error) {
  assert(capacity > 0);
  if (input->failed != 0) return dray_fail(error, input->failed, "%s could not be read further", input->path);
  const int32_t rc = input->is_gzip ? read_gzip(input, buffer, capacity, out_bytes, error)
                                    : read_plain(input, buffer, capacity, out_bytes, error);
  input->failed = rc;
  return rc;
}

// Moves in a plain regular file; *out_done = 0 where it cannot seek (a pipe).
static int32_t seek_plain(struct dray_input *input, uint64_t bytes, int *out_done, struct dray_error *error) {
  struct stat info;
  if (fstat(input->file, &info) != 0) {
    return dray_fail(error, DRAY_E_IO, "cannot look at %s: %s", input->path, strerror(errno));
  }
  if (!S_ISREG(info.st_mode)) return DRAY_OK;
  const uint64_t size = (uint64_t)info.st_size;
  if (input->raw_position > size || bytes > size - input->raw_position) {
    return dray_fail(error, DRAY_E_STATE_CHECKPOINT, "%s has %llu bytes, so there is nothing at byte %llu", input->path,
                     (unsigned long long)size, (unsigned long long)(input->raw_position + bytes));
  }
  const uint64_t target = input->raw_position + bytes;
  if (lseek(input->file, (off_t)target, SEEK_SET) < 0) {
    return dray_fail(error, DRAY_E_IO, "cannot seek in %s: %s", input->path, strerror(errno));
  }
  input->raw_position = target;
  input->chunk_start = input->chunk_end = 0;
  input->at_file_end = 0;
  *out_done = 1;
  return DRAY_OK;
}

int32_t dray_input_skip(struct dray_input *input, uint64_t bytes, struct dray_error *error) {
  if (input->failed != 0) return dray_fail(error, input->failed, "%s could not be read further", input->path);
  if (!input->is_gzip) {
    int done = 0;
    DRAY_TRY(seek_plain(input, bytes, &done, error));
    if (done) return DRAY_OK;
  }
  unsigned char ignored[4096];
  for (uint64_t left = bytes; left > 0;) {
    size_t n = 0;
    DRAY_TRY(dray_input_read(input, ignored, left < sizeof(ignored) ? (size_t)left : sizeof(ignored), &n, error));
    if (n == 0) {
      return dray_fail(error, DRAY_E_STATE_CHECKPOINT, "%s ends %llu bytes before byte %llu", input->path,
                       (unsigned long long)left, (unsigned long long)bytes);
    }
    left -= n;
  }
  return DRAY_OK;
}
