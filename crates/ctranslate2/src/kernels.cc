#include "kernels.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <numeric>

#ifdef __x86_64__
#include <immintrin.h>

#include "parallel.h"

// Each function with vectors needs it: the file is compiled for any x86-64.
#define STT_KERNEL __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512bf16")))
#define STT_INLINE_KERNEL STT_KERNEL __attribute__((always_inline)) inline

namespace stt {

namespace {

// Numbers of 32 bits in a vector.
constexpr size_t lanes = 16;
// Rows that are multiplied together: with two vectors of weights, 24 of the 32 registers are sums.
constexpr size_t rows_max = 12;
// Products in a matrix from which on threads gain more than it costs to wake them.
constexpr size_t parallel_products = 4u << 20;

template <typename T>
STT_INLINE_KERNEL __m512i broadcast_pair(const T* from) {
  int32_t both;
  std::memcpy(&both, from, sizeof both);
  return _mm512_set1_epi32(both);
}

template <size_t Rows>
STT_KERNEL void multiply_rows(const int8_t* first, const int8_t* second, size_t inputs, const uint8_t* rows, const int32_t* offsets,
                              __mmask16 first_mask, __mmask16 second_mask, int32_t* products, size_t stride) {
  __m512i sums[Rows][2];
  for (size_t row = 0; row < Rows; ++row) {
    sums[row][0] = _mm512_loadu_si512(offsets);
    sums[row][1] = _mm512_loadu_si512(offsets + lanes);
  }
  for (size_t input = 0; input < inputs; input += 4) {
    const __m512i a = _mm512_loadu_si512(first + input * lanes);
    const __m512i b = _mm512_loadu_si512(second + input * lanes);
    for (size_t row = 0; row < Rows; ++row) {
      const __m512i values = broadcast_pair(rows + row * inputs + input);
      sums[row][0] = _mm512_dpbusd_epi32(sums[row][0], values, a);
      sums[row][1] = _mm512_dpbusd_epi32(sums[row][1], values, b);
    }
  }
  for (size_t row = 0; row < Rows; ++row) {
    _mm512_mask_storeu_epi32(products + row * stride, first_mask, sums[row][0]);
    _mm512_mask_storeu_epi32(products + row * stride + lanes, second_mask, sums[row][1]);
  }
}

using MultiplyRows = void (*)(const int8_t*, const int8_t*, size_t, const uint8_t*, const int32_t*, __mmask16, __mmask16, int32_t*, size_t);
constexpr std::array<MultiplyRows, rows_max + 1> multiply_rows_of = {
    nullptr,          multiply_rows<1>, multiply_rows<2>, multiply_rows<3>,  multiply_rows<4>,  multiply_rows<5>, multiply_rows<6>,
    multiply_rows<7>, multiply_rows<8>, multiply_rows<9>, multiply_rows<10>, multiply_rows<11>, multiply_rows<12>};

STT_INLINE_KERNEL void store_bf16(uint16_t* to, __m512 x) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), (__m256i)_mm512_cvtneps_pbh(x));
}

// e^x for x <= 0, with a relative error below 1e-6; 0 below -87.
STT_INLINE_KERNEL __m512 exp_negative(__m512 x) {
  const __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504f)), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  // x - n ln 2, with ln 2 in two parts, so that the difference is exact.
  __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693359375f), x);
  r = _mm512_fnmadd_ps(n, _mm512_set1_ps(-2.12194440e-4f), r);
  __m512 p = _mm512_set1_ps(1.0f / 720);
  for (const float coefficient : {1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f})
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(coefficient));
  const __mmask16 large = _mm512_cmp_ps_mask(x, _mm512_set1_ps(-87.0f), _CMP_GE_OQ);
  return _mm512_maskz_scalef_ps(large, p, n);
}

// The lanes that hold values, of those from `at` on, when there are `count` in all.
inline __mmask16 mask_of(size_t at, size_t count) {
  return count >= at + lanes ? __mmask16(0xffff) : count <= at ? __mmask16(0) : static_cast<__mmask16>((1u << (count - at)) - 1);
}

