#!/bin/sh
# Installs the Debian packages that building and checking need, where they are missing. Silent if all are there.
set -eu
packages="gcc make pkg-config libc6-dev libopenblas-dev zlib1g-dev libpng-dev libjpeg-dev libopenjp2-7-dev libwebp-dev
    libyaml-dev libsodium-dev libjansson-dev libcurl4-openssl-dev libmosquitto-dev libssl-dev libcmocka-dev ca-certificates python3 python3-venv"
case "${1:-}" in
    demo) packages="$packages pocketsphinx-testdata" ;;
    full) packages="$packages pocketsphinx-testdata openmpi-bin skopeo mosquitto minisign xdelta3 bsdiff zstd docker-registry apache2-utils openssl g++ clang libclang-rt-dev valgrind qemu-user gcc-aarch64-linux-gnu libc6-dev-arm64-cross gcc-s390x-linux-gnu libc6-dev-s390x-cross clang-format git" ;;
esac
missing=
for p in $packages; do
    dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing="$missing $p"
done
[ -n "$missing" ] || exit 0
echo "installing:$missing"
sudo=
[ "$(id -u)" -eq 0 ] || sudo=sudo
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get update -qq
$sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null
