/* SPDX-License-Identifier: MIT */
/* What is where, and why an access to it faults. */
#include "world.h"

#include <fcntl.h>
#include <signal.h>
#include <vmap/fault.h>

static struct vmap_area_info info;
static sigjmp_buf fault_return;
static struct sigaction before_us[2];
static int pipe_fds[2];

/* Without the kernel's help it cannot be known what is there: zeros, and it says so. */
static int do_read(void)
{
	static uint8_t bytes[3 * 65536]; /* an allocation would be one of the calls */
	size_t copied, zeros = 0;
	int err;

	memset(bytes, 0xee, 3 * page_size);
	err = vmap_read(space, bytes, addr, 3 * page_size, &copied);
	for (size_t i = 0; i < 3 * page_size; i += page_size)
		zeros += bytes[i] ? 0 : page_size;
	return !err && copied + zeros == 3 * page_size ? 0 : -VMAP_EFAULT;
}

static int do_area_at(void)
{
	return vmap_area_at(space, (uint8_t *)addr + page_size, &info);
}

static bool area_is_found(void)
{
	return info.addr == (uintptr_t)addr && info.size == 5 * page_size;
}

static int do_area_next(void)
{
	uintptr_t cursor = (uintptr_t)addr;

	return vmap_area_next(space, &cursor, &info);
}

static int do_page_at(void)
{
	struct vmap_page *page;
	size_t offset;
	int err = vmap_page_at(space, (uint8_t *)addr + 2 * page_size + 5, &page, &offset);

	return err ? err : page == some[2] && offset == 5 ? 0 : -VMAP_EFAULT;
}

static int do_space_stats(void)
{
	struct vmap_stats stats;

	vmap_space_stats(space, &stats);
	return stats.mapped == 5 * page_size ? 0 : -VMAP_EFAULT;
}

static int do_explain_address(void)
{
	struct vmap_explanation why;
	int err = vmap_explain(space, (uint8_t *)addr + 5 * page_size, &why);

	return err ? err : why.state == VMAP_STATE_GUARD ? 0 : -VMAP_EFAULT;
}

static void retire_addr(void)
{
	map_addr();
	assert_int_equal(vmap_unmap_nowait(space, addr), 0);
}

static int do_purge(void)
{
	vmap_purge(space);
	return 0;
}

static int do_explain(void)
{
	return vmap_fault_explain(process, 2);
}

static void explain(void)
{
	assert_int_equal(do_explain(), 0);
}

static int do_ignore(void)
{
	return vmap_fault_ignore(process);
}

static void ignore(void)
{
	assert_int_equal(do_ignore(), 0);
}

static int do_line(void)
{
	char line[300];

	return vmap_fault_line(process, addr, line, sizeof(line)) && strstr(line, "this address") == line ? 0 : -VMAP_EFAULT;
}

static void on_fault(int sig)
{
	siglongjmp(fault_return, sig);
}

/* A handler of somebody else's first; the line goes into a pipe. */
static void begin_fault(void)
{
	const struct sigaction action = {.sa_handler = on_fault};

	assert_int_equal(sigaction(SIGSEGV, &action, &before_us[0]), 0);
	assert_int_equal(sigaction(SIGBUS, &action, &before_us[1]), 0);
	assert_int_equal(pipe2(pipe_fds, O_NONBLOCK), 0);
	retire_addr();
	assert_int_equal(vmap_fault_explain(process, pipe_fds[1]), 0);
}

/* A line, or none if nothing can be written; and the other handler in any case. */
__attribute__((no_sanitize_address)) static int do_fault(void)
{
	if (sigsetjmp(fault_return, 1))
		return 0;
	(void)*(volatile uint8_t *)addr;
	return -VMAP_EFAULT;
}

static void end_fault(void)
{
	ignore();
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	sigaction(SIGSEGV, &before_us[0], NULL);
	sigaction(SIGBUS, &before_us[1], NULL);
}

const struct operation look_operations[] = {
	{.name = "vmap_read", .before = map_addr, .call = do_read, .after = unmap_addr, .cannot_fail = true},
	{.name = "vmap_area_at",
	 .before = map_addr,
	 .call = do_area_at,
	 .done = area_is_found,
	 .after = unmap_addr,
	 .cannot_fail = true,
	 .calls_nothing = true},
	{.name = "vmap_area_next",
	 .before = map_addr,
	 .call = do_area_next,
	 .done = area_is_found,
	 .after = unmap_addr,
	 .cannot_fail = true,
	 .calls_nothing = true},
	{.name = "vmap_page_at",
	 .before = map_addr,
	 .call = do_page_at,
	 .after = unmap_addr,
	 .cannot_fail = true,
	 .calls_nothing = true},
	{.name = "vmap_space_stats",
	 .before = map_addr,
	 .call = do_space_stats,
	 .after = unmap_addr,
	 .cannot_fail = true,
	 .calls_nothing = true},
	{.name = "vmap_explain",
	 .before = map_addr,
	 .call = do_explain_address,
	 .after = unmap_addr,
	 .cannot_fail = true,
	 .calls_nothing = true},
	{.name = "vmap_purge", .before = retire_addr, .call = do_purge, .done = addr_is_gone, .cannot_fail = true},
	{.name = "vmap_fault_explain", .call = do_explain, .after = ignore},
	{.name = "vmap_fault_ignore", .before = explain, .call = do_ignore, .cannot_fail = true},
	{.name = "vmap_fault_line", .before = retire_addr, .call = do_line, .cannot_fail = true},
	{.name = "vmap_fault_explain, a fault", .before = begin_fault, .call = do_fault, .after = end_fault, .cannot_fail = true},
	{.name = NULL},
};
