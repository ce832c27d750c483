#!/bin/sh
# SPDX-License-Identifier: MIT
# installed.sh BUILD SOURCE PREFIX LIBDIR SBINDIR MANDIR CC CXX: install into an empty tree, then use it as a stranger would: every
# header alone in C and C++, a C and a C++ program, shared and static, with nothing but what pkg-config says; the tool and its page.
set -eu
build=$1 source=$2 prefix=$3 libdir=$4 sbindir=$5 mandir=$6 cc=$7 cxx=$8
here=$source/tests/install
warnings='-Wall -Wextra -Werror -pedantic'

tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
fail() {
	echo "$*"
	exit 1
}

DESTDIR=$tree meson install -C "$build" --no-rebuild --quiet
libs=$tree$prefix/$libdir
include=$tree$prefix/include

# Each header alone. What is installed is what the source tree has.
for header in "$source"/include/vmap/*.h; do
	name=${header##*/}
	cmp "$header" "$include/vmap/$name" || fail "$name is not installed"
	printf '#include <vmap/%s>\nextern int one;\n' "$name" >"$tree/one.c"
	# shellcheck disable=SC2086 # the commands and flags are lists
	$cc -std=c11 $warnings -I"$include" -fsyntax-only "$tree/one.c" || fail "$name does not compile alone as C11"
	# shellcheck disable=SC2086
	$cxx -x c++ -std=c++17 $warnings -I"$include" -fsyntax-only "$tree/one.c" || fail "$name does not compile alone as C++17"
done

# Only the library's own names, in both.
nm -D --defined-only "$libs/libvmap.so.0" >"$tree/shared"
nm -g --defined-only "$libs/libvmap.a" >"$tree/static"
grep -q ' T vmap_pages$' "$tree/shared" || fail 'libvmap.so does not export vmap_pages'
grep -q ' T vmap_pages$' "$tree/static" || fail 'libvmap.a does not have vmap_pages'
awk 'NF == 3 && $3 !~ /^vmap_/ { print "not our name: " $3; bad = 1 } END { exit bad }' "$tree/shared" "$tree/static"
readelf -d "$libs/libvmap.so" | grep -q 'SONAME.*\[libvmap\.so\.0\]' || fail 'libvmap.so has another SONAME than libvmap.so.0'

export PKG_CONFIG_LIBDIR="$libs/pkgconfig" PKG_CONFIG_SYSROOT_DIR="$tree"
export PKG_CONFIG_ALLOW_SYSTEM_CFLAGS=1 PKG_CONFIG_ALLOW_SYSTEM_LIBS=1
pkg-config --exists --print-errors libvmap
cflags=$(pkg-config --cflags libvmap)

# use NAME COMPILER SOURCE EXPECTED: build against both libraries and run.
use() {
	# shellcheck disable=SC2046,SC2086
	$2 $warnings $cflags "$3" $(pkg-config --libs libvmap) -o "$tree/$1-shared"
	readelf -d "$tree/$1-shared" | grep -q 'NEEDED.*\[libvmap\.so\.0\]' || fail "$1 does not use the shared library"
	[ "$(LD_LIBRARY_PATH=$libs "$tree/$1-shared")" = "$4" ] || fail "$1 with the shared library does not say: $4"

	# shellcheck disable=SC2046,SC2086
	$2 $warnings $cflags -static "$3" $(pkg-config --static --libs libvmap) -o "$tree/$1-static"
	[ "$("$tree/$1-static")" = "$4" ] || fail "$1 with the static library does not say: $4"
}

use c "$cc -std=gnu11" "$source/examples/view.c" 'across |the border'
use cxx "$cxx -std=c++17" "$here/consumer.cc" 'backwards and forwards'

# The tool and its manual page.
version=$(pkg-config --modversion libvmap)
"$tree$prefix/$sbindir/xfs_replay" -V | grep -qF "$version" || fail "xfs_replay does not say that it is of version $version"
[ -s "$tree$prefix/$mandir/man8/xfs_replay.8" ] || fail 'xfs_replay has no manual page'
if [ -e "$tree$prefix/$sbindir/xfs_view" ]; then
	"$tree$prefix/$sbindir/xfs_view" -V | grep -qF "$version" || fail "xfs_view does not say that it is of version $version"
	[ -s "$tree$prefix/$mandir/man8/xfs_view.8" ] || fail 'xfs_view has no manual page'
fi
