// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Right sums over wrong contents.
#include "forge.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "diff/format.h"
#include "table/encode.h"

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max);

#define HEADER_FRONT 16u
#define BLOCK_HEADER 32u
#define FRAME_HEADER 40u
#define FOOTER 128u
#define SECTOR 512u

static void *must_alloc(size_t size) {
  void *data = calloc(size + 1, 1);
  if (data == NULL) abort();
  return data;
}

// ---- inputs ----

void forge_unpack(const uint8_t *data, size_t size, size_t files, struct forge_input *out) {
  size_t at = 1;
  memset(out, 0, sizeof *out);
  out->flags = size > 0 ? data[0] : 0;
  for (size_t i = 0; i < files; i++) {
    size_t len = 0;
    if (size >= at + 4) {
      len = dr_get_u32(data + at);
      at += 4;
    }
    if (at > size) at = size;
    if (len > size - at) len = size - at;
    out->files[i].data = must_alloc(len);
    out->files[i].len = len;
    if (len > 0) memcpy(out->files[i].data, data + at, len);
    at += len;
  }
}

void forge_free(struct forge_input *input) {
  for (size_t i = 0; i < FORGE_FILES; i++) free(input->files[i].data);
  memset(input, 0, sizeof *input);
}

size_t forge_pack(const struct forge_input *input, size_t files, uint8_t *out, size_t max) {
  size_t at = 1;
  if (max == 0) return 0;
  out[0] = input->flags;
  for (size_t i = 0; i < files && at + 4 <= max; i++) {
    const size_t len = input->files[i].len < max - at - 4 ? input->files[i].len : max - at - 4;
    dr_put_u32(out + at, (uint32_t)len);
    memcpy(out + at + 4, input->files[i].data, len);
    at += 4 + len;
  }
  return at;
}

size_t forge_mutate(uint8_t *data, size_t size, size_t max, unsigned seed, size_t files) {
  struct forge_input input;
  forge_unpack(data, size, files, &input);
  if (seed % 16 == 0) {
    input.flags = (uint8_t)(seed >> 8);
  } else {
    struct forge_bytes *file = &input.files[seed / 16 % files];
    const size_t room = file->len + file->len / 4 + 64;
    uint8_t *data_now = must_alloc(room);
    memcpy(data_now, file->data, file->len);
    free(file->data);
    file->data = data_now;
    file->len = LLVMFuzzerMutate(data_now, file->len, room);
  }
  const size_t len = forge_pack(&input, files, data, max);
  forge_free(&input);
  return len;
}

// ---- sums ----

// Returns where the header ends; the file's length when there is none.
static size_t forge_header(struct forge_bytes *file, const char *magic) {
  uint8_t *data = file->data;
  if (file->len < HEADER_FRONT + 8) return file->len;
  memcpy(data, magic, 8);
  dr_put_u32(data + 8, DR_FORMAT_VERSION);
  uint64_t len = dr_get_u32(data + 12);
  if (len > file->len - HEADER_FRONT - 8) len = file->len - HEADER_FRONT - 8;
  dr_put_u32(data + 12, (uint32_t)len);
  if (len >= 48) { // number and secret are as the folder says
    dr_put_u64(data + 16, 1);
    uint8_t seed[8];
    dr_put_u64(seed, FORGE_SEED);
    dr_put_u64(data + 32, dr_sum(seed, sizeof seed, UINT64_C(0x5EED1D)) & UINT32_MAX);
    dr_put_u32(data + 48, DR_ENCODING_VERSION);
  }
  dr_put_u64(data + HEADER_FRONT + len, dr_sum(data + HEADER_FRONT, (size_t)len, dr_sum(data, HEADER_FRONT, 0)));
  return HEADER_FRONT + (size_t)len + 8;
}

static uint64_t chain(uint64_t digest, uint64_t sum) {
  uint8_t bytes[16];
  dr_put_u64(bytes, digest);
  dr_put_u64(bytes + 8, sum);
  return dr_sum(bytes, sizeof bytes, 0);
}

