/* SPDX-License-Identifier: MIT */
/*
 * The handler that explains faults
 *
 * Theory: a handler gets no argument but the signal's, so the objects to be explained stand in a table that is the library's only global
 * state. Installing and removing go under a mutex; the handler goes through the table without one, and who removes an object waits until no
 * handler is looking (seen). A handler never returns from the one that was there before if that jumps away: so it has looked, and has
 * said so, before it calls it.
 *
 * A fault that nobody handled comes again as soon as the handler returns, and the default is what takes it then: the process ends as it
 * would have, with the same signal and a core at the same instruction.
 *
 * Cost: nothing before there is a fault.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>
#include <vmap/fault.h>
#include "faultline.h"
#include "process.h"

#define OBJECTS 16
#define LINE 768

static struct {
	pthread_mutex_t lock;
	struct vmap_process *objects[OBJECTS]; /* atomic */
	int fds[OBJECTS]; /* where their lines go */
	unsigned n;
	unsigned seen; /* handlers that look at objects; atomic */
	struct sigaction segv, bus; /* what was there before */
} fault = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void fault_on_signal(int sig, siginfo_t *info, void *context);

static struct sigaction *fault_before(int sig)
{
	return sig == SIGBUS ? &fault.bus : &fault.segv;
}

/* One write(): lines of several threads do not mix. What cannot be written is lost. */
static void fault_print(int fd, struct line *line)
{
	ssize_t n;

	vmap_line_end(line);
	n = write(fd, line->text, line->n);
	(void)n;
}

static void fault_look(int sig, const void *addr)
{
	__atomic_add_fetch(&fault.seen, 1, __ATOMIC_SEQ_CST);
	for (size_t i = 0; i < OBJECTS; i++) {
		struct vmap_process *process = __atomic_load_n(&fault.objects[i], __ATOMIC_SEQ_CST);
		char text[LINE], what[LINE];
		struct line line = {.text = text, .size = sizeof(text)};

		if (!process || !vmap_fault_line(process, addr, what, sizeof(what)))
			continue;
		vmap_line_text(&line, sig == SIGBUS ? "libvmap: SIGBUS at " : "libvmap: SIGSEGV at ");
		vmap_line_hex(&line, (uintptr_t)addr);
		vmap_line_text(&line, ": ");
		vmap_line_text(&line, what);
		fault_print(fault.fds[i], &line);
	}
	__atomic_sub_fetch(&fault.seen, 1, __ATOMIC_SEQ_CST);
}

static void fault_on_signal(int sig, siginfo_t *info, void *context)
{
	const struct sigaction *before = fault_before(sig);
	const bool sent = info->si_code <= 0;
	struct sigaction fallback = {.sa_handler = SIG_DFL};
	const int saved = errno;

	if (!sent)
		fault_look(sig, info->si_addr);
	errno = saved;
	if (before->sa_flags & SA_SIGINFO) {
		before->sa_sigaction(sig, info, context);
	} else if (before->sa_handler != SIG_DFL && before->sa_handler != SIG_IGN) {
		before->sa_handler(sig);
	} else if (!sent || before->sa_handler == SIG_DFL) {
		/* A fault comes again; what was sent has to be sent again. */
		sigaction(sig, &fallback, NULL);
		if (sent)
			raise(sig);
	}
}

static bool fault_take(int sig)
{
	struct sigaction action = {.sa_sigaction = fault_on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK};

	sigemptyset(&action.sa_mask);
	/* What was there has to be known before the first fault. */
	return !sigaction(sig, NULL, fault_before(sig)) && !sigaction(sig, &action, NULL);
}

static void fault_give(int sig)
{
	struct sigaction now;

	if (!sigaction(sig, NULL, &now) && now.sa_flags & SA_SIGINFO && now.sa_sigaction == fault_on_signal)
		sigaction(sig, fault_before(sig), NULL);
}

/* Under the lock. */
static bool fault_install(void)
{
	if (!fault_take(SIGSEGV))
		return false;
	if (fault_take(SIGBUS))
		return true;
	fault_give(SIGSEGV);
	return false;
}

/* Under the lock. OBJECTS: it is not there. */
static size_t fault_find(const struct vmap_process *process)
{
	size_t i = 0;

	while (i < OBJECTS && fault.objects[i] != process)
		i++;
	return i;
}

int vmap_fault_explain(struct vmap_process *process, int fd)
{
	size_t at;
	int err = 0;

	pthread_mutex_lock(&fault.lock);
	at = fault_find(NULL);
	if (fault_find(process) < OBJECTS)
		err = -VMAP_EEXIST;
	else if (at == OBJECTS)
		err = -VMAP_ENOSPC;
	else if (!fault.n && !fault_install())
		err = -VMAP_EIO;
	if (!err) {
		fault.n++;
		fault.fds[at] = fd;
		__atomic_store_n(&fault.objects[at], process, __ATOMIC_SEQ_CST);
	}
	pthread_mutex_unlock(&fault.lock);
	return err;
}

int vmap_fault_ignore(struct vmap_process *process)
{
	size_t at;

	pthread_mutex_lock(&fault.lock);
	at = fault_find(process);
	if (at < OBJECTS) {
		__atomic_store_n(&fault.objects[at], NULL, __ATOMIC_SEQ_CST);
		if (!--fault.n) {
			fault_give(SIGSEGV);
			fault_give(SIGBUS);
		}
		while (__atomic_load_n(&fault.seen, __ATOMIC_SEQ_CST))
			poll(NULL, 0, 1);
	}
	pthread_mutex_unlock(&fault.lock);
	return at < OBJECTS ? 0 : -VMAP_ENOENT;
}
