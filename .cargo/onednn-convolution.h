/* Read before oneDNN's cpu_convolution_list.cpp (see native.cmake): leaves in its list the convolution made of matrix
 * products and the reference one, so that none of the others is linked, nor need be compiled. */
#include "cpu/cpu_engine.hpp"
#include "cpu/x64/cpu_isa_traits.hpp"
#undef REG_AVX2_ISA
#undef REG_AVX512_ISA
#undef REG_AMX_ISA
#define REG_AVX2_ISA(...)
#define REG_AVX512_ISA(...)
#define REG_AMX_ISA(...)
