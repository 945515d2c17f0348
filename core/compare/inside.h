// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What the files of the sieve itself share.
#ifndef DR_COMPARE_INSIDE_H
#define DR_COMPARE_INSIDE_H

#include <sys/stat.h>

#include "compare/entries.h"
#include "compare/key.h"
#include "compare/lane.h"
#include "compare/sieve.h"
#include "compare/temp.h"

#define SIEVE_REFUSED (-1) // inside only: not sievable, sieve->result.reason says why

struct sieve_input {
  const char *path; // owned
  int fd;
  struct stat info; // as it was opened
  uint64_t size;
  uint64_t data_start;       // of the first record that is not the header
  uint64_t first_line;       // the line number there
  struct dray_buffer header; // the header record as it stands, without its line end
  uint32_t column_count;
  char **names; // owned
};

// A piece of an input: the records that begin in it.
struct sieve_chunk {
  uint64_t start; // of its first record, in the input
  uint64_t first_line;
  uint32_t first_number; // of that record; numbers begin with 0
  int plain;             // its records are its lines, each ended by LF
};

struct sieve_rest {
  struct temp_store content;
  struct temp_store origins; // struct rest_origin of each record
  uint64_t bytes;            // of the content: written or being written
  uint64_t start;            // in it, behind the header
  uint64_t rows, lines;
};

struct dr_sieve {
  const struct dr_sieve_options *options; // during the run
  struct dr_sieve_result result;
  struct sieve_input inputs[2];
  struct sieve_chunk *chunks[2]; // owned; one more than there are
  uint64_t chunk_count[2];
  int lines_unknown[2]; // the chunks' first_line is not there yet
  struct sieve_rest rests[2];
  char *temp_folder; // owned
  uint32_t chunk_bytes, threads;
  uint64_t record_bytes_max;
  struct scan_dialect dialect;
  struct key_plan plan;
  struct entries *entries; // during the run
  uint64_t bytes_done, bytes_total;
};

// Fills result.reason. Returns SIEVE_REFUSED.
int32_t sieve_refuse(struct dr_sieve *sieve, const char *format, ...) DRAY_PRINTF(2, 3);

// Opens an input and reads its header. @errors SIEVE_REFUSED, IO, OUT_OF_MEMORY.
DRAY_NODISCARD int32_t sieve_input_open(struct dr_sieve *sieve, int side, struct dray_error *error);
void sieve_input_close(struct sieve_input *input);
// @errors IO when the file is not what it was.
DRAY_NODISCARD int32_t sieve_input_check(const struct sieve_input *input, struct dray_error *error);
// Both inputs must have the same columns; finds the keys among them. @errors SIEVE_REFUSED.
DRAY_NODISCARD int32_t sieve_columns_match(struct dr_sieve *sieve, struct dray_error *error);

// Where a chunk of an input begins and ends, guessed by bytes.
static inline uint64_t sieve_chunk_begin(const struct dr_sieve *sieve, int side, uint64_t chunk) {
  return sieve->inputs[side].data_start + chunk * sieve->chunk_bytes;
}
static inline uint64_t sieve_chunk_end(const struct dr_sieve *sieve, int side, uint64_t chunk) {
  const uint64_t end = sieve_chunk_begin(sieve, side, chunk + 1);
  return end < sieve->inputs[side].size ? end : sieve->inputs[side].size;
}

// Settles both sides at once, where the keys of both grow from record to record (merge.c). *out_merged = 0: they do
// not, and nothing is settled.
DRAY_NODISCARD int32_t sieve_merge(struct dr_sieve *sieve, int *out_merged, struct dray_error *error);

// Reads OLD into entries; reads NEW against them; writes the rest of a side again from the marks.
DRAY_NODISCARD int32_t sieve_pass_scan(struct dr_sieve *sieve, int side, struct dray_error *error);
DRAY_NODISCARD int32_t sieve_pass_extract(struct dr_sieve *sieve, int side, struct dray_error *error);

// A record that goes to the rest.
struct rest_origin {
  uint64_t line;   // in the rest file
  uint64_t offset; // in the input
};
// Records of one chunk on their way to the rest file.
struct rest_piece {
  struct dray_buffer bytes;
  struct rest_origin *origins; // owned; lines count from 0
  size_t count, capacity;
  uint64_t lines;
  uint64_t at_bytes, at_rows, at_lines; // where it goes
};
// `memory_bytes`: how much of it may be in memory.
DRAY_NODISCARD int32_t sieve_rest_open(struct dr_sieve *sieve, int side, uint64_t memory_bytes,
                                       struct dray_error *error);
void sieve_rest_close(struct sieve_rest *rest);
// Empties the rest file again.
DRAY_NODISCARD int32_t sieve_rest_begin(struct dr_sieve *sieve, int side, struct dray_error *error);
void sieve_piece_init(struct rest_piece *piece);
void sieve_piece_free(struct rest_piece *piece);
void sieve_piece_clear(struct rest_piece *piece);
DRAY_NODISCARD int32_t sieve_piece_add(struct rest_piece *piece, const char *record, size_t len, int may_have_lines,
                                       uint64_t offset, struct dray_error *error);
// In the order of the chunks; then the writing may be done at any time.
void sieve_rest_place(struct sieve_rest *rest, struct rest_piece *piece);
DRAY_NODISCARD int32_t sieve_rest_write(struct dr_sieve *sieve, int side, struct rest_piece *piece,
                                        struct dray_error *error);

#endif // DR_COMPARE_INSIDE_H
