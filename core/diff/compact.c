// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Merging base and journal into a new base, in one sequential pass over both. The journal is sorted on the way, on disk
// when it is long. What no change falls into is copied as it is stored: runs of entries, and packed blocks of rows
// under new numbers; every sum is compared on the way. Until the head is replaced the old files are the mirror;
// afterwards the new ones are. So a base may be written before what it holds is committed: it is a file that no head
// names, and is taken, or written over, when the commit has come.
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/file.h"
#include "diff/mirror.h"
#include "diff/sorter.h"
#include "dray/destination.h"

#define AHEAD_PART 16u  // of the budget: for sorting beside a load, which has buffers of its own
#define STEP_ROWS 4096u // after so many it is looked whether the merge is still wanted

// Words of a sorted change. The place is complemented so that the latest change of a key comes first.
enum { WORD_HIGH, WORD_LOW, WORD_PLACE, WORD_ROW_HASH, WORD_META, WORD_COUNT };

struct rewrite {
  struct dr_mirror *mirror;
  struct dr_sorter changes;
  const uint64_t *words;   // the current change, NULL at the end
  struct dray_str payload; // its payload
  struct dr_base_out out;
  uint64_t copy_from, copy_to; // rows of the base whose entries were copied and whose payloads still must be
  struct dray_str *slices;
  uint32_t *columns;
  struct dray_buffer mapped;
  const atomic_int *stop; // NULL: goes on to the end
};

void dr_mirror_sweep(const char *folder, uint64_t keep) {
  DIR *entries = opendir(folder);
  if (entries == NULL) return;
  for (struct dirent *entry = readdir(entries); entry != NULL; entry = readdir(entries)) {
    uint64_t number = 0;
    int used = 0;
    const char *name = entry->d_name;
    const int numbered = (sscanf(name, "base.%" SCNu64 "%n", &number, &used) == 1 ||
                          sscanf(name, "journal.%" SCNu64 "%n", &number, &used) == 1) &&
                         name[used] == '\0';
    const int stray = strncmp(name, "tmp.", 4) == 0 || strcmp(name, DR_HEAD_NAME ".new") == 0;
    if (stray || (numbered && number != keep)) (void)unlinkat(dirfd(entries), name, 0);
  }
  (void)closedir(entries);
}

static int32_t fault(const char *name, const char *path, struct dray_error *error) {
  const int number = dr_fault_point(name);
  if (number == 0) return DRAY_OK;
  errno = number;
  return dr_fail_errno(error, "write", path);
}

static int32_t go_on(const struct rewrite *rewrite, struct dray_error *error) {
  if (rewrite->stop == NULL || atomic_load_explicit(rewrite->stop, memory_order_relaxed) == 0) return DRAY_OK;
  return dray_fail(error, DRAY_E_CANCELLED, "the merge of the mirror in %s was given up", rewrite->mirror->folder);
}

// ---- merging ----

static int32_t collect(void *ctx, const struct dr_frame *frame, struct dray_error *error) {
  struct rewrite *rewrite = ctx;
  struct dr_mirror *mirror = rewrite->mirror;
  struct dr_change_reader reader;
  struct dr_change change;
  size_t schema = 0;
  if (frame->kind != DR_FRAME_ACK) return DRAY_OK;
  DRAY_TRY(go_on(rewrite, error));
  if (!dr_change_reader_init(&reader, frame->body)) reader.left = 0;
  while (schema < mirror->schema_count && mirror->schemas[schema].id != reader.schema) schema++;
  if (schema == mirror->schema_count) {
    return dr_corrupt(error, mirror->journal->path, frame->offset, "changes of a schema that is not there");
  }
  while (reader.left > 0) {
    if (!dr_change_next(&reader, &change)) {
      return dr_corrupt(error, mirror->journal->path, frame->offset, "the changes do not fill their frame");
    }
    const uint64_t words[WORD_COUNT] = {change.high, change.low, ~(frame->body_offset + change.offset), change.row_hash,
                                        (uint64_t)schema << 8 | (uint64_t)change.op};
    DRAY_TRY(dr_sorter_add(&rewrite->changes, words, change.payload, error));
  }
  return DRAY_OK;
}

