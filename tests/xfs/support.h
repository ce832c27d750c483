/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TEST_SUPPORT_H
#define TEST_SUPPORT_H

/* What the tests of xfs/ share: cmocka in the order it wants, messages kept for a look, a file in memory as device. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>
#include "dev.h"
#include "msg.h"

/* Every message of a test so far, one a line, cut at the end of the buffer. */
struct test_msg {
	struct xr_msg msg;
	size_t used;
	char text[8192];
};

static inline void test_emit(void *arg, enum xr_level level, const char *text)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	struct test_msg *t = arg;

	(void)level;
	pthread_mutex_lock(&lock);
	if (t->used < sizeof(t->text))
		t->used += (size_t)snprintf(t->text + t->used, sizeof(t->text) - t->used, "%s\n", text);
	pthread_mutex_unlock(&lock);
}

static inline void test_msg_init(struct test_msg *t)
{
	t->msg = (struct xr_msg){.emit = test_emit, .arg = t, .verbosity = XR_DETAIL};
	t->used = 0;
	t->text[0] = '\0';
}

#define assert_said(t, word)                                                                                                     \
	do {                                                                                                                     \
		if (!strstr((t)->text, word))                                                                                    \
			fail_msg("\"%s\" was not said, but: %s", word, (t)->text);                                               \
	} while (0)

/* A file of size zero bytes without a name, as a writable device. Closed by xr_dev_close(). */
static inline void test_dev_init(struct xr_dev *dev, uint64_t size, struct test_msg *t)
{
	*dev = (struct xr_dev){
		.fd = memfd_create("test", MFD_CLOEXEC), .name = "test", .size = size, .writable = true, .msg = &t->msg};
	assert_true(dev->fd >= 0);
	assert_int_equal(ftruncate(dev->fd, (off_t)size), 0);
}

#endif
