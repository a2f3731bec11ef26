/* SPDX-License-Identifier: Apache-2.0 */
/*
 * apt in a private root: its own lists, status, preferences and sources, in a temporary
 * directory of ours, so that nothing of the host's package state plays a part.  Of the
 * host's configuration only what it takes to reach a mirror is used (proxy, certificates,
 * credentials); it is handed on to apt and goes nowhere else.
 */
#pragma once

#include "base/buf.h"
#include "base/error.h"
#include "recipe/model.h"

/* Debian's own come first: SUITE and SUITE-updates in one place, SUITE-security in
 * another. */
#define APT_DEBIAN	  3
#define APT_DEBIAN_PLACES 2

/*
 * struct apt_place - where one or more repositories are
 * @name:    of its file of sources
 * @extra:   what the recipe says of it; NULL: it is Debian's
 * @uris:    addresses to be tried in turn, each with a '/' at the end
 * @uri:     the one that answered
 * @keyring: absolute paths, with commas between them
 * @first, @end: its repositories
 */
struct apt_place {
	const char *name;
	const struct recipe_repository *extra;
	const char **uris;
	const char *uri;
	const char *keyring;
	size_t first, end;
};

/*
 * struct apt_repository
 * @lock:    what the lock will say of it
 * @date:    of its Release file, "20260912T075541Z"; NULL: not one of Debian's
 * @lists:   Packages files, NULL-terminated
 */
struct apt_repository {
	struct lock_repository lock;
	const struct apt_place *place;
	char *date;
	const char **lists;
};

/*
 * struct apt
 * @root:    the private root, an absolute path
 * @kept:    the root stays for the next time
 * @keyring: of Debian's archive, an absolute path
 * @places, @repositories: Debian's first
 * @extra:   a Packages file beside the repositories, or NULL
 * @only_extra: nothing but @extra is there to choose from
 * @only_debian: nothing but Debian's own repositories, and @extra
 * @recommends: simulations install what is recommended
 * @few:     there are lists of what can play a part, for simulations
 */
struct apt {
	const struct recipe *recipe;
	const struct lock_options *options;
	struct arena *arena;
	char *root;
	int root_fd;
	bool kept;
	char **env;
	const char *keyring;
	const char *snapshot;
	const char *extra;
	bool only_extra;
	bool only_debian;
	bool recommends;
	bool few;
	struct apt_place *places;
	size_t n_places;
	struct apt_repository *repositories;
	size_t n_repositories;
};

/* struct apt_change - a line of a simulation; @old: the version that would go, or NULL */
struct apt_change {
	const char *name;
	const char *version;
	const char *old;
	bool removed;
};

/* struct apt_plan - changes in the order in which they would be made */
struct apt_plan {
	struct arena *arena;
	struct apt_change *changes;
	size_t n_changes;
};

void apt_plan_done(struct apt_plan *plan);

/* apt_new() - make the private root and find keyring and mirrors; no network yet */
int apt_new(const struct recipe *recipe, const struct lock_options *options,
	    struct apt **ret_apt, struct cop_error *err);
struct apt *apt_free(struct apt *apt);
DEFINE_AUTO_PTR(apt)

/* apt_update() - fetch and verify the lists from the first mirrors that answer, and fill
 * apt->repositories.  -EIO: nobody has one of them, or not as its keys would have it. */
int apt_update(struct apt *apt, struct cop_error *err);

/*
 * apt_root_open() - make the private root, or take the one that an earlier run has left
 *
 * With mirrors, keyring and repositories the same, the lists of the last time stand
 * beside the downloads: apt then fetches and verifies only what has changed since, and
 * need not parse the rest again.  One process at a time has it; others get a temporary
 * one.
 */
int apt_root_open(struct apt *apt, struct cop_error *err);

/* apt_root_close() - leave it for the next time, or remove it */
void apt_root_close(struct apt *apt);

/* apt_find_mirrors() - fill the addresses of all places; -ENOENT when nobody knows any */
int apt_find_mirrors(struct apt *apt, struct cop_error *err);

/* apt_write() - a file below the private root, replaced */
int apt_write(const struct apt *apt, const char *path, const struct buf *text,
	      struct cop_error *err);

/* The files that decide what apt does, for apt_write(). */
#define APT_STATUS	   "var/lib/dpkg/status"
#define APT_PREFERENCES	   "etc/apt/preferences.d/coppice"
#define APT_DEBIAN_SOURCES "etc/apt/debian.sources"

/* apt_simulate() - what would `apt-get install WORDS` do?  @words is NULL-terminated.
 * -ENOPKG: apt refuses; the message is in its words. */
int apt_simulate(const struct apt *apt, const char *const *words, struct apt_plan *plan,
		 struct cop_error *err);

/* apt_fetch() - (URI, file, "SHA256:HEX") triples, NULL-terminated.  A file that cannot
 * be had is not there afterwards; that is no error.  @words gets the reason. */
int apt_fetch(const struct apt *apt, const char *const *triples, struct buf *words,
	      struct cop_error *err);

/* apt_run() - a program with apt's environment: output and error together in @output.
 * Return: 0 or 1 (it failed), or a negative errno. */
int apt_run(const struct apt *apt, const char *const *argv, struct buf *output,
	    struct cop_error *err);

/* apt_words() - what apt complains of in @output, in one line: its errors and unmet
 * dependencies */
void apt_words(const char *output, struct buf *words);

/* apt_note() - tell the person through options->note; long lines are cut */
void apt_note(const struct lock_options *options, const char *format, ...)
	printf_like(2, 3);

/* release_read() - Origin, Label, suite, date and signers of a Release file that apt has
 * verified */
int release_read(struct apt *apt, const char *path, struct apt_repository *repository,
		 struct cop_error *err);

/* host_settings() - the host's own: append what a private apt.conf takes over from it */
int host_settings(const struct lock_options *options, struct buf *conf,
		  struct cop_error *err);

/* host_mirrors() - addresses of the host's Debian repositories, one list for each of
 * @labels; a list may be empty */
int host_mirrors(struct arena *arena, const char *const *labels, const char ***ret_uris,
		 size_t n_labels, struct cop_error *err);

/* host_snapshots() - the address of snapshots of the archive with that label, with
 * "@SNAPSHOTID@" in it, from the host's own apt; nothing is appended without one */
int host_snapshots(const char *label, struct buf *template, struct cop_error *err);
