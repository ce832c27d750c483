/* SPDX-License-Identifier: MIT */
/*
 * vmapstat: what libvmap's pools and views cost a process
 *
 * Theory: nobody is stopped or asked. Each object of the library keeps a page of numbers in a memfd (statpage.h), which is found by name
 * among the process's descriptors and read; what the kernel makes of the views is in /proc/PID/maps. Both can hold anything: the
 * process may have any file by that name, and anybody who could open the page may have written to it. So it is a regular file before
 * it is opened, opening does not wait, it is read and not mapped, and its numbers are only ever shown.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "linux/statpage.h"

/* Exit codes: vmapstat(8). */
enum { SHOWN, NONE, FAILED };

#define LINK "/memfd:" VMAP_STAT_NAME " (deleted)"
#define POOLS_MAX 4096

struct pool {
	struct vmap_stat_page page;
	dev_t dev; /* of the page's file */
	ino_t ino;
	uint64_t mappings, bytes; /* that the kernel has in its space */
};

struct process {
	pid_t pid;
	int dir; /* /proc/PID: it stays the same process's */
	char command[64];
	uint64_t inside; /* its number as it sees itself */
	uint64_t mappings, mappings_limit;
	struct pool *pools;
	size_t n;
	bool damaged; /* something of its pools could not be shown */
};

static const char help[] =
	"Usage: vmapstat [--json] PID\n"
	"Show what the pools and views of libvmap cost a process: memory, mappings, and what is left of its budget.\n"
	"\n"
	"      --json     write JSON\n"
	"  -h, --help     print this help, and exit\n"
	"  -V, --version  print the version, and exit\n"
	"\n"
	"Exit code: 0 shown, 1 the process has no pool, 2 anything else. See vmapstat(8).\n";

static int complain(pid_t pid, const char *what)
{
	fprintf(stderr, "vmapstat: %d: %s\n", (int)pid, what);
	return FAILED;
}

/* What anybody may have written is shown without what a terminal obeys. */
static void make_printable(char *text)
{
	for (; *text; text++) {
		if (*text < ' ' || *text > '~')
			*text = '?';
	}
}

/* The beginning of a file of the process's, as a string. False: it cannot be read. */
static bool read_text(int dir, const char *name, char *text, size_t size)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);

	if (fd >= 0)
		close(fd);
	text[n < 0 ? 0 : n] = '\0';
	return n > 0;
}

static bool page_is_valid(const struct vmap_stat_page *page)
{
	return page->magic == VMAP_STAT_MAGIC && page->version == VMAP_STAT_VERSION && page->size == sizeof(*page) &&
	       memchr(page->name, 0, sizeof(page->name)) && page->space_size <= UINT64_MAX - page->space;
}

static int compare_file(const struct pool *pool, const struct stat *st)
{
	return pool->dev == st->st_dev && pool->ino == st->st_ino;
}

