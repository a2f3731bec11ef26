#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A small signed archive of the test's own: make-repo.sh DIR key|first|second|both
#
#   key     keys "good" and "wrong" (DIR/good.gpg, DIR/wrong.gpg)
#   first   the archive with app 1.0, in DIR/main and DIR/security
#   second  app 2.0 in its place
#   both    app 1.0 and 2.0 side by side
set -eu

dir=$1
step=$2
architecture=$(dpkg --print-architecture)
export GNUPGHOME="$dir/gnupg" LC_ALL=C

make_key() {
	gpg --batch --quiet --pinentry-mode loopback --passphrase '' \
		--quick-generate-key "$1 <$1@example.org>" ed25519 sign never
	gpg --batch --quiet --export "$1@example.org" >"$dir/$1.gpg"
}

# package NAME VERSION MTIME [FIELD...]: a .deb in the pool
package() {
	name=$1 version=$2 mtime=$3
	shift 3
	tree="$dir/build/$name"
	rm -rf "$tree"
	mkdir -p "$tree/DEBIAN" "$tree/usr/share/$name" "$dir/main/pool"
	echo "$name $version" >"$tree/usr/share/$name/content"
	{
		echo "Package: $name"
		echo "Version: $version"
		echo "Architecture: $architecture"
		echo "Maintainer: Nobody <nobody@example.org>"
		for field; do
			echo "$field"
		done
		echo "Description: of the tests"
	} >"$tree/DEBIAN/control"
	find "$tree" -exec touch -d "@$mtime" {} +
	SOURCE_DATE_EPOCH=$mtime dpkg-deb --root-owner-group -Zgzip --build "$tree" \
		"$dir/main/pool/${name}_${version}_$architecture.deb" >/dev/null
}

# release ROOT CODENAME LABEL DATE: Packages of the pool, Release, signature
release() {
	dists="$1/dists/$2"
	list="main/binary-$architecture/Packages"
	mkdir -p "$dists/main/binary-$architecture"
	: >"$dists/$list"
	for deb in "$1"/pool/*.deb; do
		[ "$2" = trixie ] && [ -e "$deb" ] || continue
		{
			dpkg-deb -f "$deb"
			echo "Filename: pool/${deb##*/}"
			echo "Size: $(stat -c %s "$deb")"
			echo "SHA256: $(sha256sum "$deb" | cut -d' ' -f1)"
			echo
		} >>"$dists/$list"
	done
	{
		echo "Origin: Debian"
		echo "Label: $3"
		echo "Suite: $2"
		echo "Codename: $2"
		echo "Date: $4"
		echo "Architectures: $architecture"
		echo "Components: main"
		echo "SHA256:"
		echo " $(sha256sum "$dists/$list" | cut -d' ' -f1)" \
			"$(stat -c %s "$dists/$list") $list"
	} >"$dists/Release"
	rm -f "$dists/InRelease"
	gpg --batch --quiet --pinentry-mode loopback --passphrase '' \
		--local-user good@example.org --clearsign --output "$dists/InRelease" \
		"$dists/Release"
	rm "$dists/Release"
}

publish() {
	release "$dir/main" trixie Debian "$1"
	release "$dir/main" trixie-updates Debian "$1"
	release "$dir/security" trixie-security Debian-Security "$1"
}

old_app() {
	package app 1.0 1500000000 "Depends: shared, app-data"
}

new_app() {
	package app 2.0 1500000001 "Depends: shared, app-data"
}

case $step in
key)
	mkdir -p "$GNUPGHOME"
	chmod 700 "$GNUPGHOME"
	make_key good
	make_key wrong
	;;
first)
	package tiny-lib 1.0 1400000000
	package tiny-core 1.0 1600000000 "Essential: yes" "Depends: tiny-lib"
	package tiny-required 1.0 1300000000 "Priority: required"
	package usr-is-merged 1.0 1300000000
	package shared 1.0 1800000000
	package app-data 1.0 1500000000
	package tool 1.0 1500000000 "Depends: shared" "Recommends: nice" "Provides: mail-agent"
	package nice 1.0 1500000000
	package other 1.0 1500000000
	package evil 1.0 1500000000 "Conflicts: tiny-required"
	package broken 1.0 1500000000 "Depends: nowhere (>= 3)"
	old_app
	publish "Mon, 01 Jan 2024 10:00:00 UTC"
	;;
second)
	rm -f "$dir"/main/pool/app_1.0_*.deb
	new_app
	publish "Tue, 02 Jan 2024 10:00:00 UTC"
	;;
both)
	new_app
	publish "Tue, 02 Jan 2024 10:00:00 UTC"
	;;
*)
	echo "make-repo.sh: no step '$step'" >&2
	exit 2
	;;
esac
gpgconf --kill all >/dev/null 2>&1 || :
