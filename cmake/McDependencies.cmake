# Everything we take from outside. A system-wide install goes first; scripts/setup leaves the rest
# in .venv (wheels) and .deps (headers). Engines are optional and loaded at run time.
find_package(fmt REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(yaml-cpp REQUIRED)
find_package(ZLIB REQUIRED)
find_package(Threads REQUIRED)
if(NOT TARGET yaml-cpp::yaml-cpp)
  add_library(yaml-cpp::yaml-cpp ALIAS yaml-cpp)
endif()

if(SKBUILD)  # a wheel is for the Python that builds it
  set(MC_PYTHON ${Python_EXECUTABLE} CACHE FILEPATH "Python whose packages are used")
endif()
set(MC_PYTHON ${PROJECT_SOURCE_DIR}/.venv/bin/python CACHE FILEPATH "Python whose packages are used")
if(NOT EXISTS ${MC_PYTHON})
  find_program(MC_PYTHON_SYSTEM NAMES python3 REQUIRED)
  set(MC_PYTHON ${MC_PYTHON_SYSTEM} CACHE FILEPATH "" FORCE)
endif()

# mc_python(OUT CODE): what CODE prints, or empty where it fails.
function(mc_python out code)
  execute_process(COMMAND ${MC_PYTHON} -I -c "${code}" OUTPUT_VARIABLE text ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE)
  set(${out} "${text}" PARENT_SCOPE)
endfunction()

if(NOT Torch_DIR)
  mc_python(torch_prefix "import torch.utils; print(torch.utils.cmake_prefix_path)")
  list(APPEND CMAKE_PREFIX_PATH ${torch_prefix})
endif()
find_package(Torch REQUIRED)
add_library(mc_torch INTERFACE)
target_link_libraries(mc_torch INTERFACE ${TORCH_LIBRARIES} Threads::Threads)
# LibTorch's include folder brings a copy of fmt, of a version of its own, which hides the system's and has
# no library: header-only, either works.
target_compile_definitions(mc_torch INTERFACE FMT_HEADER_ONLY)
# at::parallel_for is serial unless our code has OpenMP too; the symbols resolve to LibTorch's own
# libgomp, which it loads first.
find_library(MC_TORCH_GOMP NAMES libgomp.so.1 PATHS ${TORCH_INSTALL_PREFIX}/lib NO_DEFAULT_PATH)
if(NOT MC_FUZZ)  # Clang brings another OpenMP than LibTorch's
  target_compile_options(mc_torch INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-fopenmp>)
endif()
if(MC_TORCH_GOMP)
  target_link_libraries(mc_torch INTERFACE $<BUILD_INTERFACE:${MC_TORCH_GOMP}>)
else()
  target_link_options(mc_torch INTERFACE -fopenmp)
endif()

find_path(MC_PROTOZERO_INCLUDE protozero/pbf_reader.hpp PATHS ${PROJECT_SOURCE_DIR}/.deps/include REQUIRED)
find_path(MC_CLI11_INCLUDE CLI/CLI.hpp PATHS ${PROJECT_SOURCE_DIR}/.deps/include REQUIRED)

# ONNX Runtime: headers at build time, the library when the engine is first used.
find_path(MC_ONNXRUNTIME_INCLUDE onnxruntime_c_api.h PATH_SUFFIXES onnxruntime
          PATHS ${PROJECT_SOURCE_DIR}/.deps/include ${PROJECT_SOURCE_DIR}/.deps/include/onnxruntime)
find_library(MC_ONNXRUNTIME_LIBRARY NAMES onnxruntime)
if(NOT MC_ONNXRUNTIME_LIBRARY)
  mc_python(ort "import glob,os,importlib.util as u; d=os.path.dirname(u.find_spec('onnxruntime').origin); print(sorted(glob.glob(d+'/capi/libonnxruntime.so.1*'))[0])")
  set(MC_ONNXRUNTIME_LIBRARY "${ort}" CACHE FILEPATH "ONNX Runtime, loaded at run time" FORCE)
endif()

# OpenVINO through its C API, likewise.
mc_python(openvino_dir "import os,importlib.util as u; print(os.path.dirname(u.find_spec('openvino').origin))")
find_path(MC_OPENVINO_INCLUDE openvino/c/openvino.h PATHS ${openvino_dir}/include)
find_library(MC_OPENVINO_LIBRARY NAMES openvino_c)
if(NOT MC_OPENVINO_LIBRARY)
  mc_python(ov "import glob; print(sorted(glob.glob('${openvino_dir}/libs/libopenvino_c.so*'))[0])")
  set(MC_OPENVINO_LIBRARY "${ov}" CACHE FILEPATH "OpenVINO's C library, loaded at run time" FORCE)
endif()

foreach(part ONNXRUNTIME OPENVINO)
  if(MC_${part}_INCLUDE)
    message(STATUS "${part}: ${MC_${part}_INCLUDE}, ${MC_${part}_LIBRARY}")
  else()
    message(STATUS "${part}: headers not found, its engine will say so (scripts/setup brings them)")
  endif()
endforeach()

# mc_engine_libraries(TARGET): the engines' headers, and where their libraries were found.
function(mc_engine_libraries target)
  foreach(part ONNXRUNTIME OPENVINO)
    if(MC_${part}_INCLUDE)
      target_include_directories(${target} SYSTEM PRIVATE ${MC_${part}_INCLUDE})
    endif()
    target_compile_definitions(${target} PRIVATE MC_${part}_LIBRARY="${MC_${part}_LIBRARY}")
  endforeach()
endfunction()

find_path(MC_ZSTD_INCLUDE zstd.h PATHS ${PROJECT_SOURCE_DIR}/.deps/include REQUIRED)
find_library(MC_ZSTD_LIBRARY NAMES zstd PATHS ${PROJECT_SOURCE_DIR}/.deps/lib REQUIRED)
add_library(mc_zstd INTERFACE)
target_include_directories(mc_zstd SYSTEM INTERFACE $<BUILD_INTERFACE:${MC_ZSTD_INCLUDE}>)
target_link_libraries(mc_zstd INTERFACE ${MC_ZSTD_LIBRARY})

if(MC_TESTS)
  find_package(GTest REQUIRED)
endif()
