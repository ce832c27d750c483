/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What an image without a superblock may be
 *
 * Formats are known by the bytes that they begin with. In a partition table, MBR or GPT, each partition is asked whether it begins with a
 * superblock: then its first sector is what --offset wants. Facts: the formats' own specifications (UEFI 2.10 section 5 for GPT and MBR).
 */
#include "guess.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "bytes.h"
#include "format.h"

#define UNPACK "compressed: unpack it first"
#define CONVERT "make a raw image of it first (qemu-img convert -O raw)"
#define MBR_ENTRY 446
#define MBR_PARTITIONS 4
#define GPT_MIN_ENTRY 128u
#define GPT_MAX_ENTRY 4096u
#define GPT_MAX_PARTITIONS 128u

static const struct {
	uint64_t at;
	const char *magic;
	size_t size;
	const char *what;
} formats[] = {
	{0, "\x1f\x8b", 2, "it is gzip-" UNPACK},
	{0,
	 "\xfd"
	 "7zXZ",
	 5, "it is xz-" UNPACK},
	{0, "\x28\xb5\x2f\xfd", 4, "it is zstd-" UNPACK},
	{0, "BZh", 3, "it is bzip2-" UNPACK},
	{0, "\x04\x22\x4d\x18", 4, "it is lz4-" UNPACK},
	{0, "QFI\xfb", 4, "it is a qcow2 image: " CONVERT},
	{0, "KDMV", 4, "it is a VMDK image: " CONVERT},
	{0, "vhdxfile", 8, "it is a VHDX image: " CONVERT},
	{0, "conectix", 8, "it is a VHD image: " CONVERT},
	{64, "\x7f\x10\xda\xbe", 4, "it is a VDI image: " CONVERT},
	{0, "XFSM", 4, "it is a metadump: make an image of it first (xfs_mdrestore)"},
	{0, "XMD2", 4, "it is a metadump: make an image of it first (xfs_mdrestore)"},
	{0, "\xfe\xed\xba\xbe", 4, "it is an XFS log: name it with -l, and as the image the filesystem that it is of"},
	{0, "LUKS\xba\xbe", 6, "it is encrypted by LUKS: open it first (cryptsetup open), and name the device that appears"},
	{512, "LABELONE", 8,
	 "it is a physical volume of LVM: activate its group first (vgchange -ay), and name the logical volume"},
	{4096, "\xfc\x4e\x2b\xa9", 4, "it is part of an array: assemble that first (mdadm --assemble), and name the array"},
	{1080, "\x53\xef", 2, "it is an ext2, ext3 or ext4 filesystem"},
	{65600, "_BHRfS_M", 8, "it is a btrfs filesystem"},
};

static bool begins(const struct xr_dev *dev, uint64_t at, const void *magic, size_t size)
{
	uint8_t bytes[16];

	return at <= dev->size && size <= dev->size - at && !xr_dev_read(dev, bytes, size, at) && !memcmp(bytes, magic, size);
}

static bool is_xfs(const struct xr_dev *dev, uint64_t sector)
{
	return sector <= dev->size / XR_BB && begins(dev, sector * XR_BB, "XFSB", 4);
}

/* The first partition of a GPT in sectors of that size that holds XFS, and where it begins, in 512 bytes. False: there is none. */
static bool find_gpt(const struct xr_dev *dev, uint32_t sector, uint32_t *number, uint64_t *first)
{
	uint8_t header[XR_BB], entry[GPT_MIN_ENTRY];
	uint32_t n, size;
	uint64_t table;

	if (!begins(dev, sector, "EFI PART", 8) || xr_dev_read(dev, header, sizeof(header), sector))
		return false;
	table = xr_le64(header + 72);
	n = xr_le32(header + 80);
	size = xr_le32(header + 84);
	if (!table || size < GPT_MIN_ENTRY || size > GPT_MAX_ENTRY || table > dev->size / sector)
		return false;
	for (*number = 1; *number <= n && *number <= GPT_MAX_PARTITIONS; ++*number) {
		uint64_t at = table * sector + (uint64_t)(*number - 1) * size;

		if (at > dev->size || sizeof(entry) > dev->size - at || xr_dev_read(dev, entry, sizeof(entry), at))
			return false;
		*first = xr_le64(entry + 32);
		if (!*first || *first > dev->size / sector)
			continue;
		*first *= sector / XR_BB;
		if (is_xfs(dev, *first))
			return true;
	}
	return false;
}

/* The same of an MBR; logical partitions in an extended one are not looked for. */
static bool find_mbr(const struct xr_dev *dev, uint32_t *number, uint64_t *first)
{
	uint8_t mbr[XR_BB];

	if (xr_dev_read(dev, mbr, sizeof(mbr), 0))
		return false;
	for (*number = 1; *number <= MBR_PARTITIONS; ++*number) {
		*first = xr_le32(mbr + MBR_ENTRY + (*number - 1) * 16 + 8);
		if (*first && is_xfs(dev, *first))
			return true;
	}
	return false;
}

static bool has_partitions(const struct xr_dev *dev)
{
	return begins(dev, 510, "\x55\xaa", 2) || begins(dev, 512, "EFI PART", 8) || begins(dev, 4096, "EFI PART", 8);
}

void xr_guess(const struct xr_dev *dev, char *text, size_t room)
{
	struct xr_dev quiet = *dev, whole;
	uint32_t number;
	uint64_t first;

	quiet.msg = &xr_silent;
	whole = quiet;
	whole.start = 0; /* the table lies there, whatever offset was tried */
	whole.size += dev->start;
	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		if (begins(&quiet, formats[i].at, formats[i].magic, formats[i].size)) {
			snprintf(text, room, "%s", formats[i].what);
			return;
		}
	}
	if (!has_partitions(&whole))
		snprintf(text, room, "not an XFS filesystem, or badly damaged");
	else if (find_gpt(&whole, 512, &number, &first) || find_gpt(&whole, 4096, &number, &first) ||
		 find_mbr(&whole, &number, &first))
		snprintf(text, room, "it has partitions, and number %" PRIu32 " begins with one: --offset %" PRIu64 "s", number,
			 first);
	else
		snprintf(text, room, "it has partitions, but none that begins with one was found");
}
