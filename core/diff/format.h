// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What the files of this module have in common: a header that says whose rows these are, blocks with checksums, a
// directory of the blocks, a footer. README.md specifies them byte by byte. Inside core/diff only.
#ifndef DR_DIFF_FORMAT_H
#define DR_DIFF_FORMAT_H

#include <limits.h>

#include "diff/bytes.h"
#include "table/schema.h"

#define DR_FORMAT_VERSION 2u
// What can be done about files that another version made.
#define DR_WAYS_OUT "it was made by another version; `dray state rebuild`, `baseline` or `reset` makes it anew"
#define DR_MAGIC_BASE "DRAYBASE"
#define DR_MAGIC_JOURNAL "DRAYJRNL"
#define DR_MAGIC_CHANGES "DRAYCHGS"
#define DR_MAGIC_FOOTER "DRAYFOOT"

#define DR_BLOCK_HEADER_BYTES 32u
#define DR_BLOCK_SUM_BYTES 8u
#define DR_BLOCK_RAW_BYTES (8u << 10)   // a block of rows is closed when it has so many: what one old row costs to read
#define DR_TABLE_RAW_BYTES (16u << 10)  // of a full block of a table
#define DR_ROW_BYTES_MAX (256u << 20)   // one row in canonical encoding: DR_ROW_VALUES_BYTES_MAX, and what is around it
#define DR_BLOCK_BYTES_MAX (600u << 20) // a block may hold one such row twice: as it is and as it was
#define DR_HEADER_FIXED_BYTES 48u       // of the header's body, before the names of the key columns
#define DR_LEVEL_NONE INT_MIN           // nothing is packed
#define DR_FOOTER_BYTES 128u
#define DR_INDEX_PER_BLOCK 8192u

enum { DR_BLOCK_ROWS = 1, DR_BLOCK_ENTRIES = 2, DR_BLOCK_KEYS = 3, DR_BLOCK_PLACES = 4, DR_BLOCK_INDEX = 5 };

// ---- the header ----

struct dr_file_info {
  uint64_t number;          // of the mirror's files; 0 in a change set
  uint64_t generation;      // when the file was begun
  uint64_t seed_id;         // of the project's secret, not the secret
  uint64_t twin;            // a base: a random number; a journal: the digest of its base; a change set: 0
  int keep;                 // DR_KEEP_*: what payloads hold
  int mixed;                // the key is one integer, its hash is reversible: entries have no low half
  struct dr_schema *schema; // one reference
  char **key;               // names in byte order
  size_t key_count;
};
void dr_file_info_free(struct dr_file_info *info);
// Copies; `key` need not be sorted; keep and mixed are 0. On failure nothing is kept.
DRAY_NODISCARD int32_t dr_file_info_set(struct dr_file_info *info, struct dr_schema *schema, const char *const *key,
                                        size_t key_count, uint64_t seed, struct dray_error *error);
uint64_t dr_seed_id(uint64_t seed);

// ---- writing ----

// What packs blocks.
struct dr_packer {
  struct ZSTD_CCtx_s *zstd; // made with the first block
  int level;                // or DR_LEVEL_NONE
};
void dr_packer_free(struct dr_packer *packer);
// Packs `raw` into `to`, which has room for dr_packed_max. *out_len = 0: it would not get smaller.
DRAY_NODISCARD int32_t dr_pack(struct dr_packer *packer, struct dray_str raw, char *to, size_t room, size_t *out_len,
                               struct dray_error *error);
size_t dr_packed_max(size_t raw_bytes);

