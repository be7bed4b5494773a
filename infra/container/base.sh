#!/bin/sh
# A small Debian with Python as a tar file, for machines that reach a Debian mirror but no image registry:
#   infra/container/base.sh base.tar && podman import base.tar localhost/ift-base:bookworm
# Needs root and mmdebstrap. TMPDIR on a tmpfs makes it several times faster. MIRROR names another mirror.
set -eu
target=${1:?usage: base.sh TARGET.tar}
mirror=${MIRROR:-http://deb.debian.org/debian}
mmdebstrap --quiet --mode=root --variant=minbase --include=python3,python3-pip,python3-venv \
    --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    --dpkgopt=force-unsafe-io \
    --aptopt='Acquire::Languages "none"' \
    bookworm "$target" "deb $mirror bookworm main"
