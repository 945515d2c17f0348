// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Checks. A key has the rights of its user, whose role the account's own page tells; reading is tried with one record
// of each kind, writing goes by the role, since nothing is written by a check.
#include "check.h"

#include <stdio.h>

#define FIX_KEY "make an API key (or connect the app again), set it, and mind its data centre"
#define FIX_READ "give the user of this key a role that may see it: viewer or higher; reports and campaigns need author"
#define FIX_WRITE "use a key of a user whose role is manager, admin or owner"

static int is_final(int32_t rc) {
  return rc == DRAY_E_OUT_OF_MEMORY || rc == DRAY_E_CANCELLED;
}

static int32_t tell(struct dray_json_writer *writer, const char *name, int32_t rc, const struct dray_error *why,
                    const char *good, const char *fix, struct dray_error *error) {
  if (is_final(rc)) return dray_fail(error, rc, "%s", why->text);
  const char *own = why->error_class == DRAY_CLASS_AUTH ? fix : dray_error_info(rc)->fix;
  if (rc == DRAY_OK) {
    dray_check_step_write(writer, name, good, NULL);
  } else {
    dray_check_failure_write(writer, name, rc, why->text, own);
  }
  return DRAY_OK;
}

// Tries the path. *out_root (NULL allowed) gets the answer.
static int32_t try(struct mc_client *client, const char *path, struct dray_json **out_root, struct dray_error *why) {
  struct dray_json *root = NULL;
  dray_error_init(why);
  const int32_t rc = mc_get(client, path, &root, NULL, why);
  if (rc == DRAY_OK && out_root != NULL) {
    *out_root = root;
  } else {
    dray_json_free(root);
  }
  return rc;
}

static int32_t check_account(struct mc_client *client, struct dray_json_writer *writer, char role[40],
                             struct dray_error *error) {
  struct dray_json *root = NULL;
  struct dray_error why;
  int32_t is_written = 0;
  char text[400];
  const int32_t rc =
      try(client, "?fields=account_id,account_name,login_id,username,role,total_subscribers", &root, &why);
  text[0] = '\0';
  if (rc == DRAY_OK) {
    const struct dray_str name = dray_json_string(dray_json_get(root, "account_name"), "?");
    (void)dray_text_excerpt(dray_json_string(dray_json_get(root, "role"), ""), role, 40);
    (void)snprintf(text, sizeof(text), "the account %.*s; the user's role is %s", DRAY_VALUE_ARG(name), role);
  }
  dray_json_free(root);
  DRAY_TRY(dray_credential_step_write(client->credential, &why, writer, &is_written, error));
  return is_written ? DRAY_OK : tell(writer, "credentials", rc, &why, text, FIX_KEY, error);
}

static int32_t check_reads(struct mc_client *client, struct dray_json_writer *writer, struct dray_error *error) {
  static const struct {
    const char *name, *path, *good;
  } reads[] = {
      {"audiences", "/lists?count=1&fields=lists.id,total_items",
       "lists, list_members, merge_fields, interests, segments, tags"},
      {"campaigns", "/campaigns?count=1&fields=campaigns.id,total_items", "campaigns"},
      {"reports", "/reports?count=1&fields=reports.id,total_items", "reports, email_activity, unsubscribes"},
      {"automations", "/automations?count=1&fields=automations.id,total_items", "automations"},
  };
  for (size_t i = 0; i < sizeof(reads) / sizeof(reads[0]); i++) {
    struct dray_error why;
    const int32_t rc = try(client, reads[i].path, NULL, &why);
    DRAY_TRY(tell(writer, reads[i].name, rc, &why, reads[i].good, FIX_READ, error));
  }
  return DRAY_OK;
}

static void check_writes(struct dray_json_writer *writer, const char *role) {
  static const char *const enough[] = {"owner", "admin", "manager"};
  char text[200];
  int good = 0;
  for (size_t i = 0; i < sizeof(enough) / sizeof(enough[0]); i++) good |= strcmp(role, enough[i]) == 0;
  (void)snprintf(text, sizeof(text), "the role %s may %schange members, tags and segments", role, good ? "" : "not ");
  if (good) {
    dray_check_step_write(writer, "write", text, NULL);
  } else {
    dray_check_failure_write(writer, "write", DRAY_E_AUTH_FORBIDDEN, text, FIX_WRITE);
  }
}

static int32_t write_steps(struct mc_client *client, int writes, struct dray_json_writer *writer,
                           struct dray_error *error) {
  struct dray_error why;
  char role[40] = "";
  int32_t is_written = 0;
  dray_error_init(&why);
  int32_t rc = mc_client_ready(client, &why);
  DRAY_TRY(dray_credential_step_write(client->credential, &why, writer, &is_written, error));
  if (is_written) return DRAY_OK;
  const int32_t reached = rc == DRAY_OK ? try(client, "/ping", NULL, &why) : rc;
  // Whoever refuses a key has been reached.
  const int refused = why.error_class == DRAY_CLASS_AUTH && reached != DRAY_OK && rc == DRAY_OK;
  DRAY_TRY(tell(writer, "reach", refused ? DRAY_OK : reached, &why, client->address != NULL ? client->address : "",
                FIX_KEY, error));
  if (reached != DRAY_OK && !refused) return DRAY_OK;
  DRAY_TRY(check_account(client, writer, role, error));
  if (role[0] == '\0') return DRAY_OK;
  if (!writes) return check_reads(client, writer, error);
  check_writes(writer, role);
  return DRAY_OK;
}

int32_t mc_check(struct mc_client *client, int writes, struct dray_buffer *out, struct dray_error *error) {
  struct dray_json_writer writer;
  dray_buffer_clear(out);
  dray_json_writer_init(&writer, out, error);
  dray_json_begin_array(&writer);
  DRAY_TRY(write_steps(client, writes, &writer, error));
  dray_json_end_array(&writer);
  return dray_json_writer_finish(&writer);
}
