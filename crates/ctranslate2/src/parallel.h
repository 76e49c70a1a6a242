// Loops over the threads of a call.

#pragma once

#include <cstddef>
#include <exception>

#include <omp.h>

namespace stt {

// Calls `run` with 0 to `count` - 1, on as many threads as the call has. With one it costs nothing.
template <typename Run>
void parallel_for(size_t count, Run run) {
  if (count < 2 || omp_get_max_threads() == 1) {
    for (size_t at = 0; at < count; ++at)
      run(at);
    return;
  }
  // An exception that leaves an OpenMP region ends the process: one is kept and thrown behind it.
  std::exception_ptr failed;
#pragma omp parallel for schedule(dynamic)
  for (size_t at = 0; at < count; ++at) try {
    run(at);
  } catch (...) {
#pragma omp critical
    failed = std::current_exception();
  }
  if (failed)
    std::rethrow_exception(failed);
}

}  // namespace stt
