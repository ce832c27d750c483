#!/bin/sh
# SPDX-License-Identifier: MIT
# installed.sh BUILD SOURCE PREFIX LIBDIR DATADIR SBINDIR MANDIR CC CXX: install into an empty tree, then use it as a stranger
# would: every header alone in C and C++, a C and a C++ program, shared and static, with nothing but what pkg-config says; the
# core's sources, as a kernel compiles them; the tool and its page.
set -eu
build=$1 source=$2 prefix=$3 libdir=$4 datadir=$5 sbindir=$6 mandir=$7 cc=$8 cxx=$9
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
# _.stapsdt.base: <sys/sdt.h> marks with it where the probes are; hidden, so that only an archive shows it.
awk 'NF == 3 && $3 !~ /^vmap_|^_\.stapsdt\.base$/ { print "not our name: " $3; bad = 1 } END { exit bad }' "$tree/shared" "$tree/static"
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

# The core as source: found by pkg-config alone, compiled without a libc; the smallest host runs over it.
core() {
	pkg-config --define-variable=prefix="$tree$prefix" --variable="$1" libvmap-core
}
export PKG_CONFIG_LIBDIR="$tree$prefix/$datadir/pkgconfig"
unset PKG_CONFIG_SYSROOT_DIR
pkg-config --exists --print-errors libvmap-core
sourcedir=$(core sourcedir) headerdir=$(core headerdir)
case $(uname -m) in
x86_64) kernel='-mgeneral-regs-only -mno-red-zone' ;;
aarch64) kernel='-mgeneral-regs-only -mno-outline-atomics' ;;
*) kernel='' ;;
esac
mkdir "$tree/core"
for file in "$sourcedir"/*.c "$sourcedir"/pgtable/*.c; do
	name=${file#"$sourcedir"/}
	cmp "$file" "$source/src/$name" || fail "$name is not the one of the source tree"
	# shellcheck disable=SC2086
	$cc -std=c11 $warnings -O2 -ffreestanding -fno-stack-protector $kernel -nostdinc -isystem "$($cc -print-file-name=include)" \
		-I"$headerdir" -c "$file" -o "$tree/core/$(echo "$name" | tr / _).o" || fail "$name does not compile freestanding"
done
$cc -nostdlib -r "$tree/core"/*.o -o "$tree/core.o"
"$source/tests/core/symbols.sh" nm "$tree/core.o"
# shellcheck disable=SC2086
$cc -std=c11 $warnings -I"$headerdir" "$source/examples/host.c" "$tree/core.o" -o "$tree/host"
"$tree/host" >"$tree/said" || fail "a host over the installed sources says: $(cat "$tree/said")"

# The tool and its manual page.
version=$(pkg-config --modversion libvmap-core)
"$tree$prefix/$sbindir/xfs_replay" -V | grep -qF "$version" || fail "xfs_replay does not say that it is of version $version"
[ -s "$tree$prefix/$mandir/man8/xfs_replay.8" ] || fail 'xfs_replay has no manual page'
"$tree$prefix/$sbindir/vmapstat" -V | grep -qF "$version" || fail "vmapstat does not say that it is of version $version"
[ -s "$tree$prefix/$mandir/man8/vmapstat.8" ] || fail 'vmapstat has no manual page'
if [ -e "$tree$prefix/$sbindir/xfs_view" ]; then
	"$tree$prefix/$sbindir/xfs_view" -V | grep -qF "$version" || fail "xfs_view does not say that it is of version $version"
	[ -s "$tree$prefix/$mandir/man8/xfs_view.8" ] || fail 'xfs_view has no manual page'
fi
