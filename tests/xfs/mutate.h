/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TEST_MUTATE_H
#define TEST_MUTATE_H

/* Damage that is the same in every run: a generator of our own, so that a seed means the same everywhere, and what it changes. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct mutate {
	uint64_t state;
};

/* Uniform in [0, below), below > 0. */
static inline uint32_t mutate_random(struct mutate *m, uint32_t below)
{
	m->state += 0x9e3779b97f4a7c15;
	uint64_t z = (m->state ^ m->state >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return (uint32_t)((z ^ z >> 31) >> 32) % below;
}

/* Instead of this value: one that programs stumble over, a neighbour, another bit, anything. */
static inline uint32_t mutate_value(struct mutate *m, uint32_t now)
{
	static const uint32_t values[] = {0, 1, 0xff, 512, 32768, 262144, 0x7fffffff, 0x80000000, 0xfffffff4, 0xffffffff};

	switch (mutate_random(m, 4)) {
	case 0:
		return values[mutate_random(m, sizeof(values) / sizeof(values[0]))];
	case 1:
		return now + mutate_random(m, 9) - 4;
	case 2:
		return now ^ 1u << mutate_random(m, 32);
	default:
		return mutate_random(m, UINT32_MAX);
	}
}

/* Change size bytes of input, which has room for max, in a few places; gives the new size. */
static inline size_t mutate_input(struct mutate *m, uint8_t *data, size_t size, size_t max)
{
	for (uint32_t n = 1 + mutate_random(m, 6); n && size > 8; n--) {
		uint32_t at = mutate_random(m, (uint32_t)size - 4), to = mutate_random(m, (uint32_t)size - 4), value;
		uint32_t len = 1 + mutate_random(m, 64);

		switch (mutate_random(m, 6)) {
		case 0:
		case 1: /* a word, in either byte order */
			value = (uint32_t)data[at] << 24 | (uint32_t)data[at + 1] << 16 | (uint32_t)data[at + 2] << 8 |
				data[at + 3];
			value = mutate_value(m, value);
			for (int i = 0, swap = (int)mutate_random(m, 2); i < 4; i++)
				data[at + i] = (uint8_t)(value >> 8 * (swap ? i : 3 - i));
			break;
		case 2:
			data[at] = (uint8_t)mutate_value(m, data[at]);
			break;
		case 3: /* some bytes again, elsewhere */
			len = len < size - (at > to ? at : to) ? len : (uint32_t)(size - (at > to ? at : to));
			memmove(data + to, data + at, len);
			break;
		case 4: /* taken out */
			len = len < size - at ? len : (uint32_t)size - at;
			memmove(data + at, data + at + len, size - at - len);
			size -= len;
			break;
		default: /* doubled */
			if (size + len > max || len > size - at)
				break;
			memmove(data + at + len, data + at, size - at);
			size += len;
			break;
		}
	}
	return size;
}

#endif
