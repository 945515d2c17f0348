// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Records in packed blocks. Packing takes longer than all else that is done for a record, so a thread can do it: blocks
// go to it by the load, in their order, and it writes them in that order. Where it is busy still with the load before,
// who adds records packs the load himself rather than wait.
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "diff/beside.h"
#include "diff/format.h"

#define LOAD_BYTES (256u << 10)
#define LOAD_BYTES_MAX ((size_t)DR_BLOCK_BYTES_MAX * 3) // where one block is large

struct item {
  uint64_t first; // number of the first record
  size_t len;     // bytes in the load
  uint32_t count; // records
  int stored;     // packed already, or not worth it, as the rest says
  uint32_t packed, raw_bytes;
};

struct load {
  struct dray_buffer bytes; // of all its blocks
  struct item *items;       // owned
  size_t count, capacity;
};

struct dr_packing {
  struct dr_beside *beside;
  struct dr_packer packer; // of who adds records
  struct dray_buffer packed;
  struct load loads[2];
  struct load *filling;
};

void dr_rows_out_init(struct dr_rows_out *rows, struct dr_out *out) {
  memset(rows, 0, sizeof *rows);
  rows->out = out;
  rows->block_bytes = DR_BLOCK_RAW_BYTES;
  dray_buffer_init(&rows->lengths, DR_BLOCK_BYTES_MAX);
  dray_buffer_init(&rows->bytes, DR_BLOCK_BYTES_MAX);
  dray_buffer_init(&rows->raw, (size_t)DR_BLOCK_BYTES_MAX * 2);
  dray_buffer_init(&rows->places, SIZE_MAX / 4);
}

static void free_packing(struct dr_packing *packing) {
  for (size_t i = 0; i < 2; i++) {
    dray_buffer_free(&packing->loads[i].bytes);
    free(packing->loads[i].items);
  }
  dray_buffer_free(&packing->packed);
  dr_packer_free(&packing->packer);
  free(packing);
}

void dr_rows_out_free(struct dr_rows_out *rows) {
  if (rows->packing != NULL) {
    (void)dr_beside_end(rows->packing->beside, NULL);
    free_packing(rows->packing);
    rows->packing = NULL;
  }
  dray_buffer_free(&rows->lengths);
  dray_buffer_free(&rows->bytes);
  dray_buffer_free(&rows->raw);
  dray_buffer_free(&rows->places);
}

// ---- writing a block ----

static int32_t add_place(struct dr_rows_out *rows, uint64_t first, struct dray_error *error) {
  uint8_t place[16];
  dr_put_u64(place, first);
  dr_put_u64(place + 8, rows->out->offset);
  return dray_buffer_append(&rows->places, place, sizeof place, error);
}

static int32_t put_block(struct dr_rows_out *rows, uint64_t first, uint32_t count, struct dray_str raw,
                         struct dray_error *error) {
  DRAY_TRY(add_place(rows, first, error));
  return dr_out_block(rows->out, DR_BLOCK_ROWS, first, count, 1, raw, error);
}

static int32_t put_stored(struct dr_rows_out *rows, uint64_t first, const struct dr_block *block,
                          struct dray_error *error) {
  DRAY_TRY(add_place(rows, first, error));
  return dr_out_stored_block(rows->out, block, first, error);
}

// ---- the thread ----

static int32_t write_load(void *ctx, void *thing, struct dray_error *error) {
  struct dr_rows_out *rows = ctx;
  struct load *load = thing;
  const char *at = load->bytes.data;
  for (size_t i = 0; i < load->count; i++) {
    const struct item *item = &load->items[i];
    const struct dray_str bytes = dray_str_make(at, item->len);
    const struct dr_block block = {.kind = DR_BLOCK_ROWS,
                                   .count = item->count,
                                   .packed = item->packed,
                                   .raw_bytes = item->raw_bytes,
                                   .stored = bytes};
    DRAY_TRY(item->stored ? put_stored(rows, item->first, &block, error)
                          : put_block(rows, item->first, item->count, bytes, error));
    at += item->len;
  }
  dray_buffer_clear(&load->bytes);
  load->count = 0;
  return DRAY_OK;
}

