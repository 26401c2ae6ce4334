#!/usr/bin/env bash
# What a binary says itself, and its Debian package needs besides it: completions, manual pages, and the package's
# own changelog. Leaves it in target/package; `[package.metadata.deb]` in Cargo.toml says where it goes.
#
#   packaging/debian/generate.sh target/release/steplog
set -euo pipefail
umask 022

binary=$(realpath "$1")
cd "$(dirname "$(realpath "${BASH_SOURCE[0]}")")/../.."
version=$("$binary" --version | cut -d ' ' -f 2)
rm -rf target/package
mkdir -p target/package

"$binary" completions bash >target/package/steplog.bash
"$binary" completions zsh >target/package/_steplog
"$binary" completions fish >target/package/steplog.fish
"$binary" man target/package/man
cat >target/package/changelog.Debian <<END
steplog ($version-1) stable; urgency=medium

  * What is new in steplog is in changelog.gz.

 -- steplog maintainers <maintainers@steplog.invalid>  $(date --utc --rfc-email --date="@$(stat -c %Y CHANGELOG.md)")
END
