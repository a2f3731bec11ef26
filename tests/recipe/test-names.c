/* SPDX-License-Identifier: Apache-2.0 */
/* Names of users and groups out of scripts as Debian's packages have them. */
#include "testlib.h"

#include "base/buf.h"
#include "recipe/names.h"

static int collect(void *data, const char *name, uint32_t number, struct cop_error *err)
{
	(void)err;
	return number ? buf_printf(data, "%s=%u ", name, number)
		      : buf_printf(data, "%s ", name);
}

static void script_has(const char *text, const char *wanted)
{
	struct cop_error err = {};
	auto_buf names = {};

	assert_ok(names_of_script(text, collect, &names, &err), &err);
	assert_string_equal(buf_text(&names), wanted);
}

static void sysusers_has(const char *text, const char *wanted)
{
	struct cop_error err = {};
	auto_buf names = {};

	assert_ok(names_of_sysusers(text, collect, &names, &err), &err);
	assert_string_equal(buf_text(&names), wanted);
}

static void a_name_is_what_no_option_takes(void **state)
{
	(void)state;
	script_has("adduser --system --quiet --home /run/sshd --shell /bin/false sshd\n",
		   "sshd ");
	script_has(
		"adduser --system --home /var/lib/x --gecos 'a daemon' --group x-d || :",
		"x-d ");
	script_has("adduser --system --home=/var/lib/x --gecos \"a daemon\" xd;true",
		   "xd ");
	script_has("useradd -r -M -d / -s /bin/false -c comment -g grp dnsmasq\n",
		   "dnsmasq ");
	script_has("if ! getent group ssl-cert >/dev/null; then\n\taddgroup --quiet "
		   "--system --force-badname ssl-cert\nfi\n",
		   "ssl-cert ");
	script_has(
		"\tadduser --system \\\n\t\t--no-create-home \\\n\t\tmessagebus 2>&1\n",
		"messagebus ");
	script_has("/usr/sbin/groupadd --system kvm && true\n", "kvm ");
	script_has("adduser --force-badname --system Debian-exim\n", "Debian-exim ");
	script_has("( addgroup --system one )\n`addgroup --system two`", "one two ");
}

static void variables_stand_for_the_word_they_were_set_to(void **state)
{
	(void)state;
	script_has("user=redis\nadduser --system $user\n", "redis ");
	script_has("U=\"a b\"\nadduser --system ${U}\n", "");
	script_has("USER=one\nadduser $USER\nUSER=two\nadduser \"${USER}\"\n",
		   "one two ");
	script_has("adduser --system ${NAME:-fallback}\n", "fallback ");
	script_has("XUSER=no\nadduser --system $USER $(id -un) $1\n", "");
}

static void what_is_no_new_account_is_left_out(void **state)
{
	(void)state;
	script_has("", "");
	script_has("# adduser --system comment\n", "");
	script_has("deluser foo\nadduserx foo\nmy-adduser foo\n", "");
	script_has("adduser postfix www-data\naddgroup --system users\n", "postfix ");
	script_has("which adduser >/dev/null || exit 0\nadduser\nadduser --system", "");
	script_has("adduser --system 9lives 'a:b' 'c d' a/b\n", "");
}

static void files_of_sysusers_are_exact(void **state)
{
	(void)state;
	sysusers_has("# comment\nu messagebus - \"System Message Bus\"\ng render -\n",
		     "messagebus render ");
	sysusers_has(
		"u! locked -:render\nu dir /var/lib/dir\nu fixed 250:300\ng g7 777\n",
		"locked dir fixed=250 g7=777 ");
	sysusers_has("m messagebus render\nr - 500-900\nu root 0\nu %b -\nu\ng", "");
	sysusers_has("u last -", "last ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_is_what_no_option_takes),
		cmocka_unit_test(variables_stand_for_the_word_they_were_set_to),
		cmocka_unit_test(what_is_no_new_account_is_left_out),
		cmocka_unit_test(files_of_sysusers_are_exact),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
