#!/bin/sh
# Makes what docker-compose.yml needs and the repository cannot hold; what is there already stays as it is.
#
#   secrets/worker-token   the secret that coordinator and workers share
#   output/                where jobs write
#   .env                   UID and GID: the containers run as the owner of both
#
# The folder of the compose file is the working folder of the three, or the folder given as the first argument.
set -eu

cd "${1:-$(dirname "$0")/..}"

# Containers never run as root: root makes the files of an ordinary user.
uid=${SUDO_UID:-$(id -u)}
gid=${SUDO_GID:-$(id -g)}
if [ "$uid" = 0 ]; then
  uid=10001
  gid=10001
fi

umask 077
mkdir -p secrets
if [ ! -s secrets/worker-token ]; then
  od -An -N32 -tx1 /dev/urandom | tr -d ' \n' > secrets/worker-token
fi
umask 022
mkdir -p output
if [ ! -e .env ]; then
  printf 'UID=%s\nGID=%s\n' "$uid" "$gid" > .env
fi
if [ "$(id -u)" = 0 ]; then
  chown "$uid:$gid" output secrets secrets/worker-token
fi