int32_t dr_rows_out_beside(struct dr_rows_out *rows, struct dray_error *error) {
  assert(rows->packing == NULL);
  struct dr_packing *packing = calloc(1, sizeof *packing);
  if (packing == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to pack blocks");
  for (size_t i = 0; i < 2; i++) dray_buffer_init(&packing->loads[i].bytes, LOAD_BYTES_MAX);
  dray_buffer_init(&packing->packed, LOAD_BYTES_MAX);
  packing->packer.level = rows->out->packer.level;
  packing->filling = packing->loads;
  const int32_t rc = dr_beside_start(write_load, rows, &packing->beside, error);
  if (rc == DRAY_OK && packing->beside != NULL) {
    rows->packing = packing;
  } else {
    free_packing(packing);
  }
  return rc;
}

static int32_t pack_item(struct dr_packing *packing, struct item *item, const char *bytes, struct dray_error *error) {
  const struct dray_str raw = dray_str_make(bytes, item->len);
  const int packs = !item->stored && item->len <= DR_BLOCK_BYTES_MAX; // a larger one is refused where it is written
  const size_t room = packs ? dr_packed_max(item->len) : 0;
  size_t len = 0;
  char *to = NULL;
  DRAY_TRY(dray_buffer_reserve(&packing->packed, room, &to, error));
  if (packs) DRAY_TRY(dr_pack(&packing->packer, raw, to, room, &len, error));
  if (len == 0) {
    if (packs) item->raw_bytes = (uint32_t)item->len;
    item->stored |= packs;
    return dray_buffer_append(&packing->packed, raw.data, item->len, error);
  }
  *item = (struct item){item->first, len, item->count, 1, 1, (uint32_t)item->len};
  packing->packed.len += len;
  return DRAY_OK;
}

static int32_t pack_load(struct dr_packing *packing, struct load *load, struct dray_error *error) {
  const char *at = load->bytes.data;
  dray_buffer_clear(&packing->packed);
  for (size_t i = 0; i < load->count; i++) {
    const size_t len = load->items[i].len;
    DRAY_TRY(pack_item(packing, &load->items[i], at, error));
    at += len;
  }
  const struct dray_buffer raw = load->bytes;
  load->bytes = packing->packed;
  packing->packed = raw;
  return DRAY_OK;
}

static int32_t hand_over(struct dr_packing *packing, struct dray_error *error) {
  struct load *load = packing->filling;
  if (load->count == 0) return DRAY_OK;
  if (dr_beside_is_busy(packing->beside)) DRAY_TRY(pack_load(packing, load, error));
  DRAY_TRY(dr_beside_give(packing->beside, load, error));
  packing->filling = load == packing->loads ? packing->loads + 1 : packing->loads; // written, or never used
  return DRAY_OK;
}

// The bytes of the item stand at the load's end already.
static int32_t add_item(struct dr_packing *packing, struct item item, struct dray_error *error) {
  struct load *load = packing->filling;
  if (load->count == load->capacity) {
    const size_t capacity = load->capacity * 2 + 64;
    struct item *items = realloc(load->items, capacity * sizeof *items);
    if (items == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to pack %zu blocks", capacity);
    load->items = items;
    load->capacity = capacity;
  }
  load->items[load->count++] = item;
  return load->bytes.len >= LOAD_BYTES ? hand_over(packing, error) : DRAY_OK;
}

// ---- records ----

// The open block: the lengths of its records, then the records.
static int32_t append_open(const struct dr_rows_out *rows, struct dray_buffer *to, struct dray_error *error) {
  DRAY_TRY(dray_buffer_append(to, rows->lengths.data, rows->lengths.len, error));
  return dray_buffer_append(to, rows->bytes.data, rows->bytes.len, error);
}

int32_t dr_rows_out_end(struct dr_rows_out *rows, struct dray_error *error) {
  const uint32_t count = (uint32_t)(rows->count - rows->first);
  const size_t len = rows->lengths.len + rows->bytes.len;
  if (count == 0) return DRAY_OK;
  if (rows->packing != NULL) {
    DRAY_TRY(append_open(rows, &rows->packing->filling->bytes, error));
    DRAY_TRY(add_item(rows->packing, (struct item){.first = rows->first, .len = len, .count = count}, error));
  } else {
    dray_buffer_clear(&rows->raw);
    DRAY_TRY(append_open(rows, &rows->raw, error));
    DRAY_TRY(put_block(rows, rows->first, count, dray_buffer_view(&rows->raw), error));
  }
  dray_buffer_clear(&rows->lengths);
  dray_buffer_clear(&rows->bytes);
  rows->first = rows->count;
  return DRAY_OK;
}

int32_t dr_rows_out_close(struct dr_rows_out *rows, struct dray_error *error) {
  DRAY_TRY(dr_rows_out_end(rows, error));
  if (rows->packing == NULL) return DRAY_OK;
  const int32_t given = hand_over(rows->packing, error);
  const int32_t done = dr_beside_end(rows->packing->beside, given == DRAY_OK ? error : NULL);
  free_packing(rows->packing);
  rows->packing = NULL;
  return given == DRAY_OK ? done : given;
}

int32_t dr_rows_out_add(struct dr_rows_out *rows, const struct dray_str *pieces, size_t piece_count,
                        struct dray_error *error) {
  uint8_t length[10];
  size_t used = 0;
  uint64_t left = 0;
  for (size_t i = 0; i < piece_count; i++) {
    DRAY_TRY(dray_buffer_append(&rows->bytes, pieces[i].data, (size_t)pieces[i].len, error));
    left += pieces[i].len;
  }
  for (; left >= 0x80; left >>= 7) length[used++] = (uint8_t)(left | 0x80);
  length[used++] = (uint8_t)left;
  DRAY_TRY(dray_buffer_append(&rows->lengths, length, used, error));
  rows->count++;
  return rows->bytes.len >= rows->block_bytes ? dr_rows_out_end(rows, error) : DRAY_OK;
}

int32_t dr_rows_out_copy(struct dr_rows_out *rows, const struct dr_block *block, struct dray_error *error) {
  DRAY_TRY(dr_rows_out_end(rows, error));
  const uint64_t first = rows->count;
  rows->first = rows->count = first + block->count;
  if (rows->packing == NULL) return put_stored(rows, first, block, error);
  const size_t len = (size_t)block->stored.len;
  DRAY_TRY(dray_buffer_append(&rows->packing->filling->bytes, block->stored.data, len, error));
  return add_item(rows->packing, (struct item){first, len, block->count, 1, block->packed, block->raw_bytes}, error);
}
