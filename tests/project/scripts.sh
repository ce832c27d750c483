#!/bin/sh
# SPDX-License-Identifier: MIT
# scripts.sh SOURCE: shellcheck finds nothing in any tracked script.
set -eu
cd "$1"
git ls-files >/dev/null 2>&1 || { echo 'skipped: not a git checkout'; exit 77; }
command -v shellcheck >/dev/null || { echo 'skipped: shellcheck is not installed'; exit 77; }

is_script() {
	[ -f "$1" ] && head -n 1 "$1" | grep -aqE '^#! ?/(usr/)?bin/(env )?(ba|da)?sh'
}
scripts=$(git ls-files | while read -r file; do
	if is_script "$file"; then echo "$file"; fi
done)
[ -n "$scripts" ]
# shellcheck disable=SC2086 # one word a script
exec shellcheck -x -P SCRIPTDIR $scripts
