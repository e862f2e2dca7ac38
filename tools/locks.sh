#!/bin/sh
# Writes the packages that the container of the service installs, at the versions of constraints.txt and with their
# hashes: sh tools/locks.sh PYTHON. It takes uv, which it installs for itself.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$1" -m venv "$folder/uv"
"$folder/uv/bin/pip" install -q --disable-pip-version-check uv

lock() { # name, what is locked...
  name=$1
  shift
  "$folder/uv/bin/uv" pip compile -q --generate-hashes --universal --python-version 3.11 --no-annotate -c constraints.txt \
    --custom-compile-command "make locks" -o "$folder/$name.lock" "$@"
  mv "$folder/$name.lock" "pyharmony/serve/$name.lock"
}

lock serve pyproject.toml --extra serve --extra io --extra segment --extra heif
"$1" - >"$folder/build.in" <<'PYTHON'
import tomllib

with open("pyproject.toml", "rb") as file:
    print(*tomllib.load(file)["build-system"]["requires"], "wheel", sep="\n")
PYTHON
lock build "$folder/build.in"
