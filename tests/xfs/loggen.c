/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * loggen: write one of the synthetic logs of logcases.c into a filesystem image
 *
 *   loggen --list IMAGE       name|exit status|marks|sound or corrupt|message, for every case that this filesystem can have
 *   loggen IMAGE CASE [be]    write its log, in the byte order of a big-endian machine if asked
 *   loggen --marks IMAGE      which marks are in the image
 */
#include "logcases.h"

#include "format.h"

static void list(const struct lb *lb)
{
	for (size_t i = 0; i < logcases_count; i++) {
		const struct logcase *c = &logcases[i];

		if (logcase_fits(c, &lb->sb))
			printf("%s|%d|%#x|%s|%s\n", c->name, c->status, c->marks, c->flags & LC_CORRUPT ? "corrupt" : "sound",
			       c->say ? c->say : "");
	}
}

int main(int argc, char **argv)
{
	bool marks = argc == 3 && !strcmp(argv[1], "--marks"), names = argc == 3 && !strcmp(argv[1], "--list");
	const struct logcase *c = argc >= 3 ? logcase_find(argv[2]) : NULL;
	static struct lb lb;

	if (!c && !marks && !names) {
		fputs("usage: loggen --list IMAGE | IMAGE CASE [be] | --marks IMAGE\n", stderr);
		return 2;
	}
	lb_open(&lb, argv[c ? 1 : 2]);
	if (names)
		list(&lb);
	if (marks)
		printf("%#x\n", logcase_marks(&lb));
	if (c) {
		lb.fmt = argc > 3 && !strcmp(argv[3], "be") ? XLOG_FMT_LINUX_BE : XLOG_FMT_LINUX_LE;
		logcase_build(c, &lb);
	}
	lb_end(&lb);
	return 0;
}
