/* SPDX-License-Identifier: MIT */
/*
 * Faults that are explained: each in a child of its own that writes its line to a pipe and dies of the signal, as it would have without
 * us. With a sanitizer, whose handler comes after ours, it dies in another way.
 */
#include "support.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <vmap/fault.h>
#include <vmap/view.h>

#define QUARANTINE ((size_t)1 << 20)
#define OBJECTS 16

static struct vmap_process *process;
static struct vmap_space *space;
static struct vmap_page *pages[4];
static size_t page_size;

static void make(unsigned fork)
{
	const struct vmap_process_config config = {
		.pool_max = (size_t)16 << 20, .space_size = (size_t)64 << 20, .quarantine = QUARANTINE, .fork = fork};

	page_size = (size_t)sysconf(_SC_PAGESIZE);
	assert_int_equal(vmap_process_create(&config, &process), 0);
	space = vmap_process_space(process);
	assert_int_equal(vmap_page_alloc(process, 0, 4, pages), 0);
}

static int setup(void **state)
{
	(void)state;
	make(VMAP_FORK_INHERIT);
	return 0;
}

static int setup_dont_fork(void **state)
{
	(void)state;
	make(VMAP_FORK_DONT);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	vmap_page_put(process, pages, 4);
	return vmap_process_destroy(process);
}

static uint8_t *map(unsigned prot, const char *tag)
{
	struct vmap_page *some[] = {pages[2], pages[0]};
	const struct vmap_options options = {.prot = prot, .tag = tag};
	void *addr;

	assert_int_equal(vmap_pages(space, some, 2, &options, &addr), 0);
	return addr;
}

/* Run in a child that explains its faults and has no handler but the default; what it said. */
static void child_says(void (*run)(void *), void *arg, int signal_number, char *said, size_t size)
{
	int ends[2], status;
	size_t n = 0;
	ssize_t got;
	pid_t child;

	assert_int_equal(pipe(ends), 0);
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		signal(SIGSEGV, SIG_DFL);
		signal(SIGBUS, SIG_DFL);
		alarm(60);
		if (vmap_fault_explain(process, ends[1]))
			_exit(100);
		run(arg);
		_exit(101);
	}
	close(ends[1]);
	while (n + 1 < size && (got = read(ends[0], said + n, size - 1 - n)) > 0)
		n += (size_t)got;
	said[n] = '\0';
	close(ends[0]);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), signal_number);
}

/* ASan would report it before there is a fault. */
__attribute__((no_sanitize_address)) static void touch(void *addr)
{
	*(volatile uint8_t *)addr = 1;
}

static void assert_contains(const char *line, const char *what)
{
	if (!strstr(line, what))
		fail_msg("\"%s\" is not in: %s", what, line);
}

static void check_retired(uint8_t *view, const char *said)
{
	char what[200];

	print_message("%s", said);
	snprintf(what, sizeof(what), "libvmap: SIGSEGV at %p: this address was unmapped by 0x", (void *)(view + page_size + 8));
	assert_int_equal(strncmp(said, what, strlen(what)), 0);
	/* The caller is this program, not the library's wrapper; the static library is in it, but not in this function. */
	assert_contains(said, " (test_linux_fault+0x");
	snprintf(what, sizeof(what), " ago: byte %zu of a view of %zu bytes at %p, tag \"some tag\", generation 1\n",
		 page_size + 8, 2 * page_size, (void *)view);
	assert_contains(said, what);
	/* One line. */
	assert_ptr_equal(strchr(said, '\n'), said + strlen(said) - 1);
}

static void __attribute__((noinline)) end_here(void *view)
{
	assert_int_equal(vmap_unmap(space, view), 0);
	__asm__ volatile("" ::: "memory"); /* no tail call: the return address is in here */
}

static void test_after_unmap(void **state)
{
	uint8_t *view = map(0, "some tag");
	struct vmap_explanation why;
	char said[1024], who[40];

	(void)state;
	end_here(view);
	assert_int_equal(vmap_explain(space, view, &why), 0);
	assert_in_range((uintptr_t)why.unmapped_by - (uintptr_t)end_here, 1, 1000);
	assert_true(why.unmapped_at);
	child_says(touch, view + page_size + 8, SIGSEGV, said, sizeof(said));
	check_retired(view, said);
	snprintf(who, sizeof(who), "unmapped by %p (", why.unmapped_by);
	assert_contains(said, who);
}

/* A function of ours between the caller and the core is not the one to blame. */
static void __attribute__((noinline)) end_view_here(struct vmap_view *view)
{
	assert_int_equal(vmap_view_end(process, view), 0);
	__asm__ volatile("" ::: "memory");
}

