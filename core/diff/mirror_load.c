// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Loading a mirror: what the head names is opened and compared with it, the journal is read into the overlay, and what
// no commit or prepare covers is cut.
#include <assert.h>
#include <stdlib.h>

#include "base/log.h"
#include "diff/mirror.h"
#include "dray/destination.h"

// ---- the overlay ----

static void drop_items(struct dr_mirror *mirror) {
  free(mirror->items);
  mirror->items = NULL;
  mirror->item_count = mirror->item_capacity = mirror->committed = mirror->settled = 0;
}

static int32_t item_room(struct dr_mirror *mirror, struct dray_error *error) {
  if (mirror->item_count < mirror->item_capacity) return DRAY_OK;
  size_t capacity = mirror->item_capacity + mirror->item_capacity / 2 + 64;
  if (capacity > dr_items_max(mirror)) capacity = dr_items_max(mirror);
  struct dr_item *items = realloc(mirror->items, capacity * sizeof *items);
  if (items == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for %zu changes", capacity);
  mirror->items = items;
  mirror->item_capacity = capacity;
  return DRAY_OK;
}

int32_t dr_mirror_remember(struct dr_mirror *mirror, const struct dr_change *change, uint64_t place, size_t schema,
                           struct dray_error *error) {
  mirror->pending = 1;
  if (mirror->item_count >= dr_items_max(mirror)) mirror->pending_overflow = 1;
  if (!mirror->overflow && !mirror->pending_overflow) {
    DRAY_TRY(item_room(mirror, error));
    mirror->items[mirror->item_count++] = (struct dr_item){.high = change->high,
                                                           .low = change->low,
                                                           .place = place,
                                                           .row_hash = change->row_hash,
                                                           .bytes = (uint32_t)change->payload.len,
                                                           .schema = (uint16_t)schema,
                                                           .op = (uint8_t)change->op,
                                                           .in_base = DR_IN_BASE_UNKNOWN};
  }
  mirror->pending_delta += change->op == DRAY_OP_INSERT ? 1 : change->op == DRAY_OP_DELETE ? -1 : 0;
  return DRAY_OK;
}

void dr_mirror_settle_pending(struct dr_mirror *mirror, int commit) {
  if (commit) {
    mirror->committed = mirror->item_count;
    mirror->overflow |= mirror->pending_overflow;
    mirror->delta += mirror->pending_delta;
  } else {
    mirror->item_count = mirror->committed;
  }
  mirror->pending = mirror->pending_overflow = mirror->inherited = 0;
  mirror->pending_delta = 0;
  mirror->prepared = 0;
  if (mirror->overflow) drop_items(mirror); // half of them is of no use
}

int32_t dr_mirror_add_schema(struct dr_mirror *mirror, uint32_t id, struct dr_schema *schema, uint64_t frame_end,
                             struct dray_error *error) {
  if (mirror->schema_count == UINT16_MAX) {
    return dray_fail(error, DRAY_E_LIMIT, "%s holds rows of %d schemas, the most there may be", mirror->journal->path,
                     UINT16_MAX);
  }
  if (mirror->schema_count == mirror->schema_capacity) {
    const size_t capacity = mirror->schema_capacity * 2 + 4;
    struct dr_journal_schema *schemas = realloc(mirror->schemas, capacity * sizeof *schemas);
    if (schemas == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for %zu schemas", capacity);
    mirror->schemas = schemas;
    mirror->schema_capacity = capacity;
  }
  struct dr_journal_schema *entry = &mirror->schemas[mirror->schema_count];
  memset(entry, 0, sizeof *entry);
  DRAY_TRY(dr_rows_map_init(&entry->map, schema, &mirror->slots, error));
  const int32_t rc =
      dr_payload_init(&entry->payload, mirror->info.keep, entry->map.slots, (const char *const *)mirror->info.key,
                      mirror->info.key_count, mirror->seed, error);
  if (rc != DRAY_OK) {
    dr_rows_map_free(&entry->map);
    return rc;
  }
  entry->id = id;
  entry->frame_end = frame_end;
  mirror->schema_count++;
  return DRAY_OK;
}

void dr_mirror_drop_schemas(struct dr_mirror *mirror, uint64_t end) {
  while (mirror->schema_count > 0 && mirror->schemas[mirror->schema_count - 1].frame_end > end) {
    struct dr_journal_schema *last = &mirror->schemas[--mirror->schema_count];
    dr_payload_free(&last->payload);
    dr_rows_map_free(&last->map);
  }
}

// ---- reading the journal ----

struct load {
  struct dr_mirror *mirror;
  size_t prepared_count; // what the last prepare covers
  int prepared_overflow;
  int64_t prepared_delta;
  uint64_t acked, acked_at_settled; // for the log
};

static int32_t load_schema(struct dr_mirror *mirror, const struct dr_frame *frame, struct dray_error *error) {
  struct dr_schema *schema = NULL;
  if (frame->body.len < 4) return dr_corrupt(error, mirror->journal->path, frame->offset, "a schema is cut");
  int32_t rc = dr_schema_from_json(dray_str_make(frame->body.data + 4, frame->body.len - 4), &schema, error);
  if (rc == DRAY_E_OUT_OF_MEMORY) return rc;
  if (rc != DRAY_OK) return dr_corrupt(error, mirror->journal->path, frame->offset, "a schema cannot be read");
  rc = dr_mirror_add_schema(mirror, dr_get_u32(frame->body.data), schema, frame->end, error);
  dr_schema_unref(schema);
  return rc;
}

static int32_t load_ack(struct load *load, const struct dr_frame *frame, struct dray_error *error) {
  struct dr_mirror *mirror = load->mirror;
  struct dr_change_reader reader;
  struct dr_change change;
  size_t schema = mirror->schema_count;
  if (dr_change_reader_init(&reader, frame->body)) {
    for (schema = 0; schema < mirror->schema_count && mirror->schemas[schema].id != reader.schema;) schema++;
  }
  if (schema == mirror->schema_count) {
    return dr_corrupt(error, mirror->journal->path, frame->offset, "changes of a schema that is not there");
  }
  load->acked += reader.left;
  while (reader.left > 0) {
    if (!dr_change_next(&reader, &change)) {
      return dr_corrupt(error, mirror->journal->path, frame->offset, "the changes do not fill their frame");
    }
    DRAY_TRY(dr_mirror_remember(mirror, &change, frame->body_offset + change.offset, schema, error));
  }
  return DRAY_OK;
}

static int32_t load_frame(void *ctx, const struct dr_frame *frame, struct dray_error *error) {
  struct load *load = ctx;
  struct dr_mirror *mirror = load->mirror;
  if (frame->kind == DR_FRAME_SCHEMA) return load_schema(mirror, frame, error);
  if (frame->kind == DR_FRAME_ACK) return load_ack(load, frame, error);
  if (frame->body.len != 8) {
    return dr_corrupt(error, mirror->journal->path, frame->offset, "a frame of kind %u has %llu bytes", frame->kind,
                      (unsigned long long)frame->body.len);
  }
  const uint64_t generation = dr_get_u64(frame->body.data);
  load->acked_at_settled = load->acked;
  if (frame->kind == DR_FRAME_COMMIT) {
    mirror->generation = generation;
    mirror->committed_end = frame->end;
    mirror->committed_next = frame->number + 1;
    dr_mirror_settle_pending(mirror, 1);
  } else {
    mirror->prepared = generation;
    load->prepared_count = mirror->item_count;
    load->prepared_overflow = mirror->pending_overflow;
    load->prepared_delta = mirror->pending_delta;
  }
  return DRAY_OK;
}

// Leaves what the last commit and a prepare behind it cover.
static int32_t cut_tail(struct dr_mirror *mirror, const struct load *load, const struct dr_journal_tail *tail,
                        struct dray_error *error) {
  if (tail->torn != 0) {
    dr_log(DRAY_LOG_WARN, "mirror", "%s is cut at byte %llu: a write was interrupted at byte %llu of %llu",
           mirror->journal->path, (unsigned long long)tail->settled, (unsigned long long)tail->torn,
           (unsigned long long)tail->file_bytes);
  } else if (load->acked > load->acked_at_settled) {
    dr_log(DRAY_LOG_INFO, "mirror", "%s held %llu acknowledged changes that were never committed; they are forgotten",
           mirror->journal->path, (unsigned long long)(load->acked - load->acked_at_settled));
  }
  if (mirror->prepared != 0) {
    mirror->item_count = load->prepared_count;
    mirror->pending_overflow = load->prepared_overflow;
    mirror->pending_delta = load->prepared_delta;
    mirror->pending = mirror->inherited = 1;
  } else {
    dr_mirror_settle_pending(mirror, 0);
  }
  dr_mirror_drop_schemas(mirror, tail->settled);
  return mirror->read_only ? DRAY_OK : dr_journal_cut(mirror->journal, tail->settled, tail->next, error);
}

static int32_t load_journal(struct dr_mirror *mirror, struct dray_error *error) {
  struct load load = {.mirror = mirror};
  struct dr_journal_tail tail;
  DRAY_TRY(dr_journal_open(mirror->folder, mirror->head.number, mirror->read_only, &mirror->journal, error));
  struct dr_journal *journal = mirror->journal;
  if (journal->info.twin != mirror->head.base_digest || journal->info.seed_id != mirror->head.seed_id ||
      journal->info.keep != mirror->info.keep || journal->info.mixed != mirror->info.mixed) {
    return dr_corrupt(error, journal->path, 0, "it belongs to another base");
  }
  mirror->generation = journal->info.generation;
  mirror->committed_end = journal->frames;
  mirror->committed_next = 0;
  DRAY_TRY(dr_journal_scan(journal, UINT64_MAX, load_frame, &load, &tail, error));
  return cut_tail(mirror, &load, &tail, error);
}

// ---- the base ----

static int32_t check_key(const struct dr_mirror *mirror, struct dray_error *error) {
  const struct dr_file_info *held = &mirror->base->info, *wanted = &mirror->info;
  int same = held->key_count == wanted->key_count;
  for (size_t i = 0; same && i < held->key_count; i++) same = strcmp(held->key[i], wanted->key[i]) == 0;
  if (!same) {
    return dray_fail(error, DRAY_E_MIRROR_SCHEMA, "the mirror in %s has %zu key columns (%s%s), not %zu (%s%s)",
                     mirror->folder, held->key_count, held->key[0], held->key_count > 1 ? ", ..." : "",
                     wanted->key_count, wanted->key[0], wanted->key_count > 1 ? ", ..." : "");
  }
  for (size_t i = 0; i < held->key_count; i++) {
    const struct dray_str name = dray_str_of(held->key[i]);
    const ptrdiff_t was = dr_schema_find(held->schema, name), is = dr_schema_find(wanted->schema, name);
    if (was < 0)
      return dr_corrupt(error, mirror->base->path, 0, "its key column %s is not in its schema", held->key[i]);
    const int32_t old = held->schema->fields[was].type.id, now = wanted->schema->fields[is].type.id;
    if (old == now) continue;
    return dray_fail_field(error, DRAY_E_MIRROR_SCHEMA, held->key[i],
                           "the mirror in %s has the key column %s as %s, not as %s", mirror->folder, held->key[i],
                           dray_type_name(old), dray_type_name(now));
  }
  return DRAY_OK;
}

static int32_t load_base(struct dr_mirror *mirror, struct dray_error *error) {
  DRAY_TRY(dr_base_open(mirror->folder, mirror->head.number, &mirror->base, error));
  const struct dr_base *base = mirror->base;
  if (base->in.bytes != mirror->head.base_bytes || base->footer.digest != mirror->head.base_digest ||
      base->info.generation != mirror->head.generation || base->info.seed_id != mirror->head.seed_id) {
    return dr_corrupt(error, base->path, 0, "the head means another file of this name");
  }
  DRAY_TRY(check_key(mirror, error));
  if (base->info.mixed != mirror->info.mixed) {
    return dr_corrupt(error, base->path, 56, "its key cannot be of kind %d", base->info.mixed);
  }
  mirror->info.keep = base->info.keep;
  DRAY_TRY(dr_rows_map_init(&mirror->base_map, base->info.schema, &mirror->slots, error));
  return dr_payload_init(&mirror->base_payload, mirror->info.keep, mirror->base_map.slots,
                         (const char *const *)mirror->info.key, mirror->info.key_count, mirror->seed, error);
}

int32_t dr_mirror_load(struct dr_mirror *mirror, struct dray_error *error) {
  assert(mirror->base == NULL && mirror->journal == NULL);
  DRAY_TRY(dr_head_read(mirror->folder, &mirror->head, error));
  if (mirror->head.seed_id != mirror->info.seed_id) {
    return dray_fail(error, DRAY_E_MIRROR_CORRUPT,
                     "the mirror in %s was made with the secret of another project: its hashes mean nothing here",
                     mirror->folder);
  }
  int32_t rc = load_base(mirror, error);
  if (rc == DRAY_OK) rc = load_journal(mirror, error);
  if (rc == DRAY_OK && !mirror->overflow) rc = dr_mirror_settle(mirror, error);
  if (rc != DRAY_OK) dr_mirror_unload(mirror);
  return rc;
}

void dr_mirror_unload(struct dr_mirror *mirror) {
  dr_ahead_drop(mirror);
  dr_base_close(mirror->base);
  mirror->base = NULL;
  dr_payload_free(&mirror->base_payload);
  dr_rows_map_free(&mirror->base_map);
  dr_journal_close(mirror->journal);
  mirror->journal = NULL;
  dr_mirror_drop_schemas(mirror, 0);
  free(mirror->schemas);
  mirror->schemas = NULL;
  mirror->schema_count = mirror->schema_capacity = 0;
  drop_items(mirror);
  mirror->overflow = mirror->pending_overflow = mirror->pending = mirror->inherited = 0;
  mirror->delta = mirror->pending_delta = 0;
  mirror->generation = mirror->prepared = mirror->committed_end = mirror->committed_next = 0;
}
