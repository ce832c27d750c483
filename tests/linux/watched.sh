#!/bin/sh
# SPDX-License-Identifier: MIT
# watched.sh SAYS COMMAND...: run COMMAND with each mistake that watched.c knows; what it writes has to say so, with a pattern of SAYS (one
# a mistake, separated by commas); without a mistake it must say nothing.
set -u
says=$1
shift
command -v "$1" >/dev/null || { echo "skipped: $1 is not installed"; exit 77; }
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# The ASan of this gcc does not know every layout that a kernel may choose at random.
fixed=
if setarch "$(uname -m)" -R true 2>/dev/null; then
	fixed="setarch $(uname -m) -R"
fi

for what in freed guard unmapped; do
	pattern=${says%%,*}
	says=${says#*,}
	if $fixed "$@" "$what" >"$log" 2>&1; then
		echo "$what: not reported"
		exit 1
	fi
	if ! grep -Eq "$pattern" "$log"; then
		echo "$what: the report does not have '$pattern':"
		cat "$log"
		exit 1
	fi
	echo "$what: $(grep -Em1 "$pattern" "$log")"
done
if ! $fixed "$@" nothing >"$log" 2>&1 || grep -q '^==' "$log"; then
	echo 'something was reported without a mistake:'
	cat "$log"
	exit 1
fi
