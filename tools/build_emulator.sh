#!/bin/sh
# Builds the modules of the emulator in build/emulator. Usage: tools/build_emulator.sh emulator|emulator_check PYTHON
set -eu
target=$1
python=$2
build=build/emulator
case $python in /*) ;; *) python=$PWD/$python ;; esac
cmake=$("$python" -c 'import cmake; print(cmake.CMAKE_BIN_DIR)')/cmake
ninja=$("$python" -c 'import ninja; print(ninja.BIN_DIR)')/ninja
mkdir -p $build
# shellcheck disable=SC2086  # CMAKE_ARGS is a list
"$cmake" -S . -B $build -G Ninja -DCMAKE_MAKE_PROGRAM="$ninja" -DPython_EXECUTABLE="$python" \
  -Dpybind11_DIR="$("$python" -m pybind11 --cmakedir)" -DCMAKE_LIBRARY_OUTPUT_DIRECTORY="$PWD/$build/module" \
  ${CMAKE_ARGS:-} -DHM_CUDA=OFF -DHM_EMULATOR=AUTO >$build/configure.log || {
  cat $build/configure.log >&2
  exit 1
}
"$cmake" --build $build --target "$target"
# A module whose sources did not change gets the time of the others: tests take none that is older than a source.
case $target in
  *check) touch "$build"/emulator/*_check.* ;;
  *) find "$build/emulator" -maxdepth 1 -name '_emulator*' ! -name '*_check.*' -exec touch {} + ;;
esac
