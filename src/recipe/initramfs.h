/* SPDX-License-Identifier: Apache-2.0 */
/* Where among the layers of a tree its initramfs is made. */
#pragma once

#include "recipe/model.h"

/* initramfs_is_wanted() - will packages of the tree want to make one?  Then stages do. */
bool initramfs_is_wanted(const struct lock *lock);

/*
 * initramfs_layer() - the layer behind which a first one is worth making
 *
 * It is the last with packages known to reach an initramfs, so that layers behind it can
 * change without another one; the stage at the end of the tree makes it again where a
 * package or a setting asks for that after all.
 *
 * Return: the index in @lock of the first package behind it; 0: there is none, or what
 * the recipe itself says may reach the initramfs.
 */
size_t initramfs_layer(const struct recipe *recipe, const struct lock *lock);
