#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# usage: run-look.sh GEOMETRY [view]
#
# What is shown and extracted of a dirty image is what the kernel recovers: a copy is recovered by the kernel and mounted, the dirty one only
# looked at. Compared are everything that was extracted (names, attributes, extended attributes, contents, hard links), the content
# of files by --cat, directories by --ls. With "view", the same of a mount by xfs_view, for root and for another user. The dirty image is
# not changed.
# Environment as for run-image.sh; XFS_VIEW the other tool.

# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

tools=${IMAGE_TOOLS:?}
replay=${XFS_REPLAY:?}
view=${XFS_VIEW:-}
view_pid=

case ${1:?} in
default) mkfs=() ;;
block1k) mkfs=(-b size=1k -m rmapbt=1 -n size=4096) ;;
*) fail "unknown geometry $1" ;;
esac

# Attributes in every form: in the inode, in a leaf, under nodes, with values in blocks of their own; lists; on links and devices too.
fill() {
  local i
  mkdir "$1/attrs"
  for i in short leaf many; do
    echo $i >"$1/attrs/$i"
    setfattr -n user.one -v "$i" "$1/attrs/$i"
    setfattr -n trusted.two -v "$i" "$1/attrs/$i"
    setfattr -n security.three -v "$i" "$1/attrs/$i"
  done
  setfattr -n user.empty "$1/attrs/short"
  setfattr -n user.long -v "$(printf '%01500d' 7)" "$1/attrs/leaf"
  for i in $(seq 300); do
    setfattr -n "user.number-$i-of-very-many" -v "$(printf "%0$((i % 90 + 10))d" "$i")" "$1/attrs/many"
  done
  for i in 3000 65000 65536; do
    setfattr -n user.$i -v "$(printf "%0${i}d" "$i")" "$1/attrs/many"
  done
  ln -s ../../../../etc/passwd "$1/attrs/link"
  setfattr -h -n trusted.on-a-link -v yes "$1/attrs/link"
  mknod "$1/attrs/device" c 1 3
  setfattr -n trusted.on-a-device -v yes "$1/attrs/device"
  ln "$1/attrs/many" "$1/attrs/again"
  truncate -s 1G "$1/attrs/sparse"
  printf 'in the middle' | dd of="$1/attrs/sparse" bs=1 seek=500000001 conv=notrunc status=none
  fallocate -o 600000000 -l 10M "$1/attrs/sparse"
  chmod 6755 "$1/attrs/short"
  chown 1234:4321 "$1/attrs/leaf"
  chmod 555 "$1/attrs"
}

show() { # EXPECTED-STATUS ARGUMENT...
  local rc=0
  "$replay" "${@:2}" 2>"$work/said" || rc=$?
  [ "$rc" = "$1" ] || fail "xfs_replay ${*:2}: exit $rc: $(cat "$work/said")"
}

# The kernel's recovery is what FILE says it is.
same_as_mounted() { # FILE WHAT
  mount_image "$K" ro
  "$tools/snapshot" --portable "$work/mnt" >"$work/mounted.txt"
  unmount_image
  diff -u "$work/mounted.txt" "$1" >"$work/diff" || {
    head -40 "$work/diff" >&2
    fail "$2 differs from the kernel's recovery"
  }
}

unview() {
  umount "$1"
  # The daemon ends after the unmount, and lets go of the image.
  while [ -n "$view_pid" ] && kill -0 "$view_pid" 2>/dev/null; do sleep 0.1; done
}

check_view() {
  local other
  "$view" "$D/img" "$D/img" 2>"$work/said" && fail "xfs_view mounts on a file"
  grep -q 'cannot be mounted on: name a directory' "$work/said"
  mkdir "$work/view"
  "$view" -f "$D/img" "$work/view" 2>"$work/said" &
  view_pid=$!
  undo+=("unview $work/view")
  for _ in $(seq 100); do
    mountpoint -q "$work/view" && break
    kill -0 "$view_pid" || fail "xfs_view: $(cat "$work/said")"
    sleep 0.1
  done
  "$tools/snapshot" --portable "$work/view" >"$work/viewed.txt"
  (touch "$work/view/new" || rm "$work/view/attrs/short") 2>"$work/touched" && fail "xfs_view can be written to"
  grep -qi 'read-only' "$work/touched"
  [ "$(stat -f -c %T "$work/view")" = fuseblk ] || [ "$(stat -f -c %T "$work/view")" = fuse ]
  dd if="$work/view/attrs/sparse" bs=1 skip=500000001 count=13 status=none | grep -q 'in the middle'
  [ "$(stat -f -c %b "$work/view")" -gt 1000 ]
  ls "$work/view/none" 2>/dev/null && fail "a name that is not there was found"
  undo_one
  [ ! -s "$work/said" ] || fail "xfs_view says: $(cat "$work/said")"
  same_as_mounted "$work/viewed.txt" "what xfs_view shows"

  # A root that cannot be read.
  cp --sparse=always "$K/img" "$work/rootless"
  xfs_db -x -c 'sb 0' -c 'addr rootino' -c 'write -c core.magic 0' "$work/rootless" >/dev/null
  "$view" "$work/rootless" "$work/view" 2>"$work/said" && fail "xfs_view mounts without a root"
  grep -q 'xfs_view: inode' "$work/said" || fail "said of a damaged root: $(cat "$work/said")"

  # In the background, with files in so many extents that reading them needs views of scattered pages.
  view_pid=
  mkdir "$work/shipped"
  zstd -q -d --sparse --long=29 "$(dirname "$0")/shipped/exchange.img.zst" -o "$work/shipped/img"
  "$view" "$work/shipped/img" "$work/view" || fail "xfs_view in the background: exit $?"
  undo+=("umount $work/view")
  (cd "$work/view" && find . -type f -exec md5sum {} +) >"$work/viewed" || fail "xfs_view in the background cannot be read"
  [ "$(wc -l <"$work/viewed")" -gt 500 ] || fail "only $(wc -l <"$work/viewed") files are in the view"
  undo_one
  kernel_mount "$work/shipped"
  mount_image "$work/shipped" ro
  (cd "$work/mnt" && md5sum --quiet -c "$work/viewed") >&2 || fail "files in the view are others than the kernel's"
  unmount_image

  # Whoever can read the image needs no root, where fusermount3 is setuid.
  command -v setpriv >/dev/null && [ -u "$(command -v fusermount3)" ] || return 0
  other=$(stat -c %a /dev/fuse)
  [ $((other % 10)) -ge 6 ] || return 0
  chmod 755 "$work" "$D"
  chown 65534:65534 "$work/view"
  undo+=("umount $work/view")
  setpriv --reuid=65534 --regid=65534 --clear-groups "$view" "$D/img" "$work/view" || fail "xfs_view as another user: exit $?"
  setpriv --reuid=65534 --regid=65534 --clear-groups cat "$work/view/attrs/short" | grep -q short
  undo_one
}

