// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
#ifndef DRAY_ORACLE_HEAP_H
#define DRAY_ORACLE_HEAP_H

void heap_install(void); // before anything else is asked of SQLite

#endif // DRAY_ORACLE_HEAP_H