// Brings a payload under the current schema, in rewrite->mapped.
static int32_t map_payload(struct rewrite *rewrite, struct dr_rows_map *map, const struct dr_payload *payload,
                           struct dray_str bytes, uint64_t *row_hash, struct dray_error *error) {
  struct dray_buffer *mapped = &rewrite->mapped;
  struct dray_str key;
  dray_buffer_clear(mapped);
  if (payload->keep == DR_KEEP_ROW) {
    DRAY_TRY(dr_rows_remap(map, bytes, rewrite->slices, mapped, error));
    *row_hash = dr_row_hash(dray_buffer_view(mapped), rewrite->mirror->seed);
    return DRAY_OK;
  }
  *row_hash = DR_ROW_HASH_UNKNOWN; // the row is not there to be hashed under this schema
  if (payload->keep == DR_KEEP_KEY) return dray_buffer_append(mapped, bytes.data, (size_t)bytes.len, error);
  DRAY_TRY(dr_payload_columns(payload, bytes, NULL, &key, error));
  dr_rows_map_columns(map, bytes.data, rewrite->columns);
  DRAY_TRY(dray_buffer_append(mapped, rewrite->columns, map->to_count * sizeof *rewrite->columns, error));
  return dray_buffer_append(mapped, key.data, (size_t)key.len, error);
}

static int32_t put_row(struct rewrite *rewrite, struct dr_entry entry, struct dray_str bytes, struct dr_rows_map *map,
                       const struct dr_payload *payload, struct dray_error *error) {
  if (!map->identical) {
    DRAY_TRY(map_payload(rewrite, map, payload, bytes, &entry.row_hash, error));
    bytes = dray_buffer_view(&rewrite->mapped);
  }
  return dr_base_out_add(&rewrite->out, &entry, bytes, error);
}

// ---- rows that stay as they are ----

// A block is copied as it is stored unless blocks would become small by that, merge after merge.
static int is_copied_whole(const struct rewrite *rewrite, const struct dr_block *block) {
  const size_t waiting = rewrite->out.rows.bytes.len;
  return block->raw_bytes >= DR_BLOCK_RAW_BYTES / 2 && (waiting == 0 || waiting >= DR_BLOCK_RAW_BYTES / 2);
}

static int32_t copy_payloads(struct rewrite *rewrite, struct dray_error *error) {
  struct dr_base *base = rewrite->mirror->base;
  struct dr_rows_in *rows = &base->rows;
  uint64_t at = rewrite->copy_from;
  rewrite->copy_from = rewrite->copy_to;
  while (base->has_rows && at < rewrite->copy_to) {
    DRAY_TRY(dr_rows_in_load(rows, at, error));
    const uint64_t block_end = rows->block.first + rows->block.count;
    const uint64_t end = block_end < rewrite->copy_to ? block_end : rewrite->copy_to;
    if (at == rows->block.first && end == block_end && is_copied_whole(rewrite, &rows->block)) {
      DRAY_TRY(dr_base_out_block(&rewrite->out, &rows->block, error));
      at = end;
    }
    for (; at < end; at++) {
      struct dray_str payload;
      DRAY_TRY(dr_rows_in_get(rows, at, &payload, error));
      DRAY_TRY(dr_base_out_payload(&rewrite->out, payload, error));
    }
  }
  return DRAY_OK;
}

// Rows `number` to `number` + count of the base, whose entries these are.
static int32_t copy_run(struct rewrite *rewrite, uint64_t number, const uint8_t *entries, size_t count,
                        struct dray_error *error) {
  struct dr_mirror *mirror = rewrite->mirror;
  struct dr_base *base = mirror->base;
  if (mirror->base_map.identical) {
    if (rewrite->copy_to != number) {
      DRAY_TRY(copy_payloads(rewrite, error));
      rewrite->copy_from = number;
    }
    rewrite->copy_to = number + count;
    return dr_base_out_run(&rewrite->out, entries, count, error);
  }
  for (size_t i = 0; i < count; i++) {
    struct dray_str payload;
    DRAY_TRY(dr_base_row(base, number + i, &payload, error));
    DRAY_TRY(put_row(rewrite, dr_entry_at(entries + i * base->entry_bytes, base->entry_bytes), payload,
                     &mirror->base_map, &mirror->base_payload, error));
  }
  return DRAY_OK;
}

// ---- the merge ----

static int is_before(uint64_t high, uint64_t low, uint64_t other_high, uint64_t other_low) {
  return high != other_high ? high < other_high : low < other_low;
}

// Writes the current change, then goes on to the next key.
static int32_t put_change(struct rewrite *rewrite, struct dray_error *error) {
  const struct dr_entry entry = {rewrite->words[WORD_HIGH], rewrite->words[WORD_LOW], rewrite->words[WORD_ROW_HASH]};
  const uint64_t meta = rewrite->words[WORD_META];
  if (rewrite->out.count % STEP_ROWS == 0) DRAY_TRY(go_on(rewrite, error));
  if ((meta & 255) != DRAY_OP_DELETE) {
    struct dr_journal_schema *schema = &rewrite->mirror->schemas[meta >> 8];
    DRAY_TRY(copy_payloads(rewrite, error));
    DRAY_TRY(put_row(rewrite, entry, rewrite->payload, &schema->map, &schema->payload, error));
  }
  do {
    DRAY_TRY(dr_sorter_next(&rewrite->changes, &rewrite->words, &rewrite->payload, error));
  } while (rewrite->words != NULL && rewrite->words[WORD_HIGH] == entry.high && rewrite->words[WORD_LOW] == entry.low);
  return DRAY_OK;
}

