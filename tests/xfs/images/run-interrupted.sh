#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# usage: run-interrupted.sh GEOMETRY
#
# Replay that is interrupted, at whatever write, loses nothing: what is left is either a dirty log over a filesystem that can be
# recovered again, by the tool or by the kernel, or a finished one. A preloaded library ends the tool after its Nth write; N goes from 0 to
# the last, in steps. Environment as for run-image.sh; IMAGE_DIE_AFTER the library.

# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

tools=${IMAGE_TOOLS:?}
replay=${XFS_REPLAY:?}
library=${IMAGE_DIE_AFTER:?}
points=12
size=300M
tidy=(--tidy --reflink)

case ${1:?} in
default) mkfs=() load=(--ops=800 --freeze-every=500) ;;
dir64k) mkfs=(-n size=65536) load=(--ops=1200 --freeze-every=700) ;;
orphans) mkfs=() load=(--ops=400 --orphans=30) tidy=() points=5 ;;
race) mkfs=(-m rmapbt=1) load=(--ops=400 --reflink --race) tidy=() points=5 ;;
*) fail "unknown geometry $1" ;;
esac

# Kill at write $1, then let the other finish.
interrupted() {
  local rc=0 by=$2 T=$work/$2.$1
  copy_image "$D" "$T"
  LD_PRELOAD=$library DIE_AFTER=$1 "$replay" "$T/img" >"$work/said" 2>&1 || rc=$?
  [ "$rc" = 99 ] || fail "killed before write $1: exit $rc"
  if [ "$by" = tool ]; then
    "$replay" "$T/img" >"$work/said" 2>&1 || fail "after $1 writes a second replay says: $(cat "$work/said")"
  fi
  kernel_mount "$T"
  [ "$by" = kernel ] || [ "$verdict" = clean ] || fail "the kernel recovered a log that was said to be clean"
  if [ -n "$completed" ]; then
    same_state "$K" "$T"
  else
    "$tools/imgdiff" "$K/img" "$T/img" >&2
  fi || fail "interrupted after $1 writes and finished by the $by: not what the kernel makes of it"
  rm -r "$T"
}

need_kernel
[ -x "$replay" ] || skip "$replay is not built"
D=$work/dirty K=$work/kernel
mkdir "$D"
truncate -s "$size" "$D/img"
mkfs.xfs -q "${mkfs[@]}" "$D/img"
mount_image "$D" rw
"$tools/workload" "${load[@]}" --seed="${IMAGE_SEED:-1}" "${tidy[@]}" "$work/mnt"
unmount_image
check_dirty "$D"
copy_image "$D" "$K"
kernel_mount "$K"

copy_image "$D" "$work/all"
LD_PRELOAD=$library DIE_COUNT=$work/count "$replay" "$work/all/img" >"$work/said" || fail "the tool alone: exit $?"
completed=$(sed -n 's/^completed: //p' "$work/said")
writes=$(cat "$work/count")
[ "$writes" -gt 3 ] || fail "only $writes writes seen"
for point in $(seq 0 "$points"); do
  interrupted $((point * (writes - 1) / points)) kernel
  interrupted $((point * (writes - 1) / points)) tool
done
interrupted $((writes - 2)) kernel
interrupted $((writes - 2)) tool
echo "$1: $((2 * points + 4)) interruptions among $writes writes, all recovered"
