// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The two roles.
#ifndef MAILCHIMP_PLUGIN_H
#define MAILCHIMP_PLUGIN_H

#include "dray/sdk.h"

#define MAILCHIMP_PLUGIN_NAME "mailchimp"
#define MAILCHIMP_PLUGIN_VERSION "0.1.0" // as in manifest.json

extern const struct dray_source_vtable mailchimp_source_vtable;
extern const struct dray_destination_vtable mailchimp_destination_vtable;

#endif // MAILCHIMP_PLUGIN_H
