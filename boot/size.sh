#!/bin/sh
# SPDX-License-Identifier: MIT
# size.sh INCLUDE [ARCH COMPILER FLAGS]... -- CORE_SOURCES -- PGTABLE_SOURCES: what libvmap costs a kernel, in bytes, by
# architecture: code, data, and a bound of the stack that a call of the library uses, the embedder's hooks not counted. The core twice,
# the second time without what is for several CPUs (VMAP_SHARDS=1).
#
# The bound is the costliest path in the call graph that GCC writes (-fcallgraph-info=su). A function that calls itself follows
# the tables downwards and counts once a level, VMAP_PGTABLE_LEVELS times; another circle, and a frame without a bound, is an
# error. Calls through pointers are the hooks', but for those of tree.c, which are of the static functions that nothing calls.
set -eu
include=$1
shift
levels=$(sed -n 's/^#define VMAP_PGTABLE_LEVELS //p' "$include/vmap/pgtable.h")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# deepest GRAPH...: the bound, and the function it is the bound of.
deepest() {
	awk -v levels="$levels" '
	function visit(f,    i, n, to, best) {
		if (f in bound)
			return bound[f]
		if (f in open) {
			print "size.sh: functions call each other in a circle with " f >"/dev/stderr"
			exit failed = 1
		}
		open[f] = 1
		best = 0
		n = split(calls[f], to, " ")
		for (i = 1; i <= n; i++)
			if (to[i] != f && visit(to[i]) > best)
				best = bound[to[i]]
		delete open[f]
		return bound[f] = best + frame[f] * (f in recursive ? levels : 1)
	}
	{ split($0, part, "\"") }
	/^node:/ && match($0, /[0-9]+ bytes \([a-z,]+\)/) {
		split(substr($0, RSTART, RLENGTH), word, " ")
		if (word[1] > frame[part[2]] + 0) # GCC may have cut a function into parts of one name
			frame[part[2]] = word[1]
		if (word[3] == "(dynamic)") {
			print "size.sh: no bound for the frame of " part[2] >"/dev/stderr"
			exit failed = 1
		}
	}
	/^edge:/ && part[4] == "__indirect_call" {
		if ($0 ~ /\/tree\.c:[0-9:]+" }/)
			calls[part[2]] = calls[part[2]] " (update)"
		next
	}
	/^edge:/ {
		called[part[4]] = 1
		calls[part[2]] = calls[part[2]] " " part[4]
		if (part[2] == part[4])
			recursive[part[2]] = 1
	}
	END {
		if (failed)
			exit 1
		for (f in frame)
			if (f ~ /:/ && !(f in called))
				calls["(update)"] = calls["(update)"] " " f
		for (f in frame)
			if (visit(f) > most || (visit(f) == most && f < name)) {
				most = bound[f]
				name = f
			}
		sub(/.*:/, "", name)
		print most, name
	}' "$@"
}

# measure ARCH COMPILER FLAGS PART SOURCE...
measure() {
	arch=$1 compiler=$2 flags=$3 part=$4
	shift 4
	dir=$work/$arch-$part
	mkdir "$dir"
	for file in "$@"; do
		# shellcheck disable=SC2086 # the flags are a list
		$compiler $flags -fno-asynchronous-unwind-tables -fcallgraph-info=su -I "$include" \
			-isystem "$($compiler -print-file-name=include)" -c "$file" -o "$dir/$(basename "$file").o"
	done
	bytes=$("$($compiler -print-prog-name=size)" "$dir"/*.o |
		awk 'NR > 1 { text += $1; data += $2; bss += $3 } END { print text, data, bss }')
	stack=$(deepest "$dir"/*.ci)
	# shellcheck disable=SC2086 # numbers, and a name
	printf '%-8s %-8s %7d %6d %6d %6d  %s\n' "$arch" "$part" $bytes $stack
}

arches=0
while [ "$1" != -- ]; do
	printf '%s\n' "$1" "$2" "$3" >"$work/arch-$arches"
	arches=$((arches + 1))
	shift 3
done
shift
core=''
while [ "$1" != -- ]; do
	core="$core $1"
	shift
done
shift

printf '%-8s %-8s %7s %6s %6s %6s  %s\n' '' '' text data bss stack 'deepest from'
i=0
while [ $i -lt $arches ]; do
	{
		read -r arch
		read -r compiler
		read -r flags
	} <"$work/arch-$i"
	# shellcheck disable=SC2086 # a list of paths
	measure "$arch" "$compiler" "$flags" core $core
	# shellcheck disable=SC2086 # the same
	measure "$arch" "$compiler" "$flags -DVMAP_SHARDS=1" one-cpu $core
	measure "$arch" "$compiler" "$flags" pgtable "$@"
	i=$((i + 1))
done
