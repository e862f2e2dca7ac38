#!/bin/sh
# Runs a command as on a CPU without the instruction sets above one: the kernels of this package, and those of the
# libraries that tests compare with or train by. Usage: tools/as_cpu.sh avx2|baseline PYTHON COMMAND...
set -eu
level=$1 python=$2
shift 2
# NumPy's names of instruction sets change from release to release, and it refuses those that it does not know.
dispatched='from numpy._core._multiarray_umath import __cpu_dispatch__ as names; print(*names)'
case $level in
  avx2)
    higher=$("$python" -c "$dispatched" | tr ' ' '\n' | grep -E 'AVX512|V4' | tr '\n' ' ') || higher=
    set -- ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 MKL_ENABLE_INSTRUCTIONS=AVX2 OPENBLAS_CORETYPE=Haswell \
      OPENCV_CPU_DISABLE=AVX512-SKX,AVX512-ICL "$@"
    ;;
  baseline)
    higher=$("$python" -c "$dispatched")
    set -- ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41 MKL_ENABLE_INSTRUCTIONS=SSE4_2 \
      OPENBLAS_CORETYPE=Nehalem OPENCV_CPU_DISABLE=AVX512-SKX,AVX512-ICL,AVX2,FP16,AVX "$@"
    ;;
  *)
    echo "as_cpu.sh: $level, expected avx2 or baseline" >&2
    exit 2
    ;;
esac
exec env PYHARMONY_SIMD="$level" NPY_DISABLE_CPU_FEATURES="$higher" "$@"
