// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What the loader asks about a library before any of its code runs: who may write it, whether it is the one the
// manifest describes, and what it exports. Used by loader.c only.
#ifndef DR_PLUGIN_TRUST_H
#define DR_PLUGIN_TRUST_H

#include "plugin/plugin.h"

// Refuses a library, manifest or folder that somebody else than root and the current user owns or may write. A folder
// with the
// sticky bit that root owns is fine: others cannot replace files in it. @errors PLUGIN_UNTRUSTED, PLUGIN_MISSING.
DRAY_NODISCARD int32_t dr_trust_permissions(const struct dr_manifest *manifest, struct dray_error *error);

// Compares the library's SHA-256 with the manifest's. @errors PLUGIN_DIGEST, IO.
DRAY_NODISCARD int32_t dr_trust_digest(const struct dr_manifest *manifest, struct dray_error *error);

// Reads the dynamic symbols from the ELF file: exactly the entry point may be exported. @errors PLUGIN_EXPORTS names
// the surplus symbols,
// PLUGIN_ABI when the entry point is another major's, PLUGIN_LOAD when the file is no library for this machine.
DRAY_NODISCARD int32_t dr_trust_exports(const struct dr_manifest *manifest, struct dray_error *error);

#endif // DR_PLUGIN_TRUST_H