// Scores of some queries, [Rows][keys], by 32 keys. Keys: [keys / 16][D / 2][16][2].
template <size_t D, size_t Rows>
STT_KERNEL void score(const uint16_t* queries, const uint16_t* keys, size_t key_count, float* scores) {
  for (size_t key = 0; key < key_count; key += 2 * lanes) {
    const uint16_t* first = keys + key * D;
    const uint16_t* second = first + lanes * D;
    __m512 sums[Rows][2];
    for (auto& row : sums)
      row[0] = row[1] = _mm512_setzero_ps();
    for (size_t d = 0; d < D; d += 2) {
      const __m512bh a = (__m512bh)_mm512_loadu_si512(first + d * lanes);
      const __m512bh b = (__m512bh)_mm512_loadu_si512(second + d * lanes);
      for (size_t row = 0; row < Rows; ++row) {
        const __m512bh query = (__m512bh)broadcast_pair(queries + row * D + d);
        sums[row][0] = _mm512_dpbf16_ps(sums[row][0], query, a);
        sums[row][1] = _mm512_dpbf16_ps(sums[row][1], query, b);
      }
    }
    for (size_t row = 0; row < Rows; ++row) {
      _mm512_storeu_ps(scores + row * key_count + key, sums[row][0]);
      _mm512_storeu_ps(scores + row * key_count + key + lanes, sums[row][1]);
    }
  }
}

STT_INLINE_KERNEL float highest(const float* scores, size_t count) {
  __m512 found = _mm512_set1_ps(-std::numeric_limits<float>::infinity());
  for (size_t at = 0; at < count; at += lanes)
    found = _mm512_mask_max_ps(found, mask_of(at, count), found, _mm512_maskz_loadu_ps(mask_of(at, count), scores + at));
  return _mm512_reduce_max_ps(found);
}

// e^(score - highest) as bfloat16, 0 behind the last position; returns their sum.
STT_KERNEL float exponentials(const float* scores, size_t positions, size_t key_count, uint16_t* weights) {
  const __m512 top = _mm512_set1_ps(highest(scores, positions));
  __m512 sum = _mm512_setzero_ps();
  for (size_t key = 0; key < key_count; key += lanes) {
    const __m512 e = _mm512_maskz_mov_ps(mask_of(key, positions), exp_negative(_mm512_sub_ps(_mm512_loadu_ps(scores + key), top)));
    sum = _mm512_add_ps(sum, e);
    store_bf16(weights + key, e);
  }
  return _mm512_reduce_add_ps(sum);
}

// Sums of values by the weights of some queries, over their whole. Values: [keys / 2][D][2].
template <size_t D, size_t Rows>
STT_KERNEL void weigh(const uint16_t* weights, size_t key_count, const uint16_t* values, const float* wholes, float* context, size_t stride) {
  constexpr size_t parts = D / lanes;
  __m512 sums[Rows][parts];
  for (auto& row : sums)
    for (auto& part : row)
      part = _mm512_setzero_ps();
  for (size_t key = 0; key < key_count; key += 2) {
    __m512bh v[parts];
    for (size_t part = 0; part < parts; ++part)
      v[part] = (__m512bh)_mm512_loadu_si512(values + key * D + part * 2 * lanes);
    for (size_t row = 0; row < Rows; ++row) {
      const __m512bh weight = (__m512bh)broadcast_pair(weights + row * key_count + key);
      for (size_t part = 0; part < parts; ++part)
        sums[row][part] = _mm512_dpbf16_ps(sums[row][part], weight, v[part]);
    }
  }
  for (size_t row = 0; row < Rows; ++row)
    for (size_t part = 0; part < parts; ++part)
      _mm512_storeu_ps(context + row * stride + part * lanes, _mm512_div_ps(sums[row][part], _mm512_set1_ps(wholes[row])));
}

struct Scratch {
  std::vector<float> scores;
  std::vector<uint16_t> queries, weights;
};

template <size_t D, size_t Rows>
STT_KERNEL void attend_rows(const float* queries, size_t query_stride, float scale, const uint16_t* keys, const uint16_t* values,
                            size_t positions, size_t key_count, Scratch& scratch, float* context, size_t context_stride) {
  for (size_t row = 0; row < Rows; ++row)
    for (size_t d = 0; d < D; d += lanes)
      store_bf16(scratch.queries.data() + row * D + d, _mm512_mul_ps(_mm512_loadu_ps(queries + row * query_stride + d), _mm512_set1_ps(scale)));
  score<D, Rows>(scratch.queries.data(), keys, key_count, scratch.scores.data());
  float wholes[Rows];
  for (size_t row = 0; row < Rows; ++row)
    wholes[row] = exponentials(scratch.scores.data() + row * key_count, positions, key_count, scratch.weights.data() + row * key_count);
  // Six rows of four vectors are 24 sums.
  constexpr size_t rows = Rows > 6 ? 6 : Rows;
  for (size_t row = 0; row < Rows; row += rows)
    weigh<D, rows>(scratch.weights.data() + row * key_count, key_count, values, wholes + row, context + row * context_stride, context_stride);
}

}  // namespace

