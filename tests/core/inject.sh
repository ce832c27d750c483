#!/bin/sh
# SPDX-License-Identifier: MIT
# inject.sh INCLUDE TEST...: each function that the core's headers declare is called where hooks are made to fail, in one of these tests.
set -eu
include=$1
shift

functions=$(sed -n 's/^VMAP_API .*\<\(vmap_[a-z_]*\)(.*/\1/p' "$include/map.h" "$include/ram.h" "$include/space.h" "$include/sparse.h")
count=$(echo "$functions" | wc -l)
declared=$(cat "$include/map.h" "$include/ram.h" "$include/space.h" "$include/sparse.h" | grep -c '^VMAP_API')
if [ "$count" -ne "$declared" ]; then
	echo "$declared functions are declared, and $count names found"
	exit 1
fi

status=0
for function in $functions; do
	if ! grep -qw "$function" "$@"; then
		echo "no hook is made to fail in $function()"
		status=1
	fi
done
exit $status
