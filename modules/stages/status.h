/* SPDX-License-Identifier: Apache-2.0 */
/* Modules of one kind for trees and assemblers alike. */
#pragma once

#include "modkit/kit.h"

/* status_of_options() - the exit status 'returncode' that is asked for; @what is said in
 * the log: "Error stage" */
int status_of_options(struct kit *kit, const char *what);

/* status_tell_options() - the options in the log, after @prefix; 0 */
int status_tell_options(struct kit *kit, const char *prefix);
