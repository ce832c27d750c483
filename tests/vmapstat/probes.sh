#!/bin/sh
# SPDX-License-Identifier: MIT
# probes.sh LIBRARY PAGE HEADER: the library has exactly the probes that vmapstat(8) documents.
set -eu
has=$(readelf -n "$1" | sed -n '/Provider: vmap/{n;s/.*Name: //p;}' | sort -u)
if [ -z "$has" ]; then
	printf '#include <sys/sdt.h>\n' | cc -E - >/dev/null 2>&1 || { echo 'skipped: <sys/sdt.h> is not installed'; exit 77; }
fi
documented=$(sed -n 's/^\.It Fn vmap:\([a-z_]*\).*/\1/p' "$2" | sort)
if [ "$has" != "$documented" ] || [ -z "$has" ]; then
	printf 'the library has:\n%s\nvmapstat(8) has:\n%s\n' "$has" "$documented"
	exit 1
fi
