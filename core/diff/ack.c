// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What the other side took: acknowledging, preparing, committing, taking back. Everything goes to the end of the
// journal; a write or sync that fails makes the object unusable, since nobody knows what is on the disk until it is
// read again.
#include <errno.h>
#include <stdlib.h>

#include "base/fault.h"
#include "base/file.h"
#include "diff/beside.h"
#include "diff/changeset.h"
#include "diff/mirror.h"
#include "dray/destination.h"

#define JOURNAL_BYTES_MIN (256u << 10) // a journal shorter than this is not worth a merge
#define JOURNAL_SHARE 4                // of the base
#define PAGE_ROWS 16384u               // in a frame, of a whole set
#define PAGE_BYTES (1u << 20)

static int32_t fault(const char *name, const struct dr_mirror *mirror, struct dray_error *error) {
  const int number = dr_fault_point(name);
  if (number == 0) return DRAY_OK;
  errno = number;
  return dr_fail_errno(error, "write", mirror->journal->path);
}

// The number in mirror->schemas of the schema of these changes; the journal learns it when it is new.
static int32_t schema_number(struct dr_mirror *mirror, struct dr_schema *schema, size_t *out,
                             struct dray_error *error) {
  for (size_t i = mirror->schema_count; i-- > 0;) {
    if (mirror->schemas[i].map.from != schema && !dr_schema_equal(mirror->schemas[i].map.from, schema)) continue;
    *out = i;
    return DRAY_OK;
  }
  uint8_t id[4];
  struct dray_buffer body;
  dray_buffer_init(&body, 32u << 20);
  const uint32_t next = mirror->schema_count > 0 ? mirror->schemas[mirror->schema_count - 1].id + 1 : 1;
  dr_put_u32(id, next);
  int32_t rc = dray_buffer_append(&body, id, sizeof id, error);
  if (rc == DRAY_OK) rc = dr_schema_to_json(schema, &body, error);
  if (rc == DRAY_OK) rc = dr_mirror_add_schema(mirror, next, schema, UINT64_MAX, error);
  if (rc == DRAY_OK) {
    rc = dr_journal_append(mirror->journal, DR_FRAME_SCHEMA, dray_buffer_view(&body), NULL, error);
    if (rc != DRAY_OK) (void)dr_mirror_break(mirror, rc, error);
    mirror->schemas[mirror->schema_count - 1].frame_end = mirror->journal->end;
  }
  dray_buffer_free(&body);
  if (rc == DRAY_OK) *out = mirror->schema_count - 1;
  return rc;
}

// What the mirror knows of a row's hash. Of a row that was not said whole, and whose other columns it holds as 32 bits
// alone, nobody knows it.
static uint64_t hash_held(uint64_t row_hash, int partly) {
  return partly ? DR_ROW_HASH_UNKNOWN : row_hash;
}

// Appends one change to the frame: the payload first, which knows its length only then. `columns`: what the mirror
// holds of columns that the row does not say, or empty.
static int32_t put_change(struct dray_buffer *frame, struct dr_payload *payload, struct dr_change change,
                          struct dray_str row, struct dray_str columns, struct dray_error *error) {
  const size_t at = frame->len;
  DRAY_TRY(dray_buffer_reserve(frame, DR_CHANGE_BYTES + (size_t)row.len, NULL, error));
  frame->len += DR_CHANGE_BYTES;
  if (change.op != DRAY_OP_DELETE) DRAY_TRY(dr_payload_put(payload, row, frame, error));
  char *bytes = frame->data + at + DR_CHANGE_BYTES;
  for (size_t i = 0; payload->keep == DR_KEEP_COLUMNS && i < columns.len; i += 4) {
    if (dr_get_u32(bytes + i) == 0) memcpy(bytes + i, columns.data + i, 4);
  }
  change.payload = dray_str_make(bytes, frame->len - at - DR_CHANGE_BYTES);
  dr_change_put(frame->data + at, &change);
  return DRAY_OK;
}

