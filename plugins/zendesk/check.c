// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Checks of a connection.
#include "check.h"

#include <stdio.h>

static int is_final(int32_t rc) {
  return rc == DRAY_E_OUT_OF_MEMORY || rc == DRAY_E_CANCELLED;
}

static const char *fix_of(int32_t rc) {
  const struct dray_error_info *info = dray_error_info(rc);
  return info != NULL ? info->fix : "see the message";
}

static const char credentials_fix[] =
    "check the OAuth client (Admin Center, Apps and integrations, APIs, OAuth clients): its identifier, its secret, "
    "that it is enabled, and that the user behind it is active";

static void say_user(const struct zendesk_client *client, const struct dray_json *user,
                     struct dray_json_writer *writer) {
  char text[512];
  const struct dray_str role = dray_json_string(dray_json_get(user, "role"), "unknown");
  const struct dray_str name = dray_json_string(dray_json_get(user, "name"), "?");
  const int legacy = client->settings.auth == ZENDESK_AUTH_API_TOKEN;
  (void)snprintf(text, sizeof(text), "%.100s, role %.40s%s", name.data, role.data,
                 legacy ? "; by an API token, which stops to work on 2027-04-30: make an OAuth client" : "");
  dray_check_step_write(writer, "credentials", text, NULL);
  const int is_admin = dray_str_is(role, "admin");
  (void)snprintf(text, sizeof(text), "the role is %.40s; incremental exports and bulk jobs are for admins", role.data);
  if (is_admin) {
    dray_check_step_write(writer, "role", "admin: all exports and bulk jobs are allowed", NULL);
  } else {
    dray_check_failure_write(writer, "role", DRAY_E_AUTH_FORBIDDEN, text,
                             "let the OAuth client act for a user with the role admin");
  }
}

int32_t zendesk_check_account(struct zendesk_client *client, struct dray_json_writer *writer, int *out_goes_on,
                              struct dray_error *error) {
  struct dray_json *root = NULL;
  struct dray_error why;
  dray_error_init(&why);
  const int32_t rc = zendesk_get(client, "/api/v2/users/me", &root, &why);
  if (is_final(rc)) {
    if (error != NULL) *error = why;
    return rc;
  }
  int32_t is_written = 0;
  if (client->credential != NULL) {
    DRAY_TRY(dray_credential_step_write(client->credential, &why, writer, &is_written, error));
  }
  if (is_written) {
    *out_goes_on = 0;
    return DRAY_OK;
  }
  const int reached = rc == DRAY_OK || why.http_status > 0 || rc == DRAY_E_AUTH_REJECTED || rc == DRAY_E_AUTH_FORBIDDEN;
  const int is_there = reached && why.http_status != 404;
  if (is_there) {
    dray_check_step_write(writer, "reach", client->settings.base_url, NULL);
  } else {
    dray_check_failure_write(writer, "reach", rc, why.text,
                             why.http_status == 404 ? "check subdomain: there is no such account" : fix_of(rc));
  }
  const struct dray_json *user = dray_json_get(root, "user");
  const struct dray_json *id = dray_json_get(user, "id");
  // Without credentials Zendesk answers for an anonymous user, whose id is null.
  const int known = rc == DRAY_OK && id != NULL && id->kind == DRAY_JSON_NUMBER;
  // A token for one resource may not ask who it is.
  const int narrow = rc == DRAY_E_AUTH_FORBIDDEN && zendesk_lacks_scope(&client->answer);
  if (known) say_user(client, user, writer);
  if (narrow) {
    dray_check_step_write(writer, "credentials", "accepted; without the scope users:read the role is not known", NULL);
  }
  if (is_there && !known && !narrow) {
    dray_check_failure_write(writer, "credentials", rc == DRAY_OK ? DRAY_E_AUTH_REJECTED : rc,
                             rc == DRAY_OK ? "Zendesk does not know who asks" : why.text, credentials_fix);
  }
  dray_json_free(root);
  *out_goes_on = known || narrow;
  return DRAY_OK;
}

