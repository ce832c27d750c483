/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Progress
 *
 * A carriage return, the line, and "erase to the end of the line" are all that is asked of the terminal. The throttle is the
 * clock, not a count of calls: steps of the work differ in length.
 */
#include "progress.h"

#include <inttypes.h>
#include <time.h>
#include <unistd.h>

#define INTERVAL 100000000u
#define ERASE "\r\033[K"

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

void xr_progress_init(struct xr_progress *progress, FILE *out, bool wanted)
{
	*progress = (struct xr_progress){.out = out, .terminal = wanted && isatty(fileno(out)), .next = now() + INTERVAL};
}

/* Without a product that could wrap. */
static unsigned percent(uint64_t done, uint64_t all)
{
	if (done >= all)
		return 100;
	return (unsigned)(all > UINT64_MAX / 100 ? done / (all / 100) : done * 100 / all);
}

void xr_progress_show(struct xr_progress *progress, const char *what, uint64_t done, uint64_t all)
{
	uint64_t time;

	if (!progress || !progress->terminal)
		return;
	time = now();
	if (time < progress->next)
		return;
	fprintf(progress->out, ERASE "%s: %u%%", what, percent(done, all));
	fflush(progress->out);
	progress->drawn = true;
	progress->next = time + INTERVAL;
}

void xr_progress_clear(struct xr_progress *progress)
{
	if (!progress || !progress->drawn)
		return;
	fputs(ERASE, progress->out);
	fflush(progress->out);
	progress->drawn = false;
	progress->next = 0;
}
