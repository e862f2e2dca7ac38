#!/bin/sh
# Builds the container of the service in a folder and has it work, or says in one line why that cannot be done here:
# sh .ci/container.sh FOLDER [ARCHITECTURE]
#
# It takes buildah, of Debian if need be, without a daemon, namespaces or a cgroup: so it works in a container too. The
# base is the image that the Dockerfile names or, where no registry can be reached, Debian's Python. The architecture,
# amd64 or arm64, is by default the machine's; arm64 is emulated elsewhere, by QEMU, which takes half an hour.
set -eu
file=pyharmony/serve/Dockerfile
folder=$1
machine=$(uname -m | sed 's/^x86_64$/amd64/; s/^aarch64$/arm64/')
architecture=${2:-$machine}
case $architecture in
amd64 | arm64) ;;
*)
  echo "container: architecture: $architecture, expected amd64 or arm64" >&2
  exit 2
  ;;
esac
mkdir -p "$folder"

skip() {
  echo "container: skipped, $1"
  exit 0
}

installed() { # program, and its package of Debian if that has another name
  command -v "$1" >/dev/null && return
  command -v apt-get >/dev/null || return 1
  { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${2:-$1}"; } >"$folder/apt.log" 2>&1
}

handlers=/proc/sys/fs/binfmt_misc

emulated() { # the programs for arm64 run here; what this registers lasts as long as the script
  [ -e $handlers/register ] || mount -t binfmt_misc none $handlers 2>/dev/null || return 1
  [ -e $handlers/qemu-aarch64 ] && return
  installed qemu-aarch64-static qemu-user-static || return 1
  [ -e $handlers/qemu-aarch64 ] && return
  # F, one of the flags in Debian's file, opens the emulator here, so that it is there inside a container.
  cat /usr/lib/binfmt.d/qemu-aarch64.conf >$handlers/register || return 1
  trap 'echo -1 >$handlers/qemu-aarch64' EXIT
}

box() { buildah --storage-driver vfs --root "$folder/storage" --runroot "$folder/run" "$@"; }

[ "$(id -u)" -eq 0 ] || skip "buildah is run as root only here"
installed buildah || skip "there is no buildah, nor a package of it"
factor=1 # of the limits of check_container.py
if [ "$architecture" != "$machine" ]; then
  [ "$architecture" = arm64 ] || skip "$architecture is not emulated on $machine"
  emulated || skip "arm64 cannot be emulated here: that takes binfmt_misc and QEMU's user emulation"
  factor=10
fi

base=$(sed -n 's/^ARG BASE=//p' "$file")
if box pull -q --arch "$architecture" "$base" >"$folder/pull.log" 2>&1; then
  echo "container: based on $base"
else
  tail -n 1 "$folder/pull.log"
  installed debootstrap || skip "$base cannot be pulled, and there is no debootstrap"
  suite=${base%@*}
  suite=${suite##*-}
  debootstrap --arch "$architecture" --variant=minbase \
    --include=ca-certificates,python3,python3-dev,python3-pip,python3-venv "$suite" "$folder/debian" \
    >"$folder/debootstrap.log" 2>&1 || skip "neither $base nor Debian's packages can be had"
  echo "container: based on the Python of Debian $suite, since $base cannot be pulled"
  ln -s python3 "$folder/debian/usr/bin/python"
  rm "$folder"/debian/usr/lib/python3*/EXTERNALLY-MANAGED # pip is to install for all, as in the image
  made=$(box from scratch)
  box add -q "$made" "$folder/debian" / >/dev/null
  box config --arch "$architecture" "$made"
  base=localhost/debian-python
  box commit -q --rm "$made" "$base" >/dev/null
  rm -rf "$folder/debian"
fi

# The certificates that this machine trusts, for pip; nothing of it stays in the image.
printf '[global]\ncert = /etc/ssl/certs/ca-certificates.crt\n' >"$folder/pip.conf"
made=$(box from --pull-never --arch "$architecture" "$base")
box run --isolation chroot --network host -v /etc/ssl/certs/ca-certificates.crt:/etc/ssl/certs/ca-certificates.crt:ro \
  -v "$folder/pip.conf:/etc/pip.conf:ro" "$made" -- python -m pip download -q --no-deps -d /tmp/probe pybind11 \
  >"$folder/probe.log" 2>&1 || skip "no index of packages can be reached from a container"
box rm "$made" >/dev/null
git clone -q . "$folder/context"
# The kernels for any CPU alone: the others are tested elsewhere.
box bud -q --format docker --arch "$architecture" --isolation chroot --network host --build-arg BASE="$base" \
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
made=$(box from --pull-never --arch "$architecture" pyharmony-serve)
status=0
box run --isolation chroot --network host -v "$folder/secrets:/run/secrets:ro" \
  -v "$folder/image.json:/check/image.json:ro" -v "$folder/check.py:/check/check.py:ro" "$made" -- \
  python /check/check.py "$architecture" "$factor" || status=$?
box rm -a >/dev/null
box rmi -a -f >/dev/null
exit "$status"
