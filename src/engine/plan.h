/* SPDX-License-Identifier: Apache-2.0 */
/* What a run has to do, decided before anything is fetched or run. */
#pragma once

#include "engine/run.h"

/* plan_keys() - the key of every stage */
int plan_keys(struct run *run, struct cop_error *err);

/* plan_select() - what was asked for, what that needs, and where each begins */
int plan_select(struct run *run, struct cop_error *err);
