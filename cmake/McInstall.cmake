# Headers, libraries, the program, and a package: find_package(model_compression) gives
# model_compression::model_compression with everything it needs.
include(CMakePackageConfigHelpers)

add_library(model_compression INTERFACE)
get_property(rooms GLOBAL PROPERTY MC_ROOM_TARGETS)
target_link_libraries(model_compression INTERFACE ${rooms})
set_target_properties(model_compression PROPERTIES EXPORT_NAME model_compression)

install(TARGETS model_compression mc_torch mc_zstd ${rooms} EXPORT model_compression_targets
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS model-compression RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(DIRECTORY mc DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h" PATTERN "cli" EXCLUDE)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/model_compression)
install(EXPORT model_compression_targets NAMESPACE model_compression:: DESTINATION ${package_dir})
configure_package_config_file(cmake/model_compressionConfig.cmake.in model_compressionConfig.cmake
                              INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(model_compressionConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/model_compressionConfig.cmake
              ${PROJECT_BINARY_DIR}/model_compressionConfigVersion.cmake DESTINATION ${package_dir})