uint64_t forge_blocks(struct forge_bytes *file, const char *magic) {
  const size_t data = forge_header(file, magic);
  if (file->len < data + FOOTER) return 0;
  const size_t end = file->len - FOOTER;
  uint64_t digest = chain(0, dr_get_u64(file->data + data - 8));
  for (size_t at = data; end - at >= BLOCK_HEADER + 8;) {
    uint8_t *block = file->data + at;
    const uint64_t stored = dr_get_u32(block + 8);
    if (stored > end - at - BLOCK_HEADER - 8) break;
    const uint64_t sum = dr_sum(block, BLOCK_HEADER + (size_t)stored, at);
    dr_put_u64(block + BLOCK_HEADER + stored, sum);
    digest = chain(digest, sum);
    at += BLOCK_HEADER + (size_t)stored + 8;
  }
  uint8_t *footer = file->data + end;
  memcpy(footer, "DRAYFOOT", 8);
  dr_put_u64(footer + 88, digest);
  dr_put_u64(footer + 96, file->len);
  dr_put_u64(footer + 104, DR_FORMAT_VERSION);
  dr_put_u64(footer + 120, dr_sum(footer, 120, end));
  return digest;
}

// Each change of an ack frame has a sum of its own over its payload.
static void forge_changes(uint8_t *body, size_t len) {
  if (len < 8) return;
  for (size_t at = 8; len - at >= 32;) {
    const size_t payload = dr_get_u32(body + at) & ((1u << 29) - 1);
    if (payload > len - at - 32) break;
    dr_put_u32(body + at + 4, (uint32_t)dr_sum(body + at + 32, payload, dr_get_u64(body + at + 24)));
    at += 32 + payload;
  }
}

void forge_journal(struct forge_bytes *file, uint64_t base_digest, int mark) {
  uint8_t *data = file->data;
  if (file->len >= 48) dr_put_u64(data + 40, base_digest);
  const size_t header = forge_header(file, "DRAYJRNL");
  const size_t sector = (header + SECTOR - 1) / SECTOR * SECTOR;
  if (file->len < sector + SECTOR) return;
  const uint64_t twin = dr_get_u64(data + 40);
  uint64_t number = 0;
  for (size_t at = sector + SECTOR; file->len - at >= FRAME_HEADER; number++) {
    uint8_t *frame = data + at;
    const uint64_t len = dr_get_u32(frame + 8);
    if (len > file->len - at - FRAME_HEADER) break;
    memcpy(frame, "DRFR", 4);
    dr_put_u64(frame + 16, number);
    if (dr_get_u32(frame + 4) == 2) forge_changes(frame + FRAME_HEADER, (size_t)len);
    dr_put_u64(frame + 24, dr_sum(frame + FRAME_HEADER, (size_t)len, twin + at));
    dr_put_u64(frame + 32, dr_sum(frame, 32, twin + at));
    at += FRAME_HEADER + (size_t)len;
  }
  if (!mark) return;
  memcpy(data + sector, "DRAYMARK", 8);
  dr_put_u64(data + sector + 16, dr_sum(data + sector, 16, twin + sector));
}

// ---- heads ----

void forge_head(struct forge_bytes *head, const struct forge_bytes *base, uint64_t base_digest, int from_base) {
  char text[1024];
  int len = 0;
  if (from_base) {
    const int whole = base->len >= 40;
    len = snprintf(text, sizeof text,
                   "dray mirror %u\nnumber 1\ngeneration %" PRIu64 "\nbase_bytes %zu\nbase_digest %016" PRIx64
                   "\nseed_id %016" PRIx64 "\nschema %016d\n",
                   DR_FORMAT_VERSION, whole ? dr_get_u64(base->data + 24) : 0, base->len, base_digest,
                   whole ? dr_get_u64(base->data + 32) : 0, 0);
  } else if (head->len > 0) { // whatever it says, without the sum it may have
    const char *sum = memmem(head->data, head->len, "sum ", 4);
    size_t bytes = sum != NULL ? (size_t)(sum - (const char *)head->data) : head->len;
    if (bytes > 900) bytes = 900;
    memcpy(text, head->data, bytes);
    len = (int)bytes;
  }
  len += snprintf(text + len, sizeof text - (size_t)len, "sum %016" PRIx64 "\n", dr_sum(text, (size_t)len, 0));
  free(head->data);
  head->data = must_alloc((size_t)len);
  head->len = (size_t)len;
  memcpy(head->data, text, (size_t)len);
}

// ---- files ----

void forge_write(const char *path, const struct forge_bytes *file) {
  FILE *to = fopen(path, "w");
  if (to == NULL || fwrite(file->data, 1, file->len, to) != file->len || fclose(to) != 0) abort();
}

struct forge_bytes forge_read(const char *path) {
  struct forge_bytes file = {must_alloc(1u << 20), 0};
  FILE *from = fopen(path, "r");
  if (from == NULL) abort();
  file.len = fread(file.data, 1, 1u << 20, from);
  (void)fclose(from);
  return file;
}
