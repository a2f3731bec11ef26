/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The words every line of coppice may use: cleanup attributes, moves of ownership, sizes.
 *
 * Every owning local is declared with auto_free, auto_close or auto_ptr(T), initialised
 * at its declaration and given away only by TAKE_PTR or TAKE_FD.
 */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define cleanup_with(fn)  __attribute__((cleanup(fn)))
#define must_check	  __attribute__((warn_unused_result))
#define printf_like(a, b) __attribute__((format(printf, a, b)))
#define maybe_unused	  __attribute__((unused))
/* For a large local on a busy path that is written before it is read: others are zeroed,
 * as the build asks for. */
#define not_zeroed __attribute__((uninitialized))

/* Any pointer to a pointer comes here: reading it as a void * would break the rules of
 * aliasing, and the optimiser uses them. */
static inline void freep(const void *p)
{
	void *memory;

	memcpy(&memory, p, sizeof(memory));
	free(memory);
}

static inline void closep(const int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		(void)close(*fd);
	errno = saved;
}

#define auto_free      cleanup_with(freep)
#define auto_close     cleanup_with(closep)
#define auto_ptr(type) cleanup_with(type##_freep) struct type *

/* For a `struct type *type_free(struct type *)` that accepts NULL and returns NULL. */
#define DEFINE_AUTO_PTR(type)                            \
	static inline void type##_freep(struct type **p) \
	{                                                \
		*p = type##_free(*p);                    \
	}

#define TAKE(var, none)                         \
	({                                      \
		__typeof__(var) taken_ = (var); \
		(var) = (none);                 \
		taken_;                         \
	})
#define TAKE_PTR(p) TAKE(p, NULL)
#define TAKE_FD(fd) TAKE(fd, -EBADF)

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#define KIB ((uint64_t)1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* @alignment is a power of two. */
static inline uint64_t round_up_u64(uint64_t value, uint64_t alignment)
{
	return (value + alignment - 1) & ~(alignment - 1);
}