static int32_t begin_frame(struct dray_buffer *frame, struct dray_error *error) {
  dray_buffer_clear(frame);
  DRAY_TRY(dray_buffer_reserve(frame, DR_FRAME_HEADER_BYTES + DR_ACK_BYTES, NULL, error));
  frame->len = DR_FRAME_HEADER_BYTES + DR_ACK_BYTES;
  return DRAY_OK;
}

static int32_t make_frame(struct dr_mirror *mirror, const struct dr_changes *changes, const uint8_t *acked,
                          size_t schema, uint32_t *out_count, struct dray_error *error) {
  const struct dr_held *held = changes->held;
  struct dr_payload *payload = &mirror->schemas[schema].payload;
  uint32_t count = 0;
  DRAY_TRY(begin_frame(&mirror->frame, error));
  for (size_t i = 0; i < changes->count; i++) {
    if (acked[i] != 1) continue;
    const uint64_t begin = i > 0 ? held->ends[i - 1] : 0;
    const struct dr_change change = {.op = held->op[i],
                                     .high = changes->key_hash[i].high,
                                     .low = changes->key_hash[i].low,
                                     .row_hash = hash_held(changes->row_hash[i], held->columns_bytes[i] > 0)};
    const uint64_t end = held->ends[i] - held->columns_bytes[i];
    DRAY_TRY(put_change(&mirror->frame, payload, change, dray_str_make(held->rows.data + begin, end - begin),
                        dray_str_make(held->rows.data + end, held->columns_bytes[i]), error));
    count++;
  }
  *out_count = count;
  return DRAY_OK;
}

// Whether a journal that ends at `end` is worth a merge.
static int is_due(const struct dr_mirror *mirror, uint64_t end) {
  const uint64_t bytes = end - mirror->journal->frames;
  int stale = dr_base_rows(mirror->base) > 0 && !mirror->base_map.identical;
  for (size_t i = 0; i < mirror->schema_count; i++) stale |= !mirror->schemas[i].map.identical;
  const int grown = bytes > JOURNAL_BYTES_MIN && bytes > mirror->base->in.bytes / JOURNAL_SHARE;
  return grown || stale || mirror->overflow || mirror->pending_overflow;
}

// Appends the frame to the journal and remembers what is in it.
static int32_t write_frame(struct dr_mirror *mirror, struct dray_buffer *frame, size_t schema, uint32_t count,
                           struct dray_error *error) {
  struct dr_change_reader reader;
  struct dr_change change;
  const uint64_t begin = mirror->journal->end;
  uint64_t body = 0;
  dr_put_u32(frame->data + DR_FRAME_HEADER_BYTES, mirror->schemas[schema].id);
  dr_put_u32(frame->data + DR_FRAME_HEADER_BYTES + 4, count);
  if (mirror->ahead.made) dr_ahead_drop(mirror); // it lacks these
  DRAY_TRY(fault("mirror.ack", mirror, error));
  DRAY_TRY(dr_journal_append_frame(mirror->journal, DR_FRAME_ACK, frame->data, frame->len, &body, error));
  if (mirror->ahead.wanted && mirror->ahead.merge == NULL && is_due(mirror, mirror->journal->end)) {
    dr_ahead_begin(mirror, begin);
  }
  (void)dr_change_reader_init(&reader,
                              dray_str_make(frame->data + DR_FRAME_HEADER_BYTES, frame->len - DR_FRAME_HEADER_BYTES));
  while (dr_change_next(&reader, &change)) {
    DRAY_TRY(dr_mirror_remember(mirror, &change, body + change.offset, schema, error));
    dr_ahead_add(mirror, &change, body + change.offset, schema);
  }
  return DRAY_OK;
}

// Whether changes of a set made with this secret and key may be acknowledged now.
static int32_t check_ack(const struct dr_mirror *mirror, uint64_t seed_id, uint64_t key_print,
                         struct dray_error *error) {
  if (mirror->inherited) {
    return dray_fail(error, DRAY_E_INTERNAL,
                     "the mirror in %s holds changes prepared for generation %llu: commit or roll back before more is "
                     "acknowledged",
                     mirror->folder, (unsigned long long)mirror->prepared);
  }
  if (seed_id == mirror->info.seed_id && key_print == dr_key_print(&mirror->info)) return DRAY_OK;
  return dray_fail(error, DRAY_E_MIRROR_SCHEMA, "the change set was not made for the mirror in %s", mirror->folder);
}

