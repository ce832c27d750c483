#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# usage: run-newer.sh PROGRAMS [ROW...]
#
# The rows of the table geometries-newer, or these, with mkfs.xfs, xfs_db, xfs_logprint and xfs_repair of the directory PROGRAMS: for filesystems that
# the installed ones cannot make. Says what became of each, and keeps the output of those that failed. Environment as for run-image.sh.

set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
programs=$(cd "${1:?}" && pwd)
shift
export IMAGE_TABLE=$here/geometries-newer PATH=$programs:$PATH
[ -x "$programs/mkfs.xfs" ] || {
  echo "there is no mkfs.xfs in $programs" >&2
  exit 2
}
[ $# -gt 0 ] || mapfile -t rows < <(sed -n 's/^\([a-z0-9-]*\) |.*/\1/p' "$IMAGE_TABLE")
[ $# = 0 ] || rows=("$@")
failed=0
for row in "${rows[@]}"; do
  said=$(mktemp "${TMPDIR:-/tmp}/newer-$row.XXXXXX")
  if "$here/run-image.sh" "$row" >"$said" 2>&1; then
    tail -1 "$said"
    rm "$said"
  else
    failed=$((failed + 1))
    echo "FAILED: $row, see $said"
  fi
done
echo "$((${#rows[@]} - failed)) of ${#rows[@]} rows passed"
[ "$failed" = 0 ]
