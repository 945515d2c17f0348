# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
#
# cmake -DMANIFEST=in.json -DLIBRARY=x.so -P dray_manifest.cmake: writes manifest.json beside the library, with the
# library's file name and its SHA-256.
file(READ "${MANIFEST}" json)
file(SHA256 "${LIBRARY}" digest)
get_filename_component(name "${LIBRARY}" NAME)
get_filename_component(folder "${LIBRARY}" DIRECTORY)
string(JSON json SET "${json}" library "\"${name}\"")
string(JSON json SET "${json}" sha256 "\"${digest}\"")
file(WRITE "${folder}/manifest.json" "${json}\n")
