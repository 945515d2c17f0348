# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0

# dray_add_plugin(NAME SOURCES file... MANIFEST manifest.json [LIBRARIES library...] [FOLDER folder] [NO_INSTALL])
#
# Builds the plugin NAME as the target NAME: FOLDER/NAME.so beside its manifest.json, which gets the library's file name
# and SHA-256. FOLDER is ${CMAKE_BINARY_DIR}/plugins/NAME unless given: `DRAY_PLUGIN_PATH=build/plugins dray ...` finds
# it. The library exports the entry point and nothing else: the SDK and everything else that is linked statically stays
# hidden. Installed below ${CMAKE_INSTALL_LIBDIR}/dray/plugins/NAME (lib/dray/plugins/NAME without GNUInstallDirs).
function(dray_add_plugin name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "NO_INSTALL" "MANIFEST;FOLDER" "SOURCES;LIBRARIES")
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "dray_add_plugin(${name}): unknown arguments: ${arg_UNPARSED_ARGUMENTS}")
  endif()
  if(NOT arg_SOURCES OR NOT arg_MANIFEST)
    message(FATAL_ERROR "dray_add_plugin(${name}): SOURCES and MANIFEST are needed")
  endif()
  if(NOT arg_FOLDER)
    set(arg_FOLDER ${CMAKE_BINARY_DIR}/plugins/${name})
  endif()
  get_filename_component(manifest ${arg_MANIFEST} ABSOLUTE)
  add_library(${name} MODULE ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE dray::sdk ${arg_LIBRARIES})
  target_link_options(${name} PRIVATE
    -Wl,--version-script=${DRAY_SDK_EXPORT_MAP} -Wl,--exclude-libs,ALL -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack)
  # The library is not touched after the build (no RPATH rewriting at installation), so that its digest stays true.
  set_target_properties(${name} PROPERTIES PREFIX "" OUTPUT_NAME ${name} LIBRARY_OUTPUT_DIRECTORY ${arg_FOLDER}
    C_VISIBILITY_PRESET hidden CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON
    POSITION_INDEPENDENT_CODE ON BUILD_WITH_INSTALL_RPATH ON LINK_DEPENDS "${DRAY_SDK_EXPORT_MAP};${manifest}")
  add_custom_command(TARGET ${name} POST_BUILD
    COMMAND ${CMAKE_COMMAND} -DMANIFEST=${manifest} -DLIBRARY=$<TARGET_FILE:${name}> -P ${DRAY_SDK_MANIFEST_SCRIPT}
    VERBATIM)
  set(libdir lib)
  if(CMAKE_INSTALL_LIBDIR)
    set(libdir ${CMAKE_INSTALL_LIBDIR})
  endif()
  if(NOT arg_NO_INSTALL)
    set(folder ${libdir}/dray/plugins/${name}) # not writable by others, whatever the umask: dray would refuse it
    install(DIRECTORY DESTINATION ${folder} DIRECTORY_PERMISSIONS
      OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
    install(FILES $<TARGET_FILE:${name}> ${arg_FOLDER}/manifest.json DESTINATION ${folder})
  endif()
endfunction()
