#include "encoder.h"

#include "kernels.h"
#include "parallel.h"

#include <algorithm>
#include <cmath>

#include <omp.h>

#include <ctranslate2/ops/ops.h>
#include <ctranslate2/primitives.h>

namespace stt {

using ctranslate2::Device;
using ctranslate2::dim_t;
using ctranslate2::StorageView;
namespace ct2 = ctranslate2;

namespace {

const ct2::ops::ActivationType gelu = ct2::ops::ActivationType::GELU;

// Queries whose attention is computed at once: their scores (1500 floats each) fit into the second-level cache.
constexpr dim_t query_block = 96;
// Positions that go through the dense layers at once, for each thread.
constexpr dim_t dense_block = 192;

StorageView rows(StorageView& matrix, dim_t first, dim_t count) {
  const dim_t width = matrix.dim(-1);
  return StorageView({count, width}, matrix.data<float>() + first * width);
}

}  // namespace

class BlockedEncoder::Layer {
public:
  Layer(const ct2::models::Model& model, const std::string& scope, dim_t heads)
      : heads(heads),
        norm(model, scope + "/self_attention/layer_norm"),
        queries_keys_values(model, scope + "/self_attention/linear_0"),
        out(model, scope + "/self_attention/linear_1"),
        feed_forward(model, scope + "/ffn", /*pre_norm=*/true, gelu),
        scale(model.get_attribute_with_default<float>(
            scope + "/self_attention/queries_scale",
            1.f / std::sqrt(static_cast<float>(out.output_size() / heads)))) {}

  // [windows, positions, width], in place.
  void operator()(StorageView& x, bool use_kernels) const {
    const dim_t windows = x.dim(0), time = x.dim(1), width = x.dim(2);
    const dim_t all = windows * time;
    const dim_t block = dense_block * omp_get_max_threads();

    StorageView fused({all, 3 * width}), context({all, width}), hidden;
    for (dim_t first = 0; first < all; first += block) {
      const dim_t count = std::min(block, all - first);
      norm(rows(x, first, count), hidden);
      StorageView part = rows(fused, first, count);
      queries_keys_values(hidden, part);
    }
    for (dim_t window = 0; window < windows; ++window) {
      const float* inputs = fused.data<float>() + window * time * 3 * width;
      float* outputs = context.data<float>() + window * time * width;
      if (use_kernels)
        attend_packed(inputs, time, width, outputs);
      else
        attend(inputs, time, width, outputs);
    }
    for (dim_t first = 0; first < all; first += block) {
      const dim_t count = std::min(block, all - first);
      StorageView part = rows(x, first, count);
      out(rows(context, first, count), hidden, &part);
      feed_forward(hidden, part);
    }
  }

private:
  // softmax(scale Q K^T) V for each head. Queries, keys and values of a position lie side by side.
  void attend(const float* fused, dim_t time, dim_t width, float* context) const {
    const dim_t head_width = width / heads;
    const dim_t blocks = (time + query_block - 1) / query_block;
    std::vector<StorageView> scores(omp_get_max_threads(), StorageView({query_block, time}));
    parallel_for(static_cast<size_t>(heads * blocks), [&](size_t task) {
      const dim_t head = dim_t(task) / blocks, first = dim_t(task) % blocks * query_block;
      const dim_t count = std::min(query_block, time - first);
      const float* queries = fused + first * 3 * width + head * head_width;
      const float* keys = fused + width + head * head_width;
      const float* values = keys + width;
      StorageView part({count, time}, scores[omp_get_thread_num()].data<float>());
      ct2::primitives<Device::CPU>::gemm<float, float>(
          false, false, false, true, count, time, head_width, scale, queries, 3 * width, keys, 3 * width, 0, part.data<float>(), time);
      ct2::ops::SoftMax()(part);
      ct2::primitives<Device::CPU>::gemm<float, float>(
          false, false, false, false, count, head_width, time, 1, part.data<float>(), time, values, 3 * width, 0,
          context + first * width + head * head_width, width);
    });
  }

  // The same in bfloat16.
  void attend_packed(const float* fused, dim_t time, dim_t width, float* context) const {
    const auto stride = static_cast<size_t>(3 * width);
    const PackedAttention attention(fused + width, fused + 2 * width, stride, static_cast<size_t>(time), static_cast<size_t>(heads),
                                    static_cast<size_t>(width / heads));
    const dim_t blocks = (time + query_block - 1) / query_block;
    parallel_for(static_cast<size_t>(heads * blocks), [&](size_t task) {
      const dim_t head = dim_t(task) / blocks, first = dim_t(task) % blocks * query_block, column = head * (width / heads);
      attention.attend(static_cast<size_t>(head), fused + first * 3 * width + column, stride,
                       static_cast<size_t>(std::min(query_block, time - first)), scale, context + first * width + column,
                       static_cast<size_t>(width));
    });
  }

  const dim_t heads;
  const ct2::layers::LayerNorm norm;
  const ct2::layers::Dense queries_keys_values;
  const ct2::layers::Dense out;
  const ct2::layers::FeedForwardNetwork feed_forward;
  const float scale;
};

BlockedEncoder::BlockedEncoder(const ct2::models::Model& model, const std::string& scope)
    : conv1(model, scope + "/conv1", /*stride=*/1, /*padding=*/1, /*dilation=*/1, /*groups=*/1, &gelu),
      conv2(model, scope + "/conv2", /*stride=*/2, /*padding=*/1, /*dilation=*/1, /*groups=*/1, &gelu),
      positions(model, scope + "/position_encodings"),
      layers(ct2::layers::build_layers_list<const Layer>(
          model, scope + "/layer", model.get_attribute_with_default<int32_t>(scope + "/num_heads", 8))),
      norm(model, scope + "/layer_norm") {
  const bool is_int8 = model.requested_compute_type() == ct2::ComputeType::INT8;
  const dim_t heads = model.get_attribute_with_default<int32_t>(scope + "/num_heads", 8);
  use_kernels = is_int8 && has_kernels() && PackedAttention::supports(static_cast<size_t>(norm.output_size() / heads));
}

BlockedEncoder::~BlockedEncoder() = default;

void BlockedEncoder::operator()(const StorageView& features, StorageView& output) {
  StorageView x, y;
  conv1(features, x);
  conv2(x, y);
  ct2::ops::Transpose({0, 2, 1})(y, x);
  positions(x);
  for (const auto& layer : layers)
    (*layer)(x, use_kernels);
  norm(x, output);
}

}  // namespace stt
