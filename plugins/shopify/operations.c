// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Documents of mutations and the judgement of their payloads.
#include "operations.h"

#include <stdio.h>

#define WITH_CODE "userErrors{field message code}"
#define PLAIN "userErrors{field message}"

const struct shopify_operation shopify_operations[SHOPIFY_OPERATION_COUNT] = {
    [SHOPIFY_CUSTOMER_SET] = {.field = "customerSet",
                              .variables = {{"input", "CustomerSetInput!"}, {"identifier", "CustomerSetIdentifiers"}},
                              .select = "customer{id} " WITH_CODE,
                              .object = "customer"},
    [SHOPIFY_CUSTOMER_CREATE] = {.field = "customerCreate",
                                 .variables = {{"input", "CustomerInput!"}},
                                 .select = "customer{id} " PLAIN,
                                 .object = "customer",
                                 .once = 1},
    [SHOPIFY_CUSTOMER_UPDATE] = {.field = "customerUpdate",
                                 .variables = {{"input", "CustomerInput!"}},
                                 .select = "customer{id} " PLAIN,
                                 .object = "customer"},
    [SHOPIFY_CUSTOMER_DELETE] = {.field = "customerDelete",
                                 .variables = {{"input", "CustomerDeleteInput!"}},
                                 .select = "deletedCustomerId " PLAIN,
                                 .gone = 1},
    [SHOPIFY_TAGS_ADD] = {.field = "tagsAdd",
                          .variables = {{"id", "ID!"}, {"tags", "[String!]!"}},
                          .select = "node{id} " PLAIN,
                          .object = "node"},
    [SHOPIFY_TAGS_REMOVE] = {.field = "tagsRemove",
                             .variables = {{"id", "ID!"}, {"tags", "[String!]!"}},
                             .select = "node{id} " PLAIN,
                             .object = "node",
                             .gone = 1},
    [SHOPIFY_EMAIL_CONSENT] = {.field = "customerEmailMarketingConsentUpdate",
                               .variables = {{"input", "CustomerEmailMarketingConsentUpdateInput!"}},
                               .select = "customer{id} " WITH_CODE,
                               .object = "customer"},
    [SHOPIFY_ORDER_UPDATE] = {.field = "orderUpdate",
                              .variables = {{"input", "OrderInput!"}},
                              .select = "order{id} " PLAIN,
                              .object = "order"},
    [SHOPIFY_METAFIELDS_SET] = {.field = "metafieldsSet",
                                .variables = {{"metafields", "[MetafieldsSetInput!]!"}},
                                .select = "metafields{id} userErrors{field message code elementIndex}",
                                .list = 1},
    [SHOPIFY_METAFIELDS_CREATE] = {.field = "metafieldsSet",
                                   .variables = {{"metafields", "[MetafieldsSetInput!]!"}},
                                   .select = "metafields{id} userErrors{field message code elementIndex}",
                                   .name = "metafieldsCreate",
                                   .list = 1},
    [SHOPIFY_METAFIELDS_DELETE] = {.field = "metafieldsDelete",
                                   .variables = {{"metafields", "[MetafieldIdentifierInput!]!"}},
                                   .select = "deletedMetafields{key} " PLAIN,
                                   .list = 1},
    [SHOPIFY_CUSTOMER_FIND] = {.field = "customerByIdentifier",
                               .variables = {{"identifier", "CustomerIdentifierInput!"}},
                               .select = "id",
                               .query = 1},
    [SHOPIFY_METAFIELD_FIND] = {.field = "node",
                                .variables = {{"id", "ID!"}, {"namespace", "String!"}, {"key", "String!"}},
                                .call = "node(id:$id%){... on HasMetafields{metafield(namespace:$namespace%,key:$key%)"
                                        "{compareDigest}}}",
                                .object = "metafield",
                                .id = "compareDigest",
                                .query = 1},
};

static const char *kind_of(int32_t operation) {
  return shopify_operations[operation].query ? "query" : "mutation";
}

// ---- documents ----

// `suffix` tells the aliases of one document apart; empty in a bulk operation.
static int32_t declare(const struct shopify_operation *operation, const char *suffix, int *first,
                       struct dray_buffer *out, struct dray_error *error) {
  for (size_t v = 0; v < SHOPIFY_VARIABLES_MAX && operation->variables[v].name != NULL; v++) {
    DRAY_TRY(dray_buffer_printf(out, error, "%s$%s%s:%s", *first ? "" : ",", operation->variables[v].name, suffix,
                                operation->variables[v].type));
    *first = 0;
  }
  return DRAY_OK;
}

