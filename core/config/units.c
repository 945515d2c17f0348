// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Texts with units: sizes, durations, shares and schedules.
#include <stdlib.h>

#include "config/inside.h"

struct unit {
  const char *name;
  uint64_t factor;
};

// Digits at the start of the text; 1 when there are any and they fit.
static int take_digits(struct dray_str *text, uint64_t *out) {
  uint64_t value = 0, used = 0;
  for (; used < text->len && text->data[used] >= '0' && text->data[used] <= '9'; used++) {
    if (__builtin_mul_overflow(value, 10u, &value)) return 0;
    if (__builtin_add_overflow(value, (uint64_t)(text->data[used] - '0'), &value)) return 0;
  }
  *text = dray_str_make(text->data + used, text->len - used);
  *out = value;
  return used > 0;
}

// The longest unit at the start of the text; NULL: none.
static const struct unit *take_unit(struct dray_str *text, const struct unit *units, size_t count) {
  const struct unit *found = NULL;
  for (size_t i = 0; i < count; i++) {
    const size_t len = strlen(units[i].name);
    if (len > text->len || memcmp(text->data, units[i].name, len) != 0) continue;
    if (found == NULL || len > strlen(found->name)) found = &units[i];
  }
  if (found != NULL) *text = dray_str_make(text->data + strlen(found->name), text->len - strlen(found->name));
  return found;
}

int dr_parse_size(struct dray_str text, uint64_t *out_bytes) {
  static const struct unit units[] = {
      {"B", 1},     {"KiB", 1u << 10}, {"MiB", 1u << 20}, {"GiB", 1u << 30},  {"TiB", 1ull << 40},
      {"kB", 1000}, {"KB", 1000},      {"MB", 1000000},   {"GB", 1000000000}, {"TB", 1000000000000ull}};
  uint64_t value = 0;
  if (!take_digits(&text, &value)) return 0;
  if (text.len > 0) {
    if (text.data[0] == ' ') text = dray_str_make(text.data + 1, text.len - 1);
    const struct unit *unit = take_unit(&text, units, sizeof(units) / sizeof(units[0]));
    if (unit == NULL || text.len > 0 || __builtin_mul_overflow(value, unit->factor, &value)) return 0;
  }
  *out_bytes = value;
  return 1;
}

int dr_parse_duration(struct dray_str text, int64_t *out_ms) {
  static const struct unit units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
  uint64_t total = 0, last = UINT64_MAX;
  if (text.len == 0) return 0;
  while (text.len > 0) {
    uint64_t value = 0;
    if (!take_digits(&text, &value)) return 0;
    const struct unit *unit = take_unit(&text, units, sizeof(units) / sizeof(units[0]));
    if (unit == NULL || unit->factor >= last) return 0; // each unit once, the larger first
    last = unit->factor;
    if (__builtin_mul_overflow(value, unit->factor, &value) || __builtin_add_overflow(total, value, &total)) return 0;
  }
  if (total > INT64_MAX) return 0;
  *out_ms = (int64_t)total;
  return 1;
}

int dr_parse_percent(struct dray_str text, double *out_share) {
  char copy[32];
  if (text.len < 2 || text.len >= sizeof(copy) || text.data[text.len - 1] != '%') return 0;
  memcpy(copy, text.data, (size_t)text.len - 1);
  copy[text.len - 1] = '\0';
  if (strspn(copy, "0123456789.") != strlen(copy) || copy[0] == '.') return 0;
  char *end = NULL;
  const double percent = strtod(copy, &end);
  if (*end != '\0' || !(percent >= 0 && percent <= 100)) return 0;
  *out_share = percent / 100;
  return 1;
}

// ---- schedules ----

struct cron_field {
  uint64_t low, high;
  const char *const *names; // three letters each, the first is `low`
  size_t name_count;
  const char *fault;
};

static const char *const months[] = {"jan", "feb", "mar", "apr", "may", "jun",
                                     "jul", "aug", "sep", "oct", "nov", "dec"};
static const char *const days[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};
static const struct cron_field cron_fields[] = {
    {0, 59, NULL, 0, "the first field, the minute, is 0-59, *, */N, a range or a list"},
    {0, 23, NULL, 0, "the second field, the hour, is 0-23, *, */N, a range or a list"},
    {1, 31, NULL, 0, "the third field, the day of the month, is 1-31, *, */N, a range or a list"},
    {1, 12, months, 12, "the fourth field, the month, is 1-12 or jan-dec, *, */N, a range or a list"},
    {0, 7, days, 7, "the fifth field, the day of the week, is 0-7 or sun-sat, *, */N, a range or a list"},
};

static int take_cron_value(struct dray_str *text, const struct cron_field *field, uint64_t *out) {
  for (size_t i = 0; i < field->name_count && text->len >= 3; i++) {
    int same = 1;
    for (size_t k = 0; k < 3; k++) same &= (text->data[k] | 0x20) == field->names[i][k];
    if (!same) continue;
    *text = dray_str_make(text->data + 3, text->len - 3);
    *out = field->low + i;
    return 1;
  }
  return take_digits(text, out) && *out >= field->low && *out <= field->high;
}

static int take_char(struct dray_str *text, char c) {
  if (text->len == 0 || text->data[0] != c) return 0;
  *text = dray_str_make(text->data + 1, text->len - 1);
  return 1;
}

// item (, item)*; item = (* | value | value-value) [/step]
static int cron_field_good(struct dray_str text, const struct cron_field *field) {
  do {
    uint64_t from = 0, to = 0, step = 1;
    if (!take_char(&text, '*')) {
      if (!take_cron_value(&text, field, &from)) return 0;
      if (take_char(&text, '-') && (!take_cron_value(&text, field, &to) || to < from)) return 0;
    }
    if (take_char(&text, '/') && (!take_digits(&text, &step) || step == 0 || step > field->high)) return 0;
  } while (take_char(&text, ','));
  return text.len == 0;
}

static const char *every_fault(struct dray_str text) {
  int64_t ms = 0;
  while (text.len > 0 && text.data[0] == ' ') text = dray_str_make(text.data + 1, text.len - 1);
  if (!dr_parse_duration(text, &ms)) return "`every` is followed by a duration such as 30s, 5m, 1h30m or 1d";
  if (ms < 1000) return "the shortest interval is 1s";
  if (ms > 366 * 86400000LL) return "the longest interval is 366d";
  return NULL;
}

// The next word of the text; 0 at its end.
static int take_word(struct dray_str *text, struct dray_str *out) {
  uint64_t at = 0;
  while (at < text->len && text->data[at] == ' ') at++;
  const uint64_t start = at;
  while (at < text->len && text->data[at] != ' ') at++;
  *out = dray_str_make(text->data + start, at - start);
  *text = dray_str_make(text->data + at, text->len - at);
  return out->len > 0;
}

const char *dr_schedule_fault(struct dray_str text) {
  struct dray_str words[6];
  size_t count = 0;
  if (text.len > 6 && memcmp(text.data, "every ", 6) == 0)
    return every_fault(dray_str_make(text.data + 6, text.len - 6));
  while (count < 6 && take_word(&text, &words[count])) count++;
  if (count != 5) return "a schedule is `every 5m` or five fields of cron: minute hour day month weekday";
  for (size_t i = 0; i < 5; i++) {
    if (!cron_field_good(words[i], &cron_fields[i])) return cron_fields[i].fault;
  }
  return NULL;
}
