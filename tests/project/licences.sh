#!/bin/sh
# SPDX-License-Identifier: MIT
# licences.sh SOURCE: every tracked file names its licence, and the one of its room; REUSE.toml speaks for those that cannot.
set -eu
cd "$1"
git ls-files >/dev/null 2>&1 || { echo 'skipped: not a git checkout'; exit 77; }

# The only licences that may stand in a file. The library is MIT so that anybody may embed it; log recovery uses GPL headers.
licences_of() {
	case $1 in
	include/* | src/* | examples/*) echo MIT ;;
	xfs/* | tools/* | tests/xfs/* | fuzz/* | demo/*) echo GPL-2.0-only ;;
	*) echo MIT GPL-2.0-only ;;
	esac
}

patterns=$(sed -n 's/^path = \[\(.*\)\]$/\1/p' REUSE.toml | tr -d '",')
listed() {
	for pattern in $patterns; do
		# shellcheck disable=SC2254 # a pattern it is
		case $1 in $pattern) return 0 ;; esac
	done
	return 1
}

set -f
files=$(git ls-files | grep -v '^LICENSES/')
IFS='
'
bad=0 count=0
for file in $files; do
	unset IFS
	count=$((count + 1))
	[ -e "$file" ] || continue
	listed "$file" && continue
	found=$(head -n 5 "$file" | sed -n 's/.*SPDX-License-Identifier: \([A-Za-z0-9.-]*\).*/\1/p')
	case " $(licences_of "$file") " in
	*" $found "*) [ -n "$found" ] && continue ;;
	esac
	echo "$file: licence ${found:-not named}, expected $(licences_of "$file")"
	bad=1
done
echo "$count files"
[ "$count" -gt 0 ] && exit "$bad"
