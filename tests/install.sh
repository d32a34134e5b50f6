#!/bin/sh
# Installs into a folder and builds against what is there: the headers alone, C, C++, shared and static; what the shared
# library exports, and how large it is.
set -eu
cd "$(dirname "$0")/.."
stage=$PWD/build/stage prefix=/opt/tenon limit=$((3 * 1024 * 1024))
rm -rf "$stage"
make --no-print-directory install DESTDIR="$stage" PREFIX=$prefix >/dev/null
export PKG_CONFIG_PATH="$stage$prefix/lib/pkgconfig" PKG_CONFIG_SYSROOT_DIR="$stage"
strict="-Wall -Wextra -Werror -pedantic"
include=-I$stage$prefix/include

for header in "$stage$prefix"/include/tenon/*.h; do
    ${CC:-cc} -std=c11 $strict $include -fsyntax-only -x c "$header"
    ${CXX:-c++} -std=c++11 $strict $include -fsyntax-only -x c++ "$header"
done
${CC:-cc} -std=c11 $strict examples/build_graph.c -o "$stage/shared" $(pkg-config --cflags --libs tenon)
${CXX:-c++} -std=c++11 $strict tests/cxx/host.cc -o "$stage/cxx" $(pkg-config --cflags --libs tenon)
${CC:-cc} -std=c11 $strict examples/build_graph.c -o "$stage/static" $(pkg-config --cflags tenon) \
    "$stage$prefix/lib/libtenon.a" $(PKG_CONFIG_SYSROOT_DIR= pkg-config --static --libs-only-l tenon | sed 's/-ltenon//')
export LD_LIBRARY_PATH="$stage$prefix/lib"
"$stage/shared" >/dev/null
"$stage/static" >/dev/null
"$stage/cxx" >/dev/null
"$stage$prefix/bin/tenon" --version >/dev/null

library=$stage$prefix/lib/libtenon.so
alien=$(nm -D --defined-only "$library" | awk '$3 !~ /^(tn_|TENON_)/ { print $3 }')
[ -z "$alien" ] || { echo "exported, but not named tn_: $alien" >&2; exit 1; }
# What starts threads or brings many libraries along is loaded when it is needed, not with every program.
heavy=$(readelf -d "$library" | grep -oE 'lib(openblas|curl|crypto|mosquitto|mpi)[^]]*' || true)
[ -z "$heavy" ] || { echo "linked, but to be loaded when needed: $heavy" >&2; exit 1; }
# All that the headers declare is there, and nothing else is.
nm -D --defined-only "$library" | awk '$2 == "T" { sub(/@.*/, "", $3); print $3 }' | sort >"$stage/exported"
cat include/tenon/*.h | tr '\n' ' ' | grep -oE 'TN_API [^;{(]*\(' | grep -oE 'tn_[a-z0-9_]+ ?\($' | tr -d ' (' |
    sort -u >"$stage/declared"
extra=$(comm -23 "$stage/exported" "$stage/declared")
[ -z "$extra" ] || { echo "exported, but not declared: $extra" >&2; exit 1; }
missing=$(comm -13 "$stage/exported" "$stage/declared")
[ -z "$missing" ] || { echo "declared, but not exported: $missing" >&2; exit 1; }
size=$(stat -Lc %s "$library")
echo "installed: $(wc -l <"$stage/declared") functions declared; libtenon.so takes $size bytes of $limit"
[ "$size" -le $limit ]
