/* SPDX-License-Identifier: GPL-2.0-only */
/* Progress: drawn and erased on a terminal (a pty), nothing at all elsewhere. */
#include "support.h"

#include <fcntl.h>
#include <pty.h>
#include "progress.h"

/* What has been written to the terminal since the last call. */
static const char *seen(int master)
{
	static char text[256];
	ssize_t n = read(master, text, sizeof(text) - 1);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

static void test_terminal(void **state)
{
	struct xr_progress progress;
	int master, slave;
	FILE *out;

	(void)state;
	assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
	assert_int_equal(fcntl(master, F_SETFL, O_NONBLOCK), 0);
	out = fdopen(slave, "w");
	xr_progress_init(&progress, out, true);
	xr_progress_show(&progress, "copying", 1, 100);
	assert_string_equal(seen(master), ""); /* short work draws nothing */
	usleep(110000);
	xr_progress_show(&progress, "copying", 42, 100);
	assert_string_equal(seen(master), "\r\033[Kcopying: 42%");
	xr_progress_show(&progress, "copying", 43, 100);
	assert_string_equal(seen(master), ""); /* throttled */
	xr_progress_clear(&progress);
	assert_string_equal(seen(master), "\r\033[K");
	xr_progress_clear(&progress);
	assert_string_equal(seen(master), "");
	xr_progress_show(&progress, "copying", UINT64_MAX / 2, UINT64_MAX);
	assert_string_equal(seen(master), "\r\033[Kcopying: 50%");

	xr_progress_init(&progress, out, false);
	usleep(110000);
	xr_progress_show(&progress, "copying", 1, 0);
	assert_string_equal(seen(master), "");
	fclose(out);
	close(master);
}

static void test_elsewhere(void **state)
{
	struct xr_progress progress;
	FILE *out = tmpfile();

	(void)state;
	assert_non_null(out);
	xr_progress_init(&progress, out, true);
	usleep(110000);
	xr_progress_show(&progress, "copying", 1, 2);
	xr_progress_clear(&progress);
	assert_int_equal(ftell(out), 0);
	fclose(out);
	xr_progress_show(NULL, "copying", 1, 2);
	xr_progress_clear(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_terminal),
		cmocka_unit_test(test_elsewhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