static void test_after_view_end(void **state)
{
	const struct iovec iov[] = {{vmap_page_address(process, pages[3]), page_size},
				    {vmap_page_address(process, pages[1]), page_size}};
	struct vmap_explanation why;
	struct vmap_view view;
	void *addr;

	(void)state;
	for (int i = 0; i < 2; i++) {
		if (i)
			assert_int_equal(vmap_iov(process, iov, 2, NULL, 0, &view), 0);
		else
			assert_int_equal(vmap_view(process, pages, 4, NULL, &view), 0);
		addr = view.addr;
		end_view_here(&view);
		assert_int_equal(vmap_explain(space, addr, &why), 0);
		assert_in_range((uintptr_t)why.unmapped_by - (uintptr_t)end_view_here, 1, 1000);
	}
}

static void test_live(void **state)
{
	uint8_t *view = map(VMAP_READ, "reader");
	char said[1024], what[200];

	(void)state;
	child_says(touch, view, SIGSEGV, said, sizeof(said));
	snprintf(what, sizeof(what),
		 "this address is in a view of %zu bytes at %p, tag \"reader\", generation 1, which may only be read\n",
		 2 * page_size, (void *)view);
	assert_contains(said, what);
	child_says(touch, view + 2 * page_size + 3, SIGSEGV, said, sizeof(said));
	snprintf(what, sizeof(what), "is 4 bytes behind the last one of a view of %zu bytes at %p", 2 * page_size, (void *)view);
	assert_contains(said, what);
	child_says(touch, view + 5 * page_size, SIGSEGV, said, sizeof(said));
	snprintf(what, sizeof(what), "is in no view; %zu bytes behind the end of a view", 3 * page_size);
	assert_contains(said, what);
	child_says(touch, (uint8_t *)vmap_page_address(process, pages[0]) + ((size_t)15 << 20), SIGBUS, said, sizeof(said));
	assert_contains(said, "libvmap: SIGBUS at ");
	snprintf(what, sizeof(what), "this address is byte %zu of the pool, where", (size_t)15 << 20);
	assert_contains(said, what);
	assert_int_equal(vmap_unmap(space, view), 0);
}

/* A tag that is no string any more. */
static void test_lost_tag(void **state)
{
	char *tag = mmap(NULL, page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), said[1024];
	uint8_t *view;

	(void)state;
	assert_true(tag != MAP_FAILED);
	strcpy(tag, "gone");
	view = map(0, tag);
	assert_int_equal(vmap_unmap(space, view), 0);
	munmap(tag, page_size);
	child_says(touch, view, SIGSEGV, said, sizeof(said));
	assert_contains(said, "of a view of");
	assert_null(strstr(said, "tag"));
}

static void send(void *arg)
{
	raise(SIGSEGV);
	(void)arg;
}

static void test_others(void **state)
{
	char said[1024] = "";

	(void)state;
	child_says(touch, (void *)16, SIGSEGV, said, sizeof(said));
	assert_string_equal(said, "");
	child_says(send, NULL, SIGSEGV, said, sizeof(said));
	assert_string_equal(said, "");
}

/* In the middle of a call, which holds the lock: no wait for ever. */
static void touch_locked(void *addr)
{
	vmap_fork_begin(process);
	touch(addr);
}

static void test_locked(void **state)
{
	uint8_t *view = map(0, NULL);
	char said[1024];

	(void)state;
	assert_int_equal(vmap_unmap(space, view), 0);
	child_says(touch_locked, view, SIGSEGV, said, sizeof(said));
	assert_contains(said, "this address belongs to libvmap, which is in the middle of a call\n");
}

static void test_child_without(void **state)
{
	uint8_t *view = map(0, NULL);
	char said[1024];

	(void)state;
	child_says(touch, view, SIGSEGV, said, sizeof(said));
	assert_contains(said, "this address is the parent's, and this child was to have nothing of it\n");
	assert_int_equal(vmap_unmap(space, view), 0);
}

static sigjmp_buf back;
static int handled;

static void jump(int sig)
{
	handled++;
	siglongjmp(back, sig);
}

static void *handler_of(int sig)
{
	struct sigaction now;

	assert_int_equal(sigaction(sig, NULL, &now), 0);
	return now.sa_flags & SA_SIGINFO ? (void *)(uintptr_t)now.sa_sigaction : (void *)(uintptr_t)now.sa_handler;
}

