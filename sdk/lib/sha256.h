// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// SHA-256 (FIPS 180-4) of a short text, for the challenge of RFC 7636, so that no plugin needs a library for it. Inside
// the library only.
#ifndef DRAY_LIB_SHA256_H
#define DRAY_LIB_SHA256_H

#include <stddef.h>
#include <stdint.h>

#define DRAY_SHA256_BYTES 32

// Of `len` bytes, whole.
void dray_sha256(const void *data, size_t len, uint8_t out[DRAY_SHA256_BYTES]);

#endif // DRAY_LIB_SHA256_H
