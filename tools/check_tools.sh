#!/bin/sh
# Says in one line what is missing before anything is set up. PYTHON and CXX choose the programs.
PYTHON=${PYTHON:-python3}

missing() {
  echo "pyharmony: $1" >&2
  exit 2
}

command -v "$PYTHON" >/dev/null 2>&1 ||
  missing "$PYTHON was not found; on Debian: apt-get install python3 python3-venv python3-dev"
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
  missing "$("$PYTHON" --version 2>&1) is too old, 3.10 is needed; choose another with make PYTHON=python3.11"
"$PYTHON" -c 'import ensurepip, venv' >/dev/null 2>&1 ||
  missing "$PYTHON cannot make virtual environments; on Debian: apt-get install python3-venv"
"$PYTHON" -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))' ||
  missing "the header Python.h of $PYTHON was not found; on Debian: apt-get install python3-dev"
compiler=
for candidate in ${CXX:+"${CXX%% *}"} g++ c++ clang++; do
  if command -v "$candidate" >/dev/null 2>&1; then
    compiler=$candidate
    break
  fi
done
[ -n "$compiler" ] || missing "no C++ compiler was found; on Debian: apt-get install g++"
echo 'int main() { if constexpr (sizeof(int) > 0) return 0; }' |
  "$compiler" -std=c++17 -x c++ -fsyntax-only - >/dev/null 2>&1 ||
  missing "$compiler does not compile C++17; on Debian: apt-get install g++"
for program in ld objcopy; do
  command -v "$program" >/dev/null 2>&1 ||
    missing "$program was not found; on Debian: apt-get install binutils"
done
