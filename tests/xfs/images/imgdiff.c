/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * imgdiff: compare two images of one filesystem, sector by sector
 *
 * Replay is physical: where no logical work is left, what it writes is determined to the last bit, LSNs and checksums included. So
 * two recoveries of copies of one image may differ in two places only, which this program leaves out: the internal log,
 * and in the primary superblock sb_lsn and the checksum (every recovery closes the log in its own way). What is a hole in both files is
 * not read.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "bytes.h"

#define SECTOR 512u
#define CHUNK (1u << 20)
#define SHOWN 20u

struct range {
	uint64_t start, end; /* bytes */
};

static int internal_log(const uint8_t *sb, struct range *log)
{
	uint32_t blocksize = xr_be32(sb + 4), agblocks = xr_be32(sb + 84);
	uint64_t logstart = xr_be64(sb + 48);
	unsigned agblklog = sb[124];

	if (xr_be32(sb) != 0x58465342 || agblklog > 31) {
		fputs("imgdiff: no XFS superblock\n", stderr);
		return -EINVAL;
	}
	log->start = ((logstart >> agblklog) * agblocks + (logstart & ((1u << agblklog) - 1))) * blocksize;
	log->end = logstart ? log->start + (uint64_t)xr_be32(sb + 96) * blocksize : log->start;
	return 0;
}

static void hide_superblock(uint8_t *sector)
{
	memset(sector + 224, 0, 4); /* checksum */
	memset(sector + 240, 0, 8); /* sb_lsn */
}

/* The first byte at or after at that is data in fd; end where there is none. */
static uint64_t next_data(int fd, uint64_t at, uint64_t end)
{
	off_t data = lseek(fd, (off_t)at, SEEK_DATA);

	return data < 0 ? end : (uint64_t)data;
}

static bool read_chunk(int fd, uint8_t *to, size_t size, uint64_t at)
{
	ssize_t n = pread(fd, to, size, (off_t)at);

	if (n == (ssize_t)size)
		return true;
	fprintf(stderr, "imgdiff: cannot read %zu bytes at %" PRIu64 "\n", size, at);
	return false;
}

/* The first differing bytes, and those at the beginning: a magic number often tells what the sector is. */
static void show(uint64_t at, const uint8_t *a, const uint8_t *b)
{
	size_t i = 0;

	while (a[i] == b[i])
		i++;
	printf("sector %" PRIu64 " (begins %08x) differs at byte %zu: %02x, %02x\n", at / SECTOR, xr_be32(a), i, a[i], b[i]);
}

/* Returns the number of sectors that differ, or a negative number. */
static int64_t compare(const int fd[2], uint64_t end, uint8_t *const chunk[2])
{
	struct range log = {0, 0};
	int64_t differ = 0;

	if (!read_chunk(fd[0], chunk[0], SECTOR, 0) || internal_log(chunk[0], &log))
		return -1;
	for (uint64_t at = 0; at < end; at += CHUNK) {
		uint64_t a = next_data(fd[0], at, end), b = next_data(fd[1], at, end);
		size_t size;

		at = (a < b ? a : b) / CHUNK * CHUNK;
		size = end - at < CHUNK ? (size_t)(end - at) : CHUNK;
		if (at >= end)
			break;
		if (!read_chunk(fd[0], chunk[0], size, at) || !read_chunk(fd[1], chunk[1], size, at))
			return -1;
		if (!at) {
			hide_superblock(chunk[0]);
			hide_superblock(chunk[1]);
		}
		for (size_t i = 0; i < size; i += SECTOR) {
			if ((at + i >= log.start && at + i < log.end) || !memcmp(chunk[0] + i, chunk[1] + i, SECTOR))
				continue;
			if (differ++ < SHOWN)
				show(at + i, chunk[0] + i, chunk[1] + i);
		}
	}
	return differ;
}

int main(int argc, char **argv)
{
	uint8_t *const chunk[2] = {malloc(CHUNK), malloc(CHUNK)};
	struct stat st[2];
	int64_t differ;
	int fd[2];

	if (argc != 3 || !chunk[0] || !chunk[1]) {
		fputs("usage: imgdiff IMAGE IMAGE\n", stderr);
		return 2;
	}
	for (int i = 0; i < 2; i++) {
		fd[i] = open(argv[1 + i], O_RDONLY | O_CLOEXEC);
		if (fd[i] < 0 || fstat(fd[i], &st[i])) {
			fprintf(stderr, "imgdiff: %s: %s\n", argv[1 + i], strerror(errno));
			return 2;
		}
	}
	if (st[0].st_size != st[1].st_size || st[0].st_size < (off_t)SECTOR) {
		fputs("imgdiff: the images have not the same size\n", stderr);
		return 1;
	}
	differ = compare(fd, (uint64_t)st[0].st_size / SECTOR * SECTOR, chunk);
	if (differ > 0)
		printf("%" PRId64 " sectors differ outside the log\n", differ);
	free(chunk[0]);
	free(chunk[1]);
	return differ < 0 ? 2 : differ > 0;
}
