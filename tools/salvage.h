/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_TOOL_SALVAGE_H
#define XR_TOOL_SALVAGE_H

#include "run.h"

/* Pass 1. With --until-bad a log in which it, or a rehearsal of pass 2 in memory, finds something wrong is cut before that. Negative errno, said. */
int salvage_check(struct run *run);

/* After pass 2, where the log was cut: say what is lost, by inode and path. Negative errno, said. */
int salvage_report(struct run *run);

/* Say which intents are given up, because they cannot be completed. */
void salvage_give_up(struct run *run);

#endif
