/* SPDX-License-Identifier: Apache-2.0 */
/* Ed25519 by libcrypto: keys are PEM files, as `openssl genpkey -algorithm ed25519` makes
 * them, signatures are base64 text. */
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <string.h>

#include "remote/private.h"

#define KEY_MAX		 (64 * KIB)
#define SIGNATURE_SIZE	 64
#define SIGNATURE_BASE64 88

static void free_key(EVP_PKEY **key)
{
	EVP_PKEY_free(*key);
}
#define auto_key cleanup_with(free_key) EVP_PKEY

static EVP_PKEY *parse(const struct buf *pem, bool is_private)
{
	BIO *bio = BIO_new_mem_buf(buf_text(pem), (int)pem->size);
	EVP_PKEY *key = NULL;

	if (bio)
		key = is_private ? PEM_read_bio_PrivateKey(bio, NULL, NULL, (void *)"")
				 : PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
	(void)BIO_free(bio);
	if (key && EVP_PKEY_id(key) != EVP_PKEY_ED25519) {
		EVP_PKEY_free(key);
		key = NULL;
	}
	return key;
}

static int load(int dir_fd, const char *path, bool is_private, EVP_PKEY **ret_key,
		struct cop_error *err)
{
	auto_close int fd = openat(dir_fd, path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	auto_buf pem = {};
	int r;

	if (fd < 0)
		return err_errno(err, "open key '%s'", path);
	r = fs_read_all(fd, KEY_MAX, &pem, err);
	if (r < 0)
		return err_prefix(err, r, "key '%s'", path);
	*ret_key = parse(&pem, is_private);
	return *ret_key ? 0
			: err_set(err, -EINVAL,
				  "'%s' is no %s key of Ed25519 in PEM form without a "
				  "passphrase; make one: openssl genpkey -algorithm "
				  "ed25519",
				  path, is_private ? "private" : "public");
}

int sign_check_key(const char *path, bool is_private, struct cop_error *err)
{
	auto_key *key = NULL;

	return load(AT_FDCWD, path, is_private, &key, err);
}

int sign_public(const char *key_path, struct buf *pem, struct cop_error *err)
{
	auto_key *key = NULL;
	BIO *bio = BIO_new(BIO_s_mem());
	char *data = NULL;
	long size = 0;
	int r = load(AT_FDCWD, key_path, true, &key, err);

	if (r == 0 && (!bio || PEM_write_bio_PUBKEY(bio, key) != 1))
		r = err_oom(err);
	if (r == 0)
		size = BIO_get_mem_data(bio, &data);
	if (r == 0 && buf_append(pem, data, (size_t)size) < 0)
		r = err_oom(err);
	(void)BIO_free(bio);
	return r;
}

int sign_statement(const char *key_path, const char *statement, char **ret_signature,
		   struct cop_error *err)
{
	auto_key *key = NULL;
	uint8_t signature[SIGNATURE_SIZE];
	size_t size = sizeof(signature);
	auto_free char *text = NULL;
	EVP_MD_CTX *context;
	int r = load(AT_FDCWD, key_path, true, &key, err);

	if (r < 0)
		return r;
	text = malloc(SIGNATURE_BASE64 + 1);
	context = EVP_MD_CTX_new();
	if (!text || !context ||
	    EVP_DigestSignInit(context, NULL, NULL, NULL, key) != 1 ||
	    EVP_DigestSign(context, signature, &size, (const uint8_t *)statement,
			   strlen(statement)) != 1)
		r = err_set(err, -EIO, "sign with '%s': libcrypto refuses", key_path);
	EVP_MD_CTX_free(context);
	if (r < 0)
		return r;
	(void)EVP_EncodeBlock((uint8_t *)text, signature, (int)size);
	*ret_signature = TAKE_PTR(text);
	return 0;
}

int sign_verify(int dir_fd, const char *key_name, const char *statement,
		const char *signature, struct cop_error *err)
{
	auto_key *key = NULL;
	/* The decoder counts the padding as bytes. */
	uint8_t bytes[SIGNATURE_BASE64 / 4 * 3];
	EVP_MD_CTX *context;
	int r = load(dir_fd, key_name, false, &key, err);

	if (r < 0)
		return r;
	if (strlen(signature) != SIGNATURE_BASE64 ||
	    EVP_DecodeBlock(bytes, (const uint8_t *)signature, SIGNATURE_BASE64) !=
		    (int)sizeof(bytes))
		return 0;
	context = EVP_MD_CTX_new();
	if (!context)
		return err_oom(err);
	r = EVP_DigestVerifyInit(context, NULL, NULL, NULL, key) == 1 &&
	    EVP_DigestVerify(context, bytes, SIGNATURE_SIZE, (const uint8_t *)statement,
			     strlen(statement)) == 1;
	EVP_MD_CTX_free(context);
	return r;
}
