// What every file of the bindings needs; it costs a minute once and nothing afterwards.
#pragma once

#include <pybind11/functional.h>
#include <pybind11/stl.h>
#include <torch/csrc/utils/pybind.h>

#include "mc/base/error.h"
#include "mc/module/graph_module.h"
