/* SPDX-License-Identifier: Apache-2.0 */
/* Signatures against the examples that AWS publishes: the S3 API reference ("Signature
 * Calculations for the Authorization Header") and the general test suite. */
#include "testlib.h"

#include "remote/http.h"
#include "remote/sigv4.h"

#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static const struct sigv4_keys s3_keys = {
	.access = "AKIAIOSFODNN7EXAMPLE",
	.secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
	.region = "us-east-1",
	.service = "s3",
};

static void expect(const struct sigv4_keys *keys, const struct sigv4_request *request,
		   const char *time, const char *names, const char *signature)
{
	struct cop_error err = {};
	auto_buf text = {}, expected = {};

	assert_ok(sigv4_sign(keys, request, time, &text, &err), &err);
	(void)buf_printf(&expected,
			 "AWS4-HMAC-SHA256 Credential=%s/%.8s/%s/%s/aws4_request,"
			 "SignedHeaders=%s,Signature=%s",
			 keys->access, time, keys->region, keys->service, names,
			 signature);
	assert_string_equal(buf_text(&text), buf_text(&expected));
}

static void a_ranged_get_is_signed_as_published(void **state)
{
	const struct sigv4_header headers[] = {{"host", "examplebucket.s3.amazonaws.com"},
					       {"range", "bytes=0-9"},
					       {"x-amz-content-sha256", EMPTY},
					       {"x-amz-date", "20130524T000000Z"}};
	const struct sigv4_request request = {.method = "GET",
					      .path = "/test.txt",
					      .query = "",
					      .payload = EMPTY,
					      .headers = headers,
					      .n_headers = 4};

	(void)state;
	expect(&s3_keys, &request, "20130524T000000Z",
	       "host;range;x-amz-content-sha256;x-amz-date",
	       "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
}

static void a_put_with_an_encoded_key_is_signed_as_published(void **state)
{
	static const char payload[] =
		"44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072";
	const struct sigv4_header headers[] = {
		{"date", "Fri, 24 May 2013 00:00:00 GMT"},
		{"host", "examplebucket.s3.amazonaws.com"},
		{"x-amz-content-sha256", payload},
		{"x-amz-date", "20130524T000000Z"},
		{"x-amz-storage-class", "REDUCED_REDUNDANCY"}};
	auto_buf path = {};
	struct sigv4_request request = {.method = "PUT",
					.query = "",
					.payload = payload,
					.headers = headers,
					.n_headers = 5};

	(void)state;
	url_append(&path, "/test$file.text", true);
	assert_string_equal(buf_text(&path), "/test%24file.text");
	request.path = buf_text(&path);
	expect(&s3_keys, &request, "20130524T000000Z",
	       "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
	       "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
}

static void queries_are_signed_as_published(void **state)
{
	static const struct {
		const char *query, *signature;
	} cases[] = {
		{"lifecycle=",
		 "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"},
		{"max-keys=2&prefix=J",
		 "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"},
	};
	const struct sigv4_header headers[] = {{"host", "examplebucket.s3.amazonaws.com"},
					       {"x-amz-content-sha256", EMPTY},
					       {"x-amz-date", "20130524T000000Z"}};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct sigv4_request request = {.method = "GET",
						      .path = "/",
						      .query = cases[i].query,
						      .payload = EMPTY,
						      .headers = headers,
						      .n_headers = 3};

		expect(&s3_keys, &request, "20130524T000000Z",
		       "host;x-amz-content-sha256;x-amz-date", cases[i].signature);
	}
}

static void the_plainest_request_of_the_test_suite_is_signed_as_published(void **state)
{
	const struct sigv4_keys keys = {
		.access = "AKIDEXAMPLE",
		.secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
		.region = "us-east-1",
		.service = "service"};
	const struct sigv4_header headers[] = {{"host", "example.amazonaws.com"},
					       {"x-amz-date", "20150830T123600Z"}};
	const struct sigv4_request request = {.method = "GET",
					      .path = "/",
					      .query = "",
					      .payload = EMPTY,
					      .headers = headers,
					      .n_headers = 2};

	(void)state;
	expect(&keys, &request, "20150830T123600Z", "host;x-amz-date",
	       "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
}

static void another_secret_gives_another_signature(void **state)
{
	struct sigv4_keys keys = s3_keys;
	const struct sigv4_header headers[] = {{"host", "h"}};
	const struct sigv4_request request = {.method = "GET",
					      .path = "/",
					      .query = "",
					      .payload = EMPTY,
					      .headers = headers,
					      .n_headers = 1};
	struct cop_error err = {};
	auto_buf a = {}, b = {};

	(void)state;
	assert_ok(sigv4_sign(&keys, &request, "20130524T000000Z", &a, &err), &err);
	keys.secret = "another";
	assert_ok(sigv4_sign(&keys, &request, "20130524T000000Z", &b, &err), &err);
	assert_string_not_equal(buf_text(&a), buf_text(&b));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_ranged_get_is_signed_as_published),
		cmocka_unit_test(a_put_with_an_encoded_key_is_signed_as_published),
		cmocka_unit_test(queries_are_signed_as_published),
		cmocka_unit_test(
			the_plainest_request_of_the_test_suite_is_signed_as_published),
		cmocka_unit_test(another_secret_gives_another_signature),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
