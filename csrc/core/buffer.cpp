#include "core/buffer.h"

namespace pyharmony {
namespace {

struct Block {
  void* data;
  std::size_t bytes;
};

constexpr int kMostBlocks = 64;
Block blocks[kMostBlocks];  // the oldest first
int count = 0;
std::size_t total = 0;
std::atomic_flag busy = ATOMIC_FLAG_INIT;

// Owns the blocks above, unless another thread does, or did when this process was forked from its.
class Turn {
 public:
  Turn() : mine_(!busy.test_and_set(std::memory_order_acquire)) {}
  ~Turn() {
    if (mine_) busy.clear(std::memory_order_release);
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
  explicit operator bool() const { return mine_; }

 private:
  const bool mine_;
};

Block take(int i) {
  const Block block = blocks[i];
  total -= block.bytes;
  std::copy(blocks + i + 1, blocks + count, blocks + i);
  --count;
  return block;
}

// A sanitizer would not see uses of a block that is kept.
#if defined(MADV_FREE) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
constexpr bool kKeeps = true;
void offer_pages(const Block& block) { madvise(block.data, block.bytes, MADV_FREE); }
#else
constexpr bool kKeeps = false;
void offer_pages(const Block&) {}
#endif

}  // namespace

void* kept_block(std::size_t bytes) noexcept {
  const Turn turn;
  if (!turn) return nullptr;
  for (int i = count - 1; i >= 0; --i) {
    if (blocks[i].bytes == bytes) return take(i).data;
  }
  return nullptr;
}

void keep_block(void* data, std::size_t bytes) noexcept {
  const Turn turn;
  if (!kKeeps || !turn || bytes > kMostKept) {
    std::free(data);
    return;
  }
  while (count == kMostBlocks || total + bytes > kMostKept) std::free(take(0).data);
  blocks[count++] = {data, bytes};
  total += bytes;
  offer_pages(blocks[count - 1]);
}

void free_kept_blocks() noexcept {
  const Turn turn;
  while (turn && count > 0) std::free(take(0).data);
}

}  // namespace pyharmony
