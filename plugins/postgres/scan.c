// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Where a statement begins and ends in a text. The server judges the SQL itself; this only has to know what is not a
// token: blanks, comments, and semicolons at the end. Lexical rules: SQL Syntax, 4.1 of PostgreSQL's manual.
#include <ctype.h>

#include "warehouse.h"

static int is_word(char c) {
  return isalnum((unsigned char)c) || c == '_' || c == '$' || (unsigned char)c >= 0x80;
}

// Behind a comment that begins at `at`; `at` itself when none does.
static size_t skip_comment(struct dray_str sql, size_t at) {
  if (at + 1 >= sql.len) return at;
  const char *text = sql.data;
  if (text[at] == '-' && text[at + 1] == '-') {
    while (at < sql.len && text[at] != '\n') at++;
    return at;
  }
  if (text[at] != '/' || text[at + 1] != '*') return at;
  size_t depth = 0;
  while (at < sql.len) { // they nest
    if (at + 1 < sql.len && text[at] == '/' && text[at + 1] == '*') {
      depth++;
      at += 2;
    } else if (at + 1 < sql.len && text[at] == '*' && text[at + 1] == '/') {
      at += 2;
      if (--depth == 0) return at;
    } else {
      at++;
    }
  }
  return at;
}

static size_t skip_quoted(struct dray_str sql, size_t at, int escapes) {
  const char quote = sql.data[at++];
  while (at < sql.len) {
    if (escapes && sql.data[at] == '\\') {
      at += 2;
    } else if (sql.data[at++] == quote) {
      return at; // a doubled one begins the next token, which is as good
    }
  }
  return sql.len;
}

// $tag$ ... $tag$; `at` + 1 when no such quote begins here.
static size_t skip_dollars(struct dray_str sql, size_t at) {
  size_t end = at + 1;
  while (end < sql.len && sql.data[end] != '$' && is_word(sql.data[end])) end++;
  if (end >= sql.len || sql.data[end] != '$' || isdigit((unsigned char)sql.data[at + 1])) return at + 1;
  const size_t tag = end + 1 - at;
  for (size_t i = end + 1; i + tag <= sql.len; i++) {
    if (memcmp(sql.data + i, sql.data + at, tag) == 0) return i + tag;
  }
  return sql.len;
}

static size_t skip_word(struct dray_str sql, size_t at) {
  const size_t begin = at;
  while (at < sql.len && is_word(sql.data[at])) at++;
  const int escape = at == begin + 1 && (sql.data[begin] == 'e' || sql.data[begin] == 'E');
  return escape && at < sql.len && sql.data[at] == '\'' ? skip_quoted(sql, at, 1) : at;
}

static size_t skip_token(struct dray_str sql, size_t at) {
  const char c = sql.data[at];
  if (c == '\'' || c == '"') return skip_quoted(sql, at, 0);
  if (c == '$') return skip_dollars(sql, at);
  return is_word(c) ? skip_word(sql, at) : at + 1;
}

static void take_verb(struct dray_str sql, size_t at, size_t end, char verb[16]) {
  size_t n = 0;
  for (; at < end && n < 15; at++) verb[n++] = (char)tolower((unsigned char)sql.data[at]);
  verb[n] = '\0';
}

void pg_scan(struct dray_str sql, struct pg_statement *out) {
  size_t at = 0, begin = sql.len, last = 0;
  memset(out, 0, sizeof *out);
  while (at < sql.len) {
    const size_t behind = skip_comment(sql, at);
    if (behind != at || isspace((unsigned char)sql.data[at]) || sql.data[at] == ';') {
      at = behind != at ? behind : at + 1;
      continue;
    }
    const size_t end = skip_token(sql, at);
    if (begin == sql.len) begin = at;
    if (out->verb[0] == '\0' && sql.data[at] != '(') take_verb(sql, at, end, out->verb);
    last = end < sql.len ? end : sql.len;
    at = end;
  }
  if (last > begin) out->text = dray_str_make(sql.data + begin, last - begin);
}

static int is_one_of(const char *verb, const char *const *verbs) {
  for (; *verbs != NULL; verbs++) {
    if (strcmp(verb, *verbs) == 0) return 1;
  }
  return 0;
}

int pg_statement_selects(const struct pg_statement *statement) {
  static const char *const verbs[] = {"select", "with", "values", "table", NULL};
  return is_one_of(statement->verb, verbs);
}

int pg_statement_writes(const struct pg_statement *statement) {
  static const char *const verbs[] = {"insert", "update", "delete", "merge", NULL};
  return is_one_of(statement->verb, verbs);
}
