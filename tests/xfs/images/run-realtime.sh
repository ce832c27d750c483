#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Recovers shipped/realtime.img.zst, files on a realtime device some of which were unlinked while open, and compares with what the kernel that
# wrote it made of it: the realtime bitmap and its summary, the counters, every file's blocks. (Sector by sector only the inodes' change counts would
# differ: a kernel frees in more transactions.) No mount, no root. What is on the realtime device itself does not matter.

# shellcheck source-path=SCRIPTDIR source=../common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../common.sh"

replay=${XFS_REPLAY:?}
shipped=$(dirname "$0")/shipped

need zstd xfs_db xfs_repair
work=$(mktemp -d "${TMPDIR:-/tmp}/xfs-realtime.XXXXXX")
trap 'rm -rf "$work"' EXIT
zstd -q -d --sparse --long=29 "$shipped/realtime.img.zst" -o "$work/img"
zstd -q -d --sparse --long=29 --patch-from="$work/img" "$shipped/realtime.answer.zst" -o "$work/answer"
truncate -s 200M "$work/rt"

# The bitmap, the summary, the counters; then all files that can be seen.
state() {
  local rbmino rsumino ino commands=()
  read -r rbmino rsumino < <(xfs_db -r -c 'sb 0' -c 'print rbmino rsumino' "$1" | awk '{ print $3 }' | xargs)
  xfs_db -r -c "inode $rbmino" -c 'dblock 0' -c print -c "inode $rsumino" -c 'dblock 0' -c print "$1"
  xfs_db -r -c 'sb 0' -c 'print icount ifree fdblocks frextents' "$1"
  xfs_db -r -c 'agi 0' -c 'print count freecount unlinked' "$1"
  for ino in $(seq 131 191); do
    commands+=(-c "inode $ino" -c 'print core.mode core.nlinkv2 core.size core.nblocks core.nextents u3.bmx')
  done
  xfs_db -r "${commands[@]}" "$1" 2>&1
}

state "$work/img" >"$work/before"
"$replay" -r "$work/rt" "$work/img" >"$work/said" 2>&1 || fail "xfs_replay: exit $?: $(cat "$work/said")"
grep -q ' 14 unlinked inodes' "$work/said" || fail "not 14 unlinked inodes were freed: $(cat "$work/said")"
state "$work/img" >"$work/ours"
state "$work/answer" >"$work/theirs"
diff -u "$work/theirs" "$work/ours" >&2 || fail "not what the kernel that wrote it made of it"
! cmp -s "$work/before" "$work/ours" || fail "there was nothing to recover: the test is void"
xfs_repair -n -f -r "$work/rt" "$work/img" >"$work/repair" 2>&1 || fail "xfs_repair -n: $(tail -20 "$work/repair")"
echo "equal in $(wc -l <"$work/ours") lines"