static int32_t call(const struct shopify_operation *operation, const char *suffix, struct dray_buffer *out,
                    struct dray_error *error) {
  for (const char *at = operation->call; at != NULL && *at != '\0'; at++) {
    DRAY_TRY(*at == '%' ? dray_buffer_append_str(out, suffix, error) : dray_buffer_append_char(out, *at, error));
  }
  if (operation->call != NULL) return DRAY_OK;
  DRAY_TRY(dray_buffer_printf(out, error, "%s(", operation->field));
  for (size_t v = 0; v < SHOPIFY_VARIABLES_MAX && operation->variables[v].name != NULL; v++) {
    const char *name = operation->variables[v].name;
    DRAY_TRY(dray_buffer_printf(out, error, "%s%s:$%s%s", v > 0 ? "," : "", name, name, suffix));
  }
  return dray_buffer_printf(out, error, "){%s}", operation->select);
}

static int32_t write_document(struct shopify_task *const *tasks, size_t count, struct dray_buffer *out,
                              struct dray_error *error) {
  char suffix[24];
  int first = 1;
  DRAY_TRY(dray_buffer_printf(out, error, "%s(", kind_of(tasks[0]->operation)));
  for (size_t i = 0; i < count; i++) {
    (void)snprintf(suffix, sizeof(suffix), "%zu", i);
    DRAY_TRY(declare(&shopify_operations[tasks[i]->operation], suffix, &first, out, error));
  }
  DRAY_TRY(dray_buffer_append_str(out, "){", error));
  for (size_t i = 0; i < count; i++) {
    (void)snprintf(suffix, sizeof(suffix), "%zu", i);
    DRAY_TRY(dray_buffer_printf(out, error, "%sr%s:", i > 0 ? " " : "", suffix));
    DRAY_TRY(call(&shopify_operations[tasks[i]->operation], suffix, out, error));
  }
  return dray_buffer_append_char(out, '}', error);
}

static void write_values(const struct shopify_task *task, const char *values, const char *suffix,
                         struct dray_json_writer *writer) {
  const struct shopify_operation *operation = &shopify_operations[task->operation];
  for (size_t v = 0; v < SHOPIFY_VARIABLES_MAX && operation->variables[v].name != NULL; v++) {
    char name[64];
    if (task->len[v] == 0) continue;
    (void)snprintf(name, sizeof(name), "%s%s", operation->variables[v].name, suffix);
    dray_json_key(writer, name);
    if (operation->list) dray_json_begin_array(writer);
    dray_json_write_raw(writer, dray_str_make(values + task->offset[v], task->len[v]));
    if (operation->list) dray_json_end_array(writer);
  }
}

int32_t shopify_write_aliased(struct shopify_task *const *tasks, size_t count, const char *values,
                              struct dray_buffer *body, struct dray_error *error) {
  struct dray_buffer document, variables;
  struct dray_json_writer writer;
  char suffix[24];
  dray_buffer_init(&document, SHOPIFY_BODY_BYTES_MAX);
  dray_buffer_init(&variables, SHOPIFY_BODY_BYTES_MAX);
  int32_t rc = write_document(tasks, count, &document, error);
  dray_json_writer_init(&writer, &variables, error);
  dray_json_begin_object(&writer);
  for (size_t i = 0; i < count; i++) {
    (void)snprintf(suffix, sizeof(suffix), "%zu", i);
    write_values(tasks[i], values, suffix, &writer);
  }
  dray_json_end_object(&writer);
  if (rc == DRAY_OK) rc = dray_json_writer_finish(&writer);
  if (rc == DRAY_OK) rc = shopify_body(body, dray_buffer_view(&document), dray_buffer_view(&variables), error);
  dray_buffer_free(&document);
  dray_buffer_free(&variables);
  return rc;
}

int32_t shopify_write_bulk_mutation(int32_t operation, struct dray_buffer *out, struct dray_error *error) {
  int first = 1;
  DRAY_TRY(dray_buffer_append_str(out, "mutation(", error));
  DRAY_TRY(declare(&shopify_operations[operation], "", &first, out, error));
  DRAY_TRY(dray_buffer_append_str(out, "){", error));
  DRAY_TRY(call(&shopify_operations[operation], "", out, error));
  return dray_buffer_append_char(out, '}', error);
}

