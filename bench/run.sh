#!/bin/sh
# SPDX-License-Identifier: MIT
# run.sh BENCH FOLDER PLOT: measure, and make tables and plots of it.
set -eu
"$1" "$2/bench.json"
python3 "$3" "$2/bench.json" "$2"
echo "tables and plots: $2/performance.md"
