// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What can be written: members, their tags, members of static segments.
#ifndef MAILCHIMP_OBJECTS_H
#define MAILCHIMP_OBJECTS_H

#include "settings.h"

enum { MC_OBJECT_MEMBERS = 1, MC_OBJECT_TAGS, MC_OBJECT_SEGMENT };

struct mc_object {
  struct dray_object_def def;
  int32_t kind; // MC_OBJECT_*
};
extern const struct mc_object mc_objects[];
extern const size_t mc_object_count;
// @errors SCHEMA_OBJECT.
DRAY_NODISCARD int32_t mc_object_find(struct dray_str name, const struct mc_object **out, struct dray_error *error);

// What a column of the plan is.
enum {
  MC_COLUMN_NONE = 0, // reserved
  MC_COLUMN_EMAIL,
  MC_COLUMN_TAG, // of member_tags
  MC_COLUMN_STATUS,
  MC_COLUMN_PLAIN,  // a member of the row as it is called
  MC_COLUMN_PLACE,  // latitude, longitude
  MC_COLUMN_OBJECT, // json
  MC_COLUMN_TAGS,
  MC_COLUMN_MERGE
};
enum { MC_MERGE_TEXT = 0, MC_MERGE_NUMBER, MC_MERGE_DATE, MC_MERGE_BIRTHDAY, MC_MERGE_ADDRESS };
struct mc_column {
  int32_t kind;  // MC_COLUMN_*
  int32_t merge; // MC_MERGE_*
  char name[64]; // the member's, or the merge field's tag
};

// Finds out what the columns of a plan are; merge fields only by their names so far. `out` has room for all. *out_merge
// = how many merge fields. @errors SCHEMA_FIELD with the nearest name, SCHEMA_KEY, SCHEMA_TYPE.
DRAY_NODISCARD int32_t mc_columns_find(const struct mc_object *object, const struct dray_write_plan *plan,
                                       struct mc_column *out, size_t *out_merge, struct dray_error *error);

#endif // MAILCHIMP_OBJECTS_H