/* The handler that was there before runs after the line, may jump away, and is there again afterwards. */
static void test_chain(void **state)
{
	struct sigaction mine = {.sa_handler = jump}, other = {.sa_handler = SIG_IGN};
	uint8_t *view = map(VMAP_READ, NULL);
	char said[1024] = "";
	int ends[2];

	(void)state;
	assert_int_equal(pipe(ends), 0);
	sigaction(SIGSEGV, &mine, NULL);
	assert_int_equal(vmap_fault_explain(process, ends[1]), 0);
	assert_ptr_not_equal(handler_of(SIGSEGV), (void *)(uintptr_t)jump);
	for (int i = 1; i <= 3; i++) {
		if (!sigsetjmp(back, 1))
			touch(view);
		assert_int_equal(handled, i);
		assert_true(read(ends[0], said, sizeof(said)) > 0);
		assert_contains(said, "which may only be read");
	}
	assert_int_equal(vmap_fault_ignore(process), 0);
	assert_ptr_equal(handler_of(SIGSEGV), (void *)(uintptr_t)jump);

	/* Who came after us is not thrown out. */
	assert_int_equal(vmap_fault_explain(process, ends[1]), 0);
	sigaction(SIGSEGV, &other, NULL);
	assert_int_equal(vmap_fault_ignore(process), 0);
	assert_ptr_equal(handler_of(SIGSEGV), (void *)(uintptr_t)SIG_IGN);
	signal(SIGSEGV, SIG_DFL);
	close(ends[0]);
	close(ends[1]);
	assert_int_equal(vmap_unmap(space, view), 0);
}

/* No handler unless asked; one for all objects; gone with the last. */
static void test_table(void **state)
{
	const struct vmap_process_config small = {.pool_max = (size_t)1 << 20, .space_size = (size_t)1 << 20};
	struct vmap_process *many[OBJECTS + 1];
	void *before = handler_of(SIGSEGV), *ours;

	(void)state;
	assert_int_equal(vmap_fault_ignore(process), -VMAP_ENOENT);
	for (size_t i = 0; i <= OBJECTS; i++)
		assert_int_equal(vmap_process_create(&small, &many[i]), 0);
	assert_ptr_equal(handler_of(SIGSEGV), before);
	for (size_t i = 0; i < OBJECTS; i++)
		assert_int_equal(vmap_fault_explain(many[i], 2), 0);
	ours = handler_of(SIGSEGV);
	assert_ptr_not_equal(ours, before);
	assert_ptr_equal(handler_of(SIGBUS), ours);
	assert_int_equal(vmap_fault_explain(many[3], 2), -VMAP_EEXIST);
	assert_int_equal(vmap_fault_explain(many[OBJECTS], 2), -VMAP_ENOSPC);
	assert_int_equal(vmap_fault_ignore(many[5]), 0);
	assert_int_equal(vmap_fault_explain(many[OBJECTS], 2), 0);
	for (size_t i = 0; i <= OBJECTS; i++) {
		assert_ptr_equal(handler_of(SIGSEGV), ours);
		assert_int_equal(vmap_process_destroy(many[i]), 0);
	}
	assert_ptr_equal(handler_of(SIGSEGV), before);
	assert_ptr_not_equal(handler_of(SIGBUS), ours);
}

/* The text alone, also where there is little room. */
static void test_text(void **state)
{
	char line[200];
	uint8_t *view = map(0, "a tag");

	(void)state;
	assert_int_equal(vmap_unmap(space, view), 0);
	assert_true(vmap_fault_line(process, view, line, sizeof(line)));
	assert_int_equal(strncmp(line, "this address was unmapped by 0x", 31), 0);
	assert_true(strlen(line) == sizeof(line) - 1 || strstr(line, "generation 1"));
	assert_true(vmap_fault_line(process, view, line, 6));
	assert_string_equal(line, "this ");
	assert_true(vmap_fault_line(process, view, line, 1));
	assert_string_equal(line, "");
	assert_false(vmap_fault_line(process, &line, line, sizeof(line)));
	assert_string_equal(line, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_after_unmap, setup, teardown),
		cmocka_unit_test_setup_teardown(test_after_view_end, setup, teardown),
		cmocka_unit_test_setup_teardown(test_live, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lost_tag, setup, teardown),
		cmocka_unit_test_setup_teardown(test_others, setup, teardown),
		cmocka_unit_test_setup_teardown(test_locked, setup, teardown),
		cmocka_unit_test_setup_teardown(test_child_without, setup_dont_fork, teardown),
		cmocka_unit_test_setup_teardown(test_chain, setup, teardown),
		cmocka_unit_test_setup_teardown(test_table, setup, teardown),
		cmocka_unit_test_setup_teardown(test_text, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
