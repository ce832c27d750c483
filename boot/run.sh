#!/bin/sh
# SPDX-License-Identifier: MIT
# run.sh ARCH QEMU KERNEL: boot the kernel under QEMU; what it prints is TAP. Without a kernel (no cross compiler) or QEMU the test is skipped.
set -eu
arch=$1 qemu=$2 kernel=$3

if [ ! -e "$kernel" ]; then
	echo "1..0 # SKIP there is no compiler for $arch"
	exit 0
fi
if ! command -v "$qemu" >/dev/null; then
	echo "1..0 # SKIP there is no $qemu"
	exit 0
fi

# One CPU at a time: with fewer host CPUs than guest CPUs, spinning ones would hold up the others. The kernel yields where it waits.
common='-accel tcg,thread=single -smp 8 -m 512M -nodefaults -display none -no-reboot -serial stdio'
case $arch in
x86_64) set -- -M pc -cpu max -device isa-debug-exit,iobase=0xf4,iosize=4 ;;
aarch64) set -- -M virt -cpu max ;;
riscv64) set -- -M virt -cpu rv64,svnapot=on,svpbmt=on ;;
esac

output=$(mktemp)
trap 'rm -f "$output"' EXIT
status=0
# shellcheck disable=SC2086 # common is a list of words
timeout 240 "$qemu" "$@" $common -kernel "$kernel" </dev/null >"$output" || status=$?
# isa-debug-exit cannot give 0.
if [ "$arch" = x86_64 ] && [ "$status" = 1 ]; then
	status=0
fi
# Firmware has its say first.
sed -n '/^# libvmap/,$p' "$output" | tr -d '\r'
if [ "$status" != 0 ]; then
	sed 's/^/# /' "$output" | tail -n 20
	echo "Bail out! $qemu ended with $status"
fi
exit "$status"
