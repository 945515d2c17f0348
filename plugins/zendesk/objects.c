// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The tables of objects. A field's path is where it stands in the body; NULL_KEPT marks what Zendesk cannot empty: its
// null is never sent.
#include "objects.h"

#define FIELD(column, kind)                                                                                            \
  {                                                                                                                    \
    .name = (column), .type = { DRAY_TYPE_##kind, 0, 0 }                                                               \
  }
#define MATCH(column, kind, more)                                                                                      \
  { .name = (column), .type = {DRAY_TYPE_##kind, 0, 0}, .flags = DRAY_FIELD_MATCH_KEY | DRAY_FIELD_NULL_KEPT | (more) }
#define KEPT(column, kind, text)                                                                                       \
  { .name = (column), .type = {DRAY_TYPE_##kind, 0, 0}, .flags = DRAY_FIELD_NULL_KEPT, .description = (text) }
#define ABOUT(column, kind, text)                                                                                      \
  { .name = (column), .type = {DRAY_TYPE_##kind, 0, 0}, .description = (text) }
#define AT(column, place, kind, text)                                                                                  \
  {                                                                                                                    \
    .name = (column), .path = (place), .type = {DRAY_TYPE_##kind, 0, 0}, .flags = DRAY_FIELD_NULL_KEPT,                \
    .description = (text)                                                                                              \
  }
#define LIST_TEXT "a JSON array of texts, or texts with commas or blanks between"

static const struct dray_field users[] = {
    MATCH("id", INT64, 0),
    MATCH("external_id", STRING, DRAY_FIELD_CASELESS),
    MATCH("email", STRING, DRAY_FIELD_CASELESS),
    KEPT("name", STRING, "a new user needs it"),
    KEPT("role", STRING, "end-user, agent or admin; not changed for agents by create_or_update"),
    FIELD("custom_role_id", INT64),
    FIELD("organization_id", INT64),
    FIELD("default_group_id", INT64),
    FIELD("phone", STRING),
    FIELD("alias", STRING),
    FIELD("details", STRING),
    FIELD("notes", STRING),
    FIELD("signature", STRING),
    KEPT("time_zone", STRING, NULL),
    KEPT("locale_id", INT64, NULL),
    ABOUT("tags", STRING, LIST_TEXT "; they replace the user's"),
    KEPT("suspended", BOOL, NULL),
    KEPT("verified", BOOL, NULL),
    KEPT("ticket_restriction", STRING, NULL),
    KEPT("only_private_comments", BOOL, NULL),
};

static const struct dray_field organizations[] = {
    MATCH("id", INT64, 0),
    MATCH("external_id", STRING, DRAY_FIELD_CASELESS),
    KEPT("name", STRING, "a new organization needs it, and no two have the same"),
    FIELD("details", STRING),
    FIELD("notes", STRING),
    FIELD("group_id", INT64),
    KEPT("shared_tickets", BOOL, NULL),
    KEPT("shared_comments", BOOL, NULL),
    ABOUT("domain_names", STRING, LIST_TEXT),
    ABOUT("tags", STRING, LIST_TEXT "; they replace the organization's"),
};

static const struct dray_field memberships[] = {
    MATCH("user_id", INT64, DRAY_FIELD_REQUIRED),
    MATCH("organization_id", INT64, DRAY_FIELD_REQUIRED),
    KEPT("default", BOOL, "true makes it the user's default organization"),
};

static const struct dray_field tickets[] = {
    MATCH("id", INT64, 0),
    MATCH("external_id", STRING, 0),
    KEPT("subject", STRING, NULL),
    AT("comment", "comment.body", STRING, "a new ticket needs a comment; a changed one is added to the ticket"),
    AT("comment_html", "comment.html_body", STRING, "instead of comment"),
    AT("comment_public", "comment.public", BOOL, "else as the option comments_public says"),
    AT("comment_author_id", "comment.author_id", INT64, NULL),
    KEPT("status", STRING, NULL),
    FIELD("custom_status_id", INT64),
    FIELD("priority", STRING),
    FIELD("type", STRING),
    KEPT("requester_id", INT64, NULL),
    AT("requester_email", "requester.email", STRING, "of new tickets: found or made by it"),
    AT("requester_name", "requester.name", STRING, "of new tickets"),
    KEPT("submitter_id", INT64, "of new tickets"),
    FIELD("assignee_id", INT64),
    FIELD("group_id", INT64),
    FIELD("organization_id", INT64),
    KEPT("brand_id", INT64, NULL),
    KEPT("ticket_form_id", INT64, NULL),
    FIELD("problem_id", INT64),
    FIELD("due_at", TIMESTAMP),
    ABOUT("tags", STRING, LIST_TEXT "; they replace the ticket's: the object ticket_tags adds and removes"),
};

static const struct dray_field ticket_tags[] = {
    MATCH("ticket_id", INT64, DRAY_FIELD_REQUIRED),
    {.name = "tags", .type = {DRAY_TYPE_STRING, 0, 0}, .flags = DRAY_FIELD_REQUIRED, .description = LIST_TEXT},
};

static const struct dray_field user_tags[] = {
    MATCH("user_id", INT64, DRAY_FIELD_REQUIRED),
    {.name = "tags", .type = {DRAY_TYPE_STRING, 0, 0}, .flags = DRAY_FIELD_REQUIRED, .description = LIST_TEXT},
};

#define FIELDS(list) .fields = (list), .field_count = sizeof(list) / sizeof((list)[0])
#define ALL (DRAY_OP_INSERT | DRAY_OP_UPDATE | DRAY_OP_DELETE)

const struct zendesk_object zendesk_objects[] = {
    {.def = {.name = "users",
             FIELDS(users),
             .operations = ALL,
             .description = "matched by id, external_id or email; a removed one is soft-deleted"},
     .kind = ZENDESK_USERS,
     .fields = ZENDESK_USER_FIELDS,
     .prefix = "user_fields.",
     .plural = "users",
     .singular = "user",
     .scope = "users:write"},
    {.def = {.name = "organizations",
             FIELDS(organizations),
             .operations = ALL,
             .description = "matched by id or external_id, never by name"},
     .kind = ZENDESK_ORGANIZATIONS,
     .fields = ZENDESK_ORGANIZATION_FIELDS,
     .prefix = "organization_fields.",
     .plural = "organizations",
     .singular = "organization",
     .scope = "organizations:write"},
    {.def = {.name = "organization_memberships",
             FIELDS(memberships),
             .operations = ALL,
             .description = "which user belongs to which organization; one that is there already is unchanged"},
     .kind = ZENDESK_MEMBERSHIPS,
     .plural = "organization_memberships",
     .singular = "organization_membership",
     .scope = "write"},
    {.def = {.name = "tickets",
             FIELDS(tickets),
             .operations = DRAY_OP_INSERT | DRAY_OP_UPDATE,
             .description = "looked up by external_id, which Zendesk does not keep unique, or updated by id; triggers "
                            "fire and send mail. Tickets are never removed"},
     .kind = ZENDESK_TICKETS,
     .fields = ZENDESK_TICKET_FIELDS,
     .prefix = "custom_fields.",
     .plural = "tickets",
     .singular = "ticket",
     .scope = "tickets:write"},
    {.def = {.name = "ticket_tags",
             FIELDS(ticket_tags),
             .operations = ALL,
             .description =
                 "adds, removes or sets tags of tickets (option tags); what was added is removed with its row"},
     .kind = ZENDESK_TICKET_TAGS,
     .plural = "tickets",
     .singular = "ticket",
     .scope = "tickets:write"},
    {.def = {.name = "user_tags", FIELDS(user_tags), .operations = ALL, .description = "the same of users"},
     .kind = ZENDESK_USER_TAGS,
     .plural = "users",
     .singular = "user",
     .scope = "users:write"},
};
const size_t zendesk_object_count = sizeof(zendesk_objects) / sizeof(zendesk_objects[0]);

int32_t zendesk_object_find(struct dray_str name, const struct zendesk_object **out, struct dray_error *error) {
  struct dray_nearest nearest;
  dray_nearest_init(&nearest, name);
  for (size_t i = 0; i < zendesk_object_count; i++) {
    if (dray_str_is(name, zendesk_objects[i].def.name)) {
      *out = &zendesk_objects[i];
      return DRAY_OK;
    }
    dray_nearest_offer(&nearest, zendesk_objects[i].def.name);
  }
  return dray_fail(error, DRAY_E_SCHEMA_OBJECT, "Zendesk has no object \"%.*s\"%s", DRAY_VALUE_ARG(name),
                   dray_nearest_hint(&nearest));
}
