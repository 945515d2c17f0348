// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// How the server is reached: the settings of a connection, and what libmariadb is told of them.
#ifndef MYSQL_SETTINGS_H
#define MYSQL_SETTINGS_H

#include <mysql.h>

#include "dray/sdk.h"

struct my_settings {
  char *host, *database, *user; // owned, as are all strings here, by dray_config_bind
  char *sslmode, *sslrootcert, *sslcert, *sslkey;
  char *zero_dates;
  int64_t port;
  int64_t connect_timeout_seconds, statement_timeout_seconds, lock_timeout_seconds, keepalive_seconds;
  int64_t answer_timeout_seconds;
  int64_t overlap_seconds, overlap_units;
  int32_t has_password, read_only;
};

// The JSON Schema of the settings, in static memory. Any thread.
DRAY_NODISCARD int32_t my_settings_spec(struct dray_str *out_json, struct dray_error *error);
// @errors CONFIG_*: with `field`.
DRAY_NODISCARD int32_t my_settings_bind(struct dray_str config_json, struct my_settings *out, struct dray_error *error);
void my_settings_release(struct my_settings *settings);

// The mode of TLS in force: the setting, or verify-full; to this machine: prefer.
const char *my_settings_sslmode(const struct my_settings *settings);
// 1 when the host is this machine, or a socket.
int my_settings_local(const struct my_settings *settings);
// 1 when the host is the path of a socket.
int my_settings_socket(const struct my_settings *settings);

// Tells a connection that is not made yet: TLS, character set, what it is called. `settings` is copied by libmariadb.
DRAY_NODISCARD int32_t my_settings_apply(const struct my_settings *settings, MYSQL *conn, struct dray_error *error);

// What a session begins with, statement by statement: appended to `out`, each ends with a NUL. `maria`: the server is
// MariaDB.
DRAY_NODISCARD int32_t my_settings_session_sql(const struct my_settings *settings, int maria, struct dray_buffer *out,
                                               struct dray_error *error);

#endif // MYSQL_SETTINGS_H
