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

struct dray_input; // opaque

// Opens a file; gzip is recognised by its magic bytes, not by its name, and may have several members. @errors IO, CONFIG_FILE when it is not there.
DRAY_NODISCARD int32_t dray_input_open(const char *path, struct dray_input **out, struct dray_error *error);
// *out_bytes = 0 at the end. @errors IO, DATA_ENCODING for damaged or cut gzip.
DRAY_NODISCARD int32_t dray_input_read(struct dray_input *input, void *buffer, size_t capacity, size_t *out_bytes,
                                       struct dray_error *error);
// Skips to a position of the unpacked bytes (a seek where the file is plain).
DRAY_NODISCARD int32_t dray_input_skip(struct dray_input *input, uint64_t bytes, struct dray_error *error);
uint64_t dray_input_raw_position(const struct dray_input *input); // bytes of the file consumed, for progress
void dray_input_close(struct dray_input *input);

#ifdef __cplusplus
}
#endif

#endif // DRAY_SDK_INPUT_H