int32_t dr_mirror_ack(struct dr_mirror *mirror, const struct dr_changes *changes, const uint8_t *acked,
                      struct dray_error *error) {
  const struct dr_held *held = changes->held;
  DRAY_TRY(dr_mirror_usable(mirror, error));
  int any = 0;
  for (size_t i = 0; i < changes->count; i++) {
    if (acked[i] != 1) continue;
    any = 1;
    if (held->op[i] != DR_OP_REJECT) continue;
    return dray_fail(error, DRAY_E_INTERNAL, "change %llu is a row that was withheld; it cannot be acknowledged",
                     (unsigned long long)(changes->first_seq + i));
  }
  if (!any) return DRAY_OK;
  DRAY_TRY(check_ack(mirror, held->seed_id, held->key_print, error));
  size_t schema = 0;
  uint32_t count = 0;
  DRAY_TRY(schema_number(mirror, held->schema, &schema, error));
  DRAY_TRY(make_frame(mirror, changes, acked, schema, &count, error));
  const int32_t rc = write_frame(mirror, &mirror->frame, schema, count, error);
  return rc == DRAY_OK ? rc : dr_mirror_break(mirror, rc, error);
}

// ---- what is not known any more ----

// The mirror's row of the key once more, under the current schema. *out: whether it has one.
static int32_t put_distrusted(struct dr_mirror *mirror, const struct dr_hash128 *key, size_t schema,
                              struct dray_str *slices, struct dray_buffer *row, int *out, struct dray_error *error) {
  struct dr_found found;
  struct dr_rows_map *map = NULL;
  struct dray_str held;
  DRAY_TRY(dr_mirror_find(mirror, key->high, key->low, &found, error));
  *out = found.found;
  if (!found.found) return DRAY_OK;
  DRAY_TRY(dr_mirror_row(mirror, &found, &held, &map, error));
  if (!map->identical) {
    dray_buffer_clear(row);
    DRAY_TRY(dr_rows_remap(map, held, slices, row, error));
    held = dray_buffer_view(row);
  }
  const struct dr_change change = {
      .op = DRAY_OP_UPDATE, .high = key->high, .low = key->low, .row_hash = DR_ROW_HASH_DISTRUSTED};
  return put_change(&mirror->frame, &mirror->schemas[schema].payload, change, held, dray_str_make(NULL, 0), error);
}

