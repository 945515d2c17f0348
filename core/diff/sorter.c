// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The external merge sort: memory full -> a sorted run is appended to a file that was unlinked when it was made, so
// that no crash leaves it behind; at the end the runs are merged, in several rounds when they are too many for one.
#include "diff/sorter.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "diff/format.h"

#define READ_BYTES_MIN 4096u
#define READ_BYTES_MAX (1u << 20)
#define WAYS_MIN 4u
#define WAYS_MAX 64u

struct run {
  uint64_t begin, end; // in the file
};

struct reader {
  uint64_t next, end; // of the file, not yet read
  uint8_t *data;      // owned
  size_t capacity, begin, have;
  uint64_t words[DR_SORTER_WORDS_MAX];
  struct dray_str bytes; // in `data`
};

struct dr_sorter_runs {
  char *path;
  struct dr_out out;
  struct run *items; // owned
  size_t count, capacity;
  int merging;
  struct reader *readers; // owned
  size_t reader_count;
  size_t heap[WAYS_MAX]; // numbers of readers, the least first
  size_t heap_count;
  int started; // the record at the top was handed out
};

void dr_sorter_init(struct dr_sorter *sorter, size_t words, size_t key_words, int with_bytes, uint64_t memory_bytes,
                    const char *folder) {
  memset(sorter, 0, sizeof *sorter);
  sorter->words = words;
  sorter->key_words = key_words;
  sorter->with_bytes = with_bytes;
  sorter->memory_bytes = memory_bytes;
  sorter->folder = folder;
  dray_buffer_init(&sorter->bytes, SIZE_MAX / 4);
}

static void free_readers(struct dr_sorter_runs *runs) {
  for (size_t i = 0; i < runs->reader_count; i++) free(runs->readers[i].data);
  free(runs->readers);
  runs->readers = NULL;
  runs->reader_count = runs->heap_count = 0;
  runs->started = 0;
}

static void close_out(struct dr_out *out) {
  if (out->fd >= 0) (void)close(out->fd);
  dr_out_free(out);
  out->fd = -1;
}

static void free_runs(struct dr_sorter *sorter) {
  if (sorter->runs == NULL) return;
  free_readers(sorter->runs);
  close_out(&sorter->runs->out);
  free(sorter->runs->items);
  free(sorter->runs->path);
  free(sorter->runs);
  sorter->runs = NULL;
}

void dr_sorter_free(struct dr_sorter *sorter) {
  free(sorter->records);
  sorter->records = NULL;
  dray_buffer_free(&sorter->bytes);
  free_runs(sorter);
}

void dr_sorter_clear(struct dr_sorter *sorter) {
  free_runs(sorter);
  dray_buffer_clear(&sorter->bytes);
  sorter->count = sorter->record_count = sorter->next = 0;
}

static size_t width_of(const struct dr_sorter *sorter) {
  return sorter->words + (sorter->with_bytes ? 1 : 0);
}

// ---- spilling ----

static int32_t open_file(const char *folder, char **path, struct dr_out *out, struct dray_error *error) {
  int fd = -1;
  DRAY_TRY(dr_temp_open(folder, path, &fd, error));
  dr_out_init(out, fd, *path);
  return DRAY_OK;
}

