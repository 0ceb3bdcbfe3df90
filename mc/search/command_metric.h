// A metric that a user's own command computes: "command:PROGRAM ARGUMENTS" is run by the shell with the path
// of an .npz appended, which holds every output under its name and the labels (where there are any) as
// `labels`; the last line that it prints is the number, larger is better.
#pragma once

#include <string>
#include <vector>

#include "mc/data/loader.h"
#include "mc/data/metric.h"
#include "mc/deploy/engine.h"

namespace mc {

bool is_command_metric(const std::string& metric);

// Throws Error when the command fails or prints no number, with what it printed.
double command_metric(const std::string& metric, const InferFunction& infer, Loader& loader,
                      const std::vector<PortInfo>& outputs);

}  // namespace mc
