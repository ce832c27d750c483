#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# usage: run-foreign.sh NAME [SECTOR...]
#
# Replays shipped/NAME.img.zst, which this machine's kernel cannot recover or not even mount, and compares the result with what the
# kernel that wrote it made of it (NAME.answer.zst, a patch for the former), sector by sector. No mount, no root. The sectors that are named
# may differ: they are what completion changes, because of inodes that were open when they were unlinked (superblock counters, AGI,
# inode trees, those inodes).

set -euo pipefail
export LC_ALL=C

tools=${IMAGE_TOOLS:?}
replay=${XFS_REPLAY:?}
shipped=$(dirname "$0")/shipped
name=${1:?}
shift

skip() {
  echo "skipped: $*"
  exit 77
}
fail() {
  echo "FAILED: $*" >&2
  exit 1
}

command -v zstd >/dev/null || skip "zstd is not installed"
work=$(mktemp -d "${TMPDIR:-/tmp}/xfs-foreign.XXXXXX")
trap 'rm -rf "$work"' EXIT

zstd -q -d --sparse --long=29 "$shipped/$name.img.zst" -o "$work/img"
zstd -q -d --sparse --long=29 --patch-from="$work/img" "$shipped/$name.answer.zst" -o "$work/answer"

# As it will be, before anything is written; and what the other kernel left.
"$replay" --tree "$work/img" >"$work/img.tree" 2>"$work/said" || [ $? = 2 ] || fail "--tree: $(cat "$work/said")"
"$replay" --tree "$work/answer" >"$work/answer.tree" 2>"$work/said" || fail "--tree of the answer: $(cat "$work/said")"
[ "$(wc -l <"$work/answer.tree")" -gt 1000 ] || fail "the tree is not whole"
diff -u "$work/answer.tree" "$work/img.tree" | head -40 >&2
cmp "$work/answer.tree" "$work/img.tree" || fail "the trees differ"

rc=0
"$replay" "$work/img" || rc=$?
[ "$rc" = 0 ] || [ "$rc" = 2 ] || fail "xfs_replay: exit $rc"
"$tools/imgdiff" "$work/answer" "$work/img" >"$work/sectors" || [ $? = 1 ] || fail "imgdiff"
while read -r _ sector rest; do
  case " $* " in
  *" $sector "*) ;;
  *) fail "sector $sector $rest" ;;
  esac
done < <(grep '^sector' "$work/sectors")
[ "$(grep -c '^sector' "$work/sectors")" -le $# ] || fail "more sectors differ than can be named"

if [ "$rc" = 0 ] && command -v xfs_repair >/dev/null; then
  xfs_repair -n -f "$work/img" >"$work/repair" 2>&1 || fail "xfs_repair -n: $(tail -20 "$work/repair")"
fi
echo "$name: equal but for $(grep -c '^sector' "$work/sectors" || true) sectors, $(wc -l <"$work/img.tree") names; exit $rc"
