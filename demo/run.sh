#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# usage: run.sh XFS_REPLAY
#
# The main job, on a real dirty image: what is on the disk, what the log adds, the recovery, and what is there afterwards. Needs no root.
# Fails when the tree afterwards is not the one that a kernel recovers (after.txt).

set -eu
export LC_ALL=C
replay=$(realpath "$1")
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/xfs-demo.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
cd "$work"

say() {
  printf '\n=== %s\n\n' "$*"
}

# The letters are many: the first of each directory stands for the others.
show_tree() {
  awk '{ directory = $8; sub("/[^/]*$", "", directory) }
       $8 ~ "^/mail/.*/" { if (seen[directory]++) next }
       { print }
       END { for (d in seen) if (seen[d] > 1) print "  ... and " seen[d] - 1 " more in " d }' "$1"
}

say "A filesystem whose power failed: demo.img, unpacked from $(($(wc -c <"$here/demo.img.zst") / 1024)) KiB"
zstd -q -d --sparse "$here/demo.img.zst" -o demo.img
"$replay" --tree-before demo.img >before.txt 2>report.txt || [ $? = 2 ] || { # 2: the log is dirty, as it should be
  cat report.txt
  exit 1
}
say "What is on the disk, its log aside (xfs_replay --tree-before)"
show_tree before.txt

say "The log, and its replay (xfs_replay -v --stats demo.img)"
"$replay" -v --stats demo.img

say "What is on the disk now (xfs_replay --tree)"
"$replay" --tree demo.img >after.txt 2>report.txt
show_tree after.txt
if ! diff "$here/after.txt" after.txt; then
  echo "demo: FAILED: this is not the tree that a kernel recovers" >&2
  exit 1
fi

say "A second opinion (xfs_repair -n)"
if command -v xfs_repair >/dev/null; then
  xfs_repair -n demo.img >repair.txt 2>&1 || {
    cat repair.txt
    echo "demo: FAILED: xfs_repair found something" >&2
    exit 1
  }
  echo "xfs_repair -n finds nothing to repair."
else
  echo "xfs_repair is not installed."
fi

say "demo: $(wc -l <before.txt) names before, $(wc -l <after.txt) after: recovered, the log is clean, and no kernel was asked"
