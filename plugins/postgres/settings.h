// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// How the server is reached: the settings of a connection, and what libpq is told of them.
#ifndef POSTGRES_SETTINGS_H
#define POSTGRES_SETTINGS_H

#include "dray/sdk.h"

struct pg_settings {
  char *host, *database, *user; // owned, as are all strings here, by dray_config_bind
  char *sslmode, *sslrootcert, *sslcert, *sslkey;
  char *application_name;
  int64_t port;
  int64_t connect_timeout_seconds, statement_timeout_seconds, lock_timeout_seconds, keepalive_seconds;
  int64_t answer_timeout_seconds;
  int32_t has_password, read_only;
  // of the source
  int32_t replication;
  char *publication; // NULL: one that is made for each stream
  int64_t overlap_seconds, overlap_units;
};

// The JSON Schema of the settings, in static memory. Any thread.
DRAY_NODISCARD int32_t pg_settings_spec(struct dray_str *out_json, struct dray_error *error);
// @errors CONFIG_*: with `field`.
DRAY_NODISCARD int32_t pg_settings_bind(struct dray_str config_json, struct pg_settings *out, struct dray_error *error);
void pg_settings_release(struct pg_settings *settings);

// The mode of TLS in force: the setting, or verify-full; to this machine: prefer.
const char *pg_settings_sslmode(const struct pg_settings *settings);
// 1 when every host of the setting is this machine or a socket's folder.
int pg_settings_local(const struct pg_settings *settings);

// Keywords and values for PQconnectStartParams, NULL-terminated. Borrowed from the settings, `password` and `scratch`.
#define PG_KEYWORDS_MAX 24
struct pg_keywords {
  const char *names[PG_KEYWORDS_MAX];
  const char *values[PG_KEYWORDS_MAX];
  char port[24], keepalive[24];
};
void pg_settings_keywords(const struct pg_settings *settings, const char *password, struct pg_keywords *out);

// What every transaction begins with, since a session may be another one in each (poolers): appended to `out`.
DRAY_NODISCARD int32_t pg_settings_local_sql(const struct pg_settings *settings, struct dray_buffer *out,
                                             struct dray_error *error);

#endif // POSTGRES_SETTINGS_H