/* The page behind this descriptor of the process's, if it is one that was not read yet. */
static bool pool_read(struct process *process, int fds, const char *name)
{
	struct pool pool = {0};
	struct stat st;
	ssize_t n;
	int fd;

	if (fstatat(fds, name, &st, 0) || !S_ISREG(st.st_mode))
		return true;
	for (size_t i = 0; i < process->n; i++) {
		if (compare_file(&process->pools[i], &st))
			return true;
	}
	fd = openat(fds, name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT;
	n = pread(fd, &pool.page, sizeof(pool.page), 0);
	close(fd);
	if (n != sizeof(pool.page) || !page_is_valid(&pool.page)) {
		fprintf(stderr, "vmapstat: %d: descriptor %s has the name of a page of statistics, but is none of this version\n",
			(int)process->pid, name);
		return false;
	}
	make_printable(pool.page.name);
	pool.dev = st.st_dev;
	pool.ino = st.st_ino;
	process->pools[process->n++] = pool;
	return true;
}

static bool pools_read(struct process *process)
{
	int fds = openat(process->dir, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fds < 0 ? NULL : fdopendir(fds);
	struct dirent *entry;

	process->pools = calloc(POOLS_MAX, sizeof(*process->pools));
	if (!dir || !process->pools)
		return false;
	while (process->n < POOLS_MAX && (entry = readdir(dir))) {
		char target[sizeof(LINK) + 1];
		ssize_t n = readlinkat(fds, entry->d_name, target, sizeof(target) - 1);

		if (n != sizeof(LINK) - 1 || memcmp(target, LINK, sizeof(LINK) - 1))
			continue;
		if (!pool_read(process, fds, entry->d_name))
			process->damaged = true;
	}
	closedir(dir);
	return true;
}

/* A mapping of a file in the space of a pool shows some of a view. */
static void mapping_count(struct process *process, uint64_t begin, uint64_t end, uint64_t inode)
{
	process->mappings++;
	for (size_t i = 0; inode && i < process->n; i++) {
		struct pool *pool = &process->pools[i];

		if (begin >= pool->page.space && end <= pool->page.space + pool->page.space_size) {
			pool->mappings++;
			pool->bytes += end - begin;
		}
	}
}

static bool maps_read(struct process *process)
{
	int fd = openat(process->dir, "maps", O_RDONLY | O_CLOEXEC);
	FILE *maps = fd < 0 ? NULL : fdopen(fd, "r");
	char *line = NULL;
	size_t size = 0;
	bool any = false;

	if (!maps)
		return false;
	while (getline(&line, &size, maps) > 0) {
		uint64_t begin, end, inode;

		any = true;
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %*4s %*x %*x:%*x %" SCNu64, &begin, &end, &inode) == 3)
			mapping_count(process, begin, end, inode);
	}
	free(line);
	fclose(maps);
	return any;
}

/* The last number of the line NSpid: the process's in its own namespace. */
static uint64_t inside_of(int dir)
{
	char text[4096], *at;
	uint64_t inside = 0;

	if (!read_text(dir, "status", text, sizeof(text)) || !(at = strstr(text, "\nNSpid:")))
		return 0;
	at += strlen("\nNSpid:");
	while (*at == '\t' || *at == ' ')
		inside = strtoull(at, &at, 10);
	return inside;
}

static int look(struct process *process)
{
	char path[32], text[64];
	int proc;

	snprintf(path, sizeof(path), "/proc/%d", (int)process->pid);
	process->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (process->dir < 0)
		return complain(process->pid, errno == ENOENT ? "no such process" : strerror(errno));
	if (read_text(process->dir, "comm", process->command, sizeof(process->command)))
		process->command[strcspn(process->command, "\n")] = '\0';
	make_printable(process->command);
	process->inside = inside_of(process->dir);
	if (!pools_read(process) || !maps_read(process))
		return complain(process->pid, errno == EACCES || errno == EPERM
						      ? "this process may not be looked at: be its user, or root"
						      : "it cannot be looked at any more");
	proc = open("/proc/sys/vm", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (read_text(proc, "max_map_count", text, sizeof(text)))
		process->mappings_limit = strtoull(text, NULL, 10);
	if (proc >= 0)
		close(proc);
	return SHOWN;
}

static uint64_t budget_left(const struct vmap_stat_page *page)
{
	uint64_t taken = page->counters[VMAP_STAT_MAPPINGS];

	return page->mappings_max > taken ? page->mappings_max - taken : 0;
}

/* -> text, which is buffer. */
static const char *bytes_text(uint64_t bytes, char buffer[32])
{
	static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double value = (double)bytes;
	size_t unit = 0;

	for (; value >= 1024 && unit < 6; unit++)
		value /= 1024;
	snprintf(buffer, 32, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
	return buffer;
}

static void print_text(const struct process *process)
{
	char one[32], two[32], three[32];

	printf("process %d (%s): %" PRIu64 " of %" PRIu64 " mappings, %zu pool%s\n", (int)process->pid, process->command,
	       process->mappings, process->mappings_limit, process->n, process->n == 1 ? "" : "s");
	for (size_t i = 0; i < process->n; i++) {
		const struct pool *pool = &process->pools[i];
		const struct vmap_stat_page *page = &pool->page;
		const uint64_t *counters = page->counters;

		printf("\npool %s", page->name);
		if (page->pid != process->inside)
			printf(", of process %" PRIu64 ", which it was inherited from", page->pid);
		printf("\n  memory    %s owned, %s in use, %s at most\n", bytes_text(page->pool_bytes, one),
		       bytes_text(page->pool_used, two), bytes_text(page->pool_max, three));
		printf("  views     %" PRIu64 " in %" PRIu64 " fragments, %s aliased\n", counters[VMAP_STAT_VIEWS],
		       counters[VMAP_STAT_FRAGMENTS], bytes_text(counters[VMAP_STAT_ALIASED], one));
		printf("  kernel    %" PRIu64 " mappings, %s\n", pool->mappings, bytes_text(pool->bytes, one));
		printf("  budget    %" PRIu64 " of %" PRIu64 " mappings taken, %" PRIu64 " left, %" PRIu64 " views refused\n",
		       counters[VMAP_STAT_MAPPINGS], page->mappings_max, budget_left(page), counters[VMAP_STAT_REFUSED]);
		printf("  caches    %" PRIu64 " views kept, in %" PRIu64 " mappings, %" PRIu64 " hits, %" PRIu64
		       " misses, %" PRIu64 " evicted\n",
		       counters[VMAP_STAT_KEPT], counters[VMAP_STAT_KEPT_MAPPINGS], counters[VMAP_STAT_HITS],
		       counters[VMAP_STAT_MISSES], counters[VMAP_STAT_EVICTIONS]);
	}
}

/* JSON's integers are signed here. */
static json_t *number(uint64_t value)
{
	return json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value);
}

static json_t *caches_json(const uint64_t *counters)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o}", "views", number(counters[VMAP_STAT_KEPT]), "mappings",
			 number(counters[VMAP_STAT_KEPT_MAPPINGS]), "hits", number(counters[VMAP_STAT_HITS]), "misses",
			 number(counters[VMAP_STAT_MISSES]), "evictions", number(counters[VMAP_STAT_EVICTIONS]));
}

