#!/bin/sh
# Builds the module with sanitizers in separate folders and runs the tests of the kernels with it.
# Usage: tools/sanitize.sh memory|threads|fuzz PYTHON [arguments]. memory: AddressSanitizer and UBSan, all tests;
# SHORT=1 runs fewer cases of each property and leaves out the tests that are marked large, networks or chains; of the
# CUDA kernels it runs small cases of each.
# threads: ThreadSanitizer and the tests of simultaneous calls. fuzz: the build of memory, with the arguments of
# `python -m tests.fuzz` in place of pytest's.
set -eu
kind=$1
python=$2
shift 2
fuzz=
[ "$kind" != fuzz ] || fuzz=yes kind=memory
build=build/sanitize-$kind
site=$build/site
report=$PWD/$build/report
case $python in /*) ;; *) python=$PWD/$python ;; esac

case $kind in
# Kernels that this machine cannot run need not be compiled.
memory) sanitizers=address,undefined runtime=libasan emulator=${fuzz:+OFF} simd=HERE ;;
# Races do not depend on instruction sets, so one is compiled.
threads) sanitizers=thread runtime=libtsan emulator=OFF simd=OFF ;;
*)
  echo "tools/sanitize.sh: $kind given, expected memory, threads or fuzz" >&2
  exit 2
  ;;
esac

# A second package: links to the sources beside a module of its own.
rm -rf "$site" "$report".*
mkdir -p "$site/pyharmony"
for entry in pyharmony/*; do
  case $entry in *.so | */__pycache__) ;; *) ln -s "$PWD/$entry" "$site/pyharmony/" ;; esac
done
cmake=$("$python" -c 'import cmake; print(cmake.CMAKE_BIN_DIR)')/cmake
ninja=$("$python" -c 'import ninja; print(ninja.BIN_DIR)')/ninja
"$cmake" -S . -B $build -G Ninja -DCMAKE_MAKE_PROGRAM="$ninja" -DPython_EXECUTABLE="$python" \
  -Dpybind11_DIR="$("$python" -m pybind11 --cmakedir)" -DHM_SANITIZE="$sanitizers" -DHM_CUDA=OFF -DHM_EMULATOR=${emulator:-AUTO} -DHM_SIMD=$simd \
  -DCMAKE_LIBRARY_OUTPUT_DIRECTORY="$PWD/$build/module" >$build/configure.log || {
  cat $build/configure.log >&2
  exit 1
}
"$cmake" --build $build
cp $build/module/_C.*.so "$site/pyharmony/"

# The runtime has to come first in the process; libstdc++ beside it so that its interceptors of exceptions are found.
# Python itself leaks at exit. Both options name the file, and pytest would swallow what is written to stderr.
compiler=$(sed -n 's/^CMAKE_CXX_COMPILER:[A-Z]*=//p' $build/CMakeCache.txt)
export PYTHONPATH="$PWD/$site" PYTHONSAFEPATH=1 PYHARMONY_EMULATOR="$PWD/$build/emulator_sanitized"
# A decoder of others that asks for terabytes, for a damaged file, gets none and says so, as it does without a sanitizer.
export ASAN_OPTIONS="detect_leaks=0:log_path=$report${fuzz:+:allocator_may_return_null=1}"
export UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1:log_path=$report"
export TSAN_OPTIONS="log_path=$report"
preload="$("$compiler" -print-file-name=$runtime.so) $("$compiler" -print-file-name=libstdc++.so)"
tests='not house and not full'
fixed=
if [ "$kind" = threads ]; then
  set -- tests/ops/test_threads.py -k at_once "$@"
  # ThreadSanitizer's map of memory has no room for the random addresses of newer kernels.
  fixed="setarch $(uname -m) -R"
else
  [ -n "$fuzz" ] || set -- tests -n 2 --dist worksteal "$@"
  export OMP_NUM_THREADS=1
fi
if [ -n "${SHORT:-}" ]; then
  tests="$tests and not large and not networks and not chains and (cases or not emulated)"
fi
run() { $fixed env LD_PRELOAD="$preload" "$python" "$@"; }

run -c "
import pyharmony._C, sys
sys.exit(not pyharmony._C.__file__.startswith('$PWD/$site'))" || {
  echo "pyharmony: the sanitized module was not the one that loads" >&2
  exit 1
}
status=0
if [ -n "$fuzz" ]; then
  PYTHONPATH="$PYTHONPATH:$PWD" run -m tests.fuzz "$@" || status=$?
else
  run -m pytest -m "$tests" -p no:cacheprovider "$@" || status=$?
fi
for file in "$report".*; do
  if [ -f "$file" ]; then
    cat "$file" >&2
    # Of an input whose process an error ended, the fuzzing knows; the rest are warnings about memory that was refused.
    [ -n "$fuzz" ] || status=1
  fi
done
exit $status
