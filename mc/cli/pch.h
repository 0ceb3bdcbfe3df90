// The precompiled header of the program.
#pragma once

#include <ATen/core/Tensor.h>
#include <CLI/CLI.hpp>
