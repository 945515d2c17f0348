// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The objects that can be written, as tables.
#ifndef ZENDESK_OBJECTS_H
#define ZENDESK_OBJECTS_H

#include "fields.h"

enum {
  ZENDESK_USERS = 1,
  ZENDESK_ORGANIZATIONS,
  ZENDESK_MEMBERSHIPS,
  ZENDESK_TICKETS,
  ZENDESK_TICKET_TAGS,
  ZENDESK_USER_TAGS
};

struct zendesk_object {
  struct dray_object_def def;
  int kind;                      // ZENDESK_USERS, ...
  int fields;                    // ZENDESK_*_FIELDS that can be written too
  const char *prefix;            // of their names: "user_fields."
  const char *plural, *singular; // in paths and bodies
  const char *scope;
};

extern const struct zendesk_object zendesk_objects[];
extern const size_t zendesk_object_count;
// @errors SCHEMA_OBJECT with the nearest name.
DRAY_NODISCARD int32_t zendesk_object_find(struct dray_str name, const struct zendesk_object **out,
                                           struct dray_error *error);

#endif // ZENDESK_OBJECTS_H