bool has_kernels() {
  return __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bf16");
}

PackedInt8::PackedInt8(const int8_t* from, size_t outputs, size_t inputs)
    : outputs(outputs), inputs(inputs), weights((outputs + 31) / 32 * 32 * inputs), offsets((outputs + 31) / 32 * 32) {
  parallel_for(outputs, [&](size_t output) {
    int8_t* group = weights.data() + output / lanes * lanes * inputs + output % lanes * 4;
    const int8_t* row = from + output * inputs;
    for (size_t input = 0; input < inputs; input += 4)
      std::memcpy(group + input * lanes, row + input, 4);
    offsets[output] = -128 * std::accumulate(row, row + inputs, int32_t(0));
  });
}

void PackedInt8::multiply_tile(size_t tile, const uint8_t* rows, size_t count, int32_t* products) const {
  const size_t output = tile * 2 * lanes;
  const int8_t* first = weights.data() + output * inputs;
  const size_t parts = (count + rows_max - 1) / rows_max;
  for (size_t part = 0; part < parts; ++part) {
    // Parts of nearly the same size: a part of few rows waits for memory.
    const size_t row = count * part / parts, end = count * (part + 1) / parts;
    multiply_rows_of[end - row](first, first + lanes * inputs, inputs, rows + row * inputs, offsets.data() + output, mask_of(output, outputs),
                                mask_of(output + lanes, outputs), products + row * outputs + output, outputs);
  }
}

void PackedInt8::multiply(const uint8_t* rows, size_t count, int32_t* products) const {
  const size_t tiles = (outputs + 2 * lanes - 1) / (2 * lanes);
  // Few products are sooner done than threads are woken.
  const size_t parts = count * outputs * inputs < parallel_products ? 1 : std::min(tiles, size_t(omp_get_max_threads()) * 4);
  parallel_for(parts, [&](size_t part) {
    for (size_t tile = tiles * part / parts; tile < tiles * (part + 1) / parts; ++tile)
      multiply_tile(tile, rows, count, products);
  });
}

namespace {

// Keys of some positions, up to 16, of one head: [head width / 2][16][2].
STT_KERNEL void pack_keys(const float* keys, size_t stride, size_t count, size_t head_width, uint16_t* group) {
  const __m512i places = _mm512_mullo_epi32(_mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0), _mm512_set1_epi32(lanes));
  for (size_t position = 0; position < count; ++position)
    for (size_t d = 0; d < head_width; d += 2 * lanes) {
      const float* from = keys + position * stride + d;
      const __m512i pairs = (__m512i)_mm512_cvtne2ps_pbh(_mm512_loadu_ps(from + lanes), _mm512_loadu_ps(from));
      _mm512_i32scatter_epi32(group + d * lanes + position * 2, places, pairs, sizeof(int32_t));
    }
}

STT_INLINE_KERNEL __m512i widened_bf16(const float* from) {
  return _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(from)));
}

// Values of two positions of one head, or of one: [head width][2].
STT_KERNEL void pack_values(const float* first, const float* second, size_t head_width, uint16_t* pair) {
  for (size_t d = 0; d < head_width; d += lanes) {
    const __m512i high = second ? _mm512_slli_epi32(widened_bf16(second + d), 16) : _mm512_setzero_si512();
    _mm512_storeu_si512(pair + d * 2, _mm512_or_si512(widened_bf16(first + d), high));
  }
}

}  // namespace

PackedAttention::PackedAttention(const float* from_keys, const float* from_values, size_t stride, size_t positions, size_t heads,
                                 size_t head_width)
    : heads(heads),
      positions(positions),
      padded_positions((positions + 31) / 32 * 32),
      head_width(head_width),
      keys(heads * padded_positions * head_width),
      values(heads * padded_positions * head_width) {
  parallel_for(heads, [&](size_t head) {
    const float* head_keys = from_keys + head * head_width;
    const float* head_values = from_values + head * head_width;
    const size_t packed = head * padded_positions * head_width;
    for (size_t position = 0; position < positions; position += lanes)
      pack_keys(head_keys + position * stride, stride, std::min(lanes, positions - position), head_width,
                keys.data() + packed + position * head_width);
    for (size_t position = 0; position < positions; position += 2) {
      const float* first = head_values + position * stride;
      pack_values(first, position + 1 < positions ? first + stride : nullptr, head_width, values.data() + packed + position * head_width);
    }
  });
}