// How many of the entries stand before the key.
static size_t count_before(const struct dr_base *base, const uint8_t *entries, size_t count, uint64_t high,
                           uint64_t low) {
  size_t from = 0;
  while (from < count) {
    const size_t middle = from + (count - from) / 2;
    const struct dr_entry entry = dr_entry_at(entries + middle * base->entry_bytes, base->entry_bytes);
    if (is_before(entry.high, entry.low, high, low)) {
      from = middle + 1;
    } else {
      count = middle;
    }
  }
  return from;
}

// A run of the base's entries from row `number` on, with the changes that fall into it.
static int32_t merge_run(struct rewrite *rewrite, uint64_t number, const uint8_t *entries, size_t count,
                         struct dray_error *error) {
  const struct dr_base *base = rewrite->mirror->base;
  size_t done = 0;
  while (done < count && rewrite->words != NULL) {
    const uint64_t high = rewrite->words[WORD_HIGH], low = rewrite->words[WORD_LOW];
    const size_t to = done + count_before(base, entries + done * base->entry_bytes, count - done, high, low);
    if (to > done) {
      DRAY_TRY(copy_run(rewrite, number + done, entries + done * base->entry_bytes, to - done, error));
    }
    done = to;
    if (done == count) return DRAY_OK;
    const struct dr_entry entry = dr_entry_at(entries + done * base->entry_bytes, base->entry_bytes);
    done += entry.high == high && entry.low == low; // overlaid
    DRAY_TRY(put_change(rewrite, error));
  }
  if (done == count) return DRAY_OK;
  return copy_run(rewrite, number + done, entries + done * base->entry_bytes, count - done, error);
}

static int32_t merge_runs(struct rewrite *rewrite, struct dr_sweep *sweep, struct dray_error *error) {
  for (uint64_t number = 0; number < dr_base_rows(sweep->base);) {
    const uint8_t *entries;
    size_t count;
    DRAY_TRY(dr_sweep_next(sweep, number, &entries, &count, error));
    DRAY_TRY(merge_run(rewrite, number, entries, count, error));
    number += count;
  }
  return DRAY_OK;
}

static int32_t merge(struct rewrite *rewrite, struct dray_error *error) {
  struct dr_sweep sweep;
  DRAY_TRY(dr_sorter_next(&rewrite->changes, &rewrite->words, &rewrite->payload, error));
  dr_sweep_init(&sweep, rewrite->mirror->base);
  const int32_t rc = merge_runs(rewrite, &sweep, error);
  dr_sweep_free(&sweep);
  if (rc != DRAY_OK) return rc;
  while (rewrite->words != NULL) DRAY_TRY(put_change(rewrite, error));
  return copy_payloads(rewrite, error);
}

// ---- making the new files the mirror ----

// What the files after the present ones say of themselves; borrows its parts.
static struct dr_file_info next_info(const struct dr_mirror *mirror, uint64_t number, uint64_t generation) {
  struct dr_file_info info = mirror->info;
  info.number = number;
  info.generation = generation;
  return info;
}

// Writes base `number`, durably. *out: the head that names it.
static int32_t write_base(struct rewrite *rewrite, uint64_t number, struct dr_head *out, struct dray_error *error) {
  struct dr_mirror *mirror = rewrite->mirror;
  struct dr_file_info info = next_info(mirror, number, mirror->generation);
  struct dr_head head = {.number = number, .generation = info.generation, .seed_id = info.seed_id};
  struct dr_footer footer;
  // No two bases have the same digest, though they hold the same rows: a journal never fits another mirror's base.
  if (getrandom(&info.twin, sizeof info.twin, 0) != (ssize_t)sizeof info.twin) info.twin = (uint64_t)dr_now_us();
  int32_t rc = dr_base_out_begin(&rewrite->out, mirror->folder, &info, error);
  rewrite->out.scratch = mirror->scratch;
  if (mirror->scratch) rewrite->out.out.level = DR_LEVEL_NONE;
  if (rc == DRAY_OK && mirror->base != NULL) rc = merge(rewrite, error);
  if (rc == DRAY_OK) rc = dr_base_out_end(&rewrite->out, &footer, &head.base_bytes, error);
  dr_base_out_free(&rewrite->out);
  if (rc != DRAY_OK) return rc;
  head.base_digest = footer.digest;
  head.schema = dr_schema_fingerprint(info.schema);
  *out = head;
  return DRAY_OK;
}

