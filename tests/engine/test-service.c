/* SPDX-License-Identifier: Apache-2.0 */
/* The service protocol, against services in another language that need not behave. */
#include "fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "engine/service.h"
#include "json/comm.h"

/* The transport as osbuild's Python has it, then one service per method. */
static const char script[] =
	"#!/usr/bin/python3\n"
	"import json, os, signal, socket, sys, time\n"
	"fd = int(sys.argv[sys.argv.index('--service-fd') + 1])\n"
	"s = socket.socket(fileno=fd)\n"
	"def send(value):\n"
	"    data = json.dumps(value).encode()\n"
	"    if len(data) <= 100000:\n"
	"        s.send(data)\n"
	"        return\n"
	"    m = os.memfd_create('jsoncomm/payload')\n"
	"    os.write(m, data)\n"
	"    os.lseek(m, 0, 0)\n"
	"    socket.send_fds(s, [b'<args-via-fd>'], [m])\n"
	"def reply(value):\n"
	"    send({'type': 'reply', 'data': {'reply': value}})\n"
	"while True:\n"
	"    data, fds, _, _ = socket.recv_fds(s, 1 << 24, 253)\n"
	"    if not data:\n"
	"        sys.exit(0)\n"
	"    if data == b'<args-via-fd>':\n"
	"        data = os.fdopen(fds[0], 'rb').read()\n"
	"    call = json.loads(data)['data']\n"
	"    name, args = call['name'], call['args']\n"
	"    if name == 'echo':\n"
	"        reply(args)\n"
	"    elif name == 'raise':\n"
	"        send({'type': 'exception', 'data': {'name': 'ValueError',\n"
	"              'value': 'no such thing', 'backtrace': 'x'}})\n"
	"    elif name == 'die':\n"
	"        print('famous last words', file=sys.stderr)\n"
	"        sys.exit(3)\n"
	"    elif name == 'signal':\n"
	"        send({'type': 'signal', 'data': {'reply': 7}})\n"
	"        reply('after')\n"
	"    elif name == 'babble':\n"
	"        s.send(b'this is not JSON')\n"
	"    elif name == 'nothing':\n"
	"        send({'type': 'reply', 'data': {}})\n"
	"    elif name == 'environment':\n"
	"        reply([os.environ['PYTHONPATH'], sys.argv[2]])\n"
	"    elif name == 'hang':\n"
	"        signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
	"        print(os.getpid(), flush=True)\n"
	"        time.sleep(1000)\n";

struct heard {
	char line[256];
	json_int_t signal;
};

static void hear_line(void *data, const char *id, const char *line)
{
	struct heard *heard = data;

	assert_string_equal(id, "test/one");
	(void)snprintf(heard->line, sizeof(heard->line), "%s", line);
}

static void hear_signal(void *data, const char *id, const json_t *value)
{
	(void)id;
	((struct heard *)data)->signal = json_integer_value(value);
}

/* Keeps what the listener of a service needs for as long as the test lasts. */
struct world {
	struct fixture *fixture;
	struct heard heard;
	struct service_listener listener;
	struct service *service;
};

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));
	struct cop_error err = {};
	char path[256];
	void *fixture;

	assert_non_null(world);
	assert_int_equal(fixture_setup(&fixture), 0);
	world->fixture = fixture;
	fixture_module(fixture, "sources", "service", script);
	world->listener = (struct service_listener){
		.line = hear_line, .signal = hear_signal, .data = &world->heard};
	(void)snprintf(path, sizeof(path), "%s/sources/service", world->fixture->libdir);
	assert_ok(service_start(path, "test/one", world->fixture->libdir,
				&world->listener, &world->service, &err),
		  &err);
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;
	void *fixture = world->fixture;

	(void)service_stop(world->service, true);
	free(world);
	return fixture_teardown(&fixture);
}

