// Whisper's decoder in int8 on processors with the kernels of kernels.h, with the weights and layers of CTranslate2.

#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include <ctranslate2/decoding.h>
#include <ctranslate2/layers/decoder.h>
#include <ctranslate2/layers/transformer.h>
#include <ctranslate2/models/whisper.h>

#include "kernels.h"

namespace stt {

// Keys and values that the decoder attends to in one window, layer by layer. They depend on the window only, so they are computed
// once for language and text. With base 18 MB for 30 s.
class CrossAttention {
public:
  // Computes them at the first call.
  template <typename Compute>
  const std::vector<PackedAttention>& get(Compute compute) {
    std::call_once(once, [&] { layers = compute(); });
    return layers;
  }

private:
  std::once_flag once;
  std::vector<PackedAttention> layers;
};

// A window to decode: output of the encoder, [1, positions, width], and what was computed of it.
struct DecoderWindow {
  const ctranslate2::StorageView* encoded;
  CrossAttention* cross_attention;
};

// `ctranslate2::layers::WhisperDecoder`, but for three things: weights are packed when the model is loaded instead of at each call,
// which is most of the time for so few rows; the attention to the window is in bfloat16; and keys and values of the window are
// neither computed twice nor copied when beams move. The products of weights are exact, as CTranslate2's are.
class PackedDecoder : public ctranslate2::layers::Decoder {
public:
  // None when the processor, the compute type or the form of the model does not allow it.
  static std::unique_ptr<PackedDecoder> create(const ctranslate2::models::WhisperModel& model);
  explicit PackedDecoder(const ctranslate2::models::WhisperModel& model);
  ~PackedDecoder() override;

  // As `ctranslate2::models::WhisperReplica::generate` and `detect_language`, the languages by their ids.
  std::vector<ctranslate2::models::WhisperGenerationResult> generate(const std::vector<DecoderWindow>& windows,
                                                                     const std::vector<std::vector<size_t>>& prompts,
                                                                     const ctranslate2::models::WhisperOptions& options);
  std::vector<std::vector<std::pair<size_t, float>>> languages(const std::vector<DecoderWindow>& windows);

  // What `ctranslate2::decode` calls.
  ctranslate2::layers::DecoderState initial_state(bool iterative_decoding = true) const override;
  bool replicate_state(const std::string& name) const override;
  void operator()(ctranslate2::dim_t step, const ctranslate2::StorageView& ids, ctranslate2::layers::DecoderState& state,
                  ctranslate2::StorageView* logits, ctranslate2::StorageView* attention) override;
  void operator()(const ctranslate2::StorageView& ids, const ctranslate2::StorageView& lengths, ctranslate2::layers::DecoderState& state,
                  ctranslate2::StorageView& logits, ctranslate2::StorageView* attention) override;

protected:
  ctranslate2::layers::Dense& output_layer() override { return projection; }

private:
  class Layer;
  class Dense;

  // The windows of a call, and the state before its first token.
  ctranslate2::layers::DecoderState start(const std::vector<DecoderWindow>& windows);
  // Ids [rows] or [rows, time] to hidden values [rows x time, width].
  void forward(ctranslate2::dim_t step, const ctranslate2::StorageView& ids, ctranslate2::layers::DecoderState& state,
               ctranslate2::StorageView& hidden) const;
  void project(const ctranslate2::StorageView& hidden, ctranslate2::StorageView& logits) const;

  const ctranslate2::models::WhisperModel& model;
  const size_t sot, eot, no_timestamps, no_speech;
  const ctranslate2::layers::Embeddings embeddings;
  mutable ctranslate2::layers::PositionEmbedding positions;
  std::vector<std::unique_ptr<const Layer>> layers;
  const ctranslate2::layers::LayerNorm norm;
  // For what CTranslate2 asks about its output; the products are those of `packed_projection`.
  ctranslate2::layers::Dense projection;
  std::unique_ptr<const Dense> packed_projection;
  // Of the call under way, by window and layer.
  std::vector<const std::vector<PackedAttention>*> windows;
};

}  // namespace stt
