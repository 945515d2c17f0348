// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Files of the diff engine with whatever in them, and sums that are right: so that a fuzzer gets past the checksums to
// what stands behind them. Knows the format's page (core/diff/README.md), not the reader. Also: one input that holds
// several files, and its mutation file by file.
#ifndef TESTS_FUZZ_FORGE_H
#define TESTS_FUZZ_FORGE_H

#include <stddef.h>
#include <stdint.h>

#define FORGE_SEED UINT64_C(7) // the project's secret in these files
#define FORGE_FILES 3

struct forge_bytes {
  uint8_t *data; // owned
  size_t len;
};

// An input: a byte that chooses, then each file with its length before it.
struct forge_input {
  uint8_t flags;
  struct forge_bytes files[FORGE_FILES];
};
void forge_unpack(const uint8_t *data, size_t size, size_t files, struct forge_input *out);
void forge_free(struct forge_input *input);
// Returns how many bytes were written; what does not fit is left out.
size_t forge_pack(const struct forge_input *input, size_t files, uint8_t *out, size_t max);
// Mutates one of the files (or the flags) with libFuzzer's own means.
size_t forge_mutate(uint8_t *data, size_t size, size_t max, unsigned seed, size_t files);

// Makes header, blocks and footer of a base or a change set verify. Returns the digest.
uint64_t forge_blocks(struct forge_bytes *file, const char *magic);
// The same for header, mark and frames of a journal to a base of this digest. mark = 0: leaves it as it is.
void forge_journal(struct forge_bytes *file, uint64_t base_digest, int mark);
// A head that names base 1 and its journal, or (`text`, not NULL) that text with a right sum behind it.
void forge_head(struct forge_bytes *head, const struct forge_bytes *base, uint64_t base_digest, int from_base);

void forge_write(const char *path, const struct forge_bytes *file);
struct forge_bytes forge_read(const char *path);

#endif // TESTS_FUZZ_FORGE_H
