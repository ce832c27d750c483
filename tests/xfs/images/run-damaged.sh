#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# An allocation group is damaged where completion needs it. The kernel refuses such a filesystem and leaves its log dirty, which xfs_repair refuses
# then. The tool gives up what it must, ends the log and says so; xfs_repair makes a filesystem of it that has every file of the kernel's recovery
# of the undamaged image.

# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

tools=${IMAGE_TOOLS:?} replay=${XFS_REPLAY:?}
need_kernel

D=$work/dirty K=$work/kernel P=$work/pass2
mkdir "$D"
truncate -s 400M "$D/img"
mkfs.xfs -q -f --unsupported -d agcount=16 -m rmapbt=1 "$D/img" 2>/dev/null || skip "mkfs.xfs makes no 16 small groups"
mount_image "$D" rw
"$tools/workload" --ops=200 --tail-ops=50 --tidy --reflink --orphans=40 --cow=8 --seed="${IMAGE_SEED:-1}" "$work/mnt"
unmount_image
check_dirty "$D"
copy_image "$D" "$K"
copy_image "$D" "$P"
kernel_mount "$K"
mount_image "$K" ro
"$tools/snapshot" --tree "$work/mnt" | sort >"$work/tree"
unmount_image
# With everything that the log knows on the disk, damage is none that a replay repairs.
"$replay" --pass2-only "$P/img" >"$work/said" 2>&1 || [ $? = 2 ] || fail "--pass2-only: $(cat "$work/said")"

read -r blocksize agblocks < <(super "$D" blocksize agblocks | awk '{ v[NR] = $3 } END { print v[1], v[2] }')

# damaged WHAT GROUP OFFSET-IN-GROUP SAYS: the byte there is inverted
damaged() {
  local T=$work/damaged at=$(($2 * agblocks * blocksize + $3)) byte rc=0
  copy_image "$P" "$T"
  byte=$(od -An -tu1 -j "$at" -N 1 "$T/img")
  # shellcheck disable=SC2059
  printf "\\x$(printf %02x $((byte ^ 255)))" | dd of="$T/img" bs=1 seek="$at" conv=notrunc status=none
  "$replay" "$T/img" >"$work/said" 2>&1 || rc=$?
  [ "$rc" = 8 ] || fail "$1: exit $rc: $(cat "$work/said")"
  grep -q "$4" "$work/said" || fail "$1: not said: $4: $(cat "$work/said")"
  xfs_logprint -t "$T/img" 2>&1 | grep 'state: <CLEAN>' >/dev/null || fail "$1: the log is not clean"
  xfs_repair "$T/img" >"$work/repair" 2>&1 || fail "$1: xfs_repair: $(tail -3 "$work/repair")"
  kernel_mount "$T"
  mount_image "$T" ro
  "$tools/snapshot" --tree "$work/mnt" | sort >"$work/tree.damaged"
  unmount_image
  # Inodes that stayed allocated are in lost+found now.
  diff <(grep -v '/lost+found' "$work/tree" | grep -v '^d[^ ]* .* /$') \
    <(grep -v '/lost+found' "$work/tree.damaged" | grep -v '^d[^ ]* .* /$') >&2 || fail "$1: other files"
  rm -r "$T"
}

sector=512
damaged "AGI of an empty group" 12 $((2 * sector + 20)) 'group 12: its unlinked inodes stay allocated'
damaged "AGI of a group with unlinked inodes" 0 $((2 * sector + 20)) 'group 0: its unlinked inodes stay allocated'
damaged "AGF of an empty group" 12 $((sector + 24)) 'group 12: its copy-on-write leftovers stay allocated'
damaged "AGF of a group in use" 0 $((sector + 24)) 'cannot be freed: it is taken off the list and kept'
damaged "free list" 0 $((3 * sector + 40)) 'cannot be freed: it is taken off the list and kept'
damaged "free space btree" 0 $((blocksize + 60)) 'cannot be freed: it is taken off the list and kept'
damaged "refcount btree" 12 $(($(xfs_db -r -c 'agf 12' -c 'print refcntroot' "$D/img" | awk '{ print $3 }') * blocksize + 20)) \
  'group 12: its copy-on-write leftovers stay allocated'

# Nothing but unlinked inodes, of which damage keeps all from being freed: the inode btree of their group.
U=$work/unlinked
mkdir "$U"
zstd -q -d --sparse --long=29 "$(dirname "$0")/shipped/quota.img.zst" -o "$U/img"
"$replay" --pass2-only "$U/img" >"$work/said" 2>&1 || [ $? = 2 ] || fail "--pass2-only: $(cat "$work/said")"
printf '\377' | dd of="$U/img" bs=1 seek=$((3 * 4096 + 100)) conv=notrunc status=none
rc=0
"$replay" "$U/img" >"$work/said" 2>&1 || rc=$?
{ [ "$rc" = 8 ] && [ "$(grep -c 'cannot be freed: it is taken off the list and kept' "$work/said")" = 5 ]; } ||
  fail "unlinked inodes alone are kept: exit $rc: $(cat "$work/said")"
xfs_repair "$U/img" >"$work/repair" 2>&1 || fail "unlinked inodes alone are kept: xfs_repair: $(tail -3 "$work/repair")"

# An intent that contradicts the filesystem (this one has no parent pointers) is given up on request only.
C=$work/contradiction
copy_image "$K" "$C"
echo "pptr 4 128 0 name 128 0" | "$tools/addintents" "$C/img"
rc=0
"$replay" "$C/img" >"$work/said" 2>&1 || rc=$?
{ [ "$rc" = 2 ] && grep -q 'until-bad gives up' "$work/said"; } || fail "an impossible intent: exit $rc: $(cat "$work/said")"
rc=0
"$replay" --until-bad "$C/img" >"$work/said" 2>&1 || rc=$?
{ [ "$rc" = 8 ] && grep -q 'lost: the rest of an operation: ATTRI intent' "$work/said"; } || fail "--until-bad: exit $rc: $(cat "$work/said")"
kernel_mount "$C"
[ "$verdict" = clean ] || fail "the log was not clean after --until-bad"
echo "7 damaged groups: the log is clean, xfs_repair does the rest, and $(wc -l <"$work/tree") files are there"
