/* SPDX-License-Identifier: MIT */
/*
 * The budget of mappings
 *
 * Theory: the kernel counts a process's mappings and refuses more than vm.max_map_count; whoever asks next gets the error, and
 * that may be malloc(), fopen() or pthread_create() in code that has never heard of us. So views have a budget that ends
 * earlier: the limit, less what the process had when it began, less a headroom for everybody else. A view pays for the most that it can
 * take before its first mapping is made and gets it back when it has ended; so what is refused is refused before the kernel
 * would, and has changed nothing.
 *
 * Cost: two atomic additions a view; reading /proc once.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include "budget.h"

/* The kernel's default, and what is assumed where /proc cannot be read. */
#define KERNEL_MAX_DEFAULT 65530

/* Where a line of a file ends is where a mapping ends. No stdio: it may need a mapping itself. */
size_t vmap_budget_count(void)
{
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	char buffer[4096];
	size_t lines = 0;
	ssize_t n;

	if (fd < 0)
		return 0;
	while ((n = read(fd, buffer, sizeof(buffer))) > 0) {
		for (ssize_t i = 0; i < n; i++)
			lines += buffer[i] == '\n';
	}
	close(fd);
	return lines;
}

static size_t budget_kernel_max(void)
{
	int fd = open("/proc/sys/vm/max_map_count", O_RDONLY | O_CLOEXEC);
	char buffer[32] = "";
	ssize_t n = fd < 0 ? -1 : read(fd, buffer, sizeof(buffer) - 1);

	if (fd >= 0)
		close(fd);
	return n > 0 ? strtoul(buffer, NULL, 10) : KERNEL_MAX_DEFAULT;
}

/* Some may have come or gone while they were counted. */
bool vmap_budget_is_reached(void)
{
	size_t count = vmap_budget_count();

	return !count || count + 16 > budget_kernel_max();
}

void vmap_budget_init(struct vmap_budget *budget, size_t max, size_t headroom, size_t spare)
{
	size_t kernel_max = budget_kernel_max(), at_start = vmap_budget_count() + spare, taken;

	if (!headroom)
		headroom = kernel_max / 3;
	taken = headroom > SIZE_MAX - at_start ? SIZE_MAX : at_start + headroom;
	*budget = (struct vmap_budget){
		.kernel_max = kernel_max,
		.at_start = at_start,
		.max = max                  ? max
		       : kernel_max > taken ? kernel_max - taken
					    : 0,
	};
}

bool vmap_budget_take(struct vmap_budget *budget, size_t n)
{
	size_t used = __atomic_load_n(&budget->used, __ATOMIC_RELAXED);

	do {
		if (n > budget->max || used > budget->max - n)
			return false;
	} while (!__atomic_compare_exchange_n(&budget->used, &used, used + n, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
	return true;
}

void vmap_budget_give(struct vmap_budget *budget, size_t n)
{
	__atomic_sub_fetch(&budget->used, n, __ATOMIC_RELAXED);
}
