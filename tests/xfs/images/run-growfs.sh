#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# A filesystem that grew shortly before the crash, so that only its log knows: replayed as the kernel does, also inside a partition; and nothing
# behind the partition's filesystem is touched.

# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

tools=${IMAGE_TOOLS:?} replay=${XFS_REPLAY:?}
need_kernel
for program in xfs_growfs xfs_io; do
  command -v $program >/dev/null || skip "$program is not installed"
done

D=$work/dirty K=$work/kernel T=$work/tool
mkdir "$D"
truncate -s 400M "$D/img"
mkfs.xfs -q -f -d size=320m "$D/img"
mount_image "$D" rw
fill() {
  for i in $(seq 50); do
    head -c 30000 /dev/zero | tr '\0' "$1" >"$work/mnt/$1$i"
  done
}
fill a
xfs_growfs "$work/mnt" >/dev/null
fill b
xfs_io -x -c 'shutdown -f' "$work/mnt"
unmount_image
before=$(super "$D" dblocks)
check_dirty "$D"
copy_image "$D" "$K"
copy_image "$D" "$T"
kernel_mount "$K"
[ "$(super "$K" dblocks)" != "$before" ] || fail "the filesystem had grown on the disk already"
# The kernel's copy, of the same UUID, is mounted meanwhile: a kernel would refuse to mount both.
mount_image "$K" ro
"$replay" "$T/img" >/dev/null || fail "xfs_replay: exit $?"
unmount_image
same_state "$K" "$T" || fail "xfs_replay's recovery is not the kernel's"

# The same between two other partitions.
head -c 1048576 /dev/zero | tr '\0' x >"$work/disk"
{ cat "$D/img" && head -c 1048576 /dev/zero | tr '\0' y; } >>"$work/disk"
"$replay" --offset 1m --output "$work/copy" "$work/disk" >/dev/null || fail "xfs_replay --offset --output: exit $?"
cmp "$work/copy" "$T/img" || fail "--offset with --output makes another filesystem of it"
rm "$work/copy"
"$replay" --offset 1m --undo "$work/undo" "$work/disk" >/dev/null || fail "xfs_replay --offset: exit $?"
cmp <(tail -c +1048577 "$work/disk" | head -c $((400 << 20))) "$T/img" || fail "--offset makes another filesystem of it"
[ "$(head -c 1048576 "$work/disk" | tr -d x | wc -c)" = 0 ] || fail "something before the partition was written"
[ "$(tail -c 1048576 "$work/disk" | tr -d y | wc -c)" = 0 ] || fail "something behind the partition was written"
"$replay" --apply-undo "$work/undo" "$work/disk" >/dev/null || fail "xfs_replay --apply-undo: exit $?"
cmp <(tail -c +1048577 "$work/disk" | head -c $((400 << 20))) "$D/img" || fail "--apply-undo does not bring back what there was"

# No room to grow into.
truncate -s 321M "$work/disk"
if "$replay" --offset 1m "$work/disk" >"$work/said" 2>&1 || ! grep -q 'more than the device' "$work/said"; then
  fail "a disk that is too small: $(cat "$work/said")"
fi
echo "equal in $(wc -l <"$T.txt") lines"