need_kernel
command -v setfattr >/dev/null || skip "setfattr is not installed"
[ -x "$replay" ] || skip "$replay is not built"
if [ "${2:-}" = view ]; then
  [ -x "$view" ] || skip "xfs_view is not built: libfuse3 is not installed"
  [ -c /dev/fuse ] || skip "no /dev/fuse"
  command -v fusermount3 >/dev/null || skip "fusermount3 is not installed"
fi
D=$work/dirty K=$work/kernel
mkdir "$D"
truncate -s 300M "$D/img"
mkfs.xfs -q "${mkfs[@]}" "$D/img"
mount_image "$D" rw
fill "$work/mnt"
"$tools/workload" --ops=600 --seed="${IMAGE_SEED:-1}" --tidy --reflink "$work/mnt"
unmount_image
check_dirty "$D"
copy_image "$D" "$K"
copy_image "$D" "$work/before"
kernel_mount "$K"

if [ "${2:-}" = view ]; then
  check_view
  cmp "$D/img" "$work/before/img" || fail "looking changed the image"
  echo "$1: equal in $(wc -l <"$work/mounted.txt") lines"
  exit
fi

# Extract onto a filesystem that can hold all of it.
mkdir "$work/target"
truncate -s 2G "$work/target/img"
mkfs.xfs -q "$work/target/img"
mount_image "$work/target" rw
show 2 --extract / "$work/mnt/all" "$D/img" >/dev/null
"$tools/snapshot" --portable "$work/mnt/all" >"$work/extracted.txt"
[ "$(stat -c %b "$work/mnt/all/attrs/sparse")" -lt 1000 ] || fail "the sparse file has no holes in the copy"
show 1 --extract / "$work/mnt/all" "$D/img" >/dev/null
grep -q 'not empty' "$work/said"
show 2 --extract /attrs/link "$work/mnt/one" "$D/img" >/dev/null
[ "$(ls "$work/mnt/one")" = link ] && [ "$(readlink "$work/mnt/one/link")" = ../../../../etc/passwd ]
show 2 --extract /attrs "$work/mnt/sub" "$D/img" >/dev/null
[ "$(stat -c %h "$work/mnt/sub/many")" = 2 ] && [ "$(stat -c %a "$work/mnt/sub")" = 555 ]
unmount_image

# As nobody: contents are there, what only root may restore is named, and nothing is setuid.
if command -v setpriv >/dev/null; then
  chmod 755 "$work" "$D"
  mkdir -m 777 "$work/nobody"
  rc=0
  setpriv --reuid=65534 --regid=65534 --clear-groups "$replay" --extract /attrs "$work/nobody/x" "$D/img" >"$work/said" 2>&1 || rc=$?
  [ "$rc" = 2 ] || fail "as nobody: exit $rc: $(cat "$work/said")"
  grep -q '1 device nodes' "$work/said" || fail "as nobody: $(cat "$work/said")"
  grep -q 'given to their owner' "$work/said" || fail "as nobody: $(cat "$work/said")"
  [ "$(stat -c %a "$work/nobody/x/short")" = 755 ] || fail "as nobody: short is setuid"
fi

same_as_mounted "$work/extracted.txt" "what was extracted"
mount_image "$K" ro
files=$(cd "$work/mnt" && find . -type f -size -20M -regex '[./a-zA-Z0-9_-]*' -printf '%P\n' | shuf -n 20 --random-source="$work/mounted.txt")
for name in attrs/sparse $files; do
  show 2 --cat "/$name" "$D/img" | cmp - "$work/mnt/$name" >&2 || fail "--cat /$name is not the file"
done
show 2 --ls /attrs "$D/img" | grep -ac ' /attrs/' >"$work/count"
[ "$(cat "$work/count")" = "$(find "$work/mnt/attrs" -mindepth 1 -maxdepth 1 | wc -l)" ] || fail "--ls shows $(cat "$work/count") names"
unmount_image
show 1 --cat /attrs/link "$D/img"
show 1 --cat /attrs/link/x "$D/img"
grep -q 'symbolic link' "$work/said"
show 1 --ls /no/such "$D/img"
cmp "$D/img" "$work/before/img" || fail "looking changed the image"
echo "$1: equal in $(wc -l <"$work/mounted.txt") lines"
