#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# make-packages.sh DIR: packages for test-database.c, each with something of its own
set -eu

dir=$1
export SOURCE_DATE_EPOCH=1500000000
architecture=$(dpkg --print-architecture)

# begin NAME [FIELD...]: its tree is in the working directory afterwards
begin() {
	name=$1
	shift
	mkdir -p "$dir/build/$name/DEBIAN" "$dir/build/$name/usr/share/doc/$name"
	cd "$dir/build/$name"
	{
		echo "Package: $name"
		echo "Version: 1:1.0-1"
		echo "Architecture: $architecture"
		echo "Maintainer: Nobody <nobody@example.org>"
		echo "X-Own-Field: kept"
		for field; do
			echo "$field"
		done
		printf 'Description: of the tests\n with a second line\n .\n and a third\n'
	} >DEBIAN/control
	echo "about $name" >"usr/share/doc/$name/README"
}

finish() {
	find . -type f ! -path './DEBIAN/*' -exec md5sum {} + | sed 's,\./,,' >DEBIAN/md5sums
	[ "$name" != without-sums ] || rm DEBIAN/md5sums
	find . -exec touch -h -d @1400000000 {} +
	dpkg-deb --root-owner-group -Zgzip --build . "$dir/$name.deb" >/dev/null
}

begin plain
mkdir -p usr/bin usr/share/empty/deep
echo tool >usr/bin/tool
chmod 4755 usr/bin/tool
ln usr/bin/tool usr/bin/same-tool
ln -s tool usr/bin/other-tool
ln -s ../empty usr/share/doc/link-to-directory
finish

begin conf "Multi-Arch: same" "Section: libs" "Depends: plain"
mkdir -p etc/conf.d
echo one >etc/conf
echo two >etc/conf.d/two
chmod 0600 etc/conf.d/two
printf '/etc/conf\n/etc/conf.d/two\n' >DEBIAN/conffiles
echo "activate-noawait some-trigger" >DEBIAN/triggers
finish

begin with-preinst
printf '#!/bin/sh\nexit 0\n' >DEBIAN/preinst
chmod 0755 DEBIAN/preinst
finish

begin interested
echo "interest-noawait some-trigger" >DEBIAN/triggers
finish

begin without-sums
finish

begin leaving
echo "remove-on-upgrade /etc/old" >DEBIAN/conffiles
finish
