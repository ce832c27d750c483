#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# usage: run-interrupted.sh GEOMETRY
#
# Replay that is interrupted, at whatever write, loses nothing: what is left is either a dirty log over a filesystem that can be
# recovered again, by the tool or by the kernel, or a finished one. A preloaded library ends the tool after its Nth write; N goes from 0 to
# the last, in steps. Where intents are to be completed, every write of the completion is one of them (or 30, evenly spread), and a second run must
# end in the state of one that was not interrupted. The geometries small-... have so few writes that each is one of them, those of pass 2, too.
# Environment as for run-image.sh; IMAGE_DIE_AFTER the library.

# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

tools=${IMAGE_TOOLS:?}
replay=${XFS_REPLAY:?}
library=${IMAGE_DIE_AFTER:?}
points=12
size=300M
tidy=(--tidy --reflink)

fine=
case ${1:?} in
default) mkfs=() load=(--ops=800 --freeze-every=500) ;;
dir64k) mkfs=(-n size=65536) load=(--ops=1200 --freeze-every=700) ;;
orphans) mkfs=() load=(--ops=400 --orphans=30) tidy=() points=3 fine=30 ;;
race) mkfs=(-m rmapbt=1) load=(--ops=300 --reflink --race) tidy=() points=3 fine=30 ;;
race-noreflink) mkfs=(-m "reflink=0,rmapbt=1") load=(--ops=200 --race --orphans=10) tidy=() points=0 fine=30 ;;
race-all) mkfs=(-m rmapbt=1 -b size=1k) load=(--ops=200 --reflink --race --orphans=60 --cow=8) tidy=() points=0 fine=30 ;;
small-race) mkfs=(--unsupported -m rmapbt=1) load=(--ops=15 --reflink --race --orphans=10) ;;
small-plain) mkfs=(--unsupported -m "reflink=0,rmapbt=0") load=(--ops=15 --race --orphans=10) ;;
small-all) mkfs=(--unsupported -m rmapbt=1 -b size=1k) load=(--ops=15 --reflink --race --orphans=6 --cow=3) ;;
*) fail "unknown geometry $1" ;;
esac
case $1 in
small-*) size=128M tidy=() points=0 fine=all ;;
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

# What can be seen of a recovered image without a mount: names and all of their inodes, counters, what xfs_repair finds.
state_of() { # IMAGE OUT
  "$replay" --tree --json "$1/img" >"$work/tree" 2>"$work/said" || fail "--tree: $(cat "$work/said")"
  sed -n '/^  "tree"/,$p' "$work/tree" >"$2" # without the report on the log, whose head may be elsewhere
  [ -s "$2" ] || fail "--tree --json has no tree"
  super "$1" icount ifree fdblocks frextents >>"$2"
  repair_image "$1" "$work/found"
  cat "$work/found" "$work/found.rc" >>"$2"
}

# Kill at write $1, and run again: the state is that of a run that was not interrupted.
again() {
  local rc=0 T=$work/again
  copy_image "$D" "$T"
  LD_PRELOAD=$library DIE_AFTER=$1 "$replay" "$T/img" >"$work/said" 2>&1 || rc=$?
  [ "$rc" = 99 ] || fail "killed before write $1: exit $rc"
  "$replay" "$T/img" >"$work/said" 2>&1 || fail "after $1 writes a second run says: $(cat "$work/said")"
  if ! cmp -s "$work/all/img" "$T/img"; then
    state_of "$T" "$work/again.state"
    cmp "$work/all.state" "$work/again.state" >&2 || fail "after $1 writes a second run ends in another state"
  fi
  rm -r "$T"
}

# Every write of the completion, which begins when pass 2 is on the disk, and a few of pass 2 before it
every_write() {
  local pass2 first step point n=0
  copy_image "$D" "$work/pass2"
  LD_PRELOAD=$library DIE_COUNT=$work/count "$replay" --pass2-only "$work/pass2/img" >"$work/said" 2>&1 || [ $? = 2 ] || fail "pass 2 alone"
  pass2=$(cat "$work/count")
  rm -r "$work/pass2"
  [ "$pass2" -lt "$writes" ] || fail "completion writes nothing"
  state_of "$work/all" "$work/all.state"
  step=1 first=1
  if [ "$fine" != all ]; then
    step=$(((writes - pass2 + fine - 1) / fine))
    first=$((pass2 / 6 + 1))
  fi
  for ((point = pass2; point < writes; point += step)); do
    again "$point"
    n=$((n + 1))
  done
  for ((point = 0; point < pass2; point += first)); do
    again "$point"
    n=$((n + 1))
  done
  echo "$1: $n more, every ${step}. of the $((writes - pass2)) writes of completion, every ${first}. of $pass2 before it: always the same state"
}

need_kernel
[ -x "$replay" ] || skip "$replay is not built"
D=$work/dirty K=$work/kernel
mkdir "$D"
truncate -s "$size" "$D/img"
mkfs.xfs -q "${mkfs[@]}" "$D/img" 2>"$work/mkfs" || fail "mkfs.xfs: $(head -1 "$work/mkfs")"
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
cut=0
for ((point = 0; points && point <= points; point++)); do
  interrupted $((point * (writes - 1) / points)) kernel
  interrupted $((point * (writes - 1) / points)) tool
  cut=$((cut + 2))
done
interrupted $((writes - 2)) kernel
interrupted $((writes - 2)) tool
echo "$1: $((cut + 2)) interruptions among $writes writes, all recovered"
[ -z "$fine" ] || {
  [ -n "$completed" ] || fail "nothing was to be completed"
  every_write "$1"
}
