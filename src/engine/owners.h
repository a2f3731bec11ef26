/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files of a Debian package belong to many.  Who may give them only to himself is
 * told before the first stage, and not by a chown that fails in the middle of one.
 */
#pragma once

#include "engine/run.h"

/* owners_check() - can what is to be unpacked get its owners here?  -EPERM, naming the
 * pipeline and what would help */
int owners_check(struct run *run, struct cop_error *err);
