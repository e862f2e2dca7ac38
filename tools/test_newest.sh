#!/bin/sh
# Runs tests of an installed wheel beside the newest releases of all that it needs, whatever constraints.txt says, on the
# newest Python from 3.12 on that is found here: NumPy and SciPy of today have left 3.11.
# Usage: tools/test_newest.sh FOLDER EXTRAS TESTS...   FOLDER is made anew, and holds wheel, environment and tests
set -eu
case $1 in /*) folder=$1 ;; *) folder=$PWD/$1 ;; esac
extras=$2
shift 2
data=${PYHARMONY_DATA:-$PWD/../shared/data}

complete='import ensurepip, os, sysconfig; assert os.path.exists(sysconfig.get_path("include") + "/Python.h")'
newest() {
  for version in 3.14 3.13 3.12; do
    for python in "python$version" "$(pyenv root 2>/dev/null)/versions/$version".*/bin/python; do
      if "$python" -c "$complete" 2>/dev/null; then
        echo "$python"
        return
      fi
    done
  done
  echo "${PYTHON:-python3}"
}

rm -rf "$folder"
mkdir -p "$folder"
unset PIP_CONSTRAINT PIP_BUILD_CONSTRAINT
"$(newest)" -m venv "$folder/env"
python=$folder/env/bin/python
"$python" -m pip install -q --upgrade pip
"$python" -m pip wheel -q --no-deps -w "$folder/wheel" .
"$python" -m pip install -q --upgrade "$(echo "$folder"/wheel/*.whl)[$extras]" pytest pytest-xdist hypothesis scipy tifffile
# Beside the sources their folder would be imported in place of the wheel.
cp -r tests benchmarks docs examples tools pyproject.toml README.md SECURITY.md "$folder/"
cd "$folder"
"$python" - <<'PYTHON'
import importlib.metadata
import pathlib
import platform

import pyharmony

assert "env" in pathlib.Path(pyharmony.__file__).parts, pyharmony.__file__
names = ("numpy", "scipy", "pillow", "opencv-python-headless", "torch")
every = {each.name: each.version for each in importlib.metadata.distributions()}
print(f"Python {platform.python_version()},", *(f"{name} {every[name]}," for name in names if name in every))
PYTHON
# The programs of the environment go first: tests start `python` and `pyharmony`.
PATH=$folder/env/bin:$PATH PYHARMONY_DATA=$data OMP_NUM_THREADS=1 exec "$python" -m pytest -p no:cacheprovider "$@"
