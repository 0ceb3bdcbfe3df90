// Field numbers of onnx.proto, by message.
#pragma once

#include <cstdint>

namespace mc::field {

using Number = uint32_t;

namespace model {
inline constexpr Number kIrVersion = 1, kProducerName = 2, kProducerVersion = 3, kDomain = 4,
                        kModelVersion = 5, kDoc = 6, kGraph = 7, kOpsetImport = 8, kMetadata = 14,
                        kFunctions = 25;
}
namespace opset {
inline constexpr Number kDomain = 1, kVersion = 2;
}
namespace entry {
inline constexpr Number kKey = 1, kValue = 2;
}
namespace graph {
inline constexpr Number kNode = 1, kName = 2, kInitializer = 5, kDoc = 10, kInput = 11, kOutput = 12,
                        kValueInfo = 13, kQuantization = 14, kSparseInitializer = 15, kMetadata = 16;
}
namespace quantization {
inline constexpr Number kTensorName = 1, kEntries = 2;
}
namespace node {
inline constexpr Number kInput = 1, kOutput = 2, kName = 3, kOpType = 4, kAttribute = 5, kDoc = 6,
                        kDomain = 7, kOverload = 8, kMetadata = 9;
}
namespace attribute {
inline constexpr Number kName = 1, kFloat = 2, kInt = 3, kString = 4, kTensor = 5, kGraph = 6, kFloats = 7,
                        kInts = 8, kStrings = 9, kTensors = 10, kGraphs = 11, kDoc = 13, kType = 14,
                        kTypes = 15, kKind = 20, kRef = 21, kSparse = 22, kSparses = 23;
}
namespace value_info {
inline constexpr Number kName = 1, kType = 2, kDoc = 3, kMetadata = 4;
}
namespace tensor {
inline constexpr Number kDims = 1, kDataType = 2, kFloatData = 4, kInt32Data = 5, kStringData = 6,
                        kInt64Data = 7, kName = 8, kRawData = 9, kDoubleData = 10, kUint64Data = 11,
                        kDoc = 12, kExternalData = 13, kDataLocation = 14, kMetadata = 16;
}
namespace sparse {
inline constexpr Number kValues = 1, kIndices = 2, kDims = 3;
}
namespace sequence {  // of values, not of types
inline constexpr Number kTensors = 3, kSequences = 5, kOptionals = 7;
}
namespace optional {
inline constexpr Number kTensor = 3, kSequence = 5;
}
namespace type {
inline constexpr Number kTensor = 1, kSequence = 4, kMap = 5, kDenotation = 6, kSparseTensor = 8,
                        kOptional = 9;
inline constexpr Number kElementType = 1, kShape = 2;  // in Tensor, SparseTensor, Sequence and Optional
inline constexpr Number kKeyType = 1, kValueType = 2;  // in Map
}  // namespace type
namespace shape {
inline constexpr Number kDim = 1;
inline constexpr Number kDimValue = 1, kDimParam = 2, kDimDenotation = 3;
}  // namespace shape
namespace function {
inline constexpr Number kName = 1, kInput = 4, kOutput = 5, kAttribute = 6, kNode = 7, kDoc = 8,
                        kOpsetImport = 9, kDomain = 10, kAttributeDefault = 11, kValueInfo = 12,
                        kOverload = 13, kMetadata = 14;
}

}  // namespace mc::field
