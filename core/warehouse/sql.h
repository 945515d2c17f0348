// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Writing SQL text piece by piece from the facts of a dialect. Inside core/warehouse only: it decides how things are
// spelt, the other files decide what is said.
#ifndef DR_WAREHOUSE_SQL_H
#define DR_WAREHOUSE_SQL_H

#include "dray/sdk/value.h"
#include "warehouse/warehouse.h"

#define DR_SQL_BYTES_MAX (16u << 20)

// Where a table is, as the engine names it: without schemas in the dialect, the schema became a prefix of the name.
struct dr_place {
  char *schema; // owned; NULL: none
  char *table;  // owned
};
DRAY_NODISCARD int32_t dr_place_make(const struct dray_dialect *dialect, const char *schema, const char *table,
                                     struct dr_place *out, struct dray_error *error);
void dr_place_free(struct dr_place *place);

// A statement being written. The first failure sticks: the pieces after it do nothing, and `code` says why.
struct dr_sql {
  const struct dray_dialect *dialect;
  struct dray_buffer *out; // borrowed
  struct dray_error *error;
  int32_t code;
  uint32_t param_count;
};
void dr_sql_begin(struct dr_sql *sql, const struct dray_dialect *dialect, struct dray_buffer *out,
                  struct dray_error *error); // clears `out`
void dr_sql_text(struct dr_sql *sql, const char *text);
void dr_sql_name(struct dr_sql *sql, const char *name);                      // "name"
void dr_sql_column(struct dr_sql *sql, const char *alias, const char *name); // d."name"; alias NULL: "name"
void dr_sql_place(struct dr_sql *sql, const struct dr_place *place);         // "schema"."table"
void dr_sql_type(struct dr_sql *sql, struct dray_type type);                 // the dialect's spelling
// The same for a column of a key of so many.
void dr_sql_key_type(struct dr_sql *sql, struct dray_type type, size_t key_count);
// The column in a form whose equality is that of its bytes. For texts.
void dr_sql_exact(struct dr_sql *sql, const char *alias, const char *name);
// A text of a table of ours, beside one of a column of another collation.
void dr_sql_beside(struct dr_sql *sql, const char *alias, const char *name);
// The column in a form, of which "{c}" is the column; as it is where the form is empty.
void dr_sql_formed(struct dr_sql *sql, struct dray_str form, const char *alias, const char *name);
void dr_sql_number(struct dr_sql *sql, uint64_t number);
void dr_sql_param(struct dr_sql *sql);          // the next parameter: ? or $1, $2, ...
void dr_sql_create_staging(struct dr_sql *sql); // CREATE TABLE, or what makes a temporary one
void dr_sql_drop_staging(struct dr_sql *sql);   // DROP TABLE, of such a one
static inline void dr_sql_flag(struct dr_sql *sql, uint32_t flag, const char *with, const char *without) {
  dr_sql_text(sql, (sql->dialect->flags & flag) != 0 ? with : without);
}
static inline int dr_dialect_has(const struct dray_dialect *dialect, uint32_t flag) {
  return (dialect->flags & flag) != 0;
}

#endif // DR_WAREHOUSE_SQL_H