static int call(struct world *world, const char *method, json_t *arguments,
		json_t **ret_reply, struct cop_error *err)
{
	auto_json *owned = arguments;
	int r = service_request(world->service, method, owned, err);

	if (r == 0)
		r = services_wait(&world->service, 1, NULL, 0, err);
	return r < 0 ? r : service_reply(world->service, ret_reply, err);
}

static void a_call_is_answered(void **state)
{
	struct cop_error err = {};
	auto_json *reply = NULL;

	assert_ok(call(*state, "echo", json_pack("{s:i}", "a", 1), &reply, &err), &err);
	assert_int_equal(json_integer_value(json_object_get(reply, "a")), 1);
}

static void a_large_message_goes_through_both_ways(void **state)
{
	/* More than any kernel lets a packet hold. */
	size_t size = 20 * MIB;
	auto_free char *text = malloc(size + 1);
	struct cop_error err = {};
	auto_json *reply = NULL;

	assert_non_null(text);
	memset(text, 'x', size);
	text[size] = '\0';
	assert_ok(call(*state, "echo", json_string(text), &reply, &err), &err);
	assert_string_equal(json_string_value(reply), text);
}

static void an_exception_is_the_error(void **state)
{
	struct cop_error err = {};
	json_t *reply = NULL;

	assert_fails(call(*state, "raise", json_object(), &reply, &err), -EREMOTEIO,
		     &err);
	assert_string_equal(err.message, "test/one: no such thing");
	assert_null(reply);
}

static void after_an_exception_the_service_goes_on(void **state)
{
	struct cop_error err = {};
	json_t *none = NULL;
	auto_json *reply = NULL;

	assert_fails(call(*state, "raise", json_object(), &none, &err), -EREMOTEIO, &err);
	assert_ok(call(*state, "echo", json_integer(4), &reply, &err), &err);
	assert_int_equal(json_integer_value(reply), 4);
}

static void the_death_of_a_service_has_its_last_words(void **state)
{
	struct cop_error err = {};
	json_t *reply = NULL;

	assert_fails(call(*state, "die", json_object(), &reply, &err), -EPIPE, &err);
	assert_string_equal(err.message, "test/one: famous last words");
}

static void a_signal_comes_before_the_answer(void **state)
{
	struct world *world = *state;
	struct cop_error err = {};
	auto_json *reply = NULL;

	assert_ok(call(world, "signal", json_object(), &reply, &err), &err);
	assert_string_equal(json_string_value(reply), "after");
	assert_int_equal(world->heard.signal, 7);
}

static void what_is_no_message_is_refused(void **state)
{
	struct cop_error err = {};
	json_t *reply = NULL;

	assert_fails(call(*state, "babble", json_object(), &reply, &err), -EBADMSG, &err);
	assert_fails(call(*state, "nothing", json_object(), &reply, &err), -EBADMSG,
		     &err);
}

static void a_service_knows_its_id_and_library(void **state)
{
	struct world *world = *state;
	struct cop_error err = {};
	auto_json *reply = NULL;

	assert_ok(call(world, "environment", json_object(), &reply, &err), &err);
	assert_string_equal(json_string_value(json_array_get(reply, 0)),
			    world->fixture->libdir);
	assert_string_equal(json_string_value(json_array_get(reply, 1)), "test/one");
}

/* It prints its pid, then ignores the end of its socket and SIGTERM. */
static void no_service_outlives_its_handle(void **state)
{
	struct world *world = *state;
	struct cop_error err = {};
	int pipe_fds[2];
	time_t start = time(NULL);
	pid_t pid;

	assert_int_equal(pipe(pipe_fds), 0);
	pid = fork();
	if (pid == 0) {
		(void)sleep(2);
		_exit(write(pipe_fds[1], "x", 1) == 1 ? 0 : 1);
	}
	assert_ok(service_request(world->service, "hang", json_null(), &err), &err);
	assert_fails(services_wait(&world->service, 1, NULL, pipe_fds[0], &err), -EINTR,
		     &err);
	(void)waitpid(pid, NULL, 0);
	pid = (pid_t)atoi(world->heard.line);
	assert_true(pid > 0);
	world->service = service_stop(world->service, true);
	assert_true(time(NULL) - start < 10);
	assert_int_equal(kill(pid, 0), -1);
	assert_int_equal(errno, ESRCH);
	(void)close(pipe_fds[0]);
	(void)close(pipe_fds[1]);
}

