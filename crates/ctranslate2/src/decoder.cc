#include "decoder.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <stdexcept>

#include <ctranslate2/ops/ops.h>
#include <ctranslate2/primitives.h>

#include "parallel.h"

namespace stt {

using ctranslate2::DataType;
using ctranslate2::Device;
using ctranslate2::dim_t;
using ctranslate2::StorageView;
using ctranslate2::layers::DecoderState;
namespace ct2 = ctranslate2;

namespace {

const ct2::ops::ActivationType gelu = ct2::ops::ActivationType::GELU;

// Packed weights are as large as the weights, so replicas share them. They live no longer than a replica that uses them, and so the
// model; its weights keep their place meanwhile.
std::shared_ptr<const PackedInt8> packed(const StorageView& weight) {
  static std::mutex mutex;
  static std::map<const int8_t*, std::weak_ptr<const PackedInt8>> all;
  const std::lock_guard<std::mutex> lock(mutex);
  for (auto it = all.begin(); it != all.end();)
    it = it->second.expired() ? all.erase(it) : std::next(it);
  auto& entry = all[weight.data<int8_t>()];
  auto found = entry.lock();
  if (!found) {
    found = std::make_shared<const PackedInt8>(weight.data<int8_t>(), weight.dim(0), weight.dim(1));
    entry = found;
  }
  return found;
}

// `ApplyTimestampRules` of CTranslate2's src/models/whisper.cc, which is not public: timestamps come in pairs and do not fall, the
// first is not too late, and one is taken when all together are more probable than any other token.
class TimestampRules : public ct2::LogitsProcessor {
public:
  TimestampRules(size_t eot, size_t no_timestamps, size_t last, size_t max_initial)
      : eot(eot), no_timestamps(no_timestamps), first(no_timestamps + 1), last(last), max_initial(max_initial) {}

  void apply(dim_t step, StorageView& logits, ct2::DisableTokens& disable, const StorageView& sequences,
             const std::vector<dim_t>& batch_offset, const std::vector<std::vector<size_t>>* prefix) override {
    const dim_t rows = logits.dim(0);
    std::vector<dim_t> compared;
    const auto suppress = [&](dim_t row, size_t from, size_t to) {
      for (size_t id = from; id < to; ++id)
        disable.add(row, static_cast<dim_t>(id));
    };
    for (dim_t row = 0; row < rows; ++row) {
      const dim_t begin = get_sample_begin(rows, row, batch_offset, prefix);
      disable.add(row, static_cast<dim_t>(no_timestamps));
      if (step == begin && step == 0) {
        suppress(row, 0, first);
        suppress(row, max_initial + 1, last + 1);
      } else if (step > begin) {
        const auto token = [&](dim_t at) { return static_cast<size_t>(sequences.at<int32_t>({row, at})); };
        const size_t latest = token(step - 1);
        if (latest < first) {
          compared.push_back(row);
          for (dim_t at = step - 1; at >= begin; --at) {
            if (token(at) >= first) {
              suppress(row, first, token(at) + 1);
              break;
            }
          }
        } else if (step - 1 > begin && token(step - 2) < first) {
          suppress(row, 0, eot);
          suppress(row, first, latest);
          compared.push_back(row);
        } else {
          suppress(row, first, last + 1);
        }
      }
    }
    // CTranslate2 compares probabilities. The logits of a row differ from them by one number.
    using Cpu = ct2::primitives<Device::CPU>;
    for (const dim_t row : compared) {
      const float* text = logits.index<float>({row, 0});
      const auto text_count = static_cast<dim_t>(first);
      if (Cpu::logsumexp(text + first, static_cast<dim_t>(last + 1 - first)) > Cpu::max(text, text_count))
        suppress(row, 0, first);
    }
  }

private:
  const size_t eot, no_timestamps, first, last, max_initial;
};

size_t id_of_no_speech(const ct2::Vocabulary& vocabulary) {
  const size_t id = vocabulary.to_id("<|nospeech|>");
  return id == vocabulary.unk_id() ? vocabulary.to_id("<|nocaptions|>") : id;
}

std::string name(const char* part, size_t layer) { return part + std::to_string(layer); }

}  // namespace

// `ctranslate2::layers::Dense` in int8, with its quantization and all.
class PackedDecoder::Dense {
public:
  Dense(const ct2::models::Model& model, const std::string& scope, const ct2::ops::ActivationType* activation = nullptr)
      : weights(packed(model.get_variable(scope + "/weight"))),
        scale(model.get_variable(scope + "/weight_scale")),
        bias(model.get_variable_if_exists(scope + "/bias")),
        quantize(ct2::ops::Quantize::ScaleType::PER_LAYER, /*shift_to_uint8=*/true, model.round_before_cast_in_quantization()),
        dequantize(activation) {}

