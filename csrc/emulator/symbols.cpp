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

bool starts_with(const std::string& text, const char* start) { return text.rfind(start, 0) == 0; }

std::mutex mutex;
std::map<const void*, Line>& known() {
  static std::map<const void*, Line> lines;
  return lines;
}

// Looks up instructions of one file.
void ask(const std::string& file, const std::map<std::uintptr_t, const void*>& pcs) {
  std::ostringstream command;
  command << "addr2line -a -i -e '" << file << "'" << std::hex;
  for (const auto& [offset, pc] : pcs) command << " 0x" << offset;
  FILE* pipe = popen(command.str().c_str(), "r");
  if (pipe == nullptr) return;
  char buffer[4096];
  Line* line = nullptr;
  bool only_device = false;
  while (std::fgets(buffer, sizeof buffer, pipe) != nullptr) {
    const std::string text = buffer;
    if (text.compare(0, 2, "0x") == 0) {  // It is the address, before its lines.
      const auto at = pcs.find(std::strtoull(buffer, nullptr, 16));
      line = at != pcs.end() ? &known()[at->second] : nullptr;
      only_device = false;
      continue;
    }
    const std::size_t colon = text.rfind(':');
    if (line == nullptr || colon == std::string::npos) continue;
    const std::string name = repository_path(text.substr(0, colon));
    const int number = std::atoi(text.c_str() + colon + 1);
    if (starts_with(name, "csrc/emulator/")) continue;
    if (!line->frames.empty()) line->frames += ", ";
    line->frames += name + ":" + std::to_string(number);
    if (line->number == 0 || (only_device && !starts_with(name, "csrc/device/"))) {
      line->file = name;
      line->number = number;
      only_device = starts_with(name, "csrc/device/");
    }
  }
  pclose(pipe);
}

}  // namespace

std::string repository_path(const std::string& given) {
  const std::string path = "/" + std::filesystem::path(given).lexically_normal().string();
  std::size_t start = std::string::npos;
  for (const char* folder : {"/csrc/", "/tests/"}) {
    const std::size_t at = path.rfind(folder);
    if (at != std::string::npos && (start == std::string::npos || at > start)) start = at;
  }
  return path.substr(start == std::string::npos ? 1 : start + 1);
}

void locate_all(const std::vector<const void*>& pcs) {
  const std::lock_guard<std::mutex> lock(mutex);
  std::map<std::string, std::map<std::uintptr_t, const void*>> files;
  for (const void* pc : pcs) {
    Dl_info info;
    if (!known().emplace(pc, Line()).second || dladdr(pc, &info) == 0) continue;
    // The offset is that of the call, not of what it returns to.
    const auto offset =
        reinterpret_cast<std::uintptr_t>(pc) - reinterpret_cast<std::uintptr_t>(info.dli_fbase) - 1;
    files[info.dli_fname][offset] = pc;
  }
  constexpr std::size_t kMost = 1000;  // fits a line of the shell
  for (const auto& [file, offsets] : files) {
    for (auto at = offsets.begin(); at != offsets.end();) {
      std::map<std::uintptr_t, const void*> some;
      while (at != offsets.end() && some.size() < kMost) some.insert(*at++);
      ask(file, some);
    }
  }
}

Line locate(const void* pc) {
  locate_all({pc});
  const std::lock_guard<std::mutex> lock(mutex);
  return known()[pc];
}

}  // namespace pyharmony::emulator