// A file being written from its start to its end, buffered.
struct dr_out {
  int fd;
  const char *path; // borrowed
  uint64_t offset;  // where the next byte goes
  uint64_t digest;  // over the checksums of all blocks so far
  struct dray_buffer waiting;
  struct dr_packer packer; // its level may be set to another
  int to_be_synced;        // may be set: the disk begins at once with what is written
};
void dr_out_init(struct dr_out *out, int fd, const char *path);
void dr_out_free(struct dr_out *out); // does not close fd
DRAY_NODISCARD int32_t dr_out_write(struct dr_out *out, const void *data, size_t len, struct dray_error *error);
DRAY_NODISCARD int32_t dr_out_flush(struct dr_out *out, struct dray_error *error);
DRAY_NODISCARD int32_t dr_out_header(struct dr_out *out, const char *magic, const struct dr_file_info *info,
                                     struct dray_error *error);
// `first` is the number of the block's first item. pack = 1: zstd where that is smaller.
DRAY_NODISCARD int32_t dr_out_block(struct dr_out *out, uint32_t kind, uint64_t first, uint32_t count, int pack,
                                    struct dray_str raw, struct dray_error *error);

// Writes a block of another file as it is stored there, under a new number.
struct dr_block;
DRAY_NODISCARD int32_t dr_out_stored_block(struct dr_out *out, const struct dr_block *block, uint64_t first,
                                           struct dray_error *error);

// A file without a name in `folder`: no crash leaves it behind. *out_path: for messages, to be freed.
DRAY_NODISCARD int32_t dr_temp_open(const char *folder, char **out_path, int *out_fd, struct dray_error *error);

// Records of any length, numbered from 0, in packed blocks; remembers where each block begins.
struct dr_packing; // records_out.c
struct dr_rows_out {
  struct dr_out *out; // borrowed
  uint64_t count;     // records so far
  uint64_t first;     // of the open block
  size_t block_bytes; // a block is closed when it has so many; may be set to another
  struct dray_buffer lengths, bytes, raw;
  struct dray_buffer places;  // 16 bytes a block: first record, offset
  struct dr_packing *packing; // the thread that writes blocks; NULL: who adds records does
};
void dr_rows_out_init(struct dr_rows_out *rows, struct dr_out *out);
void dr_rows_out_free(struct dr_rows_out *rows);
// From here on a thread packs and writes the blocks, where one can be had: `out` and `places` are its own until
// dr_rows_out_close. What fails there is told by a later call.
DRAY_NODISCARD int32_t dr_rows_out_beside(struct dr_rows_out *rows, struct dray_error *error);
DRAY_NODISCARD int32_t dr_rows_out_add(struct dr_rows_out *rows, const struct dray_str *pieces, size_t piece_count,
                                       struct dray_error *error);
DRAY_NODISCARD int32_t dr_rows_out_end(struct dr_rows_out *rows, struct dray_error *error); // closes the open block
// Likewise, and waits until all blocks are written.
DRAY_NODISCARD int32_t dr_rows_out_close(struct dr_rows_out *rows, struct dray_error *error);
// Closes the open block and writes `block` behind it as it is stored, under new numbers.
DRAY_NODISCARD int32_t dr_rows_out_copy(struct dr_rows_out *rows, const struct dr_block *block,
                                        struct dray_error *error);
// Writes `items` (fixed width) as unpacked blocks of one kind; *out_offset: where they begin.
DRAY_NODISCARD int32_t dr_out_table(struct dr_out *out, uint32_t kind, const struct dray_buffer *items,
                                    size_t item_bytes, uint64_t *out_offset, struct dray_error *error);

struct dr_footer {
  uint64_t records; // base: rows; change set: records
  uint64_t changes; // change set: what it counts, in their final order; base: 0
  uint64_t places_offset, places_count;
  uint64_t entries_offset, entries_count; // base: blocks of entries; else 0
  uint64_t keys_offset, keys_count;       // base: the first key of each of them
  uint64_t index_offset, index_count;     // change set: 0 when the final order is the order of the records
  uint64_t digest;
};
// Flushes as well; the digest is filled in.
DRAY_NODISCARD int32_t dr_out_footer(struct dr_out *out, struct dr_footer *footer, struct dray_error *error);

// ---- reading ----