  void operator()(const StorageView& input, StorageView& output, const StorageView* residual = nullptr) const {
    StorageView rows(DataType::INT8), row_scales(DataType::FLOAT32);
    quantize(input, rows, row_scales);
    const dim_t count = input.size() / static_cast<dim_t>(weights->inputs);
    StorageView products({count, static_cast<dim_t>(weights->outputs)}, DataType::INT32);
    weights->multiply(reinterpret_cast<const uint8_t*>(rows.data<int8_t>()), static_cast<size_t>(count), products.data<int32_t>());
    dequantize(products, row_scales, scale, /*transpose_a=*/false, /*transpose_b=*/true, output, bias);
    if (residual)
      ct2::ops::Add()(*residual, output, output);
  }

private:
  const std::shared_ptr<const PackedInt8> weights;
  const StorageView& scale;
  const StorageView* bias;
  const ct2::ops::Quantize quantize;
  const ct2::ops::Dequantize dequantize;
};

class PackedDecoder::Layer {
public:
  Layer(const ct2::models::Model& model, const std::string& scope, dim_t heads)
      : heads(heads),
        self_norm(model, scope + "/self_attention/layer_norm"),
        queries_keys_values(model, scope + "/self_attention/linear_0"),
        self_out(model, scope + "/self_attention/linear_1"),
        cross_norm(model, scope + "/attention/layer_norm"),
        cross_queries(model, scope + "/attention/linear_0"),
        cross_keys_values(model, scope + "/attention/linear_1"),
        cross_out(model, scope + "/attention/linear_2"),
        inner_norm(model, scope + "/ffn/layer_norm"),
        inner(model, scope + "/ffn/linear_0", &gelu),
        inner_out(model, scope + "/ffn/linear_1"),
        head_width(self_norm.output_size() / heads),
        scale(1.f / std::sqrt(static_cast<float>(head_width))),
        self_scale(model.get_attribute_with_default<float>(scope + "/self_attention/queries_scale", scale)),
        cross_scale(model.get_attribute_with_default<float>(scope + "/attention/queries_scale", scale)) {}

  // Keys and values of a window.
  PackedAttention memory(const StorageView& encoded) const {
    StorageView fused;
    cross_keys_values(encoded, fused);
    const dim_t width = heads * head_width;
    const float* keys = fused.data<float>();
    return PackedAttention(keys, keys + width, static_cast<size_t>(2 * width), static_cast<size_t>(encoded.dim(-2)),
                           static_cast<size_t>(heads), static_cast<size_t>(head_width));
  }

  // `x`: [rows x time, width], in place. Keys and values of the tokens so far, [rows, heads, tokens, head width], get those of
  // these. `windows`: the keys and values of each window, which has as many rows as the others.
  void operator()(StorageView& x, dim_t time, StorageView& keys, StorageView& values, const std::vector<const PackedAttention*>& windows) const {
    StorageView hidden, fused, context(x.shape());
    self_norm(x, hidden);
    queries_keys_values(hidden, fused);
    append(fused, time, 1, keys);
    append(fused, time, 2, values);
    attend_to_self(fused, time, keys, values, context);
    self_out(context, hidden, &x);

    cross_norm(hidden, x);
    cross_queries(x, fused);
    attend_to_windows(fused, windows, context);
    cross_out(context, x, &hidden);

    inner_norm(x, hidden);
    inner(hidden, fused);
    inner_out(fused, hidden, &x);
    x = std::move(hidden);
  }

private:
  // Takes the part (0: queries, 1: keys, 2: values) of new tokens into what there is of the tokens before.
  void append(const StorageView& fused, dim_t time, dim_t part, StorageView& all) const {
    const dim_t before = all.empty() ? 0 : all.dim(2), rows = fused.dim(0) / time, width = heads * head_width;
    StorageView longer({rows, heads, before + time, head_width});
    for (dim_t row = 0; row < rows; ++row)
      for (dim_t head = 0; head < heads; ++head) {
        float* to = longer.index<float>({row, head, 0, 0});
        if (before > 0)
          std::copy_n(all.index<float>({row, head, 0, 0}), before * head_width, to);
        for (dim_t at = 0; at < time; ++at)
          std::copy_n(fused.data<float>() + (row * time + at) * 3 * width + part * width + head * head_width, head_width,
                      to + (before + at) * head_width);
      }
    all = std::move(longer);
  }