template <size_t D>
void PackedAttention::attend_as(size_t head, const float* queries, size_t query_stride, size_t count, float scale, float* context,
                                size_t context_stride) const {
  thread_local Scratch scratch;
  scratch.scores.resize(rows_max * padded_positions);
  scratch.weights.resize(rows_max * padded_positions);
  scratch.queries.resize(rows_max * D);
  const uint16_t* head_keys = keys.data() + head * padded_positions * D;
  const uint16_t* head_values = values.data() + head * padded_positions * D;
  const auto rows = [&](auto attend, size_t number) {
    for (; count >= number; count -= number, queries += number * query_stride, context += number * context_stride)
      attend(queries, query_stride, scale, head_keys, head_values, positions, padded_positions, scratch, context, context_stride);
  };
  rows(attend_rows<D, 12>, 12);
  rows(attend_rows<D, 5>, 5);  // the default beam
  rows(attend_rows<D, 2>, 2);
  rows(attend_rows<D, 1>, 1);
}

void PackedAttention::attend(size_t head, const float* queries, size_t query_stride, size_t count, float scale, float* context,
                             size_t context_stride) const {
  if (head_width == 64)
    attend_as<64>(head, queries, query_stride, count, scale, context, context_stride);
  else
    attend_as<32>(head, queries, query_stride, count, scale, context, context_stride);
}

STT_KERNEL void attend_one(const float* query, const float* keys, const float* values, size_t positions, size_t head_width, float scale,
                           float* scores, float* context) {
  for (size_t position = 0; position < positions; ++position) {
    __m512 sum = _mm512_setzero_ps();
    for (size_t d = 0; d < head_width; d += lanes)
      sum = _mm512_fmadd_ps(_mm512_loadu_ps(query + d), _mm512_loadu_ps(keys + position * head_width + d), sum);
    scores[position] = scale * _mm512_reduce_add_ps(sum);
  }
  const __m512 top = _mm512_set1_ps(highest(scores, positions));
  __m512 wholes = _mm512_setzero_ps();
  for (size_t at = 0; at < positions; at += lanes) {
    const __mmask16 mask = mask_of(at, positions);
    const __m512 e = _mm512_maskz_mov_ps(mask, exp_negative(_mm512_sub_ps(_mm512_maskz_loadu_ps(mask, scores + at), top)));
    wholes = _mm512_add_ps(wholes, e);
    _mm512_mask_storeu_ps(scores + at, mask, e);
  }
  const __m512 whole = _mm512_set1_ps(_mm512_reduce_add_ps(wholes));
  for (size_t d = 0; d < head_width; d += lanes) {
    __m512 sum = _mm512_setzero_ps();
    for (size_t position = 0; position < positions; ++position)
      sum = _mm512_fmadd_ps(_mm512_set1_ps(scores[position]), _mm512_loadu_ps(values + position * head_width + d), sum);
    _mm512_storeu_ps(context + d, _mm512_div_ps(sum, whole));
  }
}

}  // namespace stt

#else

#include <stdexcept>

namespace stt {

bool has_kernels() { return false; }
PackedInt8::PackedInt8(const int8_t*, size_t outputs, size_t inputs) : outputs(outputs), inputs(inputs) {}
void PackedInt8::multiply(const uint8_t*, size_t, int32_t*) const { throw std::logic_error("no kernels for this processor"); }
PackedAttention::PackedAttention(const float*, const float*, size_t, size_t positions, size_t heads, size_t head_width)
    : heads(heads), positions(positions), padded_positions(0), head_width(head_width) {}
void PackedAttention::attend(size_t, const float*, size_t, size_t, float, float*, size_t) const {
  throw std::logic_error("no kernels for this processor");
}
void attend_one(const float*, const float*, const float*, size_t, size_t, float, float*, float*) {
  throw std::logic_error("no kernels for this processor");
}

}  // namespace stt

#endif