int32_t shopify_write_list(struct shopify_task *const *tasks, size_t count, const char *values,
                           struct dray_buffer *body, struct dray_error *error) {
  const struct shopify_operation *operation = &shopify_operations[tasks[0]->operation];
  struct dray_buffer document, variables;
  struct dray_json_writer writer;
  dray_buffer_init(&document, SHOPIFY_QUERY_BYTES_MAX);
  dray_buffer_init(&variables, SHOPIFY_BODY_BYTES_MAX);
  int32_t rc = shopify_write_bulk_mutation(tasks[0]->operation, &document, error);
  dray_json_writer_init(&writer, &variables, error);
  dray_json_begin_object(&writer);
  dray_json_key(&writer, operation->variables[0].name);
  dray_json_begin_array(&writer);
  for (size_t i = 0; i < count; i++) {
    dray_json_write_raw(&writer, dray_str_make(values + tasks[i]->offset[0], tasks[i]->len[0]));
  }
  dray_json_end_array(&writer);
  dray_json_end_object(&writer);
  if (rc == DRAY_OK) rc = dray_json_writer_finish(&writer);
  if (rc == DRAY_OK) rc = shopify_body(body, dray_buffer_view(&document), dray_buffer_view(&variables), error);
  dray_buffer_free(&document);
  dray_buffer_free(&variables);
  return rc;
}

int32_t shopify_write_bulk_line(const struct shopify_task *task, const char *values, struct dray_buffer *out,
                                struct dray_error *error) {
  struct dray_json_writer writer;
  dray_json_writer_init(&writer, out, error);
  dray_json_begin_object(&writer);
  write_values(task, values, "", &writer);
  dray_json_end_object(&writer);
  DRAY_TRY(dray_json_writer_finish(&writer));
  return dray_buffer_append_char(out, '\n', error);
}

// ---- outcomes ----

int32_t shopify_settle(struct shopify_task *task, int32_t status, int32_t code, struct dray_str text,
                       struct dray_buffer *texts, struct dray_error *error) {
  const size_t at = texts->len;
  DRAY_TRY(dray_buffer_append(texts, text.data, (size_t)text.len, error));
  task->status = status;
  task->code = code;
  task->text = at;
  task->text_len = (size_t)text.len;
  return DRAY_OK;
}

int32_t shopify_write_user_errors(const struct dray_json *errors, struct dray_buffer *out, struct dray_error *error) {
  for (const struct dray_json *one = errors->child; one != NULL; one = one->next) {
    const struct dray_json *field = dray_json_get(one, "field");
    const struct dray_str message = dray_json_string(dray_json_get(one, "message"), "no reason given");
    const struct dray_str code = dray_json_string(dray_json_get(one, "code"), "");
    if (one != errors->child) DRAY_TRY(dray_buffer_append_str(out, "; ", error));
    if (field != NULL && field->kind == DRAY_JSON_ARRAY) {
      for (const struct dray_json *step = field->child; step != NULL; step = step->next) {
        DRAY_TRY(dray_buffer_append(out, step->text.data, (size_t)step->text.len, error));
        DRAY_TRY(dray_buffer_append_str(out, step->next != NULL ? "." : ": ", error));
      }
    }
    DRAY_TRY(dray_buffer_append(out, message.data, (size_t)message.len, error));
    if (code.len > 0) DRAY_TRY(dray_buffer_printf(out, error, " (%.*s)", DRAY_STR_ARG(code)));
  }
  return DRAY_OK;
}

// Whether it says that what is to go is not there. These mutations have no codes, and Shopify no one way to say it:
// "Customer can't be found", "Customer does not exist". A refusal
// for another reason, such as orders, says none of these.
static int is_gone(const struct shopify_operation *operation, const struct dray_json *user_errors) {
  static const char *const ways[] = {"be found", "not found", "not exist", "n't exist", "n\xe2\x80\x99t exist"};
  const struct dray_json *one = user_errors->child;
  if (!operation->gone || one->next != NULL) return 0;
  const struct dray_str message = dray_json_string(dray_json_get(one, "message"), "");
  if (dray_str_is(dray_json_string(dray_json_get(one, "code"), ""), "NOT_FOUND")) return 1;
  for (size_t i = 0; message.len > 0 && i < sizeof(ways) / sizeof(ways[0]); i++) {
    if (strcasestr(message.data, ways[i]) != NULL) return 1;
  }
  return 0;
}

