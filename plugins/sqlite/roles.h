// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The two roles, as plugin.c hands them to the host.
#ifndef SQLITE_ROLES_H
#define SQLITE_ROLES_H

#include "dray/sdk.h"

extern const struct dray_source_vtable sqlite_source;
extern const struct dray_warehouse_vtable sqlite_warehouse;

#endif // SQLITE_ROLES_H
