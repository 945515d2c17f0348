# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
#
# cmake -DMANIFEST=in.json -DLIBRARY=x.so -P dray_manifest.cmake: writes manifest.json beside the library, with the
# library's file name and its SHA-256, and takes the right to write away from everybody but the owner: dray does not
# load what others may change.
file(READ "${MANIFEST}" json)
file(SHA256 "${LIBRARY}" digest)
get_filename_component(name "${LIBRARY}" NAME)
get_filename_component(folder "${LIBRARY}" DIRECTORY)
string(JSON json SET "${json}" library "\"${name}\"")
string(JSON json SET "${json}" sha256 "\"${digest}\"")
file(WRITE "${folder}/manifest.json" "${json}\n")
set(owner OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ)
file(CHMOD "${folder}/manifest.json" PERMISSIONS ${owner})
file(CHMOD "${LIBRARY}" "${folder}" PERMISSIONS ${owner} OWNER_EXECUTE GROUP_EXECUTE WORLD_EXECUTE)
