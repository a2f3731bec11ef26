/* SPDX-License-Identifier: Apache-2.0 */
#include "recipe/pins.h"

#include <stdio.h>
#include <string.h>

#include "recipe/deb.h"
#include "recipe/fetch.h"
#include "recipe/local.h"

void pins_done(struct pins *pins)
{
	free(pins->pins);
	*pins = (struct pins){};
}

const struct pin *pins_find(const struct pins *pins, const char *name)
{
	for (size_t i = 0; i < pins->n_pins; i++)
		if (strcmp(pins->pins[i].package->name, name) == 0)
			return &pins->pins[i];
	return NULL;
}

void pins_append(const struct pins *pins, struct buf *preferences)
{
	for (size_t i = 0; i < pins->n_pins; i++)
		if (!pins->pins[i].dropped)
			(void)buf_printf(preferences,
					 "Package: %s\nPin: version %s\n"
					 "Pin-Priority: 1001\n\n",
					 pins->pins[i].package->name,
					 pins->pins[i].package->version);
}

static bool is_updated(const struct lock_options *options, const char *name)
{
	const char *const *names = options->update_packages;

	if (!options->update || !names || !*names)
		return options->update;
	for (; *names; names++)
		if (strcmp(*names, name) == 0)
			return true;
	return false;
}

/* The archive has dropped it, but its file is here and was verified when it came: apt is
 * told of it beside the repositories. */
static int keep_file(struct index *index, int directory_fd,
		     const struct lock_package *package, struct buf *extra,
		     struct cop_error *err)
{
	char name[SHA256_HEX + 8];
	auto_buf stanza = {};
	int r;

	(void)snprintf(name, sizeof(name), "sha256:%.64s", package->sha256);
	r = deb_control(directory_fd, name, &stanza, err);
	if (r < 0)
		return err_prefix(err, r, "read '%s' in the store of sources",
				  package->name);
	(void)buf_printf(&stanza, "Filename: %s\nSize: %llu\nSHA256: %s\n", package->path,
			 (unsigned long long)package->size, package->sha256);
	if (stanza.failed)
		return err_oom(err);
	(void)buf_append(extra, stanza.data, stanza.size);
	(void)buf_append_char(extra, '\n');
	return index_add_stanza(index, stanza.data, stanza.size, package->repository,
				err);
}

/* A package of a repository that is no longer asked for is not kept from the store. */
static bool is_asked_for(const struct apt *apt, const char *repository)
{
	for (size_t i = 0; i < apt->n_repositories; i++)
		if (strcmp(apt->repositories[i].lock.id, repository) == 0)
			return true;
	return false;
}

static int make_pin(const struct apt *apt, struct index *index, int directory_fd,
		    struct pin *pin, struct buf *extra, struct cop_error *err)
{
	const struct lock_package *package = pin->package;
	const struct index_entry *entry =
		index_find(index, package->name, package->version);

	/* The same version with another content is another package. */
	if (entry && index_is(entry, "SHA256", package->sha256))
		return 0;
	if (entry || !is_asked_for(apt, package->repository) ||
	    !fetch_has(directory_fd, package)) {
		pin->dropped = true;
		return 0;
	}
	pin->kept = true;
	return keep_file(index, directory_fd, package, extra, err);
}

int pins_make(const struct apt *apt, struct index *index, const struct lock *previous,
	      int directory_fd, struct pins *pins, struct buf *kept, struct buf *extra,
	      struct cop_error *err)
{
	int r = 0;

	pins->pins = calloc(previous->n_packages + 1, sizeof(*pins->pins));
	if (!pins->pins)
		return err_oom(err);
	for (size_t i = 0; i < previous->n_packages && r >= 0; i++) {
		const struct lock_package *package = &previous->packages[i];
		struct pin *pin = &pins->pins[pins->n_pins];

		/* What lies beside the recipe is what it is. */
		if (is_updated(apt->options, package->name) ||
		    strcmp(package->repository, LOCAL_REPOSITORY) == 0 ||
		    local_find(apt->recipe, package->name))
			continue;
		pin->package = package;
		pins->n_pins++;
		r = make_pin(apt, index, directory_fd, pin,
			     strchr(package->repository, '/') ? extra : kept, err);
	}
	return r;
}
