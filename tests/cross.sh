#!/bin/sh
# Builds everything for 64-bit Arm and runs the unit tests there, under qemu. cmocka comes from Debian's arm64 packages,
# which are unpacked under build/, so that the system stays as it is.
set -eu
cd "$(dirname "$0")/.."
root=$PWD/build/aarch64-root
if [ ! -e "$root/usr/lib/aarch64-linux-gnu/libcmocka.so" ]; then
    work=$PWD/build/aarch64-apt
    mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$root"
    apt="apt-get -qq -o APT::Architecture=arm64 -o APT::Architectures=arm64
        -o Dir::State::lists=$work/lists -o Dir::Cache=$work/cache -o APT::Sandbox::User=root"
    $apt update
    (cd "$work" && $apt download libcmocka-dev libcmocka0)
    for package in "$work"/*.deb; do dpkg -x "$package" "$root"; done
    rm -rf "$work"
fi
libraries=$root/usr/lib/aarch64-linux-gnu
export TEST_WRAPPER="qemu-aarch64 -L /usr/aarch64-linux-gnu -E LD_LIBRARY_PATH=$libraries"
make --no-print-directory -j"$(nproc)" unit BUILD=build/aarch64 CC=aarch64-linux-gnu-gcc AR=aarch64-linux-gnu-ar \
    WITH_OPENBLAS=0 WITH_ZLIB=0 WITH_JPEG=0 WITH_JPEG2000=0 WITH_WEBP=0 WITH_SODIUM=0 WITH_JANSSON=0 \
    CFLAGS="-I$root/usr/include" LDFLAGS="-L$libraries"
