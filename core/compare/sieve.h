// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Two CSV files in, two much smaller ones out: what is the same bytes under a key that each file holds once is settled
// as unchanged, everything else is left in *rest* files for the exact comparison. README.md says how and why.
#ifndef DR_COMPARE_SIEVE_H
#define DR_COMPARE_SIEVE_H

#include "dray/sdk/csv.h"
#include "dray/sdk/value.h"

enum { DR_SIEVE_OLD = 0, DR_SIEVE_NEW = 1 };

#define DR_SIEVE_KEYS_MAX 32
#define DR_SIEVE_MEMORY_DEFAULT (UINT64_C(288) << 20)

// A key column with the type that the exact comparison will give it: equal keys are equal values of this type.
struct dr_sieve_key {
  const char *column;
  struct dray_type type;
};

struct dr_sieve_options {
  const char *paths[2];        // DR_SIEVE_OLD, DR_SIEVE_NEW: plain regular files, read twice
  const char *temp_folder;     // an existing folder for the rest files and for what does not fit memory_bytes
  struct dray_csv_options csv; // of both files; 0 in a member: the reader's default
  int header;                  // 1: the first record of each file holds the names
  const char *const *columns;  // names for files without a header, or instead of the header's; NULL: the header's,
  size_t column_count;         // or column_1, column_2, ...
  const struct dr_sieve_key *keys;
  size_t key_count;               // 1 to DR_SIEVE_KEYS_MAX
  const char *const *null_values; // unquoted fields that mean null; NULL: the empty field alone
  size_t null_count;
  uint64_t memory_bytes;      // for the entries of OLD (24 bytes a row); beyond it they go through temporary files.
                              // 0: DR_SIEVE_MEMORY_DEFAULT. Buffers come to about 10 MiB and 2 bytes a row more
  uint64_t rest_memory_bytes; // what is left stays in memory while each side's fits half of this; 0: in files
  int no_merge;               // 1: files in the order of their keys are treated as any others; for tests
  uint32_t threads;           // 0: 2; at most 64
  uint32_t chunk_bytes;       // 0: 256 KiB; for tests
  // Called on the thread that called dr_sieve_run, some hundred times: bytes read of those there are to be read.
  void (*progress)(void *context, uint64_t bytes_done, uint64_t bytes_total);
  void *progress_context;
};

// A rest file is CSV of the same dialect: the input's header if there is one, then the records that are not settled, in
// input order, byte for byte, each ended by LF. Types cannot be inferred from it: declare them as for the inputs.
struct dr_sieve_side {
  const char *rest_path; // the file is unlinked by dr_sieve_free. NULL when not sievable, or in memory
  const char *rest_data; // the same in memory, and 64 bytes more that can be read; else NULL
  uint64_t rows;         // records of the input without the header, bad ones too
  uint64_t rest_rows;    // rows - unchanged
  uint64_t rest_bytes;   // of the rest file
  uint64_t rest_start;   // of the first of them, behind the header
};
struct dr_sieve_result {
  int sievable;       // 0: nothing is known, take the general path
  char reason[256];   // why not, a sentence
  uint64_t unchanged; // records of each file that are settled
  int spilled;        // 1: the entries did not fit memory_bytes
  int merged;         // 1: both files were in the order of their keys, which takes no entries
  struct dr_sieve_side sides[2];
};

struct dr_sieve; // owns the rest files

// Settled is a record when its key is not null, is one of its column's type, occurs exactly once in each of the files,
// and both records are the same bytes (64 bits of XXH3 with a random seed beside 64 bits of the key, so that unlike
// records pass with probability 2^-64), have as many fields as there are columns, and are UTF-8 without NUL, within
// the limits of `csv`. So a value of another column that is not of that column's type, and is the same in both
// files, is not found by the sieve: it counts as unchanged.
// Not sievable (code OK, result.sievable 0): no regular files, gzip, different or unusable headers, no header in an
// empty file, a key that is not a column, a delimiter or quote that is not ASCII, a record longer than
// csv.record_bytes_max or a quote that is never closed far from the end, 2^32 - 4 records or more.
// The result does not depend on threads, memory_bytes or chunk_bytes. Blocks until done; polls dr_cancelled.
// @owner free *out with dr_sieve_free. @errors IO (also when a file is changed during the call), DISK_FULL,
// CONFIG_VALUE (options that make no sense), CANCELLED, OUT_OF_MEMORY.
DRAY_NODISCARD int32_t dr_sieve_run(const struct dr_sieve_options *options, struct dr_sieve **out,
                                    struct dray_error *error);
const struct dr_sieve_result *dr_sieve_result(const struct dr_sieve *sieve); // valid as long as the sieve
// The names of the columns, of both files alike; valid as long as the sieve. For one that is sievable.
const char *const *dr_sieve_columns(const struct dr_sieve *sieve, size_t *out_count);
// Puts the rest of both sides into files, or into memory: each that is not longer than `limit`. The result says where
// they are. @errors IO, DISK_FULL, OUT_OF_MEMORY.
DRAY_NODISCARD int32_t dr_sieve_rest_to_files(struct dr_sieve *sieve, struct dray_error *error);
DRAY_NODISCARD int32_t dr_sieve_rest_to_memory(struct dr_sieve *sieve, uint64_t limit, struct dray_error *error);
void dr_sieve_free(struct dr_sieve *sieve); // NULL is allowed

// Where a record of a rest file stands in the input.
struct dr_sieve_origin {
  uint64_t line;        // of the input, from 1, as struct dray_csv_record counts
  uint64_t byte_offset; // of the input
};
// The record of a rest file that begins at or before `rest_line` (as struct dray_csv_record.line counts in the rest
// file; behind the header). Reads a few hundred KiB: for messages. @errors LIMIT (no such record), IO.
DRAY_NODISCARD int32_t dr_sieve_origin(struct dr_sieve *sieve, int side, uint64_t rest_line,
                                       struct dr_sieve_origin *out, struct dray_error *error);

#endif // DR_COMPARE_SIEVE_H
