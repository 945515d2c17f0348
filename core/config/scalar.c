// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What an unquoted scalar means: the core schema of YAML 1.2.2 (§10.3.2), not the rules of YAML 1.1 that libyaml's
// users inherit. So `no` is the text "no" (Norway stays a country), 0777 is seven hundred and seventy-seven, and
// 12:30 is a text.
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "config/inside.h"

static int is_one_of(struct dray_str text, const char *const *words) {
  for (; *words != NULL; words++) {
    if (dray_str_is(text, *words)) return 1;
  }
  return 0;
}

static size_t digits_at(const char *text, size_t at, size_t len) {
  const size_t start = at;
  while (at < len && text[at] >= '0' && text[at] <= '9') at++;
  return at - start;
}

// [-+]? [0-9]+
static int is_decimal_int(const char *text, size_t len) {
  const size_t sign = len > 0 && (text[0] == '-' || text[0] == '+');
  return len > sign && digits_at(text, sign, len) == len - sign;
}

// [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?
static int is_float(const char *text, size_t len) {
  size_t at = len > 0 && (text[0] == '-' || text[0] == '+');
  const size_t whole = digits_at(text, at, len);
  size_t fraction = 0;
  at += whole;
  if (at < len && text[at] == '.') {
    at++;
    fraction = digits_at(text, at, len);
    at += fraction;
  }
  if (whole + fraction == 0) return 0;
  if (at < len && (text[at] == 'e' || text[at] == 'E')) {
    at++;
    if (at < len && (text[at] == '-' || text[at] == '+')) at++;
    const size_t exponent = digits_at(text, at, len);
    if (exponent == 0) return 0;
    at += exponent;
  }
  return at == len;
}

static void set_int(struct dr_node *node, const char *digits, int base) {
  errno = 0;
  const long long value = strtoll(digits, NULL, base);
  if (errno == ERANGE) { // kept as a float for range checks; `text` keeps every digit
    node->kind = DR_NODE_FLOAT;
    node->number = strtod(digits, NULL);
    return;
  }
  node->kind = DR_NODE_INT;
  node->integer = value;
  node->number = (double)value;
}

// 0o17, 0x1F: digits only, no sign.
static int is_based(const char *text, size_t len, char mark, const char *digits) {
  if (len < 3 || text[0] != '0' || text[1] != mark) return 0;
  return strspn(text + 2, digits) == len - 2;
}

static int resolve_special_float(struct dr_node *node) {
  static const char *const infinities[] = {".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF", NULL};
  static const char *const negative[] = {"-.inf", "-.Inf", "-.INF", NULL};
  static const char *const nans[] = {".nan", ".NaN", ".NAN", NULL};
  if (is_one_of(node->text, infinities)) {
    node->number = INFINITY;
  } else if (is_one_of(node->text, negative)) {
    node->number = -INFINITY;
  } else if (is_one_of(node->text, nans)) {
    node->number = NAN;
  } else {
    return 0;
  }
  node->kind = DR_NODE_FLOAT;
  return 1;
}

void dr_scalar_resolve(struct dr_node *node) {
  static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
  static const char *const trues[] = {"true", "True", "TRUE", NULL};
  static const char *const falses[] = {"false", "False", "FALSE", NULL};
  const char *text = node->text.data; // NUL-terminated by the reader
  const size_t len = (size_t)node->text.len;
  node->kind = DR_NODE_STRING;
  if (is_one_of(node->text, nulls)) {
    node->kind = DR_NODE_NULL;
  } else if (is_one_of(node->text, trues) || is_one_of(node->text, falses)) {
    node->kind = DR_NODE_BOOL;
    node->boolean = is_one_of(node->text, trues);
  } else if (is_decimal_int(text, len)) {
    set_int(node, text, 10);
  } else if (is_based(text, len, 'o', "01234567")) {
    set_int(node, text + 2, 8);
  } else if (is_based(text, len, 'x', "0123456789abcdefABCDEF")) {
    set_int(node, text + 2, 16);
  } else if (is_float(text, len)) {
    node->kind = DR_NODE_FLOAT;
    node->number = strtod(text, NULL);
  } else {
    (void)resolve_special_float(node);
  }
}
