#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Intents for parent pointers, written behind the clean log of a filesystem that has them: some of a file's many links are taken out of its
# attributes and put back. The kernel then removes every link, for which it has to find each parent pointer by hash, name and value.

# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

tools=${IMAGE_TOOLS:?} replay=${XFS_REPLAY:?}
need_kernel
D=$work/dirty
mkdir "$D"
zstd -q -d --sparse --long=29 "$(dirname "$0")/shipped/exchange.img.zst" -o "$D/img"
kernel_mount "$D"
mount_image "$D" rw
dir=$work/mnt/parents
mkdir "$dir"
: >"$dir/file"
for i in $(seq 300); do
  ln "$dir/file" "$dir/link-$i-of-the-file-that-has-many"
done
ino=$(stat -c %i "$dir/file")
parent=$(stat -c %i "$dir")
unmount_image
snapshot_image "$D" "$D.txt"
generation() {
  sed -n "s/^inode $1: .* gen \\([0-9]*\\)\$/\\1/p" "$D.txt"
}
for i in 1 77 150 151 152 300; do
  for op in 5 4; do
    echo "pptr $op $ino $(generation "$ino") link-$i-of-the-file-that-has-many $parent $(generation "$parent")"
  done
done >"$work/list"
"$tools/addintents" "$D/img" <"$work/list"
"$replay" "$D/img" >"$work/said" || fail "xfs_replay: exit $?: $(cat "$work/said")"
grep -q 'completed: 12 intents' "$work/said" || fail "not 12 intents were completed: $(cat "$work/said")"
kernel_mount "$D"
[ "$verdict" = clean ] || fail "the log was not clean after xfs_replay"
mount_image "$D" rw
rm -r "$dir" || fail "the kernel cannot remove the links"
sync -f "$work/mnt"
if dmesg | sed -n "/$mark/,\$p" | grep -E 'orruption|Shutting|shutdown' >&2; then
  fail "the kernel found a parent pointer missing"
fi
unmount_image
echo "300 links were removed"
