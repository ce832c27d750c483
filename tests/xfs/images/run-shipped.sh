#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# usage: run-shipped.sh NAME                  test shipped/NAME.img.zst against shipped/NAME.txt.zst
#        run-shipped.sh --answer IMAGE        print the snapshot of a recovered image: how NAME.txt was made
#
# Dirty images that other kernels wrote (shipped/README.md says which), with the recovery of those kernels as the answer. All of them have
# something to complete. xfs_replay does it, or leaves it to this kernel (--pass2-only): either way the result must be the answer.

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
D=$work/dirty K=$work/kernel
mkdir "$D"
zstd -q -d --sparse --long=29 "$shipped/$1.img.zst" -o "$D/img"
zstd -q -d "$shipped/$1.txt.zst" -o "$work/answer.txt"
check_dirty "$D"
copy_image "$D" "$K"
kernel_mount "$K"
[ "$verdict" = recovered ] || fail "the kernel found nothing to recover"

# recovered_by EXPECTED-STATUS EXPECTED-VERDICT OPTION...: what the tool, and the kernel after it, make of a copy is the answer
recovered_by() {
  local rc=0 status=$1 mount=$2 T=$work/tool$1
  copy_image "$D" "$T"
  "$replay" "${@:3}" "$T/img" || rc=$?
  [ "$rc" = "$status" ] || fail "xfs_replay ${*:3}: exit $rc, expected $status"
  kernel_mount "$T"
  [ "$verdict" = "$mount" ] || fail "after xfs_replay ${*:3} the kernel saw a log to be $verdict"
  snapshot_image "$T" "$T.txt"
  diff -u "$work/answer.txt" "$T.txt" >"$work/diff" || {
    head -40 "$work/diff" >&2
    fail "the result differs from the answer of the kernel that wrote the image"
  }
}

recovered_by 0 clean
recovered_by 2 recovered --pass2-only
# A kernel without quota leaves dquots (sectors that begin with DQ) alone, the tool replays them.
"$tools/imgdiff" "$K/img" "$work/tool2/img" >"$work/sectors" || [ $? = 1 ] || fail "imgdiff"
if grep '^sector' "$work/sectors" | grep -v '(begins 4451' >&2; then
  fail "the kernel wrote other sectors after pass 2 than without it"
fi
echo "$1: equal in $(wc -l <"$work/answer.txt") lines"
