// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Where the statement of a model ends, so that it can stand inside another: a `;` with nothing but blanks and comments
// behind it is no part of it. What is quoted, and comments, are skipped; engines that quote in yet another way meet a
// `;` that has more behind it, which is left for them to judge.
#include <ctype.h>

#include "warehouse/snapshot_inside.h"

static const char *after_line(const char *at) {
  while (*at != '\0' && *at != '\n') at++;
  return at;
}

static const char *after_comment(const char *at) {
  const char *end = strstr(at + 2, "*/");
  return end != NULL ? end + 2 : at + strlen(at);
}

static const char *after_quoted(const char *at) {
  const char *end = strchr(at + 1, *at);
  return end != NULL ? end + 1 : at + strlen(at);
}

// $tag$ ... $tag$; a lone $ is passed over.
static const char *after_dollar(const char *at) {
  char tag[64];
  size_t len = 1;
  while (isalnum((unsigned char)at[len]) || at[len] == '_') len++;
  if (at[len] != '$' || len + 2 > sizeof tag) return at + 1;
  memcpy(tag, at, len + 1);
  tag[len + 1] = '\0';
  const char *end = strstr(at + len + 1, tag);
  return end != NULL ? end + len + 1 : at + strlen(at);
}

// Past the comment or the quoted text that begins at `at`; NULL: none does.
static const char *skip(const char *at) {
  if (at[0] == '-' && at[1] == '-') return after_line(at);
  if (at[0] == '/' && at[1] == '*') return after_comment(at);
  if (*at == '\'' || *at == '"' || *at == '`') return after_quoted(at);
  return *at == '$' ? after_dollar(at) : NULL;
}

static int is_nothing(const char *at) {
  while (*at != '\0') {
    const int comment = (at[0] == '-' && at[1] == '-') || (at[0] == '/' && at[1] == '*');
    if (!comment && *at != ';' && !isspace((unsigned char)*at)) return 0;
    at = comment ? skip(at) : at + 1;
  }
  return 1;
}

struct dray_str dr_statement_of(const char *sql) {
  for (const char *at = sql; *at != '\0';) {
    if (*at == ';' && is_nothing(at)) return dray_str_make(sql, (uint64_t)(at - sql));
    const char *next = skip(at);
    at = next != NULL ? next : at + 1;
  }
  return dray_str_of(sql);
}