  void attend_to_self(const StorageView& fused, dim_t time, const StorageView& keys, const StorageView& values, StorageView& context) const {
    const dim_t rows = keys.dim(0), tokens = keys.dim(2), width = heads * head_width;
    std::vector<float> scores(static_cast<size_t>(tokens));
    for (dim_t row = 0; row < rows; ++row)
      for (dim_t head = 0; head < heads; ++head)
        for (dim_t at = 0; at < time; ++at) {
          // A token sees those before it and itself.
          const dim_t seen = tokens - time + at + 1, place = row * time + at;
          attend_one(fused.data<float>() + place * 3 * width + head * head_width, keys.index<float>({row, head, 0, 0}),
                     values.index<float>({row, head, 0, 0}), static_cast<size_t>(seen), static_cast<size_t>(head_width), self_scale,
                     scores.data(), context.data<float>() + place * width + head * head_width);
        }
  }

  void attend_to_windows(const StorageView& queries, const std::vector<const PackedAttention*>& windows, StorageView& context) const {
    const dim_t width = heads * head_width, count = queries.dim(0) / static_cast<dim_t>(windows.size());
    parallel_for(windows.size() * static_cast<size_t>(heads), [&](size_t task) {
      const dim_t window = dim_t(task) / heads, head = dim_t(task) % heads, first = window * count * width + head * head_width;
      windows[static_cast<size_t>(window)]->attend(static_cast<size_t>(head), queries.data<float>() + first, static_cast<size_t>(width),
                                                   static_cast<size_t>(count), cross_scale, context.data<float>() + first,
                                                   static_cast<size_t>(width));
    });
  }

