// Threads for the CPU kernels. Work is cut by its shape alone, so results do not depend on how many threads there are.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace statespace::cpu {

// How many threads parallel_for may use; at first as many as the machine has processors.
int thread_count();
void set_thread_count(int count);

// 1 for code that parallel_for runs, else thread_count().
int available_threads();

// Memory of the calling thread, aligned to a page; grows, and is kept for the thread's life. A slot has one user at a
// time: gemm owns its own, a kernel uses the numbered ones. Memory taken before parallel_for is good for all its tasks.
enum class Slot { kernel0, kernel1, kernel2, kernel3, gemm_a, gemm_b, gemm_c, gemm_partial, count };
void* scratch(Slot slot, size_t bytes);  // throws ERR_OUT_OF_MEMORY

// f(context, i) for every i below tasks; the next task goes to whoever is free. Throws what a task threw, the first of
// them; other tasks may then not have run.
void run_tasks(int64_t tasks, int threads, void (*f)(const void* context, int64_t task), const void* context);

// f(i) for every i below tasks, on as many threads as get at least `grain` tasks each.
template <typename F>
void parallel_for(int64_t tasks, int64_t grain, const F& f) {
  const int threads = static_cast<int>(std::min<int64_t>(tasks / std::max<int64_t>(1, grain), available_threads()));
  if (threads <= 1) {
    for (int64_t i = 0; i < tasks; ++i) f(i);
  } else {
    run_tasks(
        tasks, threads, [](const void* context, int64_t i) { (*static_cast<const F*>(context))(i); }, &f);
  }
}

template <typename F>
void parallel_for(int64_t tasks, const F& f) {
  parallel_for(tasks, 1, f);
}

// f(begin, end) over blocks of `block` items each, the last one shorter; for loops over elements or rows.
template <typename F>
void parallel_blocks(int64_t count, int64_t block, const F& f) {
  parallel_for((count + block - 1) / block, 1, [&](int64_t i) { f(i * block, std::min(count, (i + 1) * block)); });
}

}  // namespace statespace::cpu
