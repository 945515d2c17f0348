// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Texts of a shop that no text can hold: an emoji that some app cut in half.
#ifndef SHOPIFY_MEND_H
#define SHOPIFY_MEND_H

#include <stddef.h>

// Makes each \u escape of JSON text that is one half of a surrogate pair without the other the replacement character,
// in place. An escape that `len` cuts is left alone. Returns how many were replaced.
size_t shopify_mend(char *json, size_t len);

#endif // SHOPIFY_MEND_H
