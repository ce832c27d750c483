#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# usage: run-image.sh GEOMETRY
#
# Makes a filesystem, works on it, shuts it down by force, and recovers two copies: K by the kernel, T by xfs_replay. Whatever can be seen of
# them afterwards must be equal: names, attributes, contents, mappings, counters, xfs_repair's findings; and where nothing had to be
# completed, every sector outside the log. Pass 2 alone, finished by the kernel, must give what the kernel alone does.
#
# Environment: XFS_REPLAY the tool, IMAGE_TOOLS the directory of the helpers, IMAGE_SEED another seed, KEEP_IMAGES=1 keep the images.
# The tool "kernel" stands for the kernel itself: it tests this test.

# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

tools=${IMAGE_TOOLS:?}
replay=${XFS_REPLAY:?}
geometry=${1:?}

# What the geometries have in common; each case changes what makes it special.
size=300M
log_size=
mkfs=()
load=(--ops=2500 --tail-ops=500 --tidy --reflink --freeze-every=1700)
shutdown=flush
expect=0
completed=
wrap=
twice=
small=(--unsupported -l size=8m)

case $geometry in
default) ;;
block1k) mkfs=(-b size=1k) ;;
dir64k) mkfs=(-n size=65536) ;;
rmapbt) mkfs=(-m rmapbt=1) load+=(--swap) ;;
owner) load+=(--swap) expect=alone ;;
nrext64) mkfs=(-i nrext64=1) ;;
sunit256k) mkfs=(-d "su=256k,sw=1,agcount=2" -l "su=256k,size=96m") mount_options=logbsize=256k ;;
sector4k) mkfs=(-s size=4096) ;;
external) log_size=64M ;;
inode2k) mkfs=(-i size=2048 -l su=64k) ;;
plain)
  mkfs=(-m "reflink=0,finobt=0,bigtime=0,inobtcount=0" -i sparse=0)
  load=(--ops=2500 --tail-ops=500 --tidy)
  ;;
wrapped) mkfs=("${small[@]}") wrap=1 load=(--tail-ops=50 --tidy --reflink) ;;
wrapped-rmapbt) mkfs=("${small[@]}" -b size=1k -m rmapbt=1) wrap=1 load=(--tail-ops=50 --tidy --reflink) ;;
unflushed)
  load=(--ops=2500 --tail-ops=300 --tidy --reflink --sync-every=200)
  shutdown=noflush
  ;;
twice) twice=logbsize=256k ;;
orphans) load+=(--orphans=40) ;;
cow) load+=(--cow=12) ;;
orphans-rmapbt) mkfs=(-m rmapbt=1 -b size=1k -i nrext64=1) load=(--ops=300 --reflink --orphans=200) ;;
orphans-plain) mkfs=(-m "reflink=0,finobt=0,bigtime=0,inobtcount=0" -i sparse=0) load=(--ops=300 --orphans=200) ;;
race) load=(--ops=800 --reflink --race) ;;
race-rmapbt) mkfs=(-m rmapbt=1) load=(--ops=800 --reflink --race) ;;
race-small) mkfs=("${small[@]}" -m rmapbt=1 -b size=1k) load=(--ops=200 --reflink --race --orphans=60) ;;
scattered)
  # Never to be mounted before it was recovered: this kernel dies of it.
  mkfs=(-n size=65536 -m "reflink=0,finobt=0,inobtcount=0") load=(--ops=200 --tidy --scatter) expect=scattered
  ;;
*) fail "unknown geometry $geometry" ;;
esac

# workload IMAGE SEED [MOUNT-OPTION]
workload() {
  local args=("${load[@]}" "--seed=$2" "--shutdown=$shutdown")
  mount_image "$1" rw "${3:-}" || fail "the kernel does not mount $1"
  [ -z "$wrap" ] || args+=("--wrap=/sys/fs/xfs/${device#/dev/}/log")
  if [ "$expect" = alone ] || [ "$expect" = scattered ]; then
    "$tools/workload" "${args[@]}" --shutdown=none "$work/mnt" || fail "the workload failed"
    "$tools/snapshot" "$work/mnt" >"$work/live.txt"
    args=(--ops=0 --shutdown=flush)
  fi
  "$tools/workload" "${args[@]}" "$work/mnt" || fail "the workload failed"
  unmount_image
}