  const dim_t heads;
  const ct2::layers::LayerNorm self_norm;
  const Dense queries_keys_values, self_out;
  const ct2::layers::LayerNorm cross_norm;
  const Dense cross_queries;
  // For 1,500 positions packing costs nothing.
  const ct2::layers::Dense cross_keys_values;
  const Dense cross_out;
  const ct2::layers::LayerNorm inner_norm;
  const Dense inner, inner_out;
  const dim_t head_width;
  const float scale, self_scale, cross_scale;
};

std::unique_ptr<PackedDecoder> PackedDecoder::create(const ct2::models::WhisperModel& model) {
  const auto* weight = model.get_variable_if_exists("decoder/layer_0/self_attention/linear_0/weight");
  const bool is_int8 = model.requested_compute_type() == ct2::ComputeType::INT8 && weight && weight->dtype() == DataType::INT8;
  if (model.device() != Device::CPU || !has_kernels() || !is_int8 || weight->dim(1) % 4 != 0)
    return nullptr;
  // What other models than Whisper's have, and this decoder has not.
  const auto heads = model.get_attribute_with_default<int32_t>("decoder/num_heads", 8);
  if (!PackedAttention::supports(static_cast<size_t>(weight->dim(1) / heads)) || weight->dim(0) != 3 * weight->dim(1) ||
      !model.get_flag_with_default("decoder/pre_norm", true) || model.get_flag_with_default("decoder/scale_embeddings", true) ||
      model.get_flag_with_default("decoder/start_from_zero_embedding", false) || model.get_flag_with_default("decoder/alibi", false) ||
      model.get_variable_if_exists("decoder/layernorm_embedding/gamma") || model.get_variable_if_exists("decoder/project_in/weight") ||
      model.get_variable_if_exists("decoder/scale_outputs") || !model.get_variable_if_exists("decoder/position_encodings/encodings"))
    return nullptr;
  return std::make_unique<PackedDecoder>(model);
}

PackedDecoder::PackedDecoder(const ct2::models::WhisperModel& model)
    : Decoder(Device::CPU),
      model(model),
      sot(model.get_vocabulary().bos_id()),
      eot(model.get_vocabulary().eos_id()),
      no_timestamps(model.get_vocabulary().to_id("<|notimestamps|>")),
      no_speech(id_of_no_speech(model.get_vocabulary())),
      embeddings(model, "decoder/embeddings"),
      positions(model, "decoder/position_encodings"),
      layers(ct2::layers::build_layers_list<const Layer>(model, "decoder/layer", model.get_attribute_with_default<int32_t>("decoder/num_heads", 8))),
      norm(model, "decoder/layer_norm"),
      projection(model, "decoder/projection"),
      packed_projection(std::make_unique<const Dense>(model, "decoder/projection")) {}

PackedDecoder::~PackedDecoder() = default;

DecoderState PackedDecoder::initial_state(bool) const {
  DecoderState state;
  for (size_t layer = 0; layer < layers.size(); ++layer) {
    state.emplace(name("keys_", layer), StorageView());
    state.emplace(name("values_", layer), StorageView());
  }
  return state;
}

// The state has the index of each window. It is the same for all beams.
bool PackedDecoder::replicate_state(const std::string& name) const { return name != "window"; }

DecoderState PackedDecoder::start(const std::vector<DecoderWindow>& called) {
  windows.clear();
  std::vector<int32_t> indices;
  for (const DecoderWindow& window : called) {
    indices.push_back(static_cast<int32_t>(windows.size()));
    windows.push_back(&window.cross_attention->get([&] {
      std::vector<PackedAttention> all;
      for (const auto& layer : layers)
        all.push_back(layer->memory(*window.encoded));
      return all;
    }));
  }
  DecoderState state = initial_state();
  const auto count = static_cast<dim_t>(indices.size());
  state.emplace("window", StorageView({count}, indices));
  return state;
}

void PackedDecoder::forward(dim_t step, const StorageView& ids, DecoderState& state, StorageView& hidden) const {
  const dim_t time = ids.rank() == 1 ? 1 : ids.dim(1), width = norm.output_size();
  StorageView x;
  embeddings(ids, x);
  x.reshape({-1, time, width});
  positions(x, step);
  x.reshape({-1, width});
  const StorageView& indices = state.at("window");
  std::vector<const PackedAttention*> memory(static_cast<size_t>(indices.size()));
  for (size_t layer = 0; layer < layers.size(); ++layer) {
    for (dim_t at = 0; at < indices.size(); ++at)
      memory[static_cast<size_t>(at)] = &(*windows[static_cast<size_t>(indices.at<int32_t>(at))])[layer];
    (*layers[layer])(x, time, state.at(name("keys_", layer)), state.at(name("values_", layer)), memory);
  }
  norm(x, hidden);
}

void PackedDecoder::project(const StorageView& hidden, StorageView& logits) const { (*packed_projection)(hidden, logits); }

void PackedDecoder::operator()(dim_t step, const StorageView& ids, DecoderState& state, StorageView* logits, StorageView* attention) {
  if (attention)
    throw std::logic_error("this decoder returns no attention");
  StorageView hidden;
  forward(step, ids, state, hidden);
  if (logits)
    project(hidden, *logits);
}

void PackedDecoder::operator()(const StorageView&, const StorageView&, DecoderState&, StorageView&, StorageView*) {
  throw std::logic_error("this decoder scores no given text");
}

std::vector<std::vector<std::pair<size_t, float>>> PackedDecoder::languages(const std::vector<DecoderWindow>& called) {
  DecoderState state = start(called);
  const auto rows = static_cast<dim_t>(called.size());
  StorageView logits;
  (*this)(0, StorageView({rows}, static_cast<int32_t>(sot)), state, &logits, nullptr);
  std::vector<std::vector<std::pair<size_t, float>>> all;
  for (dim_t row = 0; row < rows; ++row) {
    std::vector<float> values;
    std::vector<std::pair<size_t, float>> found;
    for (const auto& id : model.config["lang_ids"]) {
      found.emplace_back(id.get<size_t>(), 0.f);
      values.push_back(logits.at<float>({row, id.get<dim_t>()}));
    }
    StorageView probabilities({1, static_cast<dim_t>(values.size())}, values);
    ct2::ops::SoftMax()(probabilities);
    for (size_t at = 0; at < found.size(); ++at)
      found[at].second = probabilities.at<float>(static_cast<dim_t>(at));
    std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
    all.push_back(std::move(found));
  }
  return all;
}

std::vector<ct2::models::WhisperGenerationResult> PackedDecoder::generate(const std::vector<DecoderWindow>& called,
                                                                          const std::vector<std::vector<size_t>>& prompts,
                                                                          const ct2::models::WhisperOptions& options) {
  // Index of `<|startoftranscript|>`, and of the last special token behind it.
  const auto special = [&](const std::vector<size_t>& prompt) {
    const auto at = static_cast<size_t>(std::find(prompt.begin(), prompt.end(), sot) - prompt.begin());
    if (at == prompt.size())
      throw std::invalid_argument("<|startoftranscript|> token was not found in the prompt");
    size_t last = at;
    while (last + 1 < prompt.size() && prompt[last + 1] >= sot && prompt[last + 1] <= no_timestamps)
      ++last;
    return std::pair(at, last);
  };
  const auto [sot_at, last] = special(prompts.front());
  for (const auto& prompt : prompts)
    if (special(prompt) != std::pair(sot_at, last))
      throw std::invalid_argument("prompts of one batch must have their special tokens at the same places");

  DecoderState state = start(called);
  const auto rows = static_cast<dim_t>(prompts.size()), before = static_cast<dim_t>(last);
  std::vector<std::vector<size_t>> start_tokens;
  std::vector<int32_t> given;
  for (const auto& prompt : prompts) {
    given.insert(given.end(), prompt.begin(), prompt.begin() + before);
    start_tokens.emplace_back(prompt.begin() + before, prompt.end());
  }
  // The probability of no speech is that of the token behind `<|startoftranscript|>`.
  std::vector<float> no_speech_probs;
  const auto keep_no_speech = [&](StorageView logits) {
    ct2::ops::SoftMax()(logits);
    for (dim_t row = 0; row < rows; ++row)
      no_speech_probs.push_back(logits.at<float>({row, static_cast<dim_t>(no_speech)}));
  };
  StorageView hidden, at_sot, logits;
  if (before > 0)
    forward(0, StorageView({rows, before}, given), state, hidden);
  if (sot_at < last) {
    const StorageView index({rows}, std::vector<int32_t>(prompts.size(), static_cast<int32_t>(sot_at)));
    hidden.reshape({rows, before, -1});
    ct2::ops::Gather(1, 1)(hidden, index, at_sot);
    project(at_sot, logits);
  } else {
    // The search begins with it: its first step is computed here, too, and forgotten.
    DecoderState copy = state;
    (*this)(before, StorageView({rows}, static_cast<int32_t>(sot)), copy, &logits, nullptr);
  }
  keep_no_speech(std::move(logits));

  const dim_t max_length = static_cast<dim_t>(options.max_length);
  ct2::DecodingOptions decoding;
  decoding.start_step = before;
  decoding.beam_size = options.beam_size;
  decoding.patience = options.patience;
  decoding.length_penalty = options.length_penalty;
  decoding.repetition_penalty = options.repetition_penalty;
  decoding.no_repeat_ngram_size = options.no_repeat_ngram_size;
  decoding.max_length = static_cast<size_t>(std::min(max_length / 2, max_length - before));
  decoding.sampling_topk = options.sampling_topk;
  decoding.sampling_temperature = options.sampling_temperature;
  decoding.num_hypotheses = options.num_hypotheses;
  decoding.return_scores = true;
  decoding.include_eos_in_hypotheses = false;
  decoding.disable_ids.assign(options.suppress_tokens.begin(), options.suppress_tokens.end());
  if (options.suppress_blank)
    for (const auto& id : model.config["suppress_ids_begin"])
      decoding.disable_ids_begin.push_back(id);
  if (prompts.front()[last] != no_timestamps)
    decoding.logits_processors.push_back(std::make_shared<TimestampRules>(
        eot, no_timestamps, model.get_vocabulary().size() - 1, no_timestamps + 1 + options.max_initial_timestamp_index));

  auto results = ct2::decode(*this, state, std::move(start_tokens), {eot}, std::move(decoding));
  std::vector<ct2::models::WhisperGenerationResult> all;
  for (size_t row = 0; row < results.size(); ++row) {
    ct2::models::WhisperGenerationResult result;
    result.sequences_ids = std::move(results[row].hypotheses);
    result.scores = std::move(results[row].scores);
    result.no_speech_prob = no_speech_probs[row];
    all.push_back(std::move(result));
  }
  return all;
}

}  // namespace stt
