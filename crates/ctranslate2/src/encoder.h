// Whisper's encoder on the processor, with the weights and layers of CTranslate2.

#pragma once

#include <memory>
#include <string>
#include <vector>

#include <ctranslate2/layers/common.h>
#include <ctranslate2/layers/transformer.h>
#include <ctranslate2/models/model.h>

namespace stt {

// Computes what `ctranslate2::layers::WhisperEncoder` computes, in blocks of positions that stay in the cache of a core.
//
// CTranslate2 writes the attention of a layer as a whole: 8 heads of 1500 x 1500 floats for base, 72 MB, which go through memory four
// times, and so do the inner values of the feed-forward network (24 MB). Rows of both are independent of one another, so here
// they are computed some at a time. The sums are those of CTranslate2, in its order.
class BlockedEncoder {
public:
  BlockedEncoder(const ctranslate2::models::Model& model, const std::string& scope);
  ~BlockedEncoder();

  // Features [windows, mels, frames] to [windows, frames / 2, width].
  void operator()(const ctranslate2::StorageView& features, ctranslate2::StorageView& output);

private:
  class Layer;

  const ctranslate2::layers::Conv1D conv1;
  const ctranslate2::layers::Conv1D conv2;
  ctranslate2::layers::PositionEmbedding positions;
  const std::vector<std::unique_ptr<const Layer>> layers;
  const ctranslate2::layers::LayerNorm norm;
  // Attention in bfloat16: with int8 weights it is not what limits precision.
  bool use_kernels;
};

}  // namespace stt
