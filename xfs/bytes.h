/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_BYTES_H
#define XR_BYTES_H

/*
 * Bytes on the disk
 *
 * Everything read from a disk is reached through these: no alignment is assumed, no pointer is cast to a structure. Offsets
 * come from offsetof() on xfslibs-dev's structures where those have the field. be and le say the byte order; the log's payload is in its
 * writer's order and goes through struct xr_order.
 */
#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint16_t xr_be16(const void *p)
{
	uint16_t v;
	memcpy(&v, p, sizeof(v));
	return be16toh(v);
}

static inline uint32_t xr_be32(const void *p)
{
	uint32_t v;
	memcpy(&v, p, sizeof(v));
	return be32toh(v);
}

static inline uint64_t xr_be64(const void *p)
{
	uint64_t v;
	memcpy(&v, p, sizeof(v));
	return be64toh(v);
}

static inline uint16_t xr_le16(const void *p)
{
	uint16_t v;
	memcpy(&v, p, sizeof(v));
	return le16toh(v);
}

static inline uint32_t xr_le32(const void *p)
{
	uint32_t v;
	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

static inline uint64_t xr_le64(const void *p)
{
	uint64_t v;
	memcpy(&v, p, sizeof(v));
	return le64toh(v);
}

static inline void xr_put_be16(void *p, uint16_t v)
{
	v = htobe16(v);
	memcpy(p, &v, sizeof(v));
}

static inline void xr_put_be32(void *p, uint32_t v)
{
	v = htobe32(v);
	memcpy(p, &v, sizeof(v));
}

static inline void xr_put_be64(void *p, uint64_t v)
{
	v = htobe64(v);
	memcpy(p, &v, sizeof(v));
}

static inline void xr_put_le32(void *p, uint32_t v)
{
	v = htole32(v);
	memcpy(p, &v, sizeof(v));
}

/* The byte order of the machine that wrote a log (specification section 15). */
struct xr_order {
	bool big;
};

static inline uint16_t xr_get16(struct xr_order order, const void *p)
{
	return order.big ? xr_be16(p) : xr_le16(p);
}

static inline uint32_t xr_get32(struct xr_order order, const void *p)
{
	return order.big ? xr_be32(p) : xr_le32(p);
}

static inline uint64_t xr_get64(struct xr_order order, const void *p)
{
	return order.big ? xr_be64(p) : xr_le64(p);
}

static inline void xr_put16(struct xr_order order, void *p, uint16_t v)
{
	v = order.big ? htobe16(v) : htole16(v);
	memcpy(p, &v, sizeof(v));
}

static inline void xr_put32(struct xr_order order, void *p, uint32_t v)
{
	v = order.big ? htobe32(v) : htole32(v);
	memcpy(p, &v, sizeof(v));
}

static inline void xr_put64(struct xr_order order, void *p, uint64_t v)
{
	v = order.big ? htobe64(v) : htole64(v);
	memcpy(p, &v, sizeof(v));
}

/*
 * CRC32C as XFS stores it: over size bytes at p, with the four bytes at crc_offset taken as zero; the result is what
 * belongs there, little-endian. xr_crc_ok() compares, xr_crc_update() stores. crc_offset + 4 <= size.
 */
uint32_t xr_crc(const void *p, size_t size, size_t crc_offset);
bool xr_crc_ok(const void *p, size_t size, size_t crc_offset);
void xr_crc_update(void *p, size_t size, size_t crc_offset);

/* The running form: begin with ~0u, feed pieces, and complement at the end. */
uint32_t xr_crc_feed(uint32_t crc, const void *p, size_t size);

#endif
