// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Dates and timestamps: ISO 8601 text to and from days and microseconds since 1970, by arithmetic alone. The C
// library's time functions know time zones, locales and environment variables, none of which belong here.
#include "dray/sdk/value.h"

#define DAY_US INT64_C(86400000000)

// Days since 1970-01-01 of the proleptic Gregorian calendar, and back. The year begins in March, so that the leap day
// is its last (H. Hinnant, "chrono-Compatible Low-Level Date Algorithms").
static int64_t days_of_civil(int64_t year, int32_t month, int32_t day) {
  if (month <= 2) year--;
  const int64_t era = (year >= 0 ? year : year - 399) / 400;
  const int64_t year_of_era = year - era * 400;
  const int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

static void civil_of_days(int64_t days, int64_t *year, int32_t *month, int32_t *day) {
  days += 719468;
  const int64_t era = (days >= 0 ? days : days - 146096) / 146097;
  const int64_t day_of_era = days - era * 146097;
  const int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  const int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const int64_t shifted = (5 * day_of_year + 2) / 153;
  *day = (int32_t)(day_of_year - (153 * shifted + 2) / 5 + 1);
  *month = (int32_t)(shifted < 10 ? shifted + 3 : shifted - 9);
  *year = year_of_era + era * 400 + (*month <= 2);
}

// Exactly `count` digits at *at, which moves behind them; -1 when there are fewer.
static int32_t take_digits(struct dray_str text, uint64_t *at, int count) {
  int32_t value = 0;
  if (text.len - *at < (uint64_t)count) return -1;
  for (int i = 0; i < count; i++) {
    const char c = text.data[*at + (uint64_t)i];
    if (c < '0' || c > '9') return -1;
    value = value * 10 + (c - '0');
  }
  *at += (uint64_t)count;
  return value;
}

static int take_char(struct dray_str text, uint64_t *at, char c) {
  if (*at >= text.len || text.data[*at] != c) return 0;
  (*at)++;
  return 1;
}

static int32_t days_in_month(int32_t year, int32_t month) {
  static const uint8_t days[] = {0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  const int leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
  return month == 2 && leap ? 29 : days[month];
}

static int take_date(struct dray_str text, uint64_t *at, int64_t *out_days) {
  const int32_t year = take_digits(text, at, 4);
  if (year < 1 || !take_char(text, at, '-')) return 0;
  const int32_t month = take_digits(text, at, 2);
  if (month < 1 || month > 12 || !take_char(text, at, '-')) return 0;
  const int32_t day = take_digits(text, at, 2);
  if (day < 1 || day > days_in_month(year, month)) return 0;
  *out_days = days_of_civil(year, month, day);
  return 1;
}

int32_t dray_parse_date(struct dray_str text, int32_t *out_days, struct dray_error *error) {
  uint64_t at = 0;
  int64_t days = 0;
  if (!take_date(text, &at, &days) || at != text.len) {
    return dray_fail(error, DRAY_E_DATA_DATE, "'%.*s' is not a date: expected YYYY-MM-DD", DRAY_VALUE_ARG(text));
  }
  *out_days = (int32_t)days;
  return DRAY_OK;
}

// The digits after the second's point, as microseconds. 0: none, or more than 9; -1: finer than a microsecond.
static int take_fraction(struct dray_str text, uint64_t *at, int64_t *us) {
  int64_t nanos = 0;
  int count = 0;
  for (; *at < text.len && text.data[*at] >= '0' && text.data[*at] <= '9'; (*at)++) {
    if (++count > 9) return 0;
    nanos = nanos * 10 + (text.data[*at] - '0');
  }
  if (count == 0) return 0;
  for (int i = count; i < 9; i++) nanos *= 10;
  if (nanos % 1000 != 0) return -1;
  *us += nanos / 1000;
  return 1;
}

// HH:MM[:SS[.fraction]] as microseconds since midnight; results as take_fraction.
static int take_clock(struct dray_str text, uint64_t *at, int64_t *us) {
  int64_t second = 0;
  const int32_t hour = take_digits(text, at, 2);
  if (hour < 0 || hour > 23 || !take_char(text, at, ':')) return 0;
  const int32_t minute = take_digits(text, at, 2);
  if (minute < 0 || minute > 59) return 0;
  const int seconds = take_char(text, at, ':');
  if (seconds) {
    second = take_digits(text, at, 2);
    if (second < 0 || second > 59) return 0;
  }
  *us = ((int64_t)hour * 3600 + minute * 60 + second) * 1000000;
  return seconds && take_char(text, at, '.') ? take_fraction(text, at, us) : 1;
}

// Z, +HH:MM, +HHMM, +HH or nothing, as microseconds east of UTC.
static int take_zone(struct dray_str text, uint64_t *at, int64_t *us) {
  *us = 0;
  if (*at == text.len || take_char(text, at, 'Z') || take_char(text, at, 'z')) return 1;
  const int west = take_char(text, at, '-');
  if (!west && !take_char(text, at, '+')) return 0;
  int32_t minute = 0;
  const int32_t hour = take_digits(text, at, 2);
  if (hour < 0 || hour > 23) return 0;
  if (*at != text.len) {
    (void)take_char(text, at, ':');
    minute = take_digits(text, at, 2);
    if (minute < 0 || minute > 59) return 0;
  }
  *us = ((int64_t)hour * 60 + minute) * 60000000;
  if (west) *us = -*us;
  return 1;
}

int32_t dray_parse_timestamp(struct dray_str text, int64_t *out_us, struct dray_error *error) {
  uint64_t at = 0;
  int64_t days = 0, clock = 0, zone = 0;
  if (!take_date(text, &at, &days)) goto refused;
  if (at != text.len) {
    if (!take_char(text, &at, 'T') && !take_char(text, &at, ' ') && !take_char(text, &at, 't')) goto refused;
    const int taken = take_clock(text, &at, &clock);
    if (taken < 0) {
      return dray_fail(error, DRAY_E_DATA_PRECISION, "'%.*s' is finer than a microsecond", DRAY_VALUE_ARG(text));
    }
    if (taken == 0 || !take_zone(text, &at, &zone) || at != text.len) goto refused;
  }
  const int64_t us = days * DAY_US + clock - zone;
  if (us < DRAY_TIMESTAMP_MIN || us > DRAY_TIMESTAMP_MAX) goto refused;
  *out_us = us;
  return DRAY_OK;
refused:
  return dray_fail(error, DRAY_E_DATA_DATE, "'%.*s' is not a timestamp: expected YYYY-MM-DDTHH:MM:SS with an offset",
                   DRAY_VALUE_ARG(text));
}

static size_t put_number(char *out, uint64_t value, int width) {
  char digits[20];
  int count = 0;
  do {
    digits[count++] = (char)('0' + (int)(value % 10));
    value /= 10;
  } while (value != 0 || count < width);
  for (int i = 0; i < count; i++) out[i] = digits[count - 1 - i];
  return (size_t)count;
}

// Years beyond 0000 to 9999 do not occur in valid columns; ISO 8601 writes them with a sign.
static size_t put_date(int64_t days, char *out) {
  int64_t year = 0;
  int32_t month = 0, day = 0;
  size_t len = 0;
  civil_of_days(days, &year, &month, &day);
  if (year < 0) out[len++] = '-';
  if (year > 9999) out[len++] = '+';
  len += put_number(out + len, (uint64_t)(year < 0 ? -year : year), 4);
  out[len++] = '-';
  len += put_number(out + len, (uint64_t)month, 2);
  out[len++] = '-';
  return len + put_number(out + len, (uint64_t)day, 2);
}

size_t dray_format_date(int32_t days, char *out) {
  const size_t len = put_date(days, out);
  out[len] = '\0';
  return len;
}

size_t dray_format_timestamp(int64_t us, char *out) {
  int64_t days = us / DAY_US, rest = us % DAY_US;
  if (rest < 0) {
    rest += DAY_US;
    days--;
  }
  size_t len = put_date(days, out);
  const int64_t seconds = rest / 1000000, fraction = rest % 1000000;
  const int64_t clock[] = {seconds / 3600, seconds / 60 % 60, seconds % 60};
  for (int i = 0; i < 3; i++) {
    out[len++] = i == 0 ? 'T' : ':';
    len += put_number(out + len, (uint64_t)clock[i], 2);
  }
  if (fraction != 0) {
    const int millis = fraction % 1000 == 0;
    out[len++] = '.';
    len += put_number(out + len, (uint64_t)(millis ? fraction / 1000 : fraction), millis ? 3 : 6);
  }
  out[len++] = 'Z';
  out[len] = '\0';
  return len;
}
