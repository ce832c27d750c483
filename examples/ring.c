// SPDX-License-Identifier: MIT
/*
 * Theory: a ring buffer that never wraps. Its chunks are shown twice in a row (vmap_mirror()), so a message that begins near the end of the
 * ring goes on in the second copy of its beginning: writer and reader each use one pointer, one memcpy(), one printf(), and no code
 * for the border. A position only ever grows; where it is in the ring is its remainder.
 */
#include <stdio.h>
#include <string.h>
#include <vmap/view.h>

struct ring {
	char *memory; /* size bytes, twice */
	size_t size, head, tail; /* head: bytes ever written; tail: bytes ever read */
};

/* A message is its length and its bytes. 0: no room before something is read. */
static int ring_write(struct ring *ring, const char *text, size_t n)
{
	if (ring->size - (ring->head - ring->tail) < sizeof(n) + n)
		return 0;
	memcpy(ring->memory + ring->head % ring->size, &n, sizeof(n));
	memcpy(ring->memory + (ring->head + sizeof(n)) % ring->size, text, n);
	ring->head += sizeof(n) + n;
	return 1;
}

/* The next message where it lies; it is free for writing again when the next one is asked for. NULL: there is none. */
static const char *ring_read(struct ring *ring, size_t *n)
{
	const char *message = ring->memory + (ring->tail + sizeof(*n)) % ring->size;

	if (ring->tail == ring->head)
		return NULL;
	memcpy(n, ring->memory + ring->tail % ring->size, sizeof(*n));
	ring->tail += sizeof(*n) + *n;
	return message;
}

int main(void)
{
	struct vmap_process *process;
	struct vmap_page *chunks[2];
	struct vmap_view view;
	struct ring ring = {0};
	size_t n, length, across = 0, read = 0, wrong = 0;
	char text[512];

	if (vmap_process_create(NULL, &process) || vmap_page_alloc(process, 0, 2, chunks) ||
	    vmap_mirror(process, chunks, 2, NULL, &view))
		return 1;
	ring.memory = view.addr;
	ring.size = view.size / 2;

	for (size_t written = 0; read < 10000;) {
		/* Write until the ring is full... */
		for (;; written++) {
			length = (size_t)snprintf(text, sizeof(text), "message %zu ", written);
			memset(text + length, '-', written % 300);
			length += written % 300;
			if (!ring_write(&ring, text, length))
				break;
		}
		/* ... then read what is there, each message in one piece wherever it lies. */
		for (const char *message; (message = ring_read(&ring, &n)); read++) {
			size_t number;

			memcpy(text, message, n);
			text[n] = '\0';
			wrong += sscanf(text, "message %zu", &number) != 1 || number != read;
			across += message < ring.memory + ring.size && message + n > ring.memory + ring.size;
		}
	}
	printf("%zu messages, %zu of them across the end of the ring, %zu wrong\n", read, across, wrong);
	if (wrong || !across || vmap_view_end(process, &view))
		return 1;
	vmap_page_put(process, chunks, 2);
	return vmap_process_destroy(process) != 0;
}
