#!/usr/bin/env bash
# Makes a Debian package of a steplog binary that has been built, with what else belongs on a node.
#
#   cargo build --locked --release
#   packaging/debian/build.sh target/release/steplog FOLDER [REVISION]
#
# Leaves FOLDER/steplog_VERSION-REVISION_ARCHITECTURE.deb; the version is the binary's own. Built on the oldest
# Debian that it is for, the package asks for that one's C library. Needs dpkg-dev.
#
# A script and not cargo-deb: that lays out files that are there already, so completions, manual pages and changelogs,
# most of what is here, would need a script before it all the same; and it would be one more program to build.
set -euo pipefail
umask 022

binary=$(realpath "$1")
output=$(realpath "$2")
revision=${3:-1}
here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
project=$(realpath "$here/../..")
version=$("$binary" --version | cut -d ' ' -f 2)-$revision
architecture=$(dpkg --print-architecture)
# Of the project's last release, so that the same input gives the same package.
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(stat -c %Y "$project/CHANGELOG.md")}
maintainer="${DEBFULLNAME:-steplog maintainers} <${DEBEMAIL:-maintainers@steplog.invalid}>"

build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
root=$build/root

put() { install -D --mode="$1" "$2" "$root/$3"; }
squeeze() { gzip --best --no-name; }

put 755 "$binary" usr/bin/steplog
put 644 "$project/src/stack/default.toml" etc/steplog/stack.toml
for unit in "$project"/systemd/*.{service,socket,timer}; do
  put 644 "$unit" "lib/systemd/system/${unit##*/}"
done
put 644 "$project/systemd/steplog.sysusers.conf" usr/lib/sysusers.d/steplog.conf
put 644 "$project/systemd/steplog.tmpfiles.conf" usr/lib/tmpfiles.d/steplog.conf

completions() { mkdir -p "$root/usr/share/$2" && "$binary" completions "$1" >"$root/usr/share/$2/$3"; }
completions bash bash-completion/completions steplog
completions zsh zsh/vendor-completions _steplog
completions fish fish/vendor_completions.d steplog.fish

man=$root/usr/share/man/man1
"$binary" man "$man"
gzip --best --no-name "$man"/*.1

doc=$root/usr/share/doc/steplog
mkdir -p "$doc"
cp -r "$project/README.md" "$project/docs" "$doc"
squeeze <"$project/CHANGELOG.md" >"$doc/changelog.gz"
put 644 "$here/copyright" usr/share/doc/steplog/copyright
squeeze >"$doc/changelog.Debian.gz" <<END
steplog ($version) stable; urgency=medium

  * What is new in steplog is in changelog.gz.

 -- $maintainer  $(date --utc --rfc-email --date="@$SOURCE_DATE_EPOCH")
END

# What the binary links to, in packages that this machine has it from.
mkdir "$build/debian"
printf 'Source: steplog\n\nPackage: steplog\nArchitecture: any\n' >"$build/debian/control"
depends=$(cd "$build" && dpkg-shlibdeps -O -e"$root/usr/bin/steplog" | sed -n 's/^shlibs:Depends=//p')

mkdir "$root/DEBIAN"
for script in postinst prerm postrm; do
  install --mode=755 "$here/$script" "$root/DEBIAN/$script"
done
echo /etc/steplog/stack.toml >"$root/DEBIAN/conffiles"
(cd "$root" && find usr lib -type f -print0 | sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"
cat >"$root/DEBIAN/control" <<END
Package: steplog
Version: $version
Architecture: $architecture
Maintainer: $maintainer
Installed-Size: $(du --summarize --apparent-size --block-size=1024 "$root" | cut -f 1)
Depends: ${depends}
Recommends: ca-certificates
Section: admin
Priority: optional
Description: log store for pipeline steps
 steplog captures what a pipeline step prints, keeps it safe on disk at once,
 and ships it in the background to the log store of the stack: an artifact
 store, OpenTelemetry, Datadog, Elasticsearch, Splunk, Loki, a URL or a program
 of one's own. From there it is read back by run and step.
 .
 The package has the units that deliver what runs on this machine have left,
 and those of the agent, which reads what is not wrapped.
END

find "$root" -newermt "@$SOURCE_DATE_EPOCH" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
dpkg-deb --root-owner-group --build "$root" "$output" >/dev/null
echo "$output/steplog_${version}_$architecture.deb"
