#!/bin/sh
# Builds the container of the service in a folder and has it work, or says in one line why that cannot be done here:
# sh .ci/container.sh FOLDER
#
# It takes buildah, of Debian if need be, without a daemon, namespaces or a cgroup: so it works in a container too. The
# base is the image that the Dockerfile names or, where no registry can be reached, Debian's Python.
set -eu
file=pyharmony/server/Dockerfile
folder=$1
mkdir -p "$folder"

skip() {
  echo "container: skipped, $1"
  exit 0
}

installed() { # program, which is that of a package of Debian
  command -v "$1" >/dev/null && return
  command -v apt-get >/dev/null || return 1
  { apt-get update -qq && apt-get install -y -qq --no-install-recommends "$1"; } >"$folder/apt.log" 2>&1
}

box() { buildah --storage-driver vfs --root "$folder/storage" --runroot "$folder/run" "$@"; }

[ "$(id -u)" -eq 0 ] || skip "buildah is run as root only here"
installed buildah || skip "there is no buildah, nor a package of it"

base=$(sed -n 's/^ARG BASE=//p' "$file")
if box pull -q "$base" >"$folder/pull.log" 2>&1; then
  echo "container: based on $base"
else
  tail -n 1 "$folder/pull.log"
  installed debootstrap || skip "$base cannot be pulled, and there is no debootstrap"
  suite=${base##*-}
  debootstrap --variant=minbase --include=ca-certificates,python3,python3-dev,python3-pip,python3-venv "$suite" \
    "$folder/debian" >"$folder/debootstrap.log" 2>&1 || skip "neither $base nor Debian's packages can be had"
  echo "container: based on the Python of Debian $suite, since $base cannot be pulled"
  ln -s python3 "$folder/debian/usr/bin/python"
  rm "$folder"/debian/usr/lib/python3*/EXTERNALLY-MANAGED # pip is to install for all, as in the image
  made=$(box from scratch)
  box add -q "$made" "$folder/debian" / >/dev/null
  base=localhost/debian-python
  box commit -q --rm "$made" "$base" >/dev/null
  rm -rf "$folder/debian"
fi

# The certificates that this machine trusts, for pip; nothing of it stays in the image.
printf '[global]\ncert = /etc/ssl/certs/ca-certificates.crt\n' >"$folder/pip.conf"
made=$(box from --pull-never "$base")
box run --isolation chroot --network host -v /etc/ssl/certs/ca-certificates.crt:/etc/ssl/certs/ca-certificates.crt:ro \
  -v "$folder/pip.conf:/etc/pip.conf:ro" "$made" -- python -m pip download -q --no-deps -d /tmp/probe pybind11 \
  >"$folder/probe.log" 2>&1 || skip "no index of packages can be reached from a container"
box rm "$made" >/dev/null
git clone -q . "$folder/context"
# The kernels for any CPU alone: the others are tested elsewhere.
box bud -q --format docker --isolation chroot --network host --build-arg BASE="$base" \
  --build-arg CMAKE_ARGS='-DHM_CUDA=OFF -DHM_SIMD=OFF' --ignorefile "$file.dockerignore" \
  -v /etc/ssl/certs/ca-certificates.crt:/etc/ssl/certs/ca-certificates.crt:ro -v "$folder/pip.conf:/etc/pip.conf:ro" \
  -f "$file" -t pyharmony-serve "$folder/context" >"$folder/build.log" 2>&1 || {
  tail -n 40 "$folder/build.log"
  exit 1
}
box inspect --type image pyharmony-serve >"$folder/image.json"
cp .ci/check_container.py "$folder/check.py"
mkdir "$folder/secrets"
head -c 24 /dev/urandom | base64 >"$folder/secrets/token"
chmod -R a+rX "$folder/secrets" "$folder/image.json" "$folder/check.py"
made=$(box from --pull-never pyharmony-serve)
status=0
box run --isolation chroot --network host -v "$folder/secrets:/run/secrets:ro" \
  -v "$folder/image.json:/check/image.json:ro" -v "$folder/check.py:/check/check.py:ro" "$made" -- \
  python /check/check.py || status=$?
box rm -a >/dev/null
box rmi -a -f >/dev/null
exit "$status"