// Makes the journal of the base that `head` means and replaces the head. *out_replaced: whether that was tried. The
// generation of a base is the one at which it was begun, that of its journal is the mirror's.
static int32_t publish(struct dr_mirror *mirror, const struct dr_head *head, int *out_replaced,
                       struct dray_error *error) {
  struct dr_file_info info = next_info(mirror, head->number, mirror->generation);
  info.twin = head->base_digest;
  DRAY_TRY(dr_journal_create(mirror->folder, &info, error));
  DRAY_TRY(dr_folder_sync(mirror->folder, error));
  DRAY_TRY(fault("mirror.compact.base", mirror->folder, error));
  *out_replaced = 1;
  DRAY_TRY(dr_head_replace(mirror->folder, head, error));
  return fault("mirror.compact.head", mirror->folder, error);
}

int32_t dr_mirror_create(struct dr_mirror *mirror, struct dray_error *error) {
  struct rewrite rewrite = {.mirror = mirror};
  struct dr_head head;
  int replaced = 0;
  DRAY_TRY(write_base(&rewrite, 1, &head, error));
  return publish(mirror, &head, &replaced, error);
}

static int32_t sort_journal(struct rewrite *rewrite, uint64_t end, struct dray_error *error) {
  struct dr_mirror *mirror = rewrite->mirror;
  struct dr_journal_tail tail;
  DRAY_TRY(dr_journal_scan(mirror->journal, end, collect, rewrite, &tail, error));
  if (tail.torn != 0)
    return dr_corrupt(error, mirror->journal->path, tail.torn, "a frame that was read before is damaged");
  return dr_sorter_sort(&rewrite->changes, error);
}

// The next base, of the present one and the journal up to `end`. A failure leaves nothing but waste, and that not long.
static int32_t make_base(struct dr_mirror *mirror, uint64_t end, uint64_t memory_bytes, const atomic_int *stop,
                         struct dr_head *out, struct dray_error *error) {
  struct rewrite rewrite = {.mirror = mirror, .stop = stop};
  dray_buffer_init(&rewrite.mapped, DR_ROW_BYTES_MAX);
  dr_sorter_init(&rewrite.changes, WORD_COUNT, 3, 1, memory_bytes, mirror->folder);
  rewrite.slices = calloc(dr_slots_count(&mirror->slots) + 1, sizeof *rewrite.slices);
  rewrite.columns = calloc(dr_slots_count(&mirror->slots) + 1, sizeof *rewrite.columns);
  int32_t rc = DRAY_OK;
  if (rewrite.slices == NULL || rewrite.columns == NULL)
    rc = dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to merge the mirror");
  if (rc == DRAY_OK) rc = sort_journal(&rewrite, end, error);
  if (rc == DRAY_OK) rc = write_base(&rewrite, mirror->head.number + 1, out, error);
  free(rewrite.slices);
  free(rewrite.columns);
  dray_buffer_free(&rewrite.mapped);
  dr_sorter_free(&rewrite.changes);
  if (rc != DRAY_OK) dr_mirror_sweep(mirror->folder, mirror->head.number);
  return rc;
}

void dr_mirror_write_ahead(struct dr_mirror *mirror, const atomic_int *stop) {
  struct dray_error ignored;
  struct dr_head head;
  dray_error_init(&ignored);
  mirror->ahead.made = 0;
  const int32_t rc = make_base(mirror, mirror->journal->end, dr_share(mirror, AHEAD_PART), stop, &head, &ignored);
  if (rc == DRAY_OK) mirror->ahead = (struct dr_ahead){1, head};
}

int32_t dr_mirror_rewrite(struct dr_mirror *mirror, struct dray_error *error) {
  struct dr_head head = mirror->ahead.head;
  const uint64_t old = mirror->head.number;
  int replaced = 0;
  int32_t rc = DRAY_OK;
  if (!dr_mirror_is_ahead(mirror)) {
    rc = make_base(mirror, mirror->committed_end, dr_share(mirror, 2), NULL, &head, error);
  }
  mirror->ahead.made = 0;
  DRAY_TRY(rc);
  rc = publish(mirror, &head, &replaced, error);
  if (rc != DRAY_OK && !replaced) { // nothing but waste was made
    dr_mirror_sweep(mirror->folder, old);
    return rc;
  }
  if (rc != DRAY_OK) return dr_mirror_break(mirror, rc, error); // either head may be the one that survives
  dr_mirror_unload(mirror);
  rc = dr_mirror_load(mirror, error);
  if (rc != DRAY_OK) return dr_mirror_break(mirror, rc, error);
  dr_mirror_sweep(mirror->folder, mirror->head.number);
  return DRAY_OK;
}