make_image() {
  mkdir "$1"
  truncate -s "$size" "$1/img"
  if [ -n "$log_size" ]; then
    truncate -s "$log_size" "$1/log"
    mkfs+=(-l "logdev=$1/log,size=$log_size")
  fi
  mkfs.xfs -q -f "${mkfs[@]}" "$1/img" 2>"$work/mkfs" || fail "mkfs.xfs: $(head -1 "$work/mkfs")"
  workload "$1" "$seed"
  if [ -n "$twice" ]; then
    check_dirty "$1"
    workload "$1" $((seed + 1)) "$twice"
  fi
}

# run_tool EXPECTED-STATUS ARGUMENT...: output to $work/said
run_tool() {
  local rc=0
  if [ "$replay" = kernel ]; then
    return 0
  fi
  "$replay" "${@:2}" >"$work/said" 2>&1 || rc=$?
  case " $1 " in
  *" $rc "*) status=$rc ;;
  *)
    cat "$work/said" >&2
    fail "xfs_replay ${*:2}: exit $rc, expected $1"
    ;;
  esac
}

unchanged() { # IMAGE COPY WHAT
  local file
  for file in "$1"/*; do
    cmp "$file" "$2/${file##*/}" >&2 || fail "$3: $file is not as it was"
  done
}

# The tool said that the log is clean: everybody must agree.
check_clean() {
  set_log_options "$T"
  xfs_logprint -t "${log_options[@]}" "$T/img" 2>&1 | grep 'state: <CLEAN>' >/dev/null || fail "xfs_logprint finds the log not clean"
  copy_image "$T" "$work/before"
  run_tool 0 "${log_options[@]}" "$T/img"
  unchanged "$T" "$work/before" "a second run"
  same_state "$K" "$T" || fail "replay and kernel disagree"
  if [ -z "$completed" ]; then
    "$tools/imgdiff" "$K/img" "$T/img" >&2 || fail "replay and kernel wrote different sectors"
  fi
  kernel_mount "$T"
  [ "$verdict" = clean ] || fail "the kernel recovered a log that was said to be clean"
}

# Whether the kernel's own recovery comes out the same twice: it frees unlinked inodes on all CPUs, in no certain order.
kernel_repeats() {
  copy_image "$D" "$work/repeated"
  kernel_mount "$work/repeated"
  "$tools/imgdiff" "$K/img" "$work/repeated/img" >"$work/repeated.diff"
}

# Pass 2 alone, finished by the kernel, is what the kernel alone makes, to the last bit (if that is determined).
check_pass2() {
  local P=$work/pass2
  [ "$replay" != kernel ] || return 0
  copy_image "$D" "$P"
  set_log_options "$P"
  run_tool "0 2" --pass2-only "${log_options[@]}" "$P/img"
  if [ "$status" = 2 ]; then
    kernel_mount "$P"
    [ "$verdict" = recovered ] || fail "the tool said that a dirty log remains, the kernel found none"
    same_state "$K" "$P" || fail "pass 2 finished by the kernel differs from the kernel's own"
    "$tools/imgdiff" "$K/img" "$P/img" >&2 || ! kernel_repeats || fail "the kernel wrote other sectors after pass 2 than without it"
  fi
  rm -r "$P"
}

# The filesystem is not only right but usable.
check_usable() {
  load=(--ops=200) shutdown=none wrap=
  workload "$T" 77
  repair_image "$T" "$work/usable"
  [ "$(cat "$work/usable.rc")" = 0 ] || [ "$(cat "$K.repair.rc")" != 0 ] || fail "xfs_repair after more work: $(cat "$work/usable")"
}

# Recovery into another image, and log, is recovery in place of a copy.
check_output() {
  local out=$work/output
  mkdir "$out"
  set_log_options "$work/report"
  run_tool 0 --output "$out/img" "${log_options[@]}" "$work/report/img"
  unchanged "$D" "$work/report" "--output"
  [ ! -e "$out/img.log" ] || mv "$out/img.log" "$out/log"
  unchanged "$T" "$out" "--output"
  rm -r "$out"
}

