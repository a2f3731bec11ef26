/* SPDX-License-Identifier: Apache-2.0 */
/* Any packet as a message of a module: as a packet, and as the memory file beside the
 * word that says so.  What is read is sent and comes again. */
#include "fuzz.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "base/fs.h"
#include "json/comm.h"
#include "json/json.h"

static void check_again(int *pair, const json_t *message)
{
	auto_json *again = NULL;
	auto_buf before = {}, after = {};
	struct cop_error err = {};

	fuzz_check(comm_send(pair[0], message, NULL, 0, &err) == 0);
	fuzz_check(comm_receive(pair[1], &again, NULL, &err) == 1);
	fuzz_check(json_canonical(message, &before, &err) == 0);
	fuzz_check(json_canonical(again, &after, &err) == 0);
	fuzz_check(strcmp(buf_text(&before), buf_text(&after)) == 0);
}

static void receive(int *pair)
{
	auto_json *message = NULL;
	auto_comm_fds fds = {};
	struct cop_error err = {};
	int r = comm_receive(pair[1], &message, &fds, &err);

	fuzz_check(r == 1 || r == 0 || r == -EBADMSG);
	if (r == 1)
		check_again(pair, message);
}

static void send_file(int socket, int fd)
{
	static char word[] = "<args-via-fd>";
	struct iovec part = {.iov_base = word, .iov_len = sizeof(word) - 1};
	char control[CMSG_SPACE(sizeof(int))] = {};
	struct msghdr packet = {.msg_iov = &part,
				.msg_iovlen = 1,
				.msg_control = control,
				.msg_controllen = sizeof(control)};
	struct cmsghdr *header = CMSG_FIRSTHDR(&packet);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	fuzz_check(sendmsg(socket, &packet, 0) >= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_close int file = memfd_create("message", MFD_CLOEXEC);
	int pair[2];

	fuzz_check(file >= 0 && fs_write_all(file, data, size) == 0);
	fuzz_check(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
	if (size > 0 && send(pair[0], data, size, 0) == (ssize_t)size)
		receive(pair);
	send_file(pair[0], file);
	receive(pair);
	(void)close(pair[0]);
	(void)close(pair[1]);
	return 0;
}
