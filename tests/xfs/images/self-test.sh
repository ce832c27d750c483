#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Can the image tests fail? Two recoveries by the kernel must compare equal; one field, one byte or one counter changed with
# xfs_db, or a log that nobody replayed, must not. Environment as for run-image.sh.

# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

tools=${IMAGE_TOOLS:?}

# differs COPY WHAT: snapshots and sectors of the copy tell it from $K
differs() {
  snapshot_image "$1" "$1.txt"
  ! cmp -s "$K.txt" "$1.txt" || fail "the snapshot does not show a changed $2"
  ! "$tools/imgdiff" "$K/img" "$1/img" >/dev/null || fail "imgdiff does not see a changed $2"
}

poke() { # WHAT XFS_DB-COMMAND...
  local args=() command
  for command in "${@:2}"; do
    args+=(-c "$command")
  done
  copy_image "$K" "$work/poked"
  xfs_db -x "${args[@]}" "$work/poked/img" >"$work/said" 2>&1 || fail "xfs_db: $(cat "$work/said")"
  differs "$work/poked" "$1"
  rm -r "$work/poked"
}

dirty_text() {
  printf '\tBUF:  #regs:2   start blkno:0x40   len:%d   bmap size:1   flags:0x%x\n' "$2" $(($1 << 11))
}

need_kernel
D=$work/dirty K=$work/kernel
mkdir "$D"
truncate -s 300M "$D/img"
mkfs.xfs -q "$D/img"
mount_image "$D" rw
"$tools/workload" --ops=300 --tidy --reflink "$work/mnt"
unmount_image
check_dirty "$D"

copy_image "$D" "$K"
kernel_mount "$K"
[ "$verdict" = recovered ] || fail "a dirty log was not recovered"
copy_image "$D" "$work/again"
kernel_mount "$work/again"
same_state "$K" "$work/again" || fail "two recoveries by the kernel differ"
"$tools/imgdiff" "$K/img" "$work/again/img" || fail "two recoveries by the kernel wrote different sectors"
kernel_mount "$work/again"
[ "$verdict" = clean ] || fail "a recovered log is dirty"

# Nobody replayed: a read-only device refuses, without recovery the tree is another.
! mount_image "$D" ro 2>/dev/null || fail "a dirty log was mounted read-only"
unmount_image
mount_image "$D" ro norecovery
"$tools/snapshot" "$work/mnt" >"$work/unreplayed" 2>/dev/null || true
unmount_image
! cmp -s "$K.txt" "$work/unreplayed" || fail "the snapshot does not show that nothing was replayed"

file=$(sed -n 's/^inode \([0-9]*\): mode 100.* size [1-9][0-9]* blocks [1-9].*/\1/p' "$K.txt" | head -1)
block=$(sed -n 's/^\/[^:]*: data 0+[0-9]* @ \([0-9]*\)$/\1/p' "$K.txt" | head -1)
poke generation "inode $file" "write -d core.gen 12345"
poke owner "inode $file" "write -d core.uid 4242"
poke project "inode $file" "write -d core.projid_lo 4242"
poke mode "inode $file" "write -d core.mode 0100001"
poke counter "sb 0" "write fdblocks 4242"
copy_image "$K" "$work/content"
printf x | dd of="$work/content/img" bs=1 seek=$((block * 512 + 1)) conv=notrunc status=none
differs "$work/content" "content"

# The scan that keeps deadly images from the kernel: a piece of a 64 KiB directory block is found, other things are not.
dirty_text 11 8 | fragments 65536 4096 >/dev/null && fail "a piece of a directory block passed"
dirty_text 15 16 | fragments 65536 4096 >/dev/null && fail "a piece of a directory node passed"
dirty_text 11 128 | fragments 65536 4096 || fail "a whole directory block did not pass"
dirty_text 15 8 | fragments 65536 4096 || fail "an attribute node did not pass"
dirty_text 4 8 | fragments 65536 4096 || fail "a btree block did not pass"
fragments 65536 4096 </dev/null >/dev/null && fail "a log without buffers passed"
echo "every change was seen"
