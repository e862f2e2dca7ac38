// Scratch memory of the CPU kernels: aligned, counted, released with its owner.
#pragma once

#ifdef __linux__
#include <sys/mman.h>
#endif

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <utility>

namespace pyharmony {

// The bytes of scratch that a solve holds at the moment and held at most; Buffers update it.
struct MemoryMeter {
  std::atomic<std::int64_t> now{0}, peak{0};

  void add(std::int64_t bytes) {
    const std::int64_t total = now.fetch_add(bytes) + bytes;
    std::int64_t seen = peak.load();
    while (total > seen && !peak.compare_exchange_weak(seen, total)) {
    }
  }
};

// Uninitialised memory, aligned to 64 bytes.
template <typename T>
class Buffer {
 public:
  static constexpr std::size_t kAlignment = 64, kHugePage = std::size_t(1) << 21;

  Buffer() = default;
  explicit Buffer(std::size_t count, MemoryMeter* meter = nullptr) : count_(count), meter_(meter) {
    // Large blocks ask for huge pages; the first touch of small pages costs as much as a pass.
    const std::size_t unit = count * sizeof(T) < 2 * kHugePage ? kAlignment : kHugePage;
    const std::size_t bytes = (count * sizeof(T) + unit - 1) / unit * unit;
    data_ = static_cast<T*>(std::aligned_alloc(unit, bytes ? bytes : unit));
    if (data_ == nullptr) throw std::bad_alloc();
#ifdef MADV_HUGEPAGE
    if (unit == kHugePage) madvise(data_, bytes, MADV_HUGEPAGE);
#endif
    if (meter_) meter_->add(static_cast<std::int64_t>(count_ * sizeof(T)));
  }
  static Buffer zeros(std::size_t count, MemoryMeter* meter = nullptr) {
    Buffer buffer(count, meter);
    std::fill_n(buffer.data_, count, T{});
    return buffer;
  }
  Buffer(Buffer&& other) noexcept { swap(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    swap(other);
    return *this;
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() {
    std::free(data_);
    if (meter_) meter_->add(-static_cast<std::int64_t>(count_ * sizeof(T)));
  }

  void swap(Buffer& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(count_, other.count_);
    std::swap(meter_, other.meter_);
  }

  T* data() { return data_; }
  const T* data() const { return data_; }
  std::size_t size() const { return count_; }
  T& operator[](std::size_t i) { return data_[i]; }
  const T& operator[](std::size_t i) const { return data_[i]; }

 private:
  T* data_ = nullptr;
  std::size_t count_ = 0;
  MemoryMeter* meter_ = nullptr;
};

}  // namespace pyharmony
