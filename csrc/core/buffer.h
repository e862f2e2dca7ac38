// Scratch memory of the CPU kernels: aligned, counted where it is measured, released with its
// owner.
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

// The bytes that a part of a program holds at the moment and held at most, with those of the parts
// within it. Whatever counts its bytes here keeps it alive, and it keeps `outer` alive.
class MemoryMeter {
 public:
  explicit MemoryMeter(MemoryMeter* outer) : outer_(outer) {
    if (outer_ != nullptr) outer_->keep();
  }

  std::int64_t peak() const { return peak_.load(); }
  void keep() { users_.fetch_add(1, std::memory_order_relaxed); }
  void drop() {
    if (users_.fetch_sub(1, std::memory_order_acq_rel) > 1) return;
    if (outer_ != nullptr) outer_->drop();
    delete this;
  }

  void add(std::int64_t bytes) {
    for (MemoryMeter* meter = this; meter != nullptr; meter = meter->outer_) {
      const std::int64_t total = meter->now_.fetch_add(bytes) + bytes;
      std::int64_t seen = meter->peak_.load();
      while (total > seen && !meter->peak_.compare_exchange_weak(seen, total)) {
      }
    }
  }
  // Counts a block until `leave` is called with its size.
  void enter(std::size_t bytes) {
    keep();
    add(static_cast<std::int64_t>(bytes));
  }
  void leave(std::size_t bytes) {
    add(-static_cast<std::int64_t>(bytes));
    drop();
  }

 private:
  ~MemoryMeter() = default;

  std::atomic<std::int64_t> now_{0}, peak_{0}, users_{1};
  MemoryMeter* const outer_;
};

// The meter of what this thread works for; null: none. A job of core/parallel.h hands it on.
MemoryMeter*& current_meter();

// Large blocks ask for huge pages; the first touch of small pages costs as much as a pass.
constexpr std::size_t kHugePage = std::size_t(1) << 21, kHugeBlock = 2 * kHugePage;
inline void ask_for_huge_pages([[maybe_unused]] void* data, [[maybe_unused]] std::size_t bytes) {
#ifdef MADV_HUGEPAGE
  constexpr std::size_t kPage = 4096;
  const std::size_t skipped = (kPage - reinterpret_cast<std::uintptr_t>(data) % kPage) % kPage;
  if (bytes < kHugeBlock) return;
  madvise(static_cast<char*>(data) + skipped, bytes - skipped, MADV_HUGEPAGE);
#endif
}

// Blocks of at least kKeptBlock bytes that were given back are kept for the next call: the first
// touch of new pages costs as much as a pass over them. The system may take their pages at any
// time, and together they are at most kMostKept bytes.
constexpr std::size_t kKeptBlock = std::size_t(1) << 18, kMostKept = std::size_t(512) << 20;
// Returns a block of this size that was given back, or null.
void* kept_block(std::size_t bytes) noexcept;
// Keeps a block for later, or frees it.
void keep_block(void* data, std::size_t bytes) noexcept;
void free_kept_blocks() noexcept;

// Uninitialised memory, aligned to 64 bytes and counted by the meter of the thread that takes it.
template <typename T>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(std::size_t count) : count_(count), meter_(current_meter()) {
    if (block() >= kKeptBlock) data_ = static_cast<T*>(kept_block(block()));
    if (data_ == nullptr) {
      data_ = static_cast<T*>(std::aligned_alloc(unit(), block()));
      if (data_ == nullptr) {
        free_kept_blocks();
        data_ = static_cast<T*>(std::aligned_alloc(unit(), block()));
      }
      if (data_ == nullptr) throw std::bad_alloc();
      ask_for_huge_pages(data_, block());
    }
    if (meter_ != nullptr) meter_->enter(bytes());
  }
  static Buffer zeros(std::size_t count) {
    Buffer buffer(count);
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
    if (data_ != nullptr && block() >= kKeptBlock) {
      keep_block(data_, block());
    } else {
      std::free(data_);
    }
    if (meter_ != nullptr) meter_->leave(bytes());
  }

  void swap(Buffer& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(count_, other.count_);
    std::swap(meter_, other.meter_);
  }

  T* data() { return data_; }
  const T* data() const { return data_; }
  std::size_t size() const { return count_; }
  std::size_t bytes() const { return count_ * sizeof(T); }
  T& operator[](std::size_t i) { return data_[i]; }
  const T& operator[](std::size_t i) const { return data_[i]; }

 private:
  // Returns what the address and the size of the block are multiples of: a cache line or a page.
  std::size_t unit() const {
    return bytes() >= kHugeBlock ? kHugePage : bytes() >= kKeptBlock ? 4096 : 64;
  }
  // Returns the bytes of the block.
  std::size_t block() const {
    return bytes() == 0 ? unit() : (bytes() + unit() - 1) / unit() * unit();
  }

  T* data_ = nullptr;
  std::size_t count_ = 0;
  MemoryMeter* meter_ = nullptr;
};

}  // namespace pyharmony
