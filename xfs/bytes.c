/* SPDX-License-Identifier: GPL-2.0-only */
#include "bytes.h"

#include <isa-l/crc.h>

/* ISA-L takes an int: feed it pieces that fit. Its crc32_iscsi() neither inverts on the way in nor on the way out. */
#define CRC_STEP (1u << 30)

uint32_t xr_crc_feed(uint32_t crc, const void *p, size_t size)
{
	/* ISA-L's prototype lacks the const; it does not write. */
	unsigned char *bytes = (unsigned char *)(uintptr_t)p;

	while (size) {
		size_t step = size < CRC_STEP ? size : CRC_STEP;
		crc = crc32_iscsi(bytes, (int)step, crc);
		bytes += step;
		size -= step;
	}
	return crc;
}

uint32_t xr_crc(const void *p, size_t size, size_t crc_offset)
{
	static const uint8_t zero[4];
	uint32_t crc = xr_crc_feed(~0u, p, crc_offset);

	crc = xr_crc_feed(crc, zero, sizeof(zero));
	return ~xr_crc_feed(crc, (const uint8_t *)p + crc_offset + 4, size - crc_offset - 4);
}

bool xr_crc_ok(const void *p, size_t size, size_t crc_offset)
{
	return xr_le32((const uint8_t *)p + crc_offset) == xr_crc(p, size, crc_offset);
}

void xr_crc_update(void *p, size_t size, size_t crc_offset)
{
	/* The field may be zeroed here: one piece, where xr_crc() has three, of which short ones cost the most a byte. */
	memset((uint8_t *)p + crc_offset, 0, 4);
	xr_put_le32((uint8_t *)p + crc_offset, ~xr_crc_feed(~0u, p, size));
}
