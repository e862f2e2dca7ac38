#!/bin/sh
# Builds the module with AddressSanitizer and UBSan in folders of its own and runs the tests of the kernels with it.
# Usage: tools/sanitize.sh PYTHON [pytest arguments]; SHORT=1 runs fewer cases of each property
# and leaves out the tests that are marked large.
set -eu
python=$1
shift
build=build/sanitize
site=$build/site
report=$PWD/$build/report
case $python in /*) ;; *) python=$PWD/$python ;; esac

# The package again, as links to the sources beside a module of its own.
rm -rf "$site" "$report".*
mkdir -p "$site/pyharmony"
for entry in pyharmony/*; do
  case $entry in *.so | */__pycache__) ;; *) ln -s "$PWD/$entry" "$site/pyharmony/" ;; esac
done
cmake=$("$python" -c 'import cmake; print(cmake.CMAKE_BIN_DIR)')/cmake
ninja=$("$python" -c 'import ninja; print(ninja.BIN_DIR)')/ninja
"$cmake" -S . -B $build -G Ninja -DCMAKE_MAKE_PROGRAM="$ninja" -DPython_EXECUTABLE="$python" \
  -Dpybind11_DIR="$("$python" -m pybind11 --cmakedir)" -DHM_SANITIZE=address,undefined \
  -DCMAKE_LIBRARY_OUTPUT_DIRECTORY="$PWD/$build/module" >$build/configure.log || {
  cat $build/configure.log >&2
  exit 1
}
"$cmake" --build $build
cp $build/module/_C.*.so "$site/pyharmony/"

# The runtime has to come first in the process; libstdc++ beside it so that its interceptors of exceptions are found.
# Python itself leaks at exit. Both options name the file, and pytest would swallow what is written to stderr.
compiler=$(sed -n 's/^CMAKE_CXX_COMPILER:[A-Z]*=//p' $build/CMakeCache.txt)
export PYTHONPATH="$PWD/$site" PYTHONSAFEPATH=1
export ASAN_OPTIONS="detect_leaks=0:log_path=$report"
export UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1:log_path=$report"
preload="$("$compiler" -print-file-name=libasan.so) $("$compiler" -print-file-name=libstdc++.so)"
tests='not house and not full'
if [ -n "${SHORT:-}" ]; then
  tests="$tests and not large"
  export HYPOTHESIS_PROFILE=short
fi
run() { LD_PRELOAD="$preload" "$python" "$@"; }

run -c "
import pyharmony._C, sys
sys.exit(not pyharmony._C.__file__.startswith('$PWD/$site'))" || {
  echo "pyharmony: the sanitized module was not the one that loads" >&2
  exit 1
}
status=0
run -m pytest tests -m "$tests" -p no:cacheprovider "$@" || status=$?
for file in "$report".*; do
  if [ -f "$file" ]; then
    cat "$file" >&2
    status=1
  fi
done
exit $status
