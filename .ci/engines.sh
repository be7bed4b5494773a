# Sourced by .ci/run: podman and dockerd of our own, with the images, all of it on a tmpfs and gone afterwards.
# shellcheck shell=bash

ENGINES_AT=${ENGINES_AT:-/tmp/ift-engines.$$}
BRIDGE=ift-ci0
ENGINE_PACKAGES="podman runc conmon containernetworking-plugins uidmap iptables iproute2 mmdebstrap"
ENGINE_PACKAGES="$ENGINE_PACKAGES docker.io docker-compose"

# Why the kernel, or this user, lets no engine start; empty where nothing speaks against it.
engines_impossible() {
  if [ "$(id -u)" != 0 ]; then
    echo "engines are installed and started by root alone"
  elif ! command -v apt-get >/dev/null; then
    echo "no apt-get to install engines with"
  elif ! unshare --mount --pid --net --ipc --uts --fork true 2>/dev/null; then
    echo "the kernel grants no namespaces"
  elif ! grep -qw overlay /proc/filesystems && ! modprobe overlay 2>/dev/null; then
    echo "the kernel has no overlay file system"
  fi
}

engines_timed() {
  local began=$SECONDS what=$1
  shift
  "$@"
  echo "engines: $what took $((SECONDS - began)) s"
}

engines_install() {
  # shellcheck disable=SC2086
  { dpkg -s $ENGINE_PACKAGES >/dev/null 2>&1; } ||
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends $ENGINE_PACKAGES >/dev/null; }
}

engines_configure() {
  mkdir -p "$ENGINES_AT"
  mount -t tmpfs -o size=10g,mode=700 ift-engines "$ENGINES_AT"
  mkdir "$ENGINES_AT/tmp"
  cat >"$ENGINES_AT/containers.conf" <<EOF
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
tmp_dir = "$ENGINES_AT/libpod"
EOF
  cat >"$ENGINES_AT/storage.conf" <<EOF
[storage]
driver = "overlay"
graphroot = "$ENGINES_AT/podman"
runroot = "$ENGINES_AT/podman-run"
EOF
  export CONTAINERS_CONF="$ENGINES_AT/containers.conf" CONTAINERS_STORAGE_CONF="$ENGINES_AT/storage.conf"
  export DOCKER_HOST="unix://$ENGINES_AT/docker.sock"
  FORWARDING=$(cat /proc/sys/net/ipv4/ip_forward)
  PODMAN_LOCK=/dev/shm/libpod_lock
  [ -e "$PODMAN_LOCK" ] && PODMAN_LOCK=
  true
}

engines_start_docker() {
  # a bridge of its own and no packet filter: a port is open on loopback, and no container reaches further
  ip link add "$BRIDGE" type bridge && ip addr add 172.29.77.1/24 dev "$BRIDGE" && ip link set "$BRIDGE" up
  dockerd --data-root "$ENGINES_AT/docker" --exec-root "$ENGINES_AT/docker-run" --pidfile "$ENGINES_AT/docker.pid" \
    -H "$DOCKER_HOST" --bridge "$BRIDGE" --ip 127.0.0.1 --iptables=false --ip-forward=false \
    >"$ENGINES_AT/dockerd.log" 2>&1 &
  for _ in $(seq 150); do
    docker ps >/dev/null 2>&1 && return
    sleep 0.2
  done
  echo "dockerd does not answer:" && tail -n 20 "$ENGINES_AT/dockerd.log"
  return 1
}

engines_base() {
  TMPDIR="$ENGINES_AT/tmp" infra/container/base.sh "$ENGINES_AT/base.tar"
  podman import --quiet "$ENGINES_AT/base.tar" localhost/ift-base:bookworm >/dev/null
  docker import "$ENGINES_AT/base.tar" localhost/ift-base:bookworm >/dev/null
  rm "$ENGINES_AT/base.tar"
}

engines_wheels() {
  "${BUILD_PYTHON:-.venv/bin/python}" infra/container/build.py wheels --context "$ENGINES_AT/images"
}

# Debian's own docker: a newer client that comes first on the PATH may lack what builds.
engines_build() {
  "${BUILD_PYTHON:-.venv/bin/python}" infra/container/build.py build --engine "$1" --base localhost/ift-base:bookworm \
    --context "$ENGINES_AT/images" >"$ENGINES_AT/build.log" 2>&1 || { tail -n 40 "$ENGINES_AT/build.log"; return 1; }
}

engines_up() {
  engines_timed "installing" engines_install
  engines_timed "tmpfs and settings" engines_configure
  engines_timed "starting dockerd" engines_start_docker
  engines_timed "the base image" engines_base
  engines_timed "wheels" engines_wheels
  engines_timed "building with podman" engines_build podman
  engines_timed "building with docker" engines_build /usr/bin/docker
  rm -rf "$ENGINES_AT/images"
  ENGINES_TOLD="$(podman --version), dockerd $(docker version --format '{{.Server.Version}}')"
}

engines_down() {
  set +e
  [ -d "$ENGINES_AT" ] || return 0
  podman ps --all --quiet 2>/dev/null | xargs -r podman rm --force --time 0 >/dev/null 2>&1
  docker ps --all --quiet 2>/dev/null | xargs -r docker rm --force >/dev/null 2>&1
  if [ -f "$ENGINES_AT/docker.pid" ]; then
    local pid
    pid=$(cat "$ENGINES_AT/docker.pid")
    kill "$pid" 2>/dev/null
    for _ in $(seq 100); do [ -d "/proc/$pid" ] && sleep 0.1; done
  fi
  awk -v at="$ENGINES_AT/" 'index($2, at) == 1 { print $2 }' /proc/mounts | sort -r | xargs -r -n 1 umount -l 2>/dev/null
  umount -l "$ENGINES_AT" 2>/dev/null
  rmdir "$ENGINES_AT" 2>/dev/null
  ip link del "$BRIDGE" 2>/dev/null
  engines_forget_podmans_bridge
  find /sys/fs/cgroup -mindepth 2 -maxdepth 2 -type d \( -name libpod_parent -o -name docker \) 2>/dev/null |
    while read -r group; do find "$group" -depth -type d -exec rmdir {} \; 2>/dev/null; done
}

engines_forget_podmans_bridge() {
  [ -n "${FORWARDING:-}" ] || return 0
  ip link show cni-podman0 2>/dev/null | grep -q NO-CARRIER && ip link del cni-podman0
  local table
  for table in nat filter; do
    iptables -t "$table" -S 2>/dev/null | grep -E '^-A .*CNI-' | sed 's/^-A/-D/' |
      while read -r rule; do eval "iptables -t $table $rule" 2>/dev/null; done
    iptables -t "$table" -S 2>/dev/null | sed -n 's/^-N \(CNI-.*\)/\1/p' |
      while read -r chain; do iptables -t "$table" -F "$chain"; iptables -t "$table" -X "$chain"; done 2>/dev/null
  done
  [ -z "$PODMAN_LOCK" ] || rm -f "$PODMAN_LOCK"
  echo "$FORWARDING" >/proc/sys/net/ipv4/ip_forward
}