static int32_t make_distrusted(struct dr_mirror *mirror, const struct dr_changes *changes, const uint8_t *which,
                               size_t schema, uint32_t *out_count, struct dray_error *error) {
  struct dray_buffer row;
  struct dray_str *slices = calloc(dr_slots_count(&mirror->slots) + 1, sizeof *slices);
  if (slices == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a row");
  uint32_t count = 0;
  dray_buffer_init(&row, DR_FRAME_BYTES_MAX);
  int32_t rc = begin_frame(&mirror->frame, error);
  for (size_t i = 0; rc == DRAY_OK && i < changes->count; i++) {
    int found = 0;
    if (which[i] != 1 || changes->op[i] == DR_OP_REJECT) continue;
    rc = put_distrusted(mirror, &changes->key_hash[i], schema, slices, &row, &found, error);
    count += rc == DRAY_OK && found;
  }
  dray_buffer_free(&row);
  free(slices);
  *out_count = count;
  return rc;
}

int32_t dr_mirror_distrust(struct dr_mirror *mirror, const struct dr_changes *changes, const uint8_t *which,
                           struct dray_error *error) {
  const struct dr_held *held = changes->held;
  size_t schema = 0;
  uint32_t count = 0;
  DRAY_TRY(dr_mirror_usable(mirror, error));
  if (memchr(which, 1, changes->count) == NULL) return DRAY_OK;
  DRAY_TRY(check_ack(mirror, held->seed_id, held->key_print, error));
  DRAY_TRY(dr_mirror_ready(mirror, error));
  DRAY_TRY(schema_number(mirror, mirror->slots.schema, &schema, error));
  DRAY_TRY(make_distrusted(mirror, changes, which, schema, &count, error));
  if (count == 0) return DRAY_OK;
  const int32_t rc = write_frame(mirror, &mirror->frame, schema, count, error);
  return rc == DRAY_OK ? rc : dr_mirror_break(mirror, rc, error);
}

// ---- a whole set ----
// One thread unpacks the set and makes frames of it, where it is long; another one appends them and sorts what is in
// them for the next base.

struct page {
  struct dray_buffer *frame;
  size_t schema;
  uint32_t count; // changes
};

// Fills the frame with the changes from *seq on, as they are written in the set: no columns are built of them.
static int32_t make_page(struct dr_mirror *mirror, struct dr_changeset *set, uint64_t *seq, uint64_t end,
                         struct page *page, struct dray_error *error) {
  struct dr_payload *payload = &mirror->schemas[page->schema].payload;
  page->count = 0;
  DRAY_TRY(begin_frame(page->frame, error));
  for (; *seq < end && page->count < PAGE_ROWS && page->frame->len < PAGE_BYTES; (*seq)++) {
    struct dr_record record;
    DRAY_TRY(dr_changeset_record(set, *seq, &record, error));
    if (record.op == DR_OP_REJECT) continue;
    const int partly = (record.flags & DR_RECORD_COLUMNS) != 0;
    const struct dr_change change = {
        .op = record.op, .high = record.high, .low = record.low, .row_hash = hash_held(record.row_hash, partly)};
    const struct dray_str none = dray_str_make(NULL, 0);
    DRAY_TRY(put_change(page->frame, payload, change, record.row, partly ? record.before : none, error));
    page->count++;
  }
  return DRAY_OK;
}

static int32_t write_page(void *ctx, void *thing, struct dray_error *error) {
  struct dr_mirror *mirror = ctx;
  const struct page *page = thing;
  if (page->count == 0) return DRAY_OK; // rejects
  const int32_t rc = write_frame(mirror, page->frame, page->schema, page->count, error);
  return rc == DRAY_OK ? rc : dr_mirror_break(mirror, rc, error);
}

static int32_t ack_pages(struct dr_mirror *mirror, struct dr_changeset *set, uint64_t seq, uint64_t end, size_t schema,
                         struct dray_error *error) {
  struct dray_buffer other;
  struct page pages[] = {{&mirror->frame, schema, 0}, {&other, schema, 0}};
  struct dr_beside *beside = NULL;
  int32_t rc = DRAY_OK;
  dray_buffer_init(&other, DR_FRAME_BYTES_MAX);
  if (mirror->threads != 1 && end - seq > PAGE_ROWS) rc = dr_beside_start(write_page, mirror, &beside, error);
  for (size_t i = 0; rc == DRAY_OK && seq < end; i++) {
    struct page *page = &pages[i % 2]; // written, or never used
    rc = make_page(mirror, set, &seq, end, page, error);
    if (rc != DRAY_OK) break;
    rc = beside != NULL ? dr_beside_give(beside, page, error) : write_page(mirror, page, error);
  }
  const int32_t written = dr_beside_end(beside, rc == DRAY_OK ? error : NULL);
  dray_buffer_free(&other);
  return rc == DRAY_OK ? written : rc;
}

int32_t dr_mirror_ack_all(struct dr_mirror *mirror, struct dr_changeset *set, uint64_t count,
                          struct dray_error *error) {
  const struct dr_file_info *info = dr_changeset_info(set);
  const uint64_t end = count < dr_changeset_count(set) ? count : dr_changeset_count(set);
  uint64_t seq = 0;
  size_t schema = 0;
  DRAY_TRY(dr_mirror_usable(mirror, error));
  for (; seq < end; seq++) { // the journal learns no schema for the sake of rejects
    struct dr_record first;
    DRAY_TRY(dr_changeset_record(set, seq, &first, error));
    if (first.op != DR_OP_REJECT) break;
  }
  if (seq == end) return DRAY_OK;
  DRAY_TRY(check_ack(mirror, info->seed_id, dr_key_print(info), error));
  DRAY_TRY(schema_number(mirror, info->schema, &schema, error));
  return ack_pages(mirror, set, seq, end, schema, error);
}

// Appends a frame that holds `generation` and makes the journal durable.
static int32_t append_durable(struct dr_mirror *mirror, uint32_t kind, uint64_t generation, const char *step,
                              const char *sync_step, struct dray_error *error) {
  uint8_t body[8];
  dr_put_u64(body, generation);
  DRAY_TRY(fault(step, mirror, error));
  DRAY_TRY(dr_journal_append(mirror->journal, kind, dray_str_make((const char *)body, sizeof body), NULL, error));
  DRAY_TRY(fault(sync_step, mirror, error));
  return mirror->scratch ? DRAY_OK : dr_journal_sync(mirror->journal, error);
}

int32_t dr_mirror_prepare(struct dr_mirror *mirror, uint64_t generation, struct dray_error *error) {
  DRAY_TRY(dr_mirror_usable(mirror, error));
  if (generation == 0 || mirror->inherited) {
    return dray_fail(error, DRAY_E_INTERNAL, "generation %llu cannot be prepared in %s, which has prepared %llu",
                     (unsigned long long)generation, mirror->folder, (unsigned long long)mirror->prepared);
  }
  const int32_t rc =
      append_durable(mirror, DR_FRAME_PREPARE, generation, "mirror.prepare", "mirror.prepare.sync", error);
  if (rc != DRAY_OK) return dr_mirror_break(mirror, rc, error);
  mirror->prepared = generation;
  return DRAY_OK;
}

int32_t dr_mirror_commit(struct dr_mirror *mirror, uint64_t generation, struct dray_error *error) {
  DRAY_TRY(dr_mirror_usable(mirror, error));
  if (mirror->inherited && mirror->prepared != generation) {
    return dray_fail(error, DRAY_E_INTERNAL, "the mirror in %s has prepared generation %llu, not %llu", mirror->folder,
                     (unsigned long long)mirror->prepared, (unsigned long long)generation);
  }
  if (!mirror->pending && mirror->prepared == 0 && generation == mirror->generation) return DRAY_OK;
  const int32_t rc = append_durable(mirror, DR_FRAME_COMMIT, generation, "mirror.commit", "mirror.commit.sync", error);
  if (rc != DRAY_OK) return dr_mirror_break(mirror, rc, error);
  mirror->generation = generation;
  mirror->committed_end = mirror->journal->end;
  mirror->committed_next = mirror->journal->next;
  dr_mirror_settle_pending(mirror, 1);
  (void)dr_fault_point("mirror.commit.done"); // a place to die at; there is nothing left to fail
  return DRAY_OK;
}

int32_t dr_mirror_rollback(struct dr_mirror *mirror, struct dray_error *error) {
  DRAY_TRY(dr_mirror_usable(mirror, error));
  struct dr_journal *journal = mirror->journal;
  dr_ahead_drop(mirror);
  if (journal->end == mirror->committed_end) return DRAY_OK;
  int32_t rc = fault("mirror.rollback", mirror, error);
  if (rc == DRAY_OK) {
    rc = mirror->prepared != 0 ? dr_journal_take_back(journal, mirror->committed_end, mirror->committed_next, error)
                               : dr_journal_cut(journal, mirror->committed_end, mirror->committed_next, error);
  }
  if (rc != DRAY_OK) return dr_mirror_break(mirror, rc, error);
  dr_mirror_drop_schemas(mirror, journal->end);
  dr_mirror_settle_pending(mirror, 0);
  return DRAY_OK;
}

int32_t dr_mirror_compact(struct dr_mirror *mirror, struct dray_error *error) {
  DRAY_TRY(dr_mirror_usable(mirror, error));
  if (mirror->journal->end != mirror->committed_end) return DRAY_OK; // not while something is open
  const int ready = dr_mirror_is_ahead(mirror);
  if (!ready && !mirror->overflow && mirror->settled < mirror->committed) DRAY_TRY(dr_mirror_settle(mirror, error));
  return ready || is_due(mirror, mirror->committed_end) ? dr_mirror_rewrite(mirror, error) : DRAY_OK;
}
