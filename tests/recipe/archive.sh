#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Locks both suites against the archive that this host's apt is configured with. Needs a
# network, so it is part of the demonstration and not of the checks: archive.sh COPPICE
set -eu

coppice=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT INT TERM

fail() {
	echo "archive.sh: $*" >&2
	exit 1
}

for suite in bookworm trixie; do
	cat >"$dir/$suite.yaml" <<-EOF
		suite: $suite
		packages:
		  pager: [less]
		  monitor: [htop]
	EOF
	"$coppice" --store "$dir/store" lock "$dir/$suite.yaml" >"$dir/out"
	lock="$dir/$suite.yaml.lock"
	cp "$lock" "$dir/first"
	for wanted in 'package base libc6 ' 'package base dpkg ' 'package pager less ' \
		'package monitor htop ' "repository $suite-security Debian Debian-Security "; do
		grep -q "^$wanted" "$lock" || fail "$suite: no line '$wanted'"
	done
	if grep -q '://' "$lock"; then
		fail "$suite: an address is in the lock"
	fi
	"$coppice" --store "$dir/store" lock "$dir/$suite.yaml" >"$dir/out"
	cmp -s "$lock" "$dir/first" || fail "$suite: an unchanged request changed the lock"
	"$coppice" --store "$dir/store" manifest "$dir/$suite.yaml" >"$dir/manifest"
	"$coppice" --store "$dir/store" inspect "$dir/manifest" >/dev/null ||
		fail "$suite: the manifest is not valid"
	echo "$suite: $(grep -c '^package base ' "$lock") packages in the base," \
		"$(grep -c '^package ' "$lock") in all"
done