# The tree of the dirty image, recovered in memory only, is the tree that the kernel recovered.
check_tree() {
  set_log_options "$work/report"
  [ "$replay" != kernel ] || return 0
  "$replay" --tree "${log_options[@]}" "$work/report/img" >"$work/tree" || [ $? = 2 ] || fail "--tree: exit $?"
  grep -aE '^[-dlcbps][-rwxsStT]{9} ' "$work/tree" | sort | diff -u "$K.txt.tree" - >"$work/tree.diff" || {
    head -20 "$work/tree.diff" >&2
    fail "--tree lists another tree than the kernel recovers"
  }
  unchanged "$D" "$work/report" "--tree"
}

# What the kernel cannot recover. The answer is the filesystem as it was just before the shutdown, which flushed the log. Mounted only when
# everybody says that there is nothing left to recover.
same_as_before() {
  run_tool 0 "$T/img"
  xfs_logprint -t "$T/img" 2>&1 | grep -q 'state: <CLEAN>' || fail "xfs_logprint finds the log not clean"
  repair_image "$T" "$T.repair"
  [ "$(cat "$T.repair.rc")" = 0 ] || fail "xfs_repair: $(cat "$T.repair")"
  snapshot_image "$T" "$T.txt"
  grep -v '^[a-z]* = ' "$T.txt" | diff -u "$work/live.txt" - >"$work/diff" || {
    head -40 "$work/diff" >&2
    fail "the filesystem is not as it was before the shutdown"
  }
  kernel_mount "$T"
  [ "$verdict" = clean ] || fail "the kernel recovered a log that was said to be clean"
  echo "$geometry: equal in $(wc -l <"$work/live.txt") lines"
}

# Undone, the image and its log device are what they were.
check_undo() {
  copy_image "$D" "$work/undone"
  set_log_options "$work/undone"
  run_tool "$status" --undo "$work/undo" "${log_options[@]}" "$work/undone/img"
  run_tool 0 --apply-undo "$work/undo" "${log_options[@]}" "$work/undone/img"
  unchanged "$D" "$work/undone" "what was undone"
  rm -r "$work/undone"
}

# A log with pieces of directory blocks: our scan finds them, and the tool leaves nothing to a kernel.
check_scattered() {
  (check_dirty "$D") 2>"$work/scan" && fail "the log has no piece of a directory block"
  grep -q 'not safe to mount' "$work/scan" || fail "$(cat "$work/scan")"
  [ "$replay" != kernel ] || skip "this kernel must not recover it"
  copy_image "$D" "$T"
  run_tool 1 --pass2-only "$T/img"
  unchanged "$D" "$T" "a refused replay"
  grep -q 'do NOT mount' "$work/said" || fail "no warning: $(cat "$work/said")"
  same_as_before
}

# Owner changes of btree blocks: kernels before 2025-12 take their own log for corrupt.
check_alone() {
  [ "$replay" != kernel ] || skip "this kernel may not recover it"
  grep -q 'INODE: .*flags:0x2' "$work/logprint" || fail "no owner change in the log"
  copy_image "$D" "$T"
  same_as_before
}

need_kernel
[ "$replay" = kernel ] || [ -x "$replay" ] || skip "$replay is not built"
seed=${IMAGE_SEED:-1}
D=$work/dirty K=$work/kernel T=$work/tool

make_image "$D"
if [ "$expect" = scattered ]; then
  check_scattered
  exit
fi
check_dirty "$D"
if [ "$expect" = alone ]; then
  check_alone
  exit
fi
echo "$geometry: log blocks $log_tail to $log_head"
[ -z "$wrap" ] || [ "$log_head" -lt "$log_tail" ] || fail "the log did not wrap"

copy_image "$D" "$K"
kernel_mount "$K"
[ "$verdict" = recovered ] || fail "the kernel found nothing to recover"

copy_image "$D" "$work/report"
set_log_options "$work/report"
run_tool "0 2" -n "${log_options[@]}" "$work/report/img"
unchanged "$D" "$work/report" "-n"

copy_image "$D" "$T"
set_log_options "$T"
if [ "$replay" = kernel ]; then
  kernel_mount "$T"
else
  run_tool 0 "${log_options[@]}" "$T/img"
  completed=$(sed -n 's/^completed: //p' "$work/said")
  tail -3 "$work/said"
  check_output
  check_undo
fi
check_clean
check_pass2
check_tree
check_usable
echo "$geometry: equal in $(wc -l <"$K.txt") lines ($(grep -c ' ino ' "$K.txt") names)${completed:+; completed $completed}"