// `of`: the stream or object that alone needs it, NULL: all do.
static int32_t check_path(struct zendesk_client *client, const char *of, const char *name, const char *path,
                          const char *scope, int gated, struct dray_json_writer *writer, struct dray_error *error) {
  struct dray_json *root = NULL;
  struct dray_error why;
  char text[DRAY_ERROR_TEXT_MAX + 64], fix[256];
  dray_error_init(&why);
  const int32_t rc = zendesk_get(client, path, &root, &why);
  dray_json_free(root);
  if (is_final(rc)) {
    if (error != NULL) *error = why;
    return rc;
  }
  const int refused = why.http_status == 403 || why.http_status == 404;
  if (rc != DRAY_OK && gated && refused && !zendesk_lacks_scope(&client->answer)) {
    (void)snprintf(text, sizeof(text), "not in this account's plan, so it is skipped: %s", why.text);
    dray_check_of_write(writer, of, name, DRAY_OK, text, NULL);
    return DRAY_OK;
  }
  (void)snprintf(fix, sizeof(fix), "grant the OAuth client the scope %s, and its user the right to see this", scope);
  if (rc == DRAY_OK) {
    dray_check_of_write(writer, of, name, DRAY_OK, "can be read", NULL);
  } else {
    dray_check_of_write(writer, of, name, rc, why.text, refused ? fix : fix_of(rc));
  }
  return DRAY_OK;
}

int32_t zendesk_check_path(struct zendesk_client *client, const char *name, const char *path, const char *scope,
                           int gated, struct dray_json_writer *writer, struct dray_error *error) {
  return check_path(client, name, name, path, scope, gated, writer, error);
}

// ---- writing ----

#define SCOPES_TEXT_MAX 256

// `scopes`: as Zendesk lists them; NULL: what was asked for is what the token has.
static int grants(const struct zendesk_client *client, const struct dray_json *scopes, struct dray_str wanted) {
  if (scopes == NULL) return zendesk_asks_scope(&client->settings, wanted);
  for (const struct dray_json *scope = scopes->child; scope != NULL; scope = scope->next) {
    if (scope->kind == DRAY_JSON_STRING && dray_str_equal(scope->text, wanted)) return 1;
  }
  return 0;
}

// For all resources, for this one, or for this one without saying what: then both are meant.
static int may_write(const struct zendesk_client *client, const struct dray_json *scopes, const char *scope) {
  return grants(client, scopes, dray_str_of("write")) || grants(client, scopes, dray_str_of(scope)) ||
         grants(client, scopes, dray_str_make(scope, strcspn(scope, ":")));
}

// Memberships are of no resource that Zendesk names in its list of scopes; those of organizations may do for them.
static int may_perhaps_write(const struct zendesk_client *client, const struct dray_json *scopes, int kind) {
  return kind == ZENDESK_MEMBERSHIPS && may_write(client, scopes, "organizations:write");
}

static void list_scopes(const struct zendesk_client *client, const struct dray_json *scopes,
                        char out[SCOPES_TEXT_MAX]) {
  size_t at = 0;
  (void)snprintf(out, SCOPES_TEXT_MAX, "%s", scopes == NULL ? client->settings.scope : "");
  for (const struct dray_json *scope = scopes != NULL ? scopes->child : NULL; scope != NULL; scope = scope->next) {
    if (scope->kind != DRAY_JSON_STRING || at >= SCOPES_TEXT_MAX) continue;
    const int n = snprintf(out + at, SCOPES_TEXT_MAX - at, "%s%s", at > 0 ? " " : "", scope->text.data);
    if (n > 0) at += (size_t)n;
  }
}

