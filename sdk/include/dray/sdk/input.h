// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Files of bytes to read, plain or gzip, for CSV and JSON Lines alike.
#ifndef DRAY_SDK_INPUT_H
#define DRAY_SDK_INPUT_H

#include "dray/sdk/error.h"

#ifdef __cplusplus
extern "C" {
#endif

struct dray_input; // opaque; one thread at a time

// Opens a file; gzip is recognised by its magic bytes, not by its name, and may have several members (RFC 1952, 2.2).
// Zero bytes behind the last member are padding, as gzip(1) has it; anything else there is damage.
// @owner close with dray_input_close. @errors CONFIG_FILE when it is not there, not readable or a folder; IO,
// OUT_OF_MEMORY.
DRAY_NODISCARD int32_t dray_input_open(const char *path, struct dray_input **out, struct dray_error *error);
// Reads up to `capacity` (> 0) bytes; *out_bytes = 0 at the end, and only there. After an error the input gives no more
// bytes: every further call fails the same way.
// @errors IO, DATA_ENCODING for damaged or cut gzip, OUT_OF_MEMORY. @thread blocks as the file does.
DRAY_NODISCARD int32_t dray_input_read(struct dray_input *input, void *buffer, size_t capacity, size_t *out_bytes,
                                       struct dray_error *error);
// Skips that many of the unpacked bytes from here (a seek where the file is plain).
// @errors STATE_CHECKPOINT when the file ends before; those of dray_input_read.
DRAY_NODISCARD int32_t dray_input_skip(struct dray_input *input, uint64_t bytes, struct dray_error *error);
uint64_t dray_input_raw_position(const struct dray_input *input); // bytes of the file consumed, for progress
void dray_input_close(struct dray_input *input);                  // NULL is allowed

#ifdef __cplusplus
}
#endif

#endif // DRAY_SDK_INPUT_H
