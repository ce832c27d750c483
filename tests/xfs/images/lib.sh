# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2034,SC2154
#
# What the image tests share: images attached to loop devices, mounts, what the kernel said about one of them, comparisons.
#
# An "image" is a directory with the file img and, for an external log, the file log; copies of images are copies of such
# directories. Everything lives below $work, a directory of this run alone; whatever was mounted or attached is put away on exit,
# last first, also after a failure. $tools holds the helpers (workload, snapshot, imgdiff).

# shellcheck source-path=SCRIPTDIR source=../common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../common.sh"

work=
undo=()
mount_options= # what every mount of this run needs

# Run the newest undo command; each is "umount DIR" or "losetup -d DEVICE".
undo_one() {
  local last=$((${#undo[@]} - 1)) command
  command=${undo[$last]}
  unset "undo[$last]"
  $command
}

put_away() {
  while [ ${#undo[@]} -gt 0 ]; do
    undo_one || true
  done
  if [ -n "$work" ] && [ -z "${KEEP_IMAGES:-}" ]; then
    rm -rf "$work"
  fi
}

# Where the images go: memory, where there is enough (a test needs some 300 MiB), because every flush of a loop device is an fsync of its file.
roomy_directory() {
  if [ -z "${TMPDIR:-}" ] && [ -w /dev/shm ] && [ "$(df --output=avail -k /dev/shm | tail -1)" -gt 2000000 ]; then
    echo /dev/shm
  else
    echo "${TMPDIR:-/tmp}"
  fi
}

need_kernel() {
  [ "$(id -u)" = 0 ] || skip "needs root to mount images"
  grep -qw xfs /proc/filesystems || skip "this kernel has no XFS"
  [ -e /dev/loop-control ] || skip "no loop devices"
  need mkfs.xfs xfs_db xfs_repair xfs_logprint losetup dmesg
  trap put_away EXIT
  trap 'exit 1' HUP INT TERM
  work=$(mktemp -d "$(roomy_directory)/xfs-images.XXXXXX")
  mkdir "$work/mnt"
}

# attach FILE [OPTION]: sets $device. Who loses a race for the last free one finds another soon.
attach() {
  local again
  for again in 1 2 3 4 ""; do
    device=$(losetup --find --show "${@:2}" "$1") && break
    [ -n "$again" ] || skip "no free loop device"
    sleep 0.5
  done
  undo+=("losetup -d $device")
}

# mount_image IMAGE rw|ro OPTIONS: mounts on $work/mnt, sets $device, and $mark, the line in the kernel log that the mount follows.
# ro: the loop devices are read-only too, so that nothing can be written, and a log that needs recovery makes the mount fail.
mount_image() {
  local options=$2,noatime${mount_options:+,$mount_options}${3:+,$3} read_only=()
  [ "$2" = rw ] || read_only=(--read-only)
  if [ -e "$1/log" ]; then
    attach "$1/log" "${read_only[@]}"
    options+=,logdev=$device
  fi
  attach "$1/img" "${read_only[@]}"
  mark="xfs_replay image test $$ at $(date +%s%N) ns" # no part of another
  echo "$mark" >/dev/kmsg
  mount -t xfs -o "$options" "$device" "$work/mnt" || return 1
  undo+=("umount $work/mnt")
}

unmount_image() {
  while [ ${#undo[@]} -gt 0 ]; do
    undo_one
  done
}

copy_image() {
  mkdir "$2"
  cp --reflink=auto --sparse=always "$1"/* "$2"/
}

# set_log_options IMAGE: sets $log_options to what xfsprogs and xfs_replay need to find an external log
set_log_options() {
  log_options=()
  if [ -e "$1/log" ]; then
    log_options=(-l "$1/log")
  fi
}

# kernel_mount IMAGE [OPTIONS]: mount read-write and unmount, which recovers a dirty log; sets $verdict to "clean" or "recovered", as
# the kernel log has it.
kernel_mount() {
  local said
  mount_image "$1" rw "${2:-}" || fail "the kernel does not mount $1"
  said=$(dmesg | sed -n "/$mark/,\$p" | grep -F "XFS (${device#/dev/})") # while the device is ours
  unmount_image
  case $said in
  *"Starting recovery"*) verdict=recovered ;;
  *"Ending clean mount"*) verdict=clean ;;
  *)
    echo "$said" >&2
    fail "kernel log: neither a clean mount nor a recovery"
    ;;
  esac
}

# The buffers in the log that hold a piece of a directory block and are shorter than it, from xfs_logprint -t on stdin. A kernel that recovers
# one of them dies. Types 10 to 15 (dir block, data, free, leaf1, leafn, da node) are in the upper five bits of the flags. Nodes of attribute
# forks have type 15 too and are one filesystem block long: those pass.
fragments() { # DIRECTORY-BLOCK-SIZE BLOCK-SIZE
  awk -v dirblock="$1" -v block="$2" '
    /#regs:.*start blkno:.*len:.*flags:/ {
      len = flags = ""
      for (i = 1; i <= NF; i++) {
        if ($i ~ /^len:/) len = substr($i, 5) == "" ? $(i + 1) : substr($i, 5)
        if ($i ~ /^flags:/) flags = substr($i, 7) == "" ? $(i + 1) : substr($i, 7)
      }
      type = 0
      sub(/^0x/, "", flags)
      for (i = 1; i <= length(flags); i++)
        type = type * 16 + index("0123456789abcdef", substr(flags, i, 1)) - 1
      type = int(type / 2048)
      seen++
      if (type >= 10 && type <= 15 && len * 512 < dirblock && !(type == 15 && len * 512 == block)) { print; bad++ }
    }
    END { if (!seen) { print "no buffer items found at all"; bad++ } exit bad != 0 }'
}

super() { # IMAGE FIELD...
  local image=$1
  shift
  set_log_options "$image"
  xfs_db -r "${log_options[@]}" -c 'sb 0' -c "print $*" "$image/img"
}

# xfs_logprint dies of some logs that are fine. What it has not read is not mounted: all from the beginning, with another workload.
script=$0 arguments=("$@")
begin_again() { # REASON
  local try=${IMAGE_TRY:-1}
  if [ "$try" = 4 ] || [ "$BASH_SUBSHELL" -gt 0 ]; then
    fail "$1"
  fi
  echo "$1; with another seed again"
  put_away
  IMAGE_TRY=$((try + 1)) IMAGE_SEED=$((${IMAGE_SEED:-1} + 100)) exec "$script" "${arguments[@]}"
}

# check_dirty IMAGE: the log is dirty, as intended, and the kernel can be trusted with it; sets $log_head and $log_tail
check_dirty() {
  local blocksize dirblocksize
  read -r blocksize dirblocksize < <(super "$1" blocksize dirblklog | awk '{ v[NR] = $3 } END { print v[1], v[1] * 2 ^ v[2] }')
  set_log_options "$1"
  xfs_logprint -t "${log_options[@]}" "$1/img" >"$work/logprint" 2>&1 ||
    begin_again "xfs_logprint cannot read the log: $(tail -1 "$work/logprint")"
  read -r log_tail log_head < <(sed -n 's/^ *log tail: \([0-9]*\) head: \([0-9]*\) state: <DIRTY>.*/\1 \2/p' "$work/logprint") ||
    fail "the workload left no dirty log"
  fragments "$dirblocksize" "$blocksize" <"$work/logprint" >"$work/fragments" ||
    fail "not safe to mount: directory buffers shorter than $dirblocksize bytes: $(head -1 "$work/fragments")"
}

# Everything about an image with a clean log, as text, without changing it.
snapshot_image() { # IMAGE OUT [SNAPSHOT-OPTION...]
  mount_image "$1" ro || fail "the kernel does not mount $1"
  "$tools/snapshot" "${@:3}" "$work/mnt" >"$2" || fail "the snapshot of $1 is incomplete"
  "$tools/snapshot" --tree "$work/mnt" | sort >"$2.tree"
  unmount_image
  super "$1" icount ifree fdblocks frextents >>"$2"
}

# What xfs_repair -n complains of, in an order of its own
repair_image() { # IMAGE OUT
  local rc=0
  set_log_options "$1"
  xfs_repair -n -f "${log_options[@]}" "$1/img" >"$2.raw" 2>&1 || rc=$?
  sed "s,$1/,,g; /- [0-9][0-9]:[0-9][0-9]:[0-9][0-9]: /d" "$2.raw" | sort >"$2"
  echo "$rc" >"$2.rc"
}

# What of a snapshot is not to be compared, a test says by another function.
normalise() { # SNAPSHOT
  :
}

# same_state ANSWER TESTED: the two images, both recovered and unmounted, are the same filesystem
same_state() {
  local what found
  for what in "$1" "$2"; do
    [ "$what" = "$2" ] || [ ! -e "$what.repair.rc" ] || continue # the answer never changes
    snapshot_image "$what" "$what.txt"
    normalise "$what.txt"
    repair_image "$what" "$what.repair"
  done
  diff -u "$1.txt" "$2.txt" >"$2.diff" || {
    head -40 "$2.diff" >&2
    echo "$2 differs from the kernel's recovery in $(grep -c '^[-+]' "$2.diff") lines" >&2
    return 1
  }
  found=$(comm -13 "$1.repair" "$2.repair")
  if [ -n "$found" ] || { [ "$(cat "$1.repair.rc")" = 0 ] && [ "$(cat "$2.repair.rc")" != 0 ]; }; then
    echo "xfs_repair -n finds in $2 (exit $(cat "$2.repair.rc")):" >&2
    echo "$found" >&2
    return 1
  fi
}
