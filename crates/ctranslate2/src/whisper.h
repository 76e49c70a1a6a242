// A Whisper model of CTranslate2 for Rust. See lib.rs, which documents each function.

#pragma once

#include <memory>

#include <ctranslate2/models/whisper.h>

#include "rust/cxx.h"

#include "decoder.h"
#include "encoder.h"

namespace stt {

struct Alignment;
struct EncodedRow;
struct Generated;
struct LanguageRow;
struct LoadOptions;
struct SearchOptions;

// One window of encoder output, [1, positions, width], on the device of the model.
class Encoded {
public:
  explicit Encoded(ctranslate2::StorageView output) : output(std::move(output)) {}
  size_t positions() const { return static_cast<size_t>(output.dim(1)); }

  const ctranslate2::StorageView output;
  // For the decoder, if it is one of our own.
  mutable CrossAttention cross_attention;
};

// What the thread of a replica has: Whisper as CTranslate2 computes it, but for encoder and decoder on the processor.
class Replica : public ctranslate2::models::ModelReplica {
public:
  explicit Replica(const ctranslate2::models::Model& model);
  static std::unique_ptr<Replica> create_from_model(const ctranslate2::models::Model& model);

  // Features [windows, mels, frames], in memory of the processor.
  ctranslate2::StorageView encode(ctranslate2::StorageView features);

  using Windows = std::vector<std::shared_ptr<Encoded>>;
  std::vector<std::vector<std::pair<size_t, float>>> languages(const Windows& windows);
  std::vector<ctranslate2::models::WhisperGenerationResult> generate(const Windows& windows, const std::vector<std::vector<size_t>>& prompts,
                                                                     const ctranslate2::models::WhisperOptions& options);

  const std::unique_ptr<ctranslate2::models::WhisperReplica> whisper;

private:
  std::unique_ptr<BlockedEncoder> encoder;
  std::unique_ptr<PackedDecoder> decoder;
};

// A pool of replicas. `ctranslate2::models::Whisper` is one, too, but its calls take the output of one encoder call only.
class Model {
public:
  explicit Model(const LoadOptions& options);

  bool is_multilingual() const;
  size_t mels() const;
  rust::String compute_type() const;

  rust::Vec<EncodedRow> encode(rust::Slice<const float> features, size_t windows, size_t threads) const;
  rust::Vec<LanguageRow> languages(rust::Slice<const EncodedRow> rows, size_t threads) const;
  rust::Vec<Generated> generate(rust::Slice<const EncodedRow> rows, rust::Slice<const uint32_t> prompts,
                                const SearchOptions& options, size_t threads) const;
  rust::Vec<Alignment> align(rust::Slice<const EncodedRow> rows, rust::Slice<const uint32_t> start,
                             rust::Slice<const uint32_t> texts, rust::Slice<const size_t> text_lens,
                             rust::Slice<const size_t> frames, size_t median_filter_width, size_t threads) const;

private:
  using Pool = ctranslate2::ReplicaPool<Replica>;

  template <typename Result, typename Func>
  Result run(size_t threads, Func func) const;

  std::unique_ptr<Pool> pool;
};

std::unique_ptr<Model> load(const LoadOptions& options);
void set_random_seed(uint32_t seed);

}  // namespace stt
