// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Merging base and changes into a new base, in one sequential pass over both. The changes are sorted on the way, on
// disk when they are many. What no change falls into is copied as it is stored: runs of entries, and packed blocks of
// rows under new numbers; every sum is compared on the way.
#include "diff/merge.h"

#include <stdlib.h>
#include <sys/random.h>

#include "base/clock.h"
#include "diff/sorter.h"
#include "dray/destination.h"

#define STEP_ROWS 4096u // after so many it is looked whether the merge is still wanted

// Words of a sorted change. The place is complemented so that the latest change of a key comes first.
enum { WORD_HIGH, WORD_LOW, WORD_PLACE, WORD_ROW_HASH, WORD_META, WORD_COUNT };

struct dr_merge {
  struct dr_mirror *mirror; // of it only what a pass, prepare and commit leave as it is
  struct dr_sorter changes;
  const uint64_t *words;   // the current change, NULL at the end
  struct dray_str payload; // its payload
  struct dr_base_out out;
  uint64_t copy_from, copy_to; // rows of the base whose entries were copied and whose payloads still must be
  struct dray_str *slices;
  uint32_t *columns;
  struct dray_buffer mapped;
  uint64_t generation;    // of the mirror when the merge was begun
  const atomic_int *stop; // NULL: goes on to the end
};

void dr_merge_free(struct dr_merge *merge) {
  if (merge == NULL) return;
  free(merge->slices);
  free(merge->columns);
  dray_buffer_free(&merge->mapped);
  dr_sorter_free(&merge->changes);
  free(merge);
}

