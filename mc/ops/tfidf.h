// TfIdfVectorizer: how often each of the known n-grams stands in a row of tokens. Internal to the room.
#pragma once

#include "mc/ops/op.h"

namespace mc {

Kernel bind_tfidf(const BindContext& context);
void infer_tfidf(InferContext& context);

}  // namespace mc
