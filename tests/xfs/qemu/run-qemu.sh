#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# usage: run-qemu.sh NAME
#
# Recovers shipped/NAME, checks it with xfs_repair -n, and then has a kernel of its own, in QEMU, mount it and list every name: the list must be that
# of xfs_replay --tree. For images that this machine's kernel cannot mount (V4), or that would kill it if our recovery were wrong.
#
# The kernel is Debian's, from $QEMU_KERNEL_ROOT/boot/vmlinuz-* with its modules below lib/modules: the installed one, or the package
# linux-image-amd64 unpacked anywhere.

set -euo pipefail
export LC_ALL=C

replay=${XFS_REPLAY:?}
shipped=$(dirname "$0")/../images/shipped
name=${1:?}
root=${QEMU_KERNEL_ROOT:-}

skip() {
  echo "skipped: $*"
  exit 77
}
fail() {
  echo "FAILED: $*" >&2
  exit 1
}

for program in qemu-system-x86_64 cpio zstd xz xfs_repair; do
  command -v "$program" >/dev/null || skip "$program is not installed"
done
[ -x "${QEMU_INIT:-}" ] || skip "no static C library: the test machine's init is not built"
kernel=$(find "$root/boot" -maxdepth 1 -name 'vmlinuz-*-amd64' 2>/dev/null | sort -V | tail -1)
[ -r "$kernel" ] || skip "no kernel $root/boot/vmlinuz-*-amd64 (Debian's linux-image-amd64)"
modules=$root/lib/modules/${kernel##*/vmlinuz-}
[ -d "$modules" ] || skip "no modules in $modules"

work=$(mktemp -d "${TMPDIR:-/tmp}/xfs-qemu.XXXXXX")
trap 'rm -rf "$work"' EXIT

# The machine: one program, and the modules it needs for a disk and XFS.
mkdir -p "$work/root/modules"
cp "$QEMU_INIT" "$work/root/init"
for module in virtio virtio_ring virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci virtio_blk libcrc32c crc32c_generic xfs; do
  find "$modules" -name "$module.ko*" -exec cp {} "$work/root/modules" \;
done
for file in "$work/root/modules"/*.xz; do
  [ ! -e "$file" ] || xz -d "$file"
done
(cd "$work/root" && find . | cpio -o -H newc --quiet >"$work/initrd")

if [ -e "$shipped/$name.img.xz" ]; then
  xz -dc "$shipped/$name.img.xz" >"$work/img"
else
  zstd -q -d --sparse --long=29 "$shipped/$name.img.zst" -o "$work/img"
fi
truncate -s 64M "$work/list"

"$replay" "$work/img" || fail "xfs_replay: exit $?"
"$replay" -n "$work/img" | grep -q 'log is clean' || fail "the log is not clean"
xfs_repair -n -f -o force_geometry "$work/img" >"$work/repair" 2>&1 || fail "xfs_repair -n: $(tail -20 "$work/repair")"
"$replay" --tree "$work/img" 2>"$work/said" >"$work/tree" || fail "--tree: $(cat "$work/said")"

timeout 150 qemu-system-x86_64 -accel tcg -m 768 -nographic -no-reboot -nodefaults -serial "file:$work/console" \
  -kernel "$kernel" -initrd "$work/initrd" -append 'console=ttyS0 quiet panic=-1' \
  -drive "file=$work/img,format=raw,if=virtio" -drive "file=$work/list,format=raw,if=virtio" </dev/null || fail "QEMU: exit $?"
tr -d '\0' <"$work/list" >"$work/text"
grep -q '^END ' "$work/text" || fail "the kernel did not get to the end: $(tail -15 "$work/console")"
grep '^FAILED' "$work/text" && fail "the kernel could not read that: $(tail -15 "$work/console")"

# MODE NLINK UID GID SIZE MTIME INO PATH[ -> TARGET], without the root; the image's names have no blanks.
awk '$8 != "/" { print $7, $8 }' "$work/tree" | sort >"$work/ours"
grep -v '^END ' "$work/text" | sort >"$work/theirs"
[ "$(wc -l <"$work/ours")" -gt 1000 ] || fail "the tree is not whole"
diff -u "$work/ours" "$work/theirs" | head -40 >&2
cmp "$work/ours" "$work/theirs" || fail "the kernel sees other names"
echo "$name: the kernel lists the same $(wc -l <"$work/theirs") names"
