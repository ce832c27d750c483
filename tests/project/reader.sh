#!/bin/sh
# SPDX-License-Identifier: MIT
# reader.sh READER: examples/reader.c counts the lines of a file of many chunks, and of less than one, as wc does.
set -eu
file=$(mktemp)
trap 'rm -f "$file"' EXIT

for lines in 1 1000 700000; do
	seq "$lines" >"$file"
	said=$("$1" "$file")
	echo "$said"
	[ "${said%% lines,*}" -eq "$lines" ]
done
: >"$file"
if "$1" "$file" 2>/dev/null; then
	exit 1
fi
