// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// A pass while rows come. A batch is looked up in the order of its key hashes, so that a mirror on disk is read
// forwards, and written in the order of its rows.
#include "diff/pass.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/file.h"
#include "dray/destination.h"

// ---- beginning ----

// The unfinished change set lies beside the finished one, under a name that the next pass of this mirror finds again.
static int32_t name_temporary(struct dr_diff *diff, struct dray_error *error) {
  struct stat info;
  const char *slash = strrchr(diff->path, '/');
  const size_t folder = slash != NULL ? (size_t)(slash - diff->path) + 1 : 0;
  if (stat(diff->mirror->folder, &info) != 0) return dr_fail_errno(error, "look at", diff->mirror->folder);
  diff->temporary = malloc(folder + 64);
  if (diff->temporary == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to begin a pass");
  memcpy(diff->temporary, diff->path, folder);
  (void)snprintf(diff->temporary + folder, 64, ".pass-%" PRIx64 "-%" PRIx64 ".tmp", (uint64_t)info.st_dev,
                 (uint64_t)info.st_ino);
  return DRAY_OK;
}

static int32_t open_temporary(struct dr_diff *diff, struct dray_error *error) {
  DRAY_TRY(name_temporary(diff, error));
  diff->fd = open(diff->temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (diff->fd < 0) return dr_fail_errno(error, "create", diff->temporary);
  diff->created = 1;
  dr_out_init(&diff->out, diff->fd, diff->temporary);
  return dr_out_header(&diff->out, DR_MAGIC_CHANGES, &diff->mirror->info, error);
}

static int32_t make_scratch(struct dr_diff *diff, struct dray_error *error) {
  const size_t fields = diff->mirror->slots.schema->field_count;
  diff->stride = dr_changed_stride(fields);
  diff->changed = calloc(diff->stride + 1, 1);
  diff->absent = calloc(diff->stride + 1, 1);
  diff->slices = calloc(fields + 1, sizeof *diff->slices);
  diff->old_slices = calloc(fields + 1, sizeof *diff->old_slices);
  diff->counts.column_updates = calloc(fields + 1, sizeof *diff->counts.column_updates);
  if (diff->changed == NULL || diff->absent == NULL || diff->slices == NULL || diff->old_slices == NULL ||
      diff->counts.column_updates == NULL) {
    return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a pass over %zu columns", fields);
  }
  return DRAY_OK;
}

static int32_t set_options(struct dr_diff *diff, const struct dr_diff_options *options, struct dray_error *error) {
  diff->flags = options->flags;
  diff->duplicates = options->duplicates == 0 ? DR_DUPLICATES_REJECT : options->duplicates;
  diff->order_column = -1;
  if (options->order_column != NULL) {
    diff->order_column = dr_schema_find(diff->mirror->slots.schema, dray_str_of(options->order_column));
    if (diff->order_column < 0) {
      return dray_fail_field(error, DRAY_E_SCHEMA_COLUMN, options->order_column,
                             "the column %s that duplicates are ordered by is not in the rows", options->order_column);
    }
  }
  diff->path = dray_str_dup(dray_str_of(options->changeset_path));
  return diff->path != NULL ? DRAY_OK : dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to begin a pass");
}

// The mirror as a pass needs it: nothing open, the overlay in order, the base in memory if it fits.
static int32_t ready_mirror(struct dr_mirror *mirror, struct dray_error *error) {
  DRAY_TRY(dr_mirror_usable(mirror, error));
  if (mirror->pending || mirror->prepared != 0) {
    return dray_fail(error, DRAY_E_INTERNAL,
                     "the mirror in %s holds acknowledged changes%s: commit or roll back before the next pass",
                     mirror->folder, mirror->prepared != 0 ? " that are prepared" : "");
  }
  if (mirror->overflow) DRAY_TRY(dr_mirror_rewrite(mirror, error));
  DRAY_TRY(dr_base_hold(mirror->base, dr_share(mirror, 2), error));
  return dr_mirror_settle(mirror, error);
}

int32_t dr_diff_begin(struct dr_mirror *mirror, const struct dr_diff_options *options, struct dr_diff **out,
                      struct dray_error *error) {
  DRAY_TRY(ready_mirror(mirror, error));
  struct dr_diff *diff = calloc(1, sizeof *diff);
  if (diff == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to begin a pass");
  diff->mirror = mirror;
  diff->fd = -1;
  mirror->busy = 1;
  dr_rows_out_init(&diff->records, &diff->out);
  dray_buffer_init(&diff->old, SIZE_MAX / 4);
  dray_buffer_init(&diff->encoded, DR_ROW_BYTES_MAX);
  dray_buffer_init(&diff->merged, DR_ROW_BYTES_MAX);
  dray_buffer_init(&diff->before, DR_ROW_BYTES_MAX);
  int32_t rc = set_options(diff, options, error);
  const size_t words = diff->order_column >= 0 ? SIGHT_WORDS : SIGHT_WORDS - 1;
  dr_sorter_init(&diff->sightings, words, SIGHT_REF, 0, dr_share(mirror, 4), mirror->folder);
  dr_sorter_init(&diff->exceptions, EXCEPT_WORDS, EXCEPT_WHAT, 0, dr_share(mirror, 16), mirror->folder);
  if (rc == DRAY_OK) rc = make_scratch(diff, error);
  if (rc == DRAY_OK) rc = open_temporary(diff, error);
  if (rc != DRAY_OK) {
    dr_diff_free(diff);
    return rc;
  }
  *out = diff;
  return DRAY_OK;
}

void dr_diff_free(struct dr_diff *diff) {
  if (diff == NULL) return;
  if (!diff->finished) diff->mirror->busy = 0;
  if (diff->fd >= 0) (void)close(diff->fd);
  if (diff->created) (void)unlink(diff->temporary);
  dr_rows_out_free(&diff->records);
  dr_out_free(&diff->out);
  dr_sorter_free(&diff->sightings);
  dr_sorter_free(&diff->exceptions);
  dray_buffer_free(&diff->old);
  dray_buffer_free(&diff->encoded);
  dray_buffer_free(&diff->merged);
  dray_buffer_free(&diff->before);
  free(diff->counts.column_updates);
  free(diff->key_hashes);
  free(diff->row_hashes);
  free(diff->probes);
  free(diff->order);
  free(diff->changed);
  free(diff->absent);
  free(diff->slices);
  free(diff->old_slices);
  free(diff->path);
  free(diff->temporary);
  free(diff);
}

void dr_diff_not_full(struct dr_diff *diff) {
  diff->flags &= ~(uint32_t)DR_DIFF_FULL;
}

// ---- looking a batch up ----

static void *grown(void *old, size_t count, size_t size) {
  void *memory = realloc(old, count * size);
  return memory;
}

static int32_t batch_room(struct dr_diff *diff, size_t rows, struct dray_error *error) {
  if (rows <= diff->capacity) return DRAY_OK;
  void *keys = grown(diff->key_hashes, rows, sizeof *diff->key_hashes);
  if (keys != NULL) diff->key_hashes = keys;
  void *hashes = grown(diff->row_hashes, rows, sizeof *diff->row_hashes);
  if (hashes != NULL) diff->row_hashes = hashes;
  void *probes = grown(diff->probes, rows, sizeof *diff->probes);
  if (probes != NULL) diff->probes = probes;
  void *order = grown(diff->order, rows, 3 * sizeof *diff->order);
  if (order != NULL) diff->order = order;
  if (keys == NULL || hashes == NULL || probes == NULL || order == NULL) {
    return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a batch of %zu rows", rows);
  }
  diff->capacity = rows;
  return DRAY_OK;
}

// Whether the row is known to equal the mirror's without looking at either.
static int surely_equal(struct dr_diff *diff, const struct dr_probe *probe, uint64_t row_hash) {
  return probe->found.row_hash == row_hash && dr_mirror_map(diff->mirror, &probe->found)->identical;
}

// Looks row `row` up; when its old row will be needed, it is fetched now, while its neighbours are at hand.
static int32_t probe_row(struct dr_diff *diff, uint64_t row, struct dray_error *error) {
  struct dr_probe *probe = &diff->probes[row];
  const struct dr_hash128 *key = &diff->key_hashes[row];
  DRAY_TRY(dr_mirror_find(diff->mirror, key->high, key->low, &probe->found, error));
  if (!probe->found.found || surely_equal(diff, probe, diff->row_hashes[row].low)) return DRAY_OK;
  if (diff->old.len > dr_share(diff->mirror, 16)) return DRAY_OK; // the rest is fetched one by one
  struct dray_str old;
  struct dr_rows_map *map;
  DRAY_TRY(dr_mirror_row(diff->mirror, &probe->found, &old, &map, error));
  probe->old_at = diff->old.len;
  DRAY_TRY(dray_buffer_append(&diff->old, old.data, (size_t)old.len, error));
  probe->old_bytes = (uint32_t)old.len;
  return DRAY_OK;
}

static int32_t probe_batch(struct dr_diff *diff, const struct dr_batch *batch, struct dray_error *error) {
  const uint64_t rows = dr_batch_rows(batch);
  size_t count = 0;
  dray_buffer_clear(&diff->old);
  for (uint64_t row = 0; row < rows; row++) {
    const int null_key = dr_key_is_null(&diff->mirror->keys, batch, row);
    diff->probes[row] = (struct dr_probe){.old_bytes = UINT32_MAX, .null_key = null_key};
    if (null_key || dr_batch_is_deleted(batch, row)) continue;
    uint64_t *words = diff->order + 3 * count++;
    words[0] = diff->key_hashes[row].high;
    words[1] = diff->key_hashes[row].low;
    words[2] = row;
  }
  dr_sort_words(diff->order, count, 3, 2);
  for (size_t i = 0; i < count; i++) DRAY_TRY(probe_row(diff, diff->order[3 * i + 2], error));
  return DRAY_OK;
}

// ---- one row ----

static void set_all(uint8_t *bits, size_t count) {
  memset(bits, 0, dr_changed_stride(count));
  for (size_t i = 0; i < count; i++) bits[i >> 3] |= (uint8_t)(1u << (i & 7));
}

static int has_bit(const uint8_t *bits, size_t i) {
  return (bits[i >> 3] >> (i & 7)) & 1;
}

static struct dray_str view_of(const uint8_t *bytes, size_t len) {
  return dray_str_make((const char *)bytes, len);
}

static int32_t put_new(struct dr_diff *diff, uint64_t row, uint8_t op, int32_t code, struct dray_error *error) {
  struct dr_record record = {.op = op,
                             .code = code,
                             .ordinal = diff->counts.rows,
                             .high = diff->key_hashes[row].high,
                             .low = diff->key_hashes[row].low,
                             .row_hash = diff->row_hashes[row].low,
                             .changed = view_of(diff->changed, diff->stride),
                             .row = dray_buffer_view(&diff->encoded)};
  memset(diff->changed, 0, diff->stride);
  if (op == DRAY_OP_INSERT) set_all(diff->changed, diff->mirror->slots.schema->field_count);
  return dr_record_put(&diff->records, &record, error);
}

// Compares the row (in diff->slices) with the mirror's (in diff->old_slices); fills changed and absent.
static int compare(struct dr_diff *diff, int *out_absent) {
  const struct dr_slots *slots = &diff->mirror->slots;
  const int all = (diff->flags & DR_DIFF_RESYNC) != 0;
  int differs = 0;
  *out_absent = 0;
  memset(diff->changed, 0, diff->stride);
  memset(diff->absent, 0, diff->stride);
  for (size_t i = 0; i < dr_slots_count(slots); i++) {
    const uint32_t field = slots->encoder.columns[i];
    const uint8_t bit = (uint8_t)(1u << (field & 7));
    if (dr_slice_state(diff->slices[i]) == DR_SLOT_ABSENT) {
      diff->absent[field >> 3] |= bit;
      *out_absent = 1;
    } else if (all || !dray_str_equal(diff->slices[i], diff->old_slices[i])) {
      diff->changed[field >> 3] |= bit;
      differs = 1;
    }
  }
  return differs;
}

// What the other side will hold: the row, with the mirror's values where it says nothing.
static int32_t merge_row(struct dr_diff *diff, struct dray_error *error) {
  dray_buffer_clear(&diff->merged);
  for (size_t i = 0; i < dr_slots_count(&diff->mirror->slots); i++) {
    const int absent = dr_slice_state(diff->slices[i]) == DR_SLOT_ABSENT;
    const struct dray_str slice = absent ? diff->old_slices[i] : diff->slices[i];
    DRAY_TRY(dray_buffer_append(&diff->merged, slice.data, (size_t)slice.len, error));
  }
  return DRAY_OK;
}

static int32_t put_update(struct dr_diff *diff, uint64_t row, struct dray_str before, int any_absent,
                          struct dray_error *error) {
  struct dr_record record = {.op = DRAY_OP_UPDATE,
                             .flags = (uint8_t)(DR_RECORD_BEFORE | (any_absent ? DR_RECORD_ABSENT : 0)),
                             .ordinal = diff->counts.rows,
                             .high = diff->key_hashes[row].high,
                             .low = diff->key_hashes[row].low,
                             .row_hash = diff->row_hashes[row].low,
                             .changed = view_of(diff->changed, diff->stride),
                             .absent = view_of(diff->absent, any_absent ? diff->stride : 0),
                             .row = dray_buffer_view(&diff->encoded),
                             .before = before};
  if (any_absent) {
    DRAY_TRY(merge_row(diff, error));
    record.row = dray_buffer_view(&diff->merged);
    record.row_hash = dr_row_hash(record.row, diff->mirror->seed);
  }
  DRAY_TRY(dr_record_put(&diff->records, &record, error));
  diff->counts.updates++;
  for (size_t i = 0; i < diff->mirror->slots.schema->field_count; i++) {
    diff->counts.column_updates[i] += (uint64_t)has_bit(diff->changed, i);
  }
  return DRAY_OK;
}

// A row whose key the mirror has. *out_changed: whether it became a record.
static int32_t known_row(struct dr_diff *diff, const struct dr_batch *batch, uint64_t row, int *out_changed,
                         struct dray_error *error) {
  const struct dr_probe *probe = &diff->probes[row];
  struct dr_rows_map *map = dr_mirror_map(diff->mirror, &probe->found);
  const int equal = surely_equal(diff, probe, diff->row_hashes[row].low);
  int any_absent = 0;
  *out_changed = 0;
  if (equal && (diff->flags & DR_DIFF_RESYNC) == 0) return DRAY_OK;
  dray_buffer_clear(&diff->encoded);
  DRAY_TRY(dr_encode_row(&diff->mirror->slots.encoder, batch, row, &diff->encoded, error));
  struct dray_str old = dray_buffer_view(&diff->encoded);
  if (!equal && probe->old_bytes != UINT32_MAX) {
    old = dray_str_make(diff->old.data + probe->old_at, probe->old_bytes);
  } else if (!equal) {
    DRAY_TRY(dr_mirror_row(diff->mirror, &probe->found, &old, &map, error));
  }
  DRAY_TRY(dr_decode_slices(dray_buffer_view(&diff->encoded), map->to_count, diff->slices, error));
  DRAY_TRY(dr_rows_split(map, old, diff->old_slices, error));
  if (!compare(diff, &any_absent)) return DRAY_OK;
  *out_changed = 1;
  if (!map->identical) { // as it is, it may not be decoded under the current schema
    dray_buffer_clear(&diff->before);
    DRAY_TRY(dr_rows_remap(map, old, diff->old_slices, &diff->before, error));
    old = dray_buffer_view(&diff->before);
  }
  return put_update(diff, row, old, any_absent, error);
}

static int32_t new_row(struct dr_diff *diff, const struct dr_batch *batch, uint64_t row, uint8_t op, int32_t code,
                       struct dray_error *error) {
  dray_buffer_clear(&diff->encoded);
  DRAY_TRY(dr_encode_row(&diff->mirror->slots.encoder, batch, row, &diff->encoded, error));
  return put_new(diff, row, op, code, error);
}

static int32_t sight(struct dr_diff *diff, const struct dr_batch *batch, uint64_t row, uint64_t ref,
                     struct dray_error *error) {
  uint64_t words[SIGHT_WORDS] = {diff->key_hashes[row].high, diff->key_hashes[row].low, diff->counts.rows, ref, 0};
  uint64_t kind = dr_batch_is_deleted(batch, row) ? SIGHT_TOMBSTONE : SIGHT_ROW;
  if (diff->order_column >= 0) {
    const struct dray_column_view *column = &batch->view.columns[diff->order_column];
    if (!dray_column_is_null(column, row) && !dr_batch_is_absent(batch, (size_t)diff->order_column, row)) {
      words[SIGHT_REF] |= SIGHT_HAS_ORDER;
      words[SIGHT_ORDER] = dr_order_bits(column, row);
      if (kind == SIGHT_TOMBSTONE) kind = SIGHT_TOMBSTONE_ORDERED;
    }
  }
  words[SIGHT_PLACE] |= kind << SIGHT_CLASS_SHIFT;
  return dr_sorter_add(&diff->sightings, words, dray_str_make(NULL, 0), error);
}

// Whether the tombstone's row must be kept until the end, because its order cannot be told from the sighting alone.
static int is_kept(const struct dr_diff *diff, const struct dr_batch *batch, uint64_t row) {
  if (diff->order_column < 0) return 0;
  const struct dray_column_view *column = &batch->view.columns[diff->order_column];
  return !dr_order_is_exact(column->type) && !dray_column_is_null(column, row);
}

static int32_t add_row(struct dr_diff *diff, const struct dr_batch *batch, uint64_t row, struct dray_error *error) {
  const struct dr_probe *probe = &diff->probes[row];
  uint64_t ref = diff->records.count;
  int changed = 0;
  if (probe->null_key) {
    DRAY_TRY(new_row(diff, batch, row, DR_OP_REJECT, DRAY_E_DATA_KEY_NULL, error));
    diff->counts.null_keys++;
    return DRAY_OK;
  }
  if (!dr_batch_is_deleted(batch, row)) {
    if (probe->found.found) {
      DRAY_TRY(known_row(diff, batch, row, &changed, error));
      diff->counts.unchanged += !changed;
    } else {
      DRAY_TRY(new_row(diff, batch, row, DRAY_OP_INSERT, 0, error));
      diff->counts.inserts++;
      changed = 1;
    }
  }
  if (dr_batch_is_deleted(batch, row) && is_kept(diff, batch, row)) {
    DRAY_TRY(new_row(diff, batch, row, DRAY_OP_DELETE, 0, error)); // never seen: its delete is written at the end
    changed = 1;
  }
  if (!changed) ref |= SIGHT_UNCHANGED;
  return sight(diff, batch, row, ref, error);
}

static int32_t hash_batch(struct dr_diff *diff, const struct dr_batch *batch, struct dray_error *error) {
  const size_t rows = (size_t)dr_batch_rows(batch);
  uint64_t nulls, *hashes = malloc(rows * sizeof *hashes);
  uint8_t *null_keys = malloc(rows / 8 + 1);
  int32_t rc = DRAY_OK;
  if (hashes == NULL || null_keys == NULL) rc = dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a batch");
  if (rc == DRAY_OK) rc = dr_key_hashes(&diff->mirror->keys, batch, diff->key_hashes, null_keys, &nulls, error);
  if (rc == DRAY_OK) rc = dr_row_hashes(&diff->mirror->slots.encoder, batch, hashes, error);
  for (size_t i = 0; rc == DRAY_OK && i < rows; i++) diff->row_hashes[i].low = hashes[i];
  free(hashes);
  free(null_keys);
  return rc;
}

static int32_t add_batch(struct dr_diff *diff, const struct dr_batch *batch, struct dray_error *error) {
  const uint64_t rows = dr_batch_rows(batch);
  if (batch->schema != diff->mirror->slots.schema && !dr_schema_equal(batch->schema, diff->mirror->slots.schema)) {
    return dray_fail(error, DRAY_E_INTERNAL, "a batch has another schema than the mirror was opened with");
  }
  DRAY_TRY(batch_room(diff, (size_t)rows, error));
  DRAY_TRY(hash_batch(diff, batch, error));
  DRAY_TRY(probe_batch(diff, batch, error));
  for (uint64_t row = 0; row < rows; row++) {
    DRAY_TRY(add_row(diff, batch, row, error));
    diff->counts.rows++;
  }
  return DRAY_OK;
}

static int32_t check_open(const struct dr_diff *diff, struct dray_error *error) {
  return diff->finished ? dray_fail(error, DRAY_E_INTERNAL, "a pass that ended or failed goes no further") : DRAY_OK;
}

// After a failure the pass is over: its file cannot be trusted to be whole.
static int32_t end_pass(struct dr_diff *diff, int32_t rc) {
  diff->finished = 1;
  diff->mirror->busy = 0;
  return rc;
}

int32_t dr_diff_add(struct dr_diff *diff, struct dr_batch *batch, struct dray_error *error) {
  int32_t rc = check_open(diff, error);
  if (rc == DRAY_OK && dr_batch_rows(batch) > 0) {
    rc = add_batch(diff, batch, error);
    if (rc != DRAY_OK) (void)end_pass(diff, rc);
  }
  dr_batch_free(batch);
  return rc;
}

// ---- ending ----

static int32_t fault(const char *name, const struct dr_diff *diff, struct dray_error *error) {
  const int number = dr_fault_point(name);
  if (number == 0) return DRAY_OK;
  errno = number;
  return dr_fail_errno(error, "write", diff->path);
}

// An empty set is not synced: there is nothing in it that could be lost.
static int32_t publish(struct dr_diff *diff, uint64_t changes, struct dray_error *error) {
  char *folder = dray_str_dup(dray_str_of(diff->path));
  if (folder == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to end a pass");
  char *slash = strrchr(folder, '/');
  if (slash != NULL) slash[slash == folder] = '\0';
  int32_t rc = fault("changeset.finish", diff, error);
  if (rc == DRAY_OK && changes > 0) rc = dr_fd_sync(diff->fd, diff->temporary, error);
  const int fd = diff->fd;
  diff->fd = -1;
  if (close(fd) != 0 && rc == DRAY_OK) rc = dr_fail_errno(error, "close", diff->temporary);
  if (rc == DRAY_OK) rc = dr_rename(diff->temporary, diff->path, error);
  if (rc == DRAY_OK) diff->created = 0;
  if (rc == DRAY_OK && changes > 0) rc = dr_folder_sync(slash != NULL ? folder : ".", error);
  if (rc == DRAY_OK) rc = fault("changeset.done", diff, error);
  free(folder);
  return rc;
}

int32_t dr_diff_finish(struct dr_diff *diff, struct dr_diff_counts *out, struct dray_error *error) {
  struct dr_footer footer = {0};
  DRAY_TRY(check_open(diff, error));
  int32_t rc = dr_diff_settle(diff, &footer, error);
  if (rc == DRAY_OK) {
    footer.records = diff->records.count;
    footer.places_count = diff->records.places.len / 16;
    rc = dr_out_table(&diff->out, DR_BLOCK_PLACES, &diff->records.places, 16, &footer.places_offset, error);
  }
  if (rc == DRAY_OK) rc = dr_out_footer(&diff->out, &footer, error);
  if (rc == DRAY_OK) rc = publish(diff, footer.changes, error);
  if (rc == DRAY_OK) {
    diff->counts.spilled_bytes = diff->sightings.spilled_bytes + diff->exceptions.spilled_bytes;
    *out = diff->counts;
  }
  return end_pass(diff, rc);
}