static void a_module_that_cannot_start_is_named(void **state)
{
	struct world *world = *state;
	struct service *service = NULL;
	struct cop_error err = {};

	assert_fails(service_start("/nowhere/module", "test/none", world->fixture->libdir,
				   NULL, &service, &err),
		     -ENOENT, &err);
	assert_string_equal(
		err.message,
		"test/none: start '/nowhere/module': No such file or directory");
}

static void fds_travel_beside_a_message(void **state)
{
	auto_json *sent = json_pack("{s:i}", "fd", 0), *got = NULL;
	auto_comm_fds fds = {};
	struct cop_error err = {};
	struct stat before, after;
	int pair[2], pipe_fds[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	assert_int_equal(pipe(pipe_fds), 0);
	assert_ok(comm_send(pair[0], sent, pipe_fds, 1, &err), &err);
	assert_int_equal(comm_receive(pair[1], &got, &fds, &err), 1);
	assert_int_equal(fds.n, 1);
	assert_int_equal(fstat(pipe_fds[0], &before), 0);
	assert_int_equal(fstat(fds.fds[0], &after), 0);
	assert_int_equal(before.st_ino, after.st_ino);
	(void)close(pair[0]);
	json_decref(got);
	got = NULL;
	assert_int_equal(comm_receive(pair[1], &got, NULL, &err), 0);
	(void)close(pair[1]);
	(void)close(pipe_fds[0]);
	(void)close(pipe_fds[1]);
}

static void a_payload_without_its_file_is_refused(void **state)
{
	struct cop_error err = {};
	json_t *got = NULL;
	int pair[2], pipe_fds[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	assert_int_equal(send(pair[0], "<args-via-fd>", 13, 0), 13);
	assert_fails(comm_receive(pair[1], &got, NULL, &err), -EBADMSG, &err);
	/* A pipe could keep us waiting for ever. */
	assert_int_equal(pipe(pipe_fds), 0);
	{
		union {
			struct cmsghdr align;
			char bytes[CMSG_SPACE(sizeof(int))];
		} control = {};
		struct iovec iov = {.iov_base = (char[]){"<args-via-fd>"}, .iov_len = 13};
		struct msghdr message = {.msg_iov = &iov,
					 .msg_iovlen = 1,
					 .msg_control = control.bytes,
					 .msg_controllen = sizeof(control.bytes)};
		struct cmsghdr *header = CMSG_FIRSTHDR(&message);

		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(header), &pipe_fds[0], sizeof(int));
		assert_int_equal(sendmsg(pair[0], &message, 0), 13);
	}
	assert_fails(comm_receive(pair[1], &got, NULL, &err), -EBADMSG, &err);
	(void)close(pair[0]);
	(void)close(pair[1]);
	(void)close(pipe_fds[0]);
	(void)close(pipe_fds[1]);
}

#define WITH_SERVICE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_SERVICE(a_call_is_answered),
		WITH_SERVICE(a_large_message_goes_through_both_ways),
		WITH_SERVICE(an_exception_is_the_error),
		WITH_SERVICE(after_an_exception_the_service_goes_on),
		WITH_SERVICE(the_death_of_a_service_has_its_last_words),
		WITH_SERVICE(a_signal_comes_before_the_answer),
		WITH_SERVICE(what_is_no_message_is_refused),
		WITH_SERVICE(a_service_knows_its_id_and_library),
		WITH_SERVICE(no_service_outlives_its_handle),
		WITH_SERVICE(a_module_that_cannot_start_is_named),
		cmocka_unit_test(fds_travel_beside_a_message),
		cmocka_unit_test(a_payload_without_its_file_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
