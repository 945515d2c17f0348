// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Everything a plugin author needs in one include: the ABI and the static library libdray_sdk.a.
#ifndef DRAY_SDK_H
#define DRAY_SDK_H

#include "dray/plugin.h"
#include "dray/sdk/api.h"
#include "dray/sdk/catalog.h"
#include "dray/sdk/changes.h"
#include "dray/sdk/column.h"
#include "dray/sdk/config.h"
#include "dray/sdk/credential.h"
#include "dray/sdk/csv.h"
#include "dray/sdk/cursor.h"
#include "dray/sdk/error.h"
#include "dray/sdk/fold.h"
#include "dray/sdk/input.h"
#include "dray/sdk/json.h"
#include "dray/sdk/pages.h"
#include "dray/sdk/services.h"
#include "dray/sdk/start.h"
#include "dray/sdk/table_stream.h"
#include "dray/sdk/text.h"
#include "dray/sdk/value.h"

#endif // DRAY_SDK_H
