// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Custom fields, which only the account knows: of tickets by number, of users and organizations by key.
#ifndef ZENDESK_FIELDS_H
#define ZENDESK_FIELDS_H

#include "told.h"

enum { ZENDESK_NO_FIELDS = 0, ZENDESK_TICKET_FIELDS = 1, ZENDESK_USER_FIELDS, ZENDESK_ORGANIZATION_FIELDS };
#define ZENDESK_FIELDS_COUNT 4

// The custom fields of one kind. `path` of an item is the field's number or key as the API spells it.
struct zendesk_fields {
  struct dray_field_list list;
  struct dray_buffer text; // what was answered, for other lanes
  int loaded;
  char refused[256]; // why they cannot be read; empty: they can
};

// Reads them, once an instance, and once a run where `told` names it (NULL: not). Names are `prefix` and the number or
// key. writable: 1 leaves out what is not active any more. Where the account or the credentials do not have them, there
// are none, and that is warned of. @errors those of zendesk_get.
DRAY_NODISCARD int32_t zendesk_fields_load(struct zendesk_client *client, int of, const char *prefix, int writable,
                                           const struct zendesk_told *told, struct zendesk_fields *fields,
                                           struct dray_error *error);
void zendesk_fields_free(struct zendesk_fields *fields);
// The type of a custom field's column by Zendesk's name of its type; id 0: not a custom field's.
struct dray_type zendesk_fields_type(struct dray_str type);

#endif // ZENDESK_FIELDS_H
