#!/bin/sh
# SPDX-License-Identifier: MIT
# symbols.sh NM ARCHIVE: the core's objects together need no symbol but the four that compilers call on their own.
set -eu
nm=$1 archive=$2

defined=$("$nm" --defined-only "$archive" | awk 'NF == 3 { print $3 }')
needed=$("$nm" -u "$archive" | awk '$1 == "U" { print $2 }' | sort -u)
if [ -z "$defined" ] || [ -z "$needed" ]; then
	echo "$nm shows no symbols of $archive"
	exit 1
fi

status=0
for symbol in $needed; do
	case $symbol in
	memcpy | memmove | memset | memcmp) continue ;;
	esac
	if ! echo "$defined" | grep -qxF "$symbol"; then
		echo "the core needs $symbol, which a freestanding embedder does not have"
		status=1
	fi
done
exit $status
