/* SPDX-License-Identifier: MIT */
/* A pool in two processes: passed over a UNIX socket, adopted there, seen in another order; what is read-only stays so. */
#include "support.h"

#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <vmap/view.h>

#define CHUNK ((size_t)64 << 10)
#define CHUNKS 4

/* What goes over the socket beside the descriptor. */
struct message {
	uint64_t offsets[CHUNKS];
	unsigned prot;
};

static void send_pool(int sock, int fd, struct message *message)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {{0}};
	struct iovec iov = {message, sizeof(*message)};
	struct msghdr header = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
	struct cmsghdr *rights = CMSG_FIRSTHDR(&header);

	rights->cmsg_level = SOL_SOCKET;
	rights->cmsg_type = SCM_RIGHTS;
	rights->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(rights), &fd, sizeof(fd));
	assert_int_equal(sendmsg(sock, &header, 0), sizeof(*message));
}

static int receive_pool(int sock, struct message *message)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = {message, sizeof(*message)};
	struct msghdr header = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
	int fd = -1;

	if (recvmsg(sock, &header, MSG_CMSG_CLOEXEC) == sizeof(*message) && CMSG_FIRSTHDR(&header))
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&header)), sizeof(fd));
	return fd;
}

/* The other process, with an object of its own: 0, or the number of the step that went wrong. */
static int other(int sock)
{
	struct vmap_region_config config = {.size = CHUNKS * CHUNK};
	const struct vmap_options readable = {.prot = VMAP_READ};
	struct vmap_process *process;
	struct message message;
	struct iovec iov[CHUNKS];
	struct vmap_view view;
	bool write;
	uint8_t *at;
	int err;

	config.fd = receive_pool(sock, &message);
	if (config.fd < 0 || vmap_process_create(NULL, &process))
		return 1;
	write = message.prot & VMAP_WRITE;
	config.prot = message.prot;
	if (!write && mmap(NULL, config.size, PROT_READ | PROT_WRITE, MAP_SHARED, config.fd, 0) != MAP_FAILED)
		return 2;
	config.addr = mmap(NULL, config.size, PROT_READ | (write ? PROT_WRITE : 0), MAP_SHARED, config.fd, 0);
	if (config.addr == MAP_FAILED || !ftruncate(config.fd, 0) || vmap_region_adopt(process, &config))
		return 3;
	for (size_t i = 0; i < CHUNKS; i++)
		iov[i] = (struct iovec){(uint8_t *)config.addr + message.offsets[CHUNKS - 1 - i], CHUNK};
	err = vmap_iov(process, iov, CHUNKS, NULL, 0, &view);
	if (err != (write ? 0 : -VMAP_EACCES) || (err && vmap_iov(process, iov, CHUNKS, &readable, 0, &view)))
		return 4;
	at = view.addr;
	for (size_t i = 0; i < CHUNKS; i++) {
		if (at[i * CHUNK] != CHUNKS - i || at[(i + 1) * CHUNK - 1] != CHUNKS - i)
			return 5;
	}
	if (write)
		at[0] = 0x77;
	if (vmap_view_end(process, &view) || vmap_region_remove(process, config.addr) || vmap_process_destroy(process))
		return 6;
	return 0;
}

static void pass(unsigned prot)
{
	struct message message = {.prot = prot};
	struct vmap_page *pages[CHUNKS];
	struct vmap_process *process;
	int socks[2], status, fd;
	pid_t child;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, socks), 0);
	child = fork();
	assert_true(child >= 0);
	if (!child)
		_exit(other(socks[1]));
	assert_int_equal(vmap_process_create(NULL, &process), 0);
	assert_int_equal(vmap_page_alloc(process, VMAP_ORDER_DEFAULT, CHUNKS, pages), 0);
	for (size_t i = 0; i < CHUNKS; i++) {
		memset(vmap_page_address(process, pages[i]), (int)i + 1, CHUNK);
		message.offsets[i] = vmap_page_offset(process, pages[i]);
	}
	fd = vmap_process_descriptor(process, prot);
	assert_true(fd >= 0);
	send_pool(socks[0], fd, &message);
	close(fd);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_int_equal(*(uint8_t *)vmap_page_address(process, pages[CHUNKS - 1]), prot & VMAP_WRITE ? 0x77 : CHUNKS);
	assert_int_equal(vmap_process_descriptor(process, VMAP_WRITE), -VMAP_EINVAL);
	assert_int_equal(vmap_process_descriptor(process, VMAP_READ | VMAP_EXEC), -VMAP_EINVAL);
	vmap_page_put(process, pages, CHUNKS);
	assert_int_equal(vmap_process_destroy(process), 0);
	close(socks[0]);
	close(socks[1]);
}

static void test_read_only(void **state)
{
	(void)state;
	pass(VMAP_READ);
}

static void test_read_and_write(void **state)
{
	(void)state;
	pass(VMAP_READ | VMAP_WRITE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_read_only), cmocka_unit_test(test_read_and_write)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