int32_t shopify_settle_stale(struct shopify_task *task, struct dray_str code, struct dray_buffer *texts,
                             struct dray_error *error) {
  if (!dray_str_is(code, "STALE_OBJECT")) return DRAY_OK;
  if (task->operation == SHOPIFY_METAFIELDS_CREATE) {
    task->status = DRAY_RECEIPT_UNCHANGED;
    return DRAY_OK;
  }
  return shopify_settle(task, DRAY_RECEIPT_RETRY, DRAY_E_BUSY, dray_str_of("the metafield has just been changed"),
                        texts, error);
}

static int32_t refuse(struct shopify_task *task, const struct dray_json *user_errors, struct dray_buffer *texts,
                      struct dray_error *error) {
  const struct dray_str code = dray_json_string(dray_json_get(user_errors->child, "code"), "");
  if (user_errors->child_count == 1) DRAY_TRY(shopify_settle_stale(task, code, texts, error));
  if (task->status != 0) return DRAY_OK;
  if (is_gone(&shopify_operations[task->operation], user_errors)) {
    task->status = DRAY_RECEIPT_UNCHANGED;
    return DRAY_OK;
  }
  const size_t at = texts->len;
  DRAY_TRY(shopify_write_user_errors(user_errors, texts, error));
  task->status = DRAY_RECEIPT_REJECTED;
  task->code = DRAY_E_DATA_REJECTED;
  task->text = at;
  task->text_len = texts->len - at;
  return DRAY_OK;
}

// The error whose path begins with the alias; NULL: none.
static const struct dray_json *error_of(const struct dray_json *errors, const char *alias) {
  for (const struct dray_json *one = errors != NULL ? errors->child : NULL; one != NULL; one = one->next) {
    const struct dray_json *path = dray_json_get(one, "path");
    if (path != NULL && path->child != NULL && dray_str_is(path->child->text, alias)) return one;
  }
  return NULL;
}

int32_t shopify_judge_error(struct shopify_task *task, const struct dray_json *one, struct dray_buffer *texts,
                            struct dray_error *error) {
  const struct dray_str code = shopify_error_code(one);
  const struct dray_str message = dray_json_string(dray_json_get(one, "message"), "no outcome was given");
  if (one == NULL || dray_str_is(code, "INTERNAL_SERVER_ERROR") || dray_str_is(code, "TIMEOUT")) {
    return shopify_settle(task, DRAY_RECEIPT_UNKNOWN, DRAY_E_HTTP_SERVER, message, texts, error);
  }
  if (dray_str_is(code, "THROTTLED")) {
    return shopify_settle(task, DRAY_RECEIPT_RETRY, DRAY_E_THROTTLED, message, texts, error);
  }
  const int denied = dray_str_is(code, "ACCESS_DENIED");
  return shopify_settle(task, DRAY_RECEIPT_REJECTED, denied ? DRAY_E_AUTH_FORBIDDEN : DRAY_E_DATA_REJECTED, message,
                        texts, error);
}

int32_t shopify_judge(struct shopify_task *task, const struct dray_json *payload, const struct dray_json *errors,
                      const char *alias, struct dray_buffer *texts, struct dray_error *error) {
  const struct shopify_operation *operation = &shopify_operations[task->operation];
  if (payload == NULL || payload->kind != DRAY_JSON_OBJECT) {
    const struct dray_json *one = error_of(errors, alias);
    if (one == NULL && payload != NULL && operation->query) {
      task->status = DRAY_RECEIPT_UNCHANGED; // nothing was found
      return DRAY_OK;
    }
    return shopify_judge_error(task, one, texts, error);
  }
  const struct dray_json *user_errors = dray_json_get(payload, "userErrors");
  if (user_errors != NULL && user_errors->child_count > 0) return refuse(task, user_errors, texts, error);
  const struct dray_json *object = operation->object != NULL ? dray_json_get(payload, operation->object) : payload;
  const char *member = operation->id != NULL ? operation->id : "id";
  const struct dray_str id = dray_json_string(dray_json_get(object, member), "");
  task->status = operation->query && id.len == 0 ? DRAY_RECEIPT_UNCHANGED : DRAY_RECEIPT_APPLIED;
  task->id = texts->len;
  task->id_len = (size_t)id.len;
  return dray_buffer_append(texts, id.data, (size_t)id.len, error);
}
