#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# usage: bench-xfs.sh BUILD_DIR
#
# xfs_replay against the kernel's own recovery, and against the floor, on two images of 8 GiB:
#   first    a log of 1 GiB of which at least 300 MiB are active; with warm and with cold page cache, ROUNDS (default 3) times
#   largest  the largest log that mkfs.xfs makes, most of it active, for blocks that are all over the device and many times more than
#            what may be in memory: for the peak of memory; with warm page cache, LARGEST_ROUNDS (default 1; 0: not at all) times
# A round is, in turn: xfs_replay on a copy, mount and umount of a copy over a loop device, the floor on a copy, block by block and (on another)
# with neighbours merged (floor.c). Needs root. The figures are ratios
# of medians. They go to BUILD_DIR/bench-xfs.json, too, and, with what docs/performance.md says of other things, to
# BUILD_DIR/bench/xfs/performance.md.
set -eu
build=$1
tool=$build/tools/xfs_replay
churn=$build/bench/xfs/churn
floor=$build/bench/xfs/floor
page=$(dirname "$0")/page.py
rounds=${ROUNDS:-3}
largest_rounds=${LARGEST_ROUNDS:-1}
[ "$(id -u)" = 0 ] || { echo "bench-xfs: needs root, to mount" >&2; exit 77; }

work=$(mktemp -d "${TMPDIR:-/var/tmp}/bench-xfs.XXXXXX")
sysctl=/proc/sys/fs/xfs/xfssyncd_centisecs
kept=
finish() {
  mountpoint -q "$work/mnt" && umount "$work/mnt"
  [ -z "$kept" ] || echo "$kept" >$sysctl
  rm -rf "$work"
}
trap finish EXIT
mkdir "$work/mnt"
modprobe xfs 2>/dev/null || true

# make_image "MKFS OPTIONS" CHURN_OPTION...
make_image() {
  local options=$1 device
  shift
  echo "making an image: 8 GiB, mkfs.xfs $options"
  rm -f "$work/image"
  truncate -s 8G "$work/image"
  # shellcheck disable=SC2086 # options are several words
  mkfs.xfs -q -f $options "$work/image"
  kept=$(cat $sysctl)
  echo 720000 >$sysctl # nothing is written back but by the end of the log
  mount -o loop "$work/image" "$work/mnt"
  device=$(findmnt -no SOURCE "$work/mnt")
  "$churn" --seed=1 "$@" --log="/sys/fs/xfs/${device#/dev/}/log" "$work/mnt"
  umount "$work/mnt"
  echo "$kept" >$sysctl
  kept=
}

fresh() { # NAME: a copy, on the disk
  rm -f "$work/$1"
  cp --reflink=auto --sparse=always "$work/image" "$work/$1"
  sync -d "$work/$1"
}

cache() { # warm|cold NAME
  if [ "$1" = cold ]; then
    dd of="$work/$2" oflag=nocache conv=notrunc,fdatasync count=0 status=none
  else
    cat "$work/$2" >/dev/null
  fi
}

# seconds COMMAND...
seconds() {
  local start end
  start=$(date +%s.%N)
  "$@" >"$work/said" 2>&1 || [ $? = 2 ] || { cat "$work/said" >&2; exit 1; }
  end=$(date +%s.%N)
  awk -v a="$start" -v b="$end" 'BEGIN { printf "%.3f\n", b - a }'
}

kernel() {
  mount -o loop "$work/kernel" "$work/mnt"
  umount "$work/mnt"
}

median() {
  sort -n "$1" | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

ratio() {
  awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", a / b }'
}

# measure ROUNDS warm|cold...: adds what it measured of the image to $json
measure() {
  local n=$1 mode i kib t k f m faster floors least log blocks peak=0
  shift
  for mode in "$@"; do
    rm -f "$work/$mode".*
    for ((i = 0; i < n; i++)); do
      fresh tool
      cache "$mode" tool
      seconds "$tool" --json --stats "$work/tool" >>"$work/$mode.tool"
      kib=$(sed -n 's/.*"peak_kib": \([0-9]*\).*/\1/p' "$work/said")
      [ "$kib" -le "$peak" ] || peak=$kib
      rm "$work/tool"
      fresh kernel
      cache "$mode" kernel
      seconds kernel >>"$work/$mode.kernel"
      rm "$work/kernel"
      fresh floor
      cache "$mode" floor
      "$floor" "$work/floor" >"$work/floored"
      cut -d' ' -f1 "$work/floored" >>"$work/$mode.floor"
      rm "$work/floor"
      fresh floor
      cache "$mode" floor
      "$floor" --merged "$work/floor" | cut -d' ' -f1 >>"$work/$mode.merged"
      rm "$work/floor"
    done
    t=$(median "$work/$mode.tool") k=$(median "$work/$mode.kernel") f=$(median "$work/$mode.floor") m=$(median "$work/$mode.merged")
    faster=$(ratio "$k" "$t") floors=$(ratio "$t" "$f") least=$(ratio "$t" "$m")
    echo "$mode: xfs_replay $t s, mount and umount $k s, floor $f s, with neighbouring blocks merged $m s"
    echo "$mode: $faster times faster than the kernel, $floors times the floor, $least times the merged one"
    json="$json\"$mode\": {\"tool\": $t, \"kernel\": $k, \"floor\": $f, \"merged\": $m, \"times_faster\": $faster, "
    json="$json\"times_floor\": $floors, \"times_merged\": $least}, "
  done
  read -r _ log blocks <"$work/floored"
  echo "active log $((log >> 20)) MiB, blocks changed $((blocks >> 20)) MiB, peak memory $((peak >> 10)) MiB"
  json="$json\"log_bytes\": $log, \"block_bytes\": $blocks, \"peak_kib\": $peak, \"rounds\": $n"
}

json="{\"kernel_release\": \"$(uname -r)\", "
make_image "-l size=1g" --active=320
measure "$rounds" warm cold
if [ "$largest_rounds" -gt 0 ]; then
  json="$json, \"largest\": {"
  # mkfs.xfs takes up to 2 GiB less 10 MiB. Kernels write back when less than a fourth of a log is free.
  make_image "-l size=2038m -i size=2048,maxpct=75" --active=1450 --value=1000
  measure "$largest_rounds" warm
  json="$json}"
fi
echo "$json}" >"$build/bench-xfs.json"
python3 "$page" "$build/bench-xfs.json" "$build/bench/xfs"