static json_t *pool_json(const struct pool *pool)
{
	const struct vmap_stat_page *page = &pool->page;
	const uint64_t *counters = page->counters;

	return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:{s:o, s:o, s:o, s:o}, s:{s:o, s:o}, s:o}", "name",
			 page->name, "pid", number(page->pid), "page_size", number(page->page_size), "owned",
			 number(page->pool_bytes), "in_use", number(page->pool_used), "peak", number(page->pool_peak), "limit",
			 number(page->pool_max), "views", number(counters[VMAP_STAT_VIEWS]), "fragments",
			 number(counters[VMAP_STAT_FRAGMENTS]), "aliased", number(counters[VMAP_STAT_ALIASED]), "budget", "limit",
			 number(page->mappings_max), "taken", number(counters[VMAP_STAT_MAPPINGS]), "left",
			 number(budget_left(page)), "refused", number(counters[VMAP_STAT_REFUSED]), "kernel", "mappings",
			 number(pool->mappings), "aliased", number(pool->bytes), "caches", caches_json(counters));
}

static int print_json(const struct process *process)
{
	json_t *pools = json_array(), *all;
	int err = 0;

	for (size_t i = 0; i < process->n; i++)
		err |= json_array_append_new(pools, pool_json(&process->pools[i]));
	all = json_pack("{s:i, s:s, s:o, s:o, s:o}", "pid", (int)process->pid, "command", process->command, "mappings",
			number(process->mappings), "mappings_limit", number(process->mappings_limit), "pools", pools);
	err |= !all || json_dumpf(all, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(all);
	return err ? complain(process->pid, "no memory, or no room for the output") : SHOWN;
}

static int usage(const char *what)
{
	fprintf(stderr, "vmapstat: %s; see vmapstat --help\n", what);
	return FAILED;
}

/* -> 0: not the number of a process. */
static pid_t parse_pid(const char *text)
{
	char *end;
	long pid;

	errno = 0;
	pid = strtol(text, &end, 10);
	return *text < '1' || *text > '9' || *end || errno || pid > INT32_MAX ? 0 : (pid_t)pid;
}

static int show(struct process *process, bool json)
{
	int ret = look(process);

	if (ret == SHOWN && json)
		ret = print_json(process);
	else if (ret == SHOWN && process->n)
		print_text(process);
	if (ret == SHOWN && process->damaged)
		ret = FAILED;
	else if (ret == SHOWN && !process->n) {
		fprintf(stderr, "vmapstat: %d: it has no pool of libvmap\n", (int)process->pid);
		ret = NONE;
	}
	if (process->dir >= 0)
		close(process->dir);
	free(process->pools);
	return ret;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'}, {"version", no_argument, NULL, 'V'}, {0}};
	struct process process = {.dir = -1};
	bool json = false;
	int c, ret;

	while ((c = getopt_long(argc, argv, "hV", longs, NULL)) != -1) {
		switch (c) {
		case 'j':
			json = true;
			break;
		case 'h':
			fputs(help, stdout);
			return fflush(stdout) ? FAILED : SHOWN;
		case 'V':
			printf("vmapstat %s\n", VMAPSTAT_VERSION);
			return fflush(stdout) ? FAILED : SHOWN;
		default:
			return usage("unknown option");
		}
	}
	if (argc - optind != 1)
		return usage("one process has to be named");
	process.pid = parse_pid(argv[optind]);
	if (!process.pid)
		return usage("that is not the number of a process");
	ret = show(&process, json);
	if (fflush(stdout) || ferror(stdout))
		return usage("the output cannot be written");
	return ret;
}
