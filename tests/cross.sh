#!/bin/sh
# Builds everything for another processor and runs the unit tests there, under qemu: 64-bit Arm, and s390x, whose numbers
# begin with their highest byte. The foreign libraries come from Debian's packages, which are unpacked under build/, so that
# the system stays as it is.
#
#     cross.sh [aarch64|s390x]...       both by default; CROSS_TARGET=lib only builds the library
set -eu
cd "$(dirname "$0")/.."

run() {
    machine=$1 debian=$2 options=$3
    shift 3
    root=$PWD/build/$machine-root
    if [ ! -e "$root/complete" ]; then
        work=$PWD/build/$machine-apt
        rm -rf "$root"
        mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$root"
        apt="apt-get -qq -o APT::Architecture=$debian -o APT::Architectures=$debian
            -o Dir::State::lists=$work/lists -o Dir::Cache=$work/cache -o APT::Sandbox::User=root"
        $apt update
        (cd "$work" && $apt download "$@")
        for package in "$work"/*.deb; do dpkg -x "$package" "$root"; done
        rm -rf "$work"
        touch "$root/complete"
    fi
    libraries=$root/usr/lib/$machine-linux-gnu system=$root/lib/$machine-linux-gnu
    export TEST_WRAPPER="qemu-$machine -L /usr/$machine-linux-gnu -E LD_LIBRARY_PATH=$libraries:$system"
    make --no-print-directory -j"$(nproc)" "${CROSS_TARGET:-unit}" BUILD="build/$machine" CC="$machine-linux-gnu-gcc" \
        AR="$machine-linux-gnu-ar" OPT=-O2 $options WITH_OPENBLAS=0 WITH_PNG=0 WITH_JPEG=0 WITH_JPEG2000=0 WITH_WEBP=0 WITH_SODIUM=0 \
        WITH_JANSSON=0 WITH_CURL=0 WITH_OPENSSL=0 WITH_MOSQUITTO=0 CFLAGS="-I$root/usr/include -I$root/usr/include/$machine-linux-gnu" \
        LDFLAGS="-L$libraries -L$system"
}

[ $# -gt 0 ] || set -- aarch64 s390x
for wanted in "$@"; do
    case $wanted in
        aarch64) run aarch64 arm64 "WITH_ZLIB=0 WITH_YAML=0" libcmocka-dev libcmocka0 ;;
        s390x)
            run s390x s390x "WITH_ZLIB=1 WITH_YAML=1" libcmocka-dev libcmocka0 zlib1g-dev zlib1g libyaml-dev libyaml-0-2
            ;;
        *) echo "cross.sh knows aarch64 and s390x, not $wanted" >&2; exit 2 ;;
    esac
done
