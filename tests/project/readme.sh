#!/bin/sh
# SPDX-License-Identifier: MIT
# readme.sh SOURCE VIEW: the README shows examples/view.c to the letter, VIEW (the program built from it) prints what the README
# says, and there are exactly two commands, one line each.
set -eu
view=$(realpath "$2")
cd "$1"

fenced() {
	awk -v fence="\`\`\`$1" '/^```/ { if (in_block) { in_block = 0 } else { in_block = $0 == fence }; next } in_block' README.md
}

fenced c | cmp - examples/view.c

said=$("$view")
grep -qF "It prints \`$said\`" README.md || { echo "the README does not say that the example prints: $said"; exit 1; }

commands=$(fenced sh)
[ "$(echo "$commands" | wc -l)" -eq 2 ] || { echo 'the README does not have exactly two commands'; exit 1; }
echo "$commands" | sed -n 1p | grep -q '&& meson setup build && ninja -C build demo$'
echo "$commands" | sed -n 2p | grep -q '&& meson setup build && .*meson test -C build$'
