# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2034
#
# A test machine: a kernel in QEMU whose only program (init.c) does what a script says. The kernel is Debian's, from $QEMU_KERNEL_ROOT/boot/vmlinuz-* with
# its modules below lib/modules: the installed one, or the package linux-image-amd64 unpacked anywhere. Everything lives below $work.

# shellcheck source-path=SCRIPTDIR source=../common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../common.sh"

# need_machine PROGRAM...: skips without; sets $work
need_machine() {
  local root=${QEMU_KERNEL_ROOT:-}
  need qemu-system-x86_64 cpio xz xfs_repair "$@"
  [ -x "${QEMU_INIT:-}" ] || skip "no static C library: the test machine's init is not built"
  kernel=$(find "$root/boot" -maxdepth 1 -name 'vmlinuz-*-amd64' 2>/dev/null | sort -V | tail -1)
  [ -r "$kernel" ] || skip "no kernel $root/boot/vmlinuz-*-amd64 (Debian's linux-image-amd64)"
  modules=$root/lib/modules/${kernel##*/vmlinuz-}
  [ -d "$modules" ] || skip "no modules in $modules"
  work=$(mktemp -d "${TMPDIR:-/tmp}/xfs-qemu.XXXXXX")
  trap '[ -n "${KEEP_IMAGES:-}" ] || rm -rf "$work"' EXIT
}

# boot SECONDS PROGRAM... -- DISK...: runs the script on stdin, which finds the programs in / and the disks as /dev/vdb, /dev/vdc, ...; what it says
# goes to $work/text. Fails if it does not come to its end.
boot() {
  local limit=$1 drives=() module file
  shift
  rm -rf "$work/root"
  mkdir -p "$work/root/modules"
  cp "$QEMU_INIT" "$work/root/init"
  cat >"$work/root/script"
  for (( ; $# > 0; )); do
    file=$1
    shift
    [ "$file" != -- ] || break
    cp "$file" "$work/root/"
  done
  for module in virtio virtio_ring virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci virtio_blk libcrc32c crc32c_generic xfs; do
    find "$modules" -name "$module.ko*" -exec cp {} "$work/root/modules" \;
  done
  for file in "$work/root/modules"/*.xz; do
    [ ! -e "$file" ] || xz -d "$file"
  done
  (cd "$work/root" && find . | cpio -o -H newc --quiet >"$work/initrd")
  rm -f "$work/list"
  truncate -s 64M "$work/list"
  for file in "$work/list" "$@"; do
    drives+=(-drive "file=$file,format=raw,if=virtio,cache=unsafe")
  done
  timeout "$limit" qemu-system-x86_64 -accel tcg -m 768 -nographic -no-reboot -nodefaults -serial "file:$work/console" \
    -kernel "$kernel" -initrd "$work/initrd" -append 'console=ttyS0 quiet panic=-1' "${drives[@]}" </dev/null ||
    fail "QEMU: exit $?: $(tail -15 "$work/console")"
  tr -d '\0' <"$work/list" >"$work/text"
  grep -q '^END$' "$work/text" || fail "the machine did not get to the end: $(tail -15 "$work/console")"
  ! grep -B3 '^FAILED' "$work/text" >&2 || fail "in the machine: $(tail -15 "$work/console")"
}
