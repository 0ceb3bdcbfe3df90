// The model families: one file each, one function a network. models.cpp lists them.
#pragma once

#include "mc/models/models.h"

namespace mc {

// Every function throws Error when options.input_shape does not suit the network.
Model build_resnet8(const ModelOptions& options);
Model build_resnet20(const ModelOptions& options);
Model build_resnet18(const ModelOptions& options);
Model build_resnet50(const ModelOptions& options);
Model build_mobilenet_v2(const ModelOptions& options);
Model build_mobilenet_v3_small(const ModelOptions& options);
Model build_mlp(const ModelOptions& options);
Model build_vit(const ModelOptions& options);

// Images below this side keep more resolution: strides meant for 224 pixels would leave next to nothing.
inline constexpr int64_t kSmallImage = 64;

// True for images smaller than kSmallImage in either direction. Throws Error unless the shape is [C, H, W].
bool is_small_image(const ModelOptions& options);

}  // namespace mc
