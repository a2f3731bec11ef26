#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A small signed archive of the test's own: make-repo.sh DIR STEP
#
#   key     keys "good", "wrong" and "vendor" (DIR/good.gpg, ...; DIR/vendor.asc)
#   first   the archive with app 1.0, in DIR/main and DIR/security, and somebody else's
#           with app 9.0, in DIR/vendor (suites stable and edge) and DIR/flat, and
#           packages that lie about, in DIR/debs
#   second  app 2.0 in its place
#   expired the lists as they are, of a date that has gone by
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
	gpg --batch --quiet --armor --export "$1@example.org" >"$dir/$1.asc"
}

# Whose packages and lists follow
root=$dir/main origin=Debian signer=good

# package NAME VERSION MTIME [FIELD...]: a .deb in the pool of $root
package() {
	name=$1 version=$2 mtime=$3
	shift 3
	tree="$dir/build/$name"
	rm -rf "$tree"
	mkdir -p "$tree/DEBIAN" "$tree/usr/share/$name" "$root/pool"
	echo "$name $version of $origin" >"$tree/usr/share/$name/content"
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
		"$root/pool/${name}_${version}_$architecture.deb" >/dev/null
}

# list POOL: Packages, with paths from the directory that has the pool
list() {
	for deb in "$1"/*.deb; do
		[ -e "$deb" ] || continue
		dpkg-deb -f "$deb"
		echo "Filename: ${1##*/}/${deb##*/}"
		echo "Size: $(stat -c %s "$deb")"
		echo "SHA256: $(sha256sum "$deb" | cut -d' ' -f1)"
		echo
	done
}

# sign DISTS: InRelease in place of Release
sign() {
	rm -f "$1/InRelease"
	gpg --batch --quiet --pinentry-mode loopback --passphrase '' \
		--local-user "$signer@example.org" --clearsign --output "$1/InRelease" \
		"$1/Release"
	rm "$1/Release"
}

# release ROOT CODENAME LABEL DATE [FIELD...]: Packages of the pool, Release, signature
release() {
	top=$1 codename=$2 label=$3 date=$4
	shift 4
	dists="$top/dists/$codename"
	list="main/binary-$architecture/Packages"
	mkdir -p "$dists/main/binary-$architecture"
	case $codename in
	trixie | stable) list "$top/pool" >"$dists/$list" ;;
	*) : >"$dists/$list" ;;
	esac
	{
		echo "Origin: $origin"
		echo "Label: $label"
		echo "Suite: $codename"
		echo "Codename: $codename"
		echo "Date: $date"
		for field; do
			echo "$field"
		done
		echo "Architectures: $architecture"
		echo "Components: main"
		echo "SHA256:"
		echo " $(sha256sum "$dists/$list" | cut -d' ' -f1)" \
			"$(stat -c %s "$dists/$list") $list"
	} >"$dists/Release"
	sign "$dists"
}

# publish DATE [FIELD...]
publish() {
	when=$1
	shift
	release "$dir/main" trixie Debian "$when" "$@"
	release "$dir/main" trixie-updates Debian "$when" "$@"
	release "$dir/security" trixie-security Debian-Security "$when" "$@"
}

# Somebody else's: app is newer there, and other 1.0 is not what it is in Debian.
vendor() {
	root=$dir/vendor origin=Vendor signer=vendor
	package gadget 1.0 1500000000 "Depends: shared, gadget-data"
	package gadget-data 1.0 1500000000
	package app 9.0 1900000000
	package other 1.0 1500000000 "Depends: gadget-data"
	package tiny-lib 9.0 1900000000
	package eager 1.0 1500000000 "Depends: tiny-lib (>= 9)"
	release "$root" stable "Vendor, Inc." "Wed, 01 Jan 2025 10:00:00 UTC"
	release "$root" edge "Vendor, Inc." "Wed, 01 Jan 2025 10:00:00 UTC"
	root=$dir/flat
	package flat-app 1.0 1500000000 "Depends: shared"
	(cd "$root" && list "$root/pool" >Packages)
	{
		echo "Date: Wed, 01 Jan 2025 10:00:00 UTC"
		echo "SHA256:"
		echo " $(sha256sum "$root/Packages" | cut -d' ' -f1)" \
			"$(stat -c %s "$root/Packages") Packages"
	} >"$root/Release"
	sign "$root"
}

# local_deb NAME PACKAGE VERSION [FIELD...]: a file beside the recipe
local_deb() {
	file=$dir/debs/$1.deb
	shift
	package "$1" "$2" 1500000000 "$3"
	mkdir -p "$dir/debs"
	mv "$root/pool/${1}_${2}_$architecture.deb" "$file"
}

local_debs() {
	root=$dir/local origin=Local
	local_deb mine mine 1:0.1-2 "Depends: mine-lib, tool"
	local_deb lib mine-lib 3 "Section: libs"
	local_deb app app 0.5 "Depends: shared"
	local_deb app2 app 0.6 "Depends: shared"
	local_deb other other 1.0 "Section: misc"
	local_deb base tiny-lib 1.0 "Section: libs"
	own=$architecture architecture=s390x
	local_deb alien alien 1.0 "Section: misc"
	architecture=$own
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
	make_key vendor
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
	vendor
	local_debs
	;;
second)
	rm -f "$dir"/main/pool/app_1.0_*.deb
	new_app
	publish "Tue, 02 Jan 2024 10:00:00 UTC"
	;;
expired)
	publish "Mon, 01 Jan 2024 10:00:00 UTC" "Valid-Until: Mon, 08 Jan 2024 10:00:00 UTC"
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
