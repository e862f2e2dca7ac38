#include "emulator/symbols.h"

#include <dlfcn.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <mutex>
#include <sstream>
#include <vector>

namespace pyharmony::emulator {
namespace {

std::string relative(const std::string& given) {
  const std::string root = HM_SOURCE_ROOT "/";
  const std::string path = std::filesystem::path(given).lexically_normal().string();
  return path.compare(0, root.size(), root) == 0 ? path.substr(root.size()) : path;
}

Line ask(const void* pc) {
  Line line;
  Dl_info info;
  if (dladdr(pc, &info) == 0) return line;
  const auto offset =
      reinterpret_cast<std::uintptr_t>(pc) - reinterpret_cast<std::uintptr_t>(info.dli_fbase) - 1;
  std::ostringstream command;
  command << "addr2line -i -e '" << info.dli_fname << "' 0x" << std::hex << offset;
  FILE* pipe = popen(command.str().c_str(), "r");
  if (pipe == nullptr) return line;
  char buffer[4096];
  while (std::fgets(buffer, sizeof buffer, pipe) != nullptr) {
    const std::string text = buffer;
    const std::size_t colon = text.rfind(':');
    if (colon == std::string::npos) continue;
    const std::string file = relative(text.substr(0, colon));
    const int number = std::atoi(text.c_str() + colon + 1);
    if (line.number == 0) {
      if (file.compare(0, 14, "csrc/emulator/") == 0) continue;
      line.file = file;
      line.number = number;
    } else {
      if (!line.inlined_at.empty()) line.inlined_at += ", ";
      line.inlined_at += file + ":" + std::to_string(number);
    }
  }
  pclose(pipe);
  return line;
}

}  // namespace

const Line& locate(const void* pc) {
  static std::mutex mutex;
  static std::map<const void*, Line> known;
  const std::lock_guard<std::mutex> lock(mutex);
  auto found = known.find(pc);
  if (found == known.end()) found = known.emplace(pc, ask(pc)).first;
  return found->second;
}

}  // namespace pyharmony::emulator
