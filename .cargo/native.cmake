# Read by every CMake build of a dependency (see config.toml); it changes the two that take long. All that is left out or
# put together here is found by the linker if it was a mistake. docs/decisions/001-native-engine-build.md says why.
#
# oneDNN is narrowed to what CTranslate2 calls: the f32 and int8 matrix products (dnnl_sgemm, dnnl_gemm_*) with all their
# kernels, and the forward convolution on top of them. The kernels are generated at run time, so the optimisation level of
# the generators costs no speed. CTranslate2 is compiled several files at a time, as most of its time goes into headers.

if(CMAKE_SOURCE_DIR MATCHES "/oneDNN$" AND CMAKE_HOST_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    set(ONEDNN_ENABLE_PRIMITIVE "CONVOLUTION" CACHE STRING "")
    set(ONEDNN_ENABLE_GEMM_KERNELS_ISA "ALL" CACHE STRING "")
    set(change narrow_onednn)
elseif(CMAKE_SOURCE_DIR MATCHES "/CTranslate2$")
    set(change unite_ctranslate2)
else()
    return()
endif()
set(CMAKE_PROJECT_INCLUDE "${CMAKE_CURRENT_LIST_FILE}")

# This file is read several times; the last time as CMAKE_PROJECT_INCLUDE, when the compiler's flags are known.
get_property(changed GLOBAL PROPERTY native_changed)
if(changed OR NOT CMAKE_CXX_COMPILER_LOADED)
    return()
endif()
set_property(GLOBAL PROPERTY native_changed ON)

if(change STREQUAL "narrow_onednn")
    set(CMAKE_CXX_FLAGS_RELEASE "-O1 -DNDEBUG")
endif()

set(convolution_list_prelude "${CMAKE_CURRENT_LIST_DIR}/onednn-convolution.h")

function(unite_ctranslate2)
    # Not those that specialise templates which others use, or that share names of anonymous namespaces.
    get_target_property(sources ctranslate2 SOURCES)
    list(FILTER sources INCLUDE REGEX "_cpu\\.cc$|/drama/|cpu/allocator\\.cc$")
    set_property(SOURCE ${sources} PROPERTY SKIP_UNITY_BUILD_INCLUSION ON)
    set_target_properties(ctranslate2 PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 8)
endfunction()

function(narrow_onednn)
    set(common "/(batch_normalization|binary|concat|deconvolution|eltwise|group_normalization|layer_normalization|lrn)\\."
        "/(pooling|prelu|reduction|resampling|rnn|shuffle|softmax|sum|sdpa_test_iface|gated_mlp_iface|experimental)\\."
        "/(scratchpad_debug|stream_profiler|dnnl_threadpool)\\.")
    set(cpu "/(rnn|ukernel)/" "/matmul/(gemm|ref)_" "/(nchw|nhwc|ncsp|nspc)_" "_inner_product(_utils)?\\."
        "/ref_(batch|binary|deconv|eltwise|group|inner|layer|lrn|pool|prelu|reduction|resampling|shuffle|softmax)"
        "/simple_(concat|layer|resampling|sum)")
    set(cpu_x64 "/(lrn|rnn|prelu|shuffle|matmul|ukernel|brgemm|ir)/" "brgemm_|brdgmm_|_inner_product"
        "jit_avx[^/]*_conv(_kernel|olution)" "jit_uni_(dw|x8s8s32x)[^/]*_conv" "deconv" "gemm_bf16_convolution"
        "normalization" "pool" "resampling" "softmax" "reduction" "sparse" "xf16_sum" "jit_uni_reorder"
        "jit_uni_(binary(_kernel)?|eltwise(_int)?)\\." "jit_transpose_utils" "amx_tile_configure" "cpu_(reducer|barrier)")
    foreach(target common cpu cpu_x64)
        get_target_property(sources dnnl_${target} SOURCES)
        foreach(pattern IN LISTS ${target})
            list(FILTER sources EXCLUDE REGEX "${pattern}.*cpp$")
        endforeach()
        set_target_properties(dnnl_${target} PROPERTIES SOURCES "${sources}")
    endforeach()
    # Most of the time goes into reading the same headers again. The generated kernels bear to be read a dozen at once;
    # the others share precompiled headers.
    get_target_property(sources dnnl_cpu_x64 SOURCES)
    set(kernels ${sources})
    list(FILTER kernels INCLUDE REGEX "/gemm/.*_kern_autogen\\.cpp$")
    list(FILTER sources EXCLUDE REGEX "_kern_autogen\\.cpp$")
    set_property(SOURCE ${kernels} TARGET_DIRECTORY dnnl_cpu_x64 PROPERTY COMPILE_FLAGS)
    set_property(SOURCE ${sources} TARGET_DIRECTORY dnnl_cpu_x64 PROPERTY SKIP_UNITY_BUILD_INCLUSION ON)
    set_target_properties(dnnl_cpu_x64 PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 12)
    target_precompile_headers(dnnl_common PRIVATE "$<$<COMPILE_LANGUAGE:CXX>:${CMAKE_SOURCE_DIR}/src/common/primitive_desc.hpp>")
    target_precompile_headers(dnnl_cpu PRIVATE "$<$<COMPILE_LANGUAGE:CXX>:${CMAKE_SOURCE_DIR}/src/cpu/cpu_engine.hpp>")
    # Generators are not optimised at all; what drives the kernels and packs their input runs each time, and is.
    target_compile_options(dnnl_cpu_x64 PRIVATE -O0)
    set(drivers ${sources})
    list(FILTER drivers INCLUDE REGEX "/gemm/")
    list(FILTER drivers EXCLUDE REGEX "_kern\\.cpp$")
    set_property(SOURCE ${drivers} TARGET_DIRECTORY dnnl_cpu_x64 PROPERTY COMPILE_OPTIONS -O1)
    set_property(SOURCE ${drivers} TARGET_DIRECTORY dnnl_cpu_x64 PROPERTY SKIP_PRECOMPILE_HEADERS ON)
    target_precompile_headers(dnnl_cpu_x64 PRIVATE "$<$<COMPILE_LANGUAGE:CXX>:${CMAKE_SOURCE_DIR}/src/cpu/x64/jit_generator.hpp>")
    set_source_files_properties("${CMAKE_SOURCE_DIR}/src/cpu/cpu_convolution_list.cpp" TARGET_DIRECTORY dnnl_cpu
        PROPERTIES COMPILE_OPTIONS "-include;${convolution_list_prelude}")
endfunction()
cmake_language(DEFER CALL ${change})