static int32_t add_run(struct dr_sorter_runs *runs, uint64_t begin, uint64_t end, struct dray_error *error) {
  if (runs->count == runs->capacity) {
    const size_t capacity = runs->capacity * 2 + 16;
    struct run *items = realloc(runs->items, capacity * sizeof *items);
    if (items == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for %zu sorted runs", capacity);
    runs->items = items;
    runs->capacity = capacity;
  }
  runs->items[runs->count++] = (struct run){begin, end};
  return DRAY_OK;
}

static int32_t put_record(struct dr_sorter *sorter, struct dr_out *out, const uint64_t *words, struct dray_str bytes,
                          struct dray_error *error) {
  uint8_t len[4];
  DRAY_TRY(dr_out_write(out, words, sorter->words * sizeof *words, error));
  if (!sorter->with_bytes) return DRAY_OK;
  dr_put_u32(len, (uint32_t)bytes.len);
  DRAY_TRY(dr_out_write(out, len, sizeof len, error));
  return dr_out_write(out, bytes.data, (size_t)bytes.len, error);
}

static struct dray_str bytes_of(const struct dr_sorter *sorter, const uint64_t *record) {
  if (!sorter->with_bytes) return dray_str_make(NULL, 0);
  const char *at = sorter->bytes.data + record[sorter->words];
  return dray_str_make(at + 4, dr_get_u32(at));
}

static int32_t spill(struct dr_sorter *sorter, struct dray_error *error) {
  if (sorter->runs == NULL) {
    sorter->runs = calloc(1, sizeof *sorter->runs);
    if (sorter->runs == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to spill to %s", sorter->folder);
    sorter->runs->out.fd = -1;
    DRAY_TRY(open_file(sorter->folder, &sorter->runs->path, &sorter->runs->out, error));
  }
  struct dr_out *out = &sorter->runs->out;
  const uint64_t begin = out->offset;
  const size_t width = width_of(sorter);
  dr_sort_words(sorter->records, sorter->record_count, width, sorter->key_words);
  for (size_t i = 0; i < sorter->record_count; i++) {
    const uint64_t *record = sorter->records + i * width;
    DRAY_TRY(put_record(sorter, out, record, bytes_of(sorter, record), error));
  }
  DRAY_TRY(dr_out_flush(out, error));
  DRAY_TRY(add_run(sorter->runs, begin, out->offset, error));
  sorter->spilled_bytes += out->offset - begin;
  sorter->record_count = 0;
  dray_buffer_clear(&sorter->bytes);
  return DRAY_OK;
}

// Makes room for one more record: spills when memory is used up. One record always fits.
static int32_t make_room(struct dr_sorter *sorter, uint64_t bytes, struct dray_error *error) {
  const size_t width = width_of(sorter);
  const uint64_t used = sorter->record_count * width * sizeof(uint64_t) + sorter->bytes.len;
  if (sorter->record_count > 0 && used + width * sizeof(uint64_t) + bytes + 4 > sorter->memory_bytes) {
    DRAY_TRY(spill(sorter, error));
  }
  if (sorter->record_count < sorter->record_capacity) return DRAY_OK;
  size_t capacity = sorter->record_capacity < 64 ? 64 : sorter->record_capacity + sorter->record_capacity / 2;
  const size_t most = (size_t)(sorter->memory_bytes / (width * sizeof(uint64_t))) + 1;
  if (capacity > most && most > sorter->record_count) capacity = most;
  uint64_t *records = realloc(sorter->records, capacity * width * sizeof *records);
  if (records == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to sort %zu records", capacity);
  sorter->records = records;
  sorter->record_capacity = capacity;
  return DRAY_OK;
}

int32_t dr_sorter_add(struct dr_sorter *sorter, const uint64_t *words, struct dray_str bytes,
                      struct dray_error *error) {
  uint8_t len[4];
  DRAY_TRY(make_room(sorter, sorter->with_bytes ? bytes.len : 0, error));
  uint64_t *record = sorter->records + sorter->record_count * width_of(sorter);
  memcpy(record, words, sorter->words * sizeof *words);
  if (sorter->with_bytes) {
    record[sorter->words] = sorter->bytes.len;
    dr_put_u32(len, (uint32_t)bytes.len);
    DRAY_TRY(dray_buffer_append(&sorter->bytes, len, sizeof len, error));
    DRAY_TRY(dray_buffer_append(&sorter->bytes, bytes.data, (size_t)bytes.len, error));
  }
  sorter->record_count++;
  sorter->count++;
  return DRAY_OK;
}

// ---- merging ----

// Makes `need` bytes available behind reader->begin. Asking past the run's end is a bug.
static int32_t fill(struct dr_sorter *sorter, struct reader *reader, size_t need, struct dray_error *error) {
  if (reader->have - reader->begin >= need) return DRAY_OK;
  if (reader->begin > 0) memmove(reader->data, reader->data + reader->begin, reader->have - reader->begin);
  reader->have -= reader->begin;
  reader->begin = 0;
  if (need > reader->capacity) {
    uint8_t *data = realloc(reader->data, need);
    if (data == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a record of %zu bytes", need);
    reader->data = data;
    reader->capacity = need;
  }
  const uint64_t left = reader->end - reader->next;
  const size_t room = reader->capacity - reader->have, len = left < room ? (size_t)left : room;
  DRAY_TRY(
      dr_fd_pread(sorter->runs->out.fd, reader->data + reader->have, len, reader->next, sorter->runs->path, error));
  reader->have += len;
  reader->next += len;
  if (reader->have >= need) return DRAY_OK;
  return dray_fail(error, DRAY_E_IO, "%s ends in the middle of a record", sorter->runs->path);
}

static int at_end(const struct reader *reader) {
  return reader->begin == reader->have && reader->next == reader->end;
}

static int32_t read_record(struct dr_sorter *sorter, struct reader *reader, struct dray_error *error) {
  const size_t fixed = sorter->words * sizeof(uint64_t), front = fixed + (sorter->with_bytes ? 4 : 0);
  DRAY_TRY(fill(sorter, reader, front, error));
  size_t len = 0;
  if (sorter->with_bytes) {
    len = dr_get_u32(reader->data + reader->begin + fixed);
    DRAY_TRY(fill(sorter, reader, front + len, error));
  }
  memcpy(reader->words, reader->data + reader->begin, fixed);
  reader->bytes = dray_str_make((const char *)reader->data + reader->begin + front, len);
  reader->begin += front + len;
  return DRAY_OK;
}

static int reader_less(const struct dr_sorter *sorter, size_t a, size_t b) {
  const uint64_t *left = sorter->runs->readers[a].words, *right = sorter->runs->readers[b].words;
  for (size_t i = 0; i < sorter->key_words; i++) {
    if (left[i] != right[i]) return left[i] < right[i];
  }
  return a < b;
}

static void sift_down(struct dr_sorter *sorter, size_t at) {
  struct dr_sorter_runs *runs = sorter->runs;
  for (;;) {
    size_t least = at;
    for (size_t child = 2 * at + 1; child <= 2 * at + 2; child++) {
      if (child < runs->heap_count && reader_less(sorter, runs->heap[child], runs->heap[least])) least = child;
    }
    if (least == at) return;
    const size_t held = runs->heap[at];
    runs->heap[at] = runs->heap[least];
    runs->heap[least] = held;
    at = least;
  }
}

static int32_t start_merge(struct dr_sorter *sorter, size_t first, size_t count, struct dray_error *error) {
  struct dr_sorter_runs *runs = sorter->runs;
  uint64_t room = sorter->memory_bytes / count;
  if (room < READ_BYTES_MIN) room = READ_BYTES_MIN;
  if (room > READ_BYTES_MAX) room = READ_BYTES_MAX;
  free_readers(runs);
  runs->readers = calloc(count, sizeof *runs->readers);
  if (runs->readers == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to merge %zu runs", count);
  runs->reader_count = count;
  for (size_t i = 0; i < count; i++) {
    struct reader *reader = &runs->readers[i];
    reader->next = runs->items[first + i].begin;
    reader->end = runs->items[first + i].end;
    reader->data = malloc((size_t)room);
    if (reader->data == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to merge %zu runs", count);
    reader->capacity = (size_t)room;
    if (at_end(reader)) continue;
    DRAY_TRY(read_record(sorter, reader, error));
    runs->heap[runs->heap_count++] = i;
  }
  for (size_t i = runs->heap_count; i-- > 0;) sift_down(sorter, i);
  return DRAY_OK;
}

static int32_t merge_next(struct dr_sorter *sorter, const uint64_t **out_words, struct dray_str *out_bytes,
                          struct dray_error *error) {
  struct dr_sorter_runs *runs = sorter->runs;
  if (runs->started && runs->heap_count > 0) { // the one handed out last gives way to its successor
    struct reader *reader = &runs->readers[runs->heap[0]];
    if (at_end(reader)) {
      runs->heap[0] = runs->heap[--runs->heap_count];
    } else {
      DRAY_TRY(read_record(sorter, reader, error));
    }
    if (runs->heap_count > 0) sift_down(sorter, 0);
  }
  runs->started = 1;
  if (runs->heap_count == 0) {
    *out_words = NULL;
    return DRAY_OK;
  }
  *out_words = runs->readers[runs->heap[0]].words;
  if (out_bytes != NULL) *out_bytes = runs->readers[runs->heap[0]].bytes;
  return DRAY_OK;
}

// Merges runs first .. first + count into one run of `target`.
static int32_t merge_some(struct dr_sorter *sorter, size_t first, size_t count, struct dr_out *target,
                          struct dray_error *error) {
  const uint64_t *words = NULL;
  struct dray_str bytes = {NULL, 0};
  DRAY_TRY(start_merge(sorter, first, count, error));
  for (;;) {
    DRAY_TRY(merge_next(sorter, &words, &bytes, error));
    if (words == NULL) break;
    DRAY_TRY(put_record(sorter, target, words, bytes, error));
  }
  return dr_out_flush(target, error);
}

// One round: every `ways` runs become one, in a new file.
static int32_t merge_round(struct dr_sorter *sorter, size_t ways, struct dray_error *error) {
  struct dr_sorter_runs *runs = sorter->runs;
  char *path = NULL;
  struct dr_out target;
  DRAY_TRY(open_file(sorter->folder, &path, &target, error));
  size_t merged = 0;
  int32_t rc = DRAY_OK;
  for (size_t first = 0; first < runs->count && rc == DRAY_OK; first += ways) {
    const uint64_t begin = target.offset;
    rc = merge_some(sorter, first, runs->count - first < ways ? runs->count - first : ways, &target, error);
    if (rc == DRAY_OK) runs->items[merged++] = (struct run){begin, target.offset}; // behind what is still to be read
  }
  free_readers(runs);
  if (rc != DRAY_OK) {
    close_out(&target);
    free(path);
    return rc;
  }
  sorter->spilled_bytes += target.offset;
  runs->count = merged;
  close_out(&runs->out);
  free(runs->path);
  runs->out = target;
  runs->path = path;
  return DRAY_OK;
}

int32_t dr_sorter_sort(struct dr_sorter *sorter, struct dray_error *error) {
  sorter->next = 0;
  if (sorter->runs == NULL) {
    dr_sort_words(sorter->records, sorter->record_count, width_of(sorter), sorter->key_words);
    return DRAY_OK;
  }
  if (sorter->record_count > 0) DRAY_TRY(spill(sorter, error));
  free(sorter->records);
  sorter->records = NULL;
  sorter->record_capacity = 0;
  dray_buffer_free(&sorter->bytes);
  uint64_t ways = sorter->memory_bytes / (2 * READ_BYTES_MIN);
  if (ways < WAYS_MIN) ways = WAYS_MIN;
  if (ways > WAYS_MAX) ways = WAYS_MAX;
  while (sorter->runs->count > ways) DRAY_TRY(merge_round(sorter, (size_t)ways, error));
  sorter->runs->merging = 1;
  return start_merge(sorter, 0, sorter->runs->count, error);
}

int32_t dr_sorter_next(struct dr_sorter *sorter, const uint64_t **out_words, struct dray_str *out_bytes,
                       struct dray_error *error) {
  if (sorter->runs != NULL) return merge_next(sorter, out_words, out_bytes, error);
  if (sorter->next == sorter->record_count) {
    *out_words = NULL;
    return DRAY_OK;
  }
  const uint64_t *record = sorter->records + sorter->next++ * width_of(sorter);
  *out_words = record;
  if (out_bytes != NULL) *out_bytes = bytes_of(sorter, record);
  return DRAY_OK;
}