// A file of this module, open for reading.
struct dr_in {
  int fd;
  const char *path; // borrowed
  uint64_t bytes;   // the file's length
  uint64_t data;    // where the header ends
  struct ZSTD_DCtx_s *zstd;
};
DRAY_NODISCARD int32_t dr_in_open(struct dr_in *in, const char *path,
                                  struct dray_error *error); // IO when it is not there
void dr_in_close(struct dr_in *in);
// @errors MIRROR_CORRUPT, STATE_VERSION for a later format or encoding.
DRAY_NODISCARD int32_t dr_in_header(struct dr_in *in, const char *magic, struct dr_file_info *out,
                                    struct dray_error *error);
DRAY_NODISCARD int32_t dr_in_footer(struct dr_in *in, struct dr_footer *out, struct dray_error *error);

struct dr_block {
  uint64_t offset, first;
  uint64_t end; // where the next block begins
  uint64_t sum;
  uint32_t kind, count;
  uint32_t packed, raw_bytes;
  struct dray_str stored; // as it lies in the file, without header and sum
  struct dray_str raw;    // unpacked; data NULL until dr_block_unpack
  struct dray_buffer bytes, unpacked;
};
void dr_block_init(struct dr_block *block);
void dr_block_free(struct dr_block *block);
// Loads, verifies and unpacks the block at `offset`, unless `block` holds it already. kind 0: any.
DRAY_NODISCARD int32_t dr_in_block(struct dr_in *in, uint64_t offset, uint32_t kind, struct dr_block *block,
                                   struct dray_error *error);
// Loads and verifies. `expect`: the bytes it takes in the file, if known: read at once; 0: not known.
DRAY_NODISCARD int32_t dr_in_block_packed(struct dr_in *in, uint64_t offset, uint64_t expect, uint32_t kind,
                                          struct dr_block *block, struct dray_error *error);
DRAY_NODISCARD int32_t dr_block_unpack(struct dr_in *in, struct dr_block *block, struct dray_error *error);
// What a block in memory says of itself, at `bytes`: 0 when its sum is wrong. `stored`: what its body must take.
int dr_block_is_true(const uint8_t *bytes, uint32_t kind, uint64_t offset, uint64_t first, uint32_t count,
                     uint32_t stored);
// Reads a table back. @errors MIRROR_CORRUPT when there are not exactly `count` items.
DRAY_NODISCARD int32_t dr_in_table(struct dr_in *in, uint32_t kind, uint64_t offset, uint64_t count, size_t item_bytes,
                                   struct dray_buffer *out, struct dray_error *error);

struct dr_rows_in {
  struct dr_in *in;          // borrowed
  uint64_t count;            // records
  struct dray_buffer places; // as in dr_rows_out
  struct dr_block block;     // the last one used
  size_t place;              // its number
  uint32_t *ends;            // of its records, counted from the begin of the first; owned
  size_t ends_capacity, front;
  int open; // `ends` is of this block
};
DRAY_NODISCARD int32_t dr_rows_in_open(struct dr_rows_in *rows, struct dr_in *in, const struct dr_footer *footer,
                                       struct dray_error *error);
void dr_rows_in_close(struct dr_rows_in *rows);
// *out is valid until the next call. Cheap when the numbers come in order.
DRAY_NODISCARD int32_t dr_rows_in_get(struct dr_rows_in *rows, uint64_t number, struct dray_str *out,
                                      struct dray_error *error);
// The block that holds record `number`, verified but not unpacked: rows->block.
DRAY_NODISCARD int32_t dr_rows_in_load(struct dr_rows_in *rows, uint64_t number, struct dray_error *error);
// Where the block of record `number` ends: the number of the first record behind it.
uint64_t dr_rows_in_end(const struct dr_rows_in *rows, uint64_t number);

// "FILE does not verify: WHAT at byte OFFSET"
int32_t dr_corrupt(struct dray_error *error, const char *path, uint64_t offset, const char *format, ...)
    DRAY_PRINTF(4, 5);

#endif // DR_DIFF_FORMAT_H