static void say_writing(const struct zendesk_client *client, const struct dray_json *scopes,
                        struct dray_json_writer *writer) {
  char had[SCOPES_TEXT_MAX], text[SCOPES_TEXT_MAX + 64], fix[256];
  list_scopes(client, scopes, had);
  for (size_t i = 0; i < zendesk_object_count; i++) {
    const struct zendesk_object *object = &zendesk_objects[i];
    char name[64];
    (void)snprintf(name, sizeof(name), "write %s", object->def.name);
    if (may_write(client, scopes, object->scope)) {
      dray_check_of_write(writer, object->def.name, name, DRAY_OK, "the token's scopes allow it", NULL);
      continue;
    }
    if (may_perhaps_write(client, scopes, object->kind)) {
      dray_check_of_write(writer, object->def.name, name, DRAY_OK,
                          "not certain: where Zendesk refuses it, grant the OAuth client the scope write", NULL);
      continue;
    }
    (void)snprintf(text, sizeof(text), "the token's scopes do not allow it: %s", had);
    (void)snprintf(fix, sizeof(fix), "grant the OAuth client the scope %s%s", object->scope,
                   client->settings.auth == ZENDESK_AUTH_CLIENT
                       ? ", and add it to the setting scope"
                       : ", and authorise it again: a token keeps the scopes that it was made with");
    dray_check_of_write(writer, object->def.name, name, DRAY_E_AUTH_FORBIDDEN, text, fix);
  }
}

int32_t zendesk_check_scopes(struct zendesk_client *client, struct dray_json_writer *writer, struct dray_error *error) {
  struct dray_json *root = NULL;
  struct dray_error why;
  if (client->settings.auth == ZENDESK_AUTH_API_TOKEN) return DRAY_OK;
  dray_error_init(&why);
  const int32_t rc = zendesk_get(client, "/api/v2/oauth/tokens/current", &root, &why);
  if (is_final(rc)) {
    if (error != NULL) *error = why;
    return rc;
  }
  const struct dray_json *scopes = dray_json_get(dray_json_get(root, "token"), "scopes");
  const int shown = scopes != NULL && scopes->kind == DRAY_JSON_ARRAY && scopes->child != NULL;
  const int refused = rc == DRAY_OK || why.http_status == 403 || why.http_status == 404; // a narrow token's lot
  if (shown || (refused && client->settings.auth == ZENDESK_AUTH_CLIENT)) {
    say_writing(client, shown ? scopes : NULL, writer);
  } else if (refused) {
    dray_check_step_write(writer, "scopes",
                          "Zendesk does not show the scopes of this token, and writing is not tried: whether they "
                          "allow it is not known",
                          NULL);
  } else {
    dray_check_failure_write(writer, "scopes", rc, why.text, fix_of(rc));
  }
  dray_json_free(root);
  return DRAY_OK;
}

int32_t zendesk_check_jobs(struct zendesk_client *client, struct dray_json_writer *writer, struct dray_error *error) {
  if (strcmp(client->settings.use_bulk, "never") == 0) return DRAY_OK;
  return check_path(client, NULL, "jobs", "/api/v2/job_statuses?page%5Bsize%5D=1",
                    "read (jobs are of no resource; else rows go one by one, as with use_bulk: never)", 0, writer,
                    error);
}

int32_t zendesk_check_stream(struct zendesk_client *client, const struct zendesk_stream *stream,
                             struct dray_json_writer *writer, struct dray_error *error) {
  char path[256];
  const int is_list = stream->how == ZENDESK_BY_LIST;
  const int64_t start = client->settings.start_us / 1000000;
  if (is_list && (stream->flags & ZENDESK_WHOLE) != 0) {
    (void)snprintf(path, sizeof(path), "%s", stream->path);
  } else if (is_list) {
    (void)snprintf(path, sizeof(path), "%s?page%%5Bsize%%5D=1", stream->path);
  } else {
    DRAY_TRY(zendesk_pace(client, 1, error));
    (void)snprintf(path, sizeof(path), "%s?start_time=%lld&per_page=1", stream->path, (long long)start);
  }
  return zendesk_check_path(client, stream->def.name, path, stream->scope, (stream->flags & ZENDESK_GATED) != 0, writer,
                            error);
}
