// A metric that a user's own command computes: "command:PROGRAM ARGUMENTS" is run by the shell with the path
// of an .npz appended, which holds every output under its name and the labels (where there are any) as
// `labels`; the last line that it prints is the number, larger is better.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "mc/data/metric.h"

namespace mc {

bool is_command_metric(const std::string& metric);

// Gathers what it is given; labels may be undefined tensors. value() runs the command: Error when it fails or
// prints no number, with what it printed. Throws Error where no command is named.
std::unique_ptr<Metric> make_command_metric(const std::string& metric, std::vector<std::string> output_names);

}  // namespace mc
