// Inner loops of our own for x86-64 processors with AVX-512, VNNI and BF16. docs/decisions/007-kernels.md says what they gain.

#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace stt {

// Whether this processor has the instructions. Nothing else of this file may be used where it has not.
bool has_kernels();

// Weights of a dense layer, in the order in which the loop reads them: oneDNN's gemm packs them anew at each call.
class PackedInt8 {
public:
  // `weights`: [outputs, inputs]; the inputs are a multiple of 4.
  PackedInt8(const int8_t* weights, size_t outputs, size_t inputs);

  // products[row][output] = sum of row[input] * weight, exactly. 128 is added to each value of the rows, so they are unsigned.
  void multiply(const uint8_t* rows, size_t count, int32_t* products) const;

  const size_t outputs, inputs;

private:
  void multiply_tile(size_t tile, const uint8_t* rows, size_t count, int32_t* products) const;

  // By tiles of 32 outputs, in each by 4 inputs: [tile][2][inputs / 4][16][4].
  std::vector<int8_t> weights;
  // What the products would be for rows of 128 alone, negative.
  std::vector<int32_t> offsets;
};

// Keys and values of an attention, for all heads, in bfloat16 (8 bits of mantissa). The products are summed in float32.
class PackedAttention {
public:
  // Widths of a head that there are loops for; all Whisper models have 64.
  static bool supports(size_t head_width) { return head_width == 64 || head_width == 32; }

  // Keys and values of a position begin `stride` behind those of the one before; the heads lie side by side.
  PackedAttention(const float* keys, const float* values, size_t stride, size_t positions, size_t heads, size_t head_width);

  // softmax(scale Q K^T) V of one head, for some queries.
  void attend(size_t head, const float* queries, size_t query_stride, size_t count, float scale, float* context,
              size_t context_stride) const;

  const size_t heads;

private:
  template <size_t D>
  void attend_as(size_t head, const float* queries, size_t query_stride, size_t count, float scale, float* context,
                 size_t context_stride) const;

  const size_t positions, padded_positions, head_width;
  std::vector<uint16_t> keys, values;
};

// softmax(scale q K^T) V of one query of one head in float32; keys and values are [positions, head_width]. `scores` has room for all
// positions.
void attend_one(const float* query, const float* keys, const float* values, size_t positions, size_t head_width, float scale,
                float* scores, float* context);

}  // namespace stt
