#!/bin/sh
# SPDX-License-Identifier: MIT
# bench.sh KERNEL: measure with a clock that counts instructions (a TSC tick each), so that figures repeat.
set -eu
status=0
output=$(qemu-system-x86_64 -accel tcg -icount shift=0,sleep=off -smp 1 -m 512M -M pc -cpu max -nodefaults -display none -no-reboot \
	-serial stdio -device isa-debug-exit,iobase=0xf4,iosize=4 -kernel "$1" </dev/null) || status=$?
printf '%s\n' "$output" | tr -d '\r' | sed -n '/^instructions/,$p'
[ "$status" -eq 1 ] # isa-debug-exit cannot give 0
