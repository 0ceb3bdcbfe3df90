# Parquet files through Arrow C++, which the Python package pyarrow brings: a library of its own, loaded when the
# first such file is read.
mc_python(pyarrow_dir "import os,importlib.util as u; print(os.path.dirname(u.find_spec('pyarrow').origin))")
find_path(MC_ARROW_INCLUDE parquet/arrow/reader.h PATHS ${pyarrow_dir}/include)
file(GLOB arrow_libraries ${pyarrow_dir}/libarrow.so.* ${pyarrow_dir}/libparquet.so.*)
find_library(MC_ARROW_LIBRARY NAMES arrow)
find_library(MC_PARQUET_CXX_LIBRARY NAMES parquet)
if(MC_ARROW_LIBRARY AND MC_PARQUET_CXX_LIBRARY)
  set(arrow_libraries ${MC_ARROW_LIBRARY} ${MC_PARQUET_CXX_LIBRARY})
endif()

if(SKBUILD OR NOT MC_ARROW_INCLUDE OR NOT arrow_libraries)  # the Python package reads by pyarrow itself
  message(STATUS "Parquet: Arrow C++ not found, its files will say so (the Python package pyarrow brings it)")
  target_compile_definitions(mc_data PRIVATE MC_PARQUET_LIBRARY="")
  return()
endif()
message(STATUS "Parquet: ${MC_ARROW_INCLUDE}, ${arrow_libraries}")
add_library(mc_parquet MODULE ${PROJECT_SOURCE_DIR}/plugins/parquet/read_parquet.cpp)
target_compile_features(mc_parquet PRIVATE cxx_std_20)
target_compile_options(mc_parquet PRIVATE ${MC_WARNINGS})
target_include_directories(mc_parquet SYSTEM PRIVATE ${MC_ARROW_INCLUDE})
target_link_libraries(mc_parquet PRIVATE ${arrow_libraries})
set_target_properties(mc_parquet PROPERTIES CXX_VISIBILITY_PRESET hidden UNITY_BUILD OFF
                      BUILD_RPATH "${pyarrow_dir}" INSTALL_RPATH "${pyarrow_dir}")
target_compile_definitions(mc_data PRIVATE MC_PARQUET_LIBRARY="$<TARGET_FILE:mc_parquet>")
add_dependencies(model-compression mc_parquet)
install(TARGETS mc_parquet LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
