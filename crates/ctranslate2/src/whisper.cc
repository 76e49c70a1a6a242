#include "whisper.h"

#include <stdexcept>

#include <ctranslate2/ops/concat.h>
#include <ctranslate2/ops/split.h>
#include <ctranslate2/random.h>
#include <ctranslate2/types.h>
#include <ctranslate2/utils.h>

#include "stt-ctranslate2/src/lib.rs.h"

namespace stt {

using ctranslate2::Device;
using ctranslate2::StorageView;

namespace {

// The rows as one batch. Called in the thread of a replica: memory of a GPU belongs to the stream of a thread.
StorageView gather(const std::vector<std::shared_ptr<Encoded>>& rows) {
  const StorageView& first = rows.front()->output;
  if (rows.size() == 1)
    return StorageView(first);
  std::vector<const StorageView*> inputs;
  inputs.reserve(rows.size());
  for (const auto& row : rows)
    inputs.push_back(&row->output);
  StorageView batch(first.dtype(), first.device());
  ctranslate2::ops::Concat(0)(inputs, batch);
  return batch;
}

std::vector<DecoderWindow> decoder_windows(const std::vector<std::shared_ptr<Encoded>>& rows) {
  std::vector<DecoderWindow> windows;
  for (const auto& row : rows)
    windows.push_back({&row->output, &row->cross_attention});
  return windows;
}

std::vector<std::shared_ptr<Encoded>> shared(rust::Slice<const EncodedRow> rows) {
  if (rows.empty())
    throw std::invalid_argument("no rows");
  std::vector<std::shared_ptr<Encoded>> all;
  all.reserve(rows.size());
  for (const EncodedRow& row : rows) {
    all.push_back(row.encoded);
    if (all.back()->positions() != all.front()->positions())
      throw std::invalid_argument("rows of one batch must have the same number of positions");
  }
  return all;
}

}  // namespace

Replica::Replica(const ctranslate2::models::Model& model)
    : ModelReplica(model.shared_from_this()), whisper(ctranslate2::models::WhisperReplica::create_from_model(model)) {
  // Types other than float32 occur on GPUs, where CTranslate2's encoder is the better one.
  if (model.device() == Device::CPU && ctranslate2::get_default_float_type(model.effective_compute_type()) == ctranslate2::DataType::FLOAT32)
    encoder = std::make_unique<BlockedEncoder>(model, "encoder");
  decoder = PackedDecoder::create(dynamic_cast<const ctranslate2::models::WhisperModel&>(model));
}

std::unique_ptr<Replica> Replica::create_from_model(const ctranslate2::models::Model& model) {
  return std::make_unique<Replica>(model);
}

StorageView Replica::encode(StorageView features) {
  if (!encoder)
    return whisper->encode(std::move(features), /*to_cpu=*/false);
  StorageView output;
  (*encoder)(features, output);
  return output;
}

std::vector<std::vector<std::pair<size_t, float>>> Replica::languages(const Windows& windows) {
  if (!whisper->is_multilingual())
    throw std::runtime_error("a model of one language detects none");
  if (decoder)
    return decoder->languages(decoder_windows(windows));
  const auto& vocabulary = dynamic_cast<const ctranslate2::models::WhisperModel&>(*model()).get_vocabulary();
  std::vector<std::vector<std::pair<size_t, float>>> all;
  for (const auto& row : whisper->detect_language(gather(windows))) {
    all.emplace_back();
    for (const auto& [token, probability] : row)
      all.back().emplace_back(vocabulary.to_id(token), probability);
  }
  return all;
}

std::vector<ctranslate2::models::WhisperGenerationResult> Replica::generate(const Windows& windows,
                                                                            const std::vector<std::vector<size_t>>& prompts,
                                                                            const ctranslate2::models::WhisperOptions& options) {
  return decoder ? decoder->generate(decoder_windows(windows), prompts, options) : whisper->generate(gather(windows), prompts, options);
}

Model::Model(const LoadOptions& options) {
  ctranslate2::models::ModelLoader loader{std::string(options.model_dir)};
  loader.device = options.gpus.empty() ? Device::CPU : Device::CUDA;
  loader.device_indices = {0};
  if (!options.gpus.empty())
    loader.device_indices.assign(options.gpus.begin(), options.gpus.end());
  // These share the weights; a device that is listed twice would have them twice.
  loader.num_replicas_per_device = options.replicas;
  loader.compute_type = ctranslate2::str_to_compute_type(std::string(options.compute_type));
  ctranslate2::ReplicaPoolConfig config;
  config.num_threads_per_replica = options.threads;
  config.max_queued_batches = -1;  // the caller never has more calls under way than replicas
  pool = std::make_unique<Pool>(loader, config);
}

template <typename Result, typename Func>
Result Model::run(size_t threads, Func func) const {
  return pool
      ->post<Result>([threads, &func](Replica& replica) {
        // OpenMP's number of threads is a setting of the calling thread, here that of the replica.
        ctranslate2::set_num_threads(threads);
        return func(replica);
      })
      .get();
}

bool Model::is_multilingual() const { return pool->get_first_replica().whisper->is_multilingual(); }

size_t Model::mels() const { return pool->get_first_replica().whisper->n_mels(); }

rust::String Model::compute_type() const {
  return ctranslate2::compute_type_to_str(pool->get_first_replica().model()->effective_compute_type());
}

rust::Vec<EncodedRow> Model::encode(rust::Slice<const float> features, size_t windows, size_t threads) const {
  const size_t bands = mels();
  if (windows == 0 || features.size() % (windows * bands) != 0)
    throw std::invalid_argument("features must be windows x mels x frames");
  const auto frames = static_cast<ctranslate2::dim_t>(features.size() / (windows * bands));
  const ctranslate2::Shape shape{static_cast<ctranslate2::dim_t>(windows), static_cast<ctranslate2::dim_t>(bands), frames};
  using Rows = std::vector<std::shared_ptr<Encoded>>;
  auto rows = run<Rows>(threads, [&](Replica& replica) {
    // A view of the caller's memory, which waits for the end of this call; `encode` copies it only to another device or type.
    StorageView input(shape, const_cast<float*>(features.data()));
    StorageView output = replica.encode(std::move(input));
    Rows rows;
    if (windows == 1) {
      rows.push_back(std::make_shared<Encoded>(std::move(output)));
      return rows;
    }
    std::vector<StorageView> parts(windows, StorageView(output.dtype(), output.device()));
    std::vector<StorageView*> outputs;
    for (StorageView& part : parts)
      outputs.push_back(&part);
    ctranslate2::ops::Split(0)(output, outputs);
    if (output.device() != Device::CPU)
      ctranslate2::synchronize_stream(output.device());
    for (StorageView& part : parts)
      rows.push_back(std::make_shared<Encoded>(std::move(part)));
    return rows;
  });
  rust::Vec<EncodedRow> found;
  for (auto& row : rows)
    found.push_back(EncodedRow{std::move(row)});
  return found;
}

rust::Vec<LanguageRow> Model::languages(rust::Slice<const EncodedRow> rows, size_t threads) const {
  const auto batch = shared(rows);
  using Guesses = std::vector<std::vector<std::pair<size_t, float>>>;
  const auto guesses = run<Guesses>(threads, [&](Replica& replica) { return replica.languages(batch); });
  rust::Vec<LanguageRow> found;
  for (const auto& row : guesses) {
    LanguageRow languages;
    for (const auto& [token, probability] : row) {
      languages.tokens.push_back(static_cast<uint32_t>(token));
      languages.probabilities.push_back(probability);
    }
    found.push_back(std::move(languages));
  }
  return found;
}

rust::Vec<Generated> Model::generate(rust::Slice<const EncodedRow> rows, rust::Slice<const uint32_t> prompts,
                                     const SearchOptions& options, size_t threads) const {
  const auto batch = shared(rows);
  if (prompts.empty() || prompts.size() % rows.size() != 0)
    throw std::invalid_argument("prompts must have the same length");
  const size_t len = prompts.size() / rows.size();
  std::vector<std::vector<size_t>> ids;
  for (size_t row = 0; row < rows.size(); ++row)
    ids.emplace_back(prompts.begin() + row * len, prompts.begin() + (row + 1) * len);

  ctranslate2::models::WhisperOptions search;
  search.beam_size = options.beam_size;
  search.patience = options.patience;
  search.length_penalty = options.length_penalty;
  search.repetition_penalty = options.repetition_penalty;
  search.no_repeat_ngram_size = options.no_repeat_ngram_size;
  search.max_length = options.max_length;
  search.sampling_topk = options.sampling_topk;
  search.sampling_temperature = options.sampling_temperature;
  search.num_hypotheses = options.num_hypotheses;
  search.return_scores = true;
  search.return_no_speech_prob = true;
  search.max_initial_timestamp_index = options.max_initial_timestamp_index;
  search.suppress_blank = options.suppress_blank;
  search.suppress_tokens.assign(options.suppress_tokens.begin(), options.suppress_tokens.end());

  using Results = std::vector<ctranslate2::models::WhisperGenerationResult>;
  const auto results = run<Results>(threads, [&](Replica& replica) { return replica.generate(batch, ids, search); });
  rust::Vec<Generated> found;
  for (const auto& result : results) {
    if (result.sequences_ids.empty() || result.scores.empty())
      throw std::runtime_error("CTranslate2 returned no hypothesis");
    Generated best;
    for (const size_t token : result.sequences_ids.front())
      best.tokens.push_back(static_cast<uint32_t>(token));
    best.score = result.scores.front();
    best.no_speech_prob = result.no_speech_prob;
    found.push_back(std::move(best));
  }
  return found;
}

rust::Vec<Alignment> Model::align(rust::Slice<const EncodedRow> rows, rust::Slice<const uint32_t> start,
                                  rust::Slice<const uint32_t> texts, rust::Slice<const size_t> text_lens,
                                  rust::Slice<const size_t> frames, size_t median_filter_width, size_t threads) const {
  const auto batch = shared(rows);
  const std::vector<size_t> start_ids(start.begin(), start.end());
  std::vector<std::vector<size_t>> text_ids;
  auto text = texts.begin();
  for (const size_t len : text_lens) {
    text_ids.emplace_back(text, text + len);
    text += len;
  }
  const std::vector<size_t> num_frames(frames.begin(), frames.end());
  using Results = std::vector<ctranslate2::models::WhisperAlignmentResult>;
  const auto results = run<Results>(threads, [&](Replica& replica) {
    return replica.whisper->align(gather(batch), start_ids, text_ids, num_frames, static_cast<ctranslate2::dim_t>(median_filter_width));
  });
  rust::Vec<Alignment> found;
  for (const auto& result : results) {
    Alignment alignment;
    for (const auto& [token, step] : result.alignments) {
      alignment.tokens.push_back(static_cast<uint32_t>(token));
      alignment.steps.push_back(static_cast<uint32_t>(step));
    }
    for (const float probability : result.text_token_probs)
      alignment.probabilities.push_back(probability);
    found.push_back(std::move(alignment));
  }
  return found;
}

std::unique_ptr<Model> load(const LoadOptions& options) { return std::make_unique<Model>(options); }

void set_random_seed(uint32_t seed) { ctranslate2::set_random_seed(seed); }

}  // namespace stt
