#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# usage: run-shipped.sh NAME                  test shipped/NAME.img.zst against shipped/NAME.txt.zst
#        run-shipped.sh --answer IMAGE        print the snapshot of a recovered image: how NAME.txt was made
#
# Dirty images that other kernels wrote (shipped/README.md says which), with the recovery of those kernels as the answer. All of them have
# unlinked inodes, so xfs_replay leaves the log dirty (exit 2) and this kernel finishes it; the result must be the answer,
# and what this kernel makes of the image alone.

# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

tools=${IMAGE_TOOLS:?}
need_kernel

if [ "$1" = --answer ]; then
  mkdir "$work/answer"
  cp --sparse=always "$2" "$work/answer/img"
  snapshot_image "$work/answer" "$work/answer.txt" >&2
  cat "$work/answer.txt"
  exit
fi

replay=${XFS_REPLAY:?}
[ -x "$replay" ] || skip "$replay is not built"
shipped=$(dirname "$0")/shipped
K=$work/kernel T=$work/tool
mkdir "$K"
zstd -q -d --sparse "$shipped/$1.img.zst" -o "$K/img"
zstd -q -d "$shipped/$1.txt.zst" -o "$work/answer.txt"
check_dirty "$K"
copy_image "$K" "$T"

kernel_mount "$K"
[ "$verdict" = recovered ] || fail "the kernel found nothing to recover"
rc=0
"$replay" "$T/img" || rc=$?
[ "$rc" = 2 ] || fail "xfs_replay: exit $rc, expected 2"
kernel_mount "$T"
[ "$verdict" = recovered ] || fail "the tool said that a dirty log remains, the kernel found none"

snapshot_image "$T" "$T.txt"
diff -u "$work/answer.txt" "$T.txt" >"$work/diff" || {
  head -40 "$work/diff" >&2
  fail "the result differs from the answer of the kernel that wrote the image"
}
# A kernel without quota leaves dquots (sectors that begin with DQ) alone, the tool replays them.
"$tools/imgdiff" "$K/img" "$T/img" >"$work/sectors" || [ $? = 1 ] || fail "imgdiff"
if grep '^sector' "$work/sectors" | grep -v '(begins 4451' >&2; then
  fail "the kernel wrote other sectors after replay than without it"
fi
echo "$1: equal in $(wc -l <"$T.txt") lines"