int32_t dr_merge_new(struct dr_mirror *mirror, uint64_t memory_bytes, struct dr_merge **out, struct dray_error *error) {
  struct dr_merge *merge = calloc(1, sizeof *merge);
  if (merge == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to merge the mirror");
  merge->mirror = mirror;
  merge->generation = mirror->generation;
  dray_buffer_init(&merge->mapped, DR_ROW_BYTES_MAX);
  dr_sorter_init(&merge->changes, WORD_COUNT, 3, 1, memory_bytes, mirror->folder);
  merge->slices = calloc(dr_slots_count(&mirror->slots) + 1, sizeof *merge->slices);
  merge->columns = calloc(dr_slots_count(&mirror->slots) + 1, sizeof *merge->columns);
  if (merge->slices == NULL || merge->columns == NULL) {
    dr_merge_free(merge);
    return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to merge the mirror");
  }
  *out = merge;
  return DRAY_OK;
}

// ---- gathering ----

int32_t dr_merge_add(struct dr_merge *merge, const struct dr_change *change, uint64_t place, size_t schema,
                     struct dray_error *error) {
  const uint64_t words[WORD_COUNT] = {change->high, change->low, ~place, change->row_hash,
                                      (uint64_t)schema << 8 | (uint64_t)change->op};
  return dr_sorter_add(&merge->changes, words, change->payload, error);
}

static int32_t collect(void *ctx, const struct dr_frame *frame, struct dray_error *error) {
  struct dr_merge *merge = ctx;
  struct dr_mirror *mirror = merge->mirror;
  struct dr_change_reader reader;
  struct dr_change change;
  size_t schema = 0;
  if (frame->kind != DR_FRAME_ACK) return DRAY_OK;
  if (!dr_change_reader_init(&reader, frame->body)) reader.left = 0;
  while (schema < mirror->schema_count && mirror->schemas[schema].id != reader.schema) schema++;
  if (schema == mirror->schema_count) {
    return dr_corrupt(error, mirror->journal->path, frame->offset, "changes of a schema that is not there");
  }
  while (reader.left > 0) {
    if (!dr_change_next(&reader, &change)) {
      return dr_corrupt(error, mirror->journal->path, frame->offset, "the changes do not fill their frame");
    }
    DRAY_TRY(dr_merge_add(merge, &change, frame->body_offset + change.offset, schema, error));
  }
  return DRAY_OK;
}

int32_t dr_merge_journal(struct dr_merge *merge, uint64_t end, struct dray_error *error) {
  struct dr_journal *journal = merge->mirror->journal;
  struct dr_journal_tail tail;
  DRAY_TRY(dr_journal_scan(journal, end, collect, merge, &tail, error));
  if (tail.torn == 0) return DRAY_OK;
  return dr_corrupt(error, journal->path, tail.torn, "a frame that was read before is damaged");
}

static int32_t go_on(const struct dr_merge *merge, struct dray_error *error) {
  if (merge->stop == NULL || atomic_load_explicit(merge->stop, memory_order_relaxed) == 0) return DRAY_OK;
  return dray_fail(error, DRAY_E_CANCELLED, "the merge of the mirror in %s was given up", merge->mirror->folder);
}

// ---- rows ----

// Brings a payload under the current schema, in merge->mapped.
static int32_t map_payload(struct dr_merge *merge, struct dr_rows_map *map, const struct dr_payload *payload,
                           struct dray_str bytes, uint64_t *row_hash, struct dray_error *error) {
  struct dray_buffer *mapped = &merge->mapped;
  struct dray_str key;
  dray_buffer_clear(mapped);
  if (payload->keep == DR_KEEP_ROW) {
    DRAY_TRY(dr_rows_remap(map, bytes, merge->slices, mapped, error));
    *row_hash = dr_row_hash(dray_buffer_view(mapped), merge->mirror->seed);
    return DRAY_OK;
  }
  *row_hash = DR_ROW_HASH_UNKNOWN; // the row is not there to be hashed under this schema
  if (payload->keep == DR_KEEP_KEY) return dray_buffer_append(mapped, bytes.data, (size_t)bytes.len, error);
  DRAY_TRY(dr_payload_columns(payload, bytes, NULL, &key, error));
  dr_rows_map_columns(map, bytes.data, merge->columns);
  DRAY_TRY(dray_buffer_append(mapped, merge->columns, map->to_count * sizeof *merge->columns, error));
  return dray_buffer_append(mapped, key.data, (size_t)key.len, error);
}

static int32_t put_row(struct dr_merge *merge, struct dr_entry entry, struct dray_str bytes, struct dr_rows_map *map,
                       const struct dr_payload *payload, struct dray_error *error) {
  if (!map->identical) {
    const int distrusted = entry.row_hash == DR_ROW_HASH_DISTRUSTED;
    DRAY_TRY(map_payload(merge, map, payload, bytes, &entry.row_hash, error));
    if (distrusted) entry.row_hash = DR_ROW_HASH_DISTRUSTED; // under any schema
    bytes = dray_buffer_view(&merge->mapped);
  }
  return dr_base_out_add(&merge->out, &entry, bytes, error);
}

// ---- rows that stay as they are ----

// A block is copied as it is stored unless blocks would become small by that, merge after merge.
static int is_copied_whole(const struct dr_merge *merge, const struct dr_block *block) {
  const size_t waiting = merge->out.rows.bytes.len;
  return block->raw_bytes >= DR_BLOCK_RAW_BYTES / 2 && (waiting == 0 || waiting >= DR_BLOCK_RAW_BYTES / 2);
}

static int32_t copy_payloads(struct dr_merge *merge, struct dray_error *error) {
  struct dr_base *base = merge->mirror->base;
  struct dr_rows_in *rows = &base->rows;
  uint64_t at = merge->copy_from;
  merge->copy_from = merge->copy_to;
  while (base->has_rows && at < merge->copy_to) {
    DRAY_TRY(dr_rows_in_load(rows, at, error));
    const uint64_t block_end = rows->block.first + rows->block.count;
    const uint64_t end = block_end < merge->copy_to ? block_end : merge->copy_to;
    if (at == rows->block.first && end == block_end && is_copied_whole(merge, &rows->block)) {
      DRAY_TRY(dr_base_out_block(&merge->out, &rows->block, error));
      at = end;
    }
    for (; at < end; at++) {
      struct dray_str payload;
      DRAY_TRY(dr_rows_in_get(rows, at, &payload, error));
      DRAY_TRY(dr_base_out_payload(&merge->out, payload, error));
    }
  }
  return DRAY_OK;
}

// Rows `number` to `number` + count of the base, whose entries these are.
static int32_t copy_run(struct dr_merge *merge, uint64_t number, const uint8_t *entries, size_t count,
                        struct dray_error *error) {
  struct dr_mirror *mirror = merge->mirror;
  struct dr_base *base = mirror->base;
  if (mirror->base_map.identical) {
    if (merge->copy_to != number) {
      DRAY_TRY(copy_payloads(merge, error));
      merge->copy_from = number;
    }
    merge->copy_to = number + count;
    return dr_base_out_run(&merge->out, entries, count, error);
  }
  for (size_t i = 0; i < count; i++) {
    struct dray_str payload;
    DRAY_TRY(dr_base_row(base, number + i, &payload, error));
    DRAY_TRY(put_row(merge, dr_entry_at(entries + i * base->entry_bytes, base->entry_bytes), payload, &mirror->base_map,
                     &mirror->base_payload, error));
  }
  return DRAY_OK;
}

// ---- the merge ----

static int is_before(uint64_t high, uint64_t low, uint64_t other_high, uint64_t other_low) {
  return high != other_high ? high < other_high : low < other_low;
}

// Writes the current change, then goes on to the next key.
static int32_t put_change(struct dr_merge *merge, struct dray_error *error) {
  const struct dr_entry entry = {merge->words[WORD_HIGH], merge->words[WORD_LOW], merge->words[WORD_ROW_HASH]};
  const uint64_t meta = merge->words[WORD_META];
  if (merge->out.count % STEP_ROWS == 0) DRAY_TRY(go_on(merge, error));
  if ((meta & 255) != DRAY_OP_DELETE) {
    struct dr_journal_schema *schema = &merge->mirror->schemas[meta >> 8];
    DRAY_TRY(copy_payloads(merge, error));
    DRAY_TRY(put_row(merge, entry, merge->payload, &schema->map, &schema->payload, error));
  }
  do {
    DRAY_TRY(dr_sorter_next(&merge->changes, &merge->words, &merge->payload, error));
  } while (merge->words != NULL && merge->words[WORD_HIGH] == entry.high && merge->words[WORD_LOW] == entry.low);
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
static int32_t merge_run(struct dr_merge *merge, uint64_t number, const uint8_t *entries, size_t count,
                         struct dray_error *error) {
  const struct dr_base *base = merge->mirror->base;
  size_t done = 0;
  while (done < count && merge->words != NULL) {
    const uint64_t high = merge->words[WORD_HIGH], low = merge->words[WORD_LOW];
    const size_t to = done + count_before(base, entries + done * base->entry_bytes, count - done, high, low);
    if (to > done) {
      DRAY_TRY(copy_run(merge, number + done, entries + done * base->entry_bytes, to - done, error));
    }
    done = to;
    if (done == count) return DRAY_OK;
    const struct dr_entry entry = dr_entry_at(entries + done * base->entry_bytes, base->entry_bytes);
    done += entry.high == high && entry.low == low; // overlaid
    DRAY_TRY(put_change(merge, error));
  }
  if (done == count) return DRAY_OK;
  return copy_run(merge, number + done, entries + done * base->entry_bytes, count - done, error);
}

static int32_t merge_runs(struct dr_merge *merge, struct dr_sweep *sweep, struct dray_error *error) {
  for (uint64_t number = 0; number < dr_base_rows(sweep->base);) {
    const uint8_t *entries;
    size_t count;
    DRAY_TRY(go_on(merge, error));
    DRAY_TRY(dr_sweep_next(sweep, number, &entries, &count, error));
    DRAY_TRY(merge_run(merge, number, entries, count, error));
    number += count;
  }
  return DRAY_OK;
}

static int32_t merge_all(struct dr_merge *merge, struct dray_error *error) {
  struct dr_sweep sweep;
  DRAY_TRY(dr_sorter_next(&merge->changes, &merge->words, &merge->payload, error));
  dr_sweep_init(&sweep, merge->mirror->base);
  const int32_t rc = merge_runs(merge, &sweep, error);
  dr_sweep_free(&sweep);
  if (rc != DRAY_OK) return rc;
  while (merge->words != NULL) DRAY_TRY(put_change(merge, error));
  return copy_payloads(merge, error);
}

// ---- the file ----

// Opens base `number`, goes through both sides, ends it durably.
static int32_t write_base(struct dr_merge *merge, struct dr_file_info *info, uint64_t *out_bytes, struct dr_footer *out,
                          struct dray_error *error) {
  const struct dr_mirror *mirror = merge->mirror;
  // No two bases have the same digest, though they hold the same rows: a journal never fits another mirror's base.
  if (getrandom(&info->twin, sizeof info->twin, 0) != (ssize_t)sizeof info->twin) info->twin = (uint64_t)dr_now_us();
  int32_t rc = dr_base_out_begin(&merge->out, mirror->folder, info, error);
  merge->out.scratch = mirror->scratch;
  if (mirror->scratch) merge->out.out.packer.level = DR_LEVEL_NONE;
  const int beside = mirror->base != NULL && mirror->threads != 1 && !mirror->scratch && merge->out.has_rows;
  if (rc == DRAY_OK && beside) rc = dr_rows_out_beside(&merge->out.rows, error);
  if (rc == DRAY_OK && mirror->base != NULL) rc = merge_all(merge, error);
  if (rc == DRAY_OK) rc = dr_base_out_end(&merge->out, out, out_bytes, error);
  dr_base_out_free(&merge->out);
  return rc;
}

int32_t dr_merge_write(struct dr_merge *merge, uint64_t number, const atomic_int *stop, struct dr_head *out,
                       struct dray_error *error) {
  struct dr_file_info info = merge->mirror->info; // borrows its parts
  struct dr_head head = {.number = number, .generation = merge->generation, .seed_id = info.seed_id};
  struct dr_footer footer;
  info.number = number;
  info.generation = merge->generation;
  merge->stop = stop;
  DRAY_TRY(go_on(merge, error));
  DRAY_TRY(dr_sorter_sort(&merge->changes, error));
  DRAY_TRY(write_base(merge, &info, &head.base_bytes, &footer, error));
  head.base_digest = footer.digest;
  head.schema = dr_schema_fingerprint(info.schema);
  *out = head;
  return DRAY_OK;
}
