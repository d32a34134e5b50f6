#!/bin/sh
# Makes build/arm-bench: Debian's Python and the peer's wheels for 64-bit Arm, unpacked, the plugin that counts, and
# libtenon.so for Arm. Nothing is installed in the system but what packages.sh full installs.
set -eu
cd "$(dirname "$0")/../../.."
tests/setup/packages.sh full
tests/setup/venv.sh
CROSS_TARGET=lib tests/cross.sh aarch64
here=$PWD/build/arm-bench
cc -shared -fPIC -O2 -o build/instructions.so tests/bench/arm/instructions.c
[ -e "$here/complete" ] && exit 0
rm -rf "$here"
mkdir -p "$here/apt/lists/partial" "$here/apt/cache/archives/partial" "$here/root" "$here/site"
apt="apt-get -qq -o APT::Architecture=arm64 -o APT::Architectures=arm64
    -o Dir::State::lists=$here/apt/lists -o Dir::Cache=$here/apt/cache -o APT::Sandbox::User=root"
$apt update
(cd "$here/apt" && $apt download python3.11-minimal libpython3.11-minimal libpython3.11-stdlib libexpat1 zlib1g libssl3 \
    libffi8 libbz2-1.0 liblzma5 libuuid1 libstdc++6 libgcc-s1 libgomp1 libc6)
for package in "$here"/apt/*.deb; do dpkg -x "$package" "$here/root"; done
# What an Arm machine would install: the versions are those of the comparison on this one.
grep -hE '^(numpy|MNN)==' tests/setup/requirements.txt tests/bench/requirements.txt > "$here/requirements.txt"
build/venv/bin/pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: --target "$here/site" \
    --python-version 311 --implementation cp --platform manylinux_2_28_aarch64 --platform manylinux_2_27_aarch64 \
    --platform manylinux2014_aarch64 -r "$here/requirements.txt"
rm -rf "$here/apt"
touch "$here/complete"
