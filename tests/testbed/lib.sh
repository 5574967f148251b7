# Shared by up, down and prepare: sourced, with `set -euo pipefail` on.
# shellcheck shell=bash

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
label=landfall.testbed
run_dir=/run/landfall-testbed
[ "$(id -u)" = 0 ] || run_dir=${XDG_RUNTIME_DIR:-/tmp}/landfall-testbed-$(id -u)

say() { printf 'testbed: %s\n' "$*" >&2; }
die() {
  say "$@"
  exit 1
}

# wait_for SECONDS COMMAND...: until the command succeeds, or its time is over.
wait_for() {
  local end=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$end" ] || return 1
    sleep 0.2
  done
}

# One testbed at a time changes what all of them share: packages, the daemon, images. Held until `unlock`.
lock() {
  (umask 077 && mkdir -p "$run_dir")
  exec 9>"$run_dir/lock"
  flock 9
}
unlock() { exec 9>&-; }

install_packages() {
  local missing=() need
  for need in dockerd:docker.io docker:docker.io ssh-keygen:openssh-client iptables:iptables ip:iproute2 \
    debootstrap:debootstrap setsid:util-linux tar:tar; do
    command -v "${need%%:*}" >/dev/null || missing+=("${need##*:}")
  done
  [ -e /etc/ssl/certs/ca-certificates.crt ] || missing+=(ca-certificates)
  [ ${#missing[@]} -gt 0 ] || return 0
  if [ "$(id -u)" != 0 ] || [ ! -e /etc/debian_version ] || ! command -v apt-get >/dev/null; then
    die "missing: ${missing[*]}. Install them (Debian names), and run this again"
  fi
  say "installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get -qq update
  apt-get -qq install -y --no-install-recommends "${missing[@]}" </dev/null >&2
  # In newer releases the client is a package of its own.
  command -v docker >/dev/null || apt-get -qq install -y --no-install-recommends docker-cli </dev/null >&2
}

daemon_answers() { docker version >/dev/null 2>&1; }

start_daemon() {
  ! daemon_answers || return 0
  [ "$(id -u)" = 0 ] || die "no Docker daemon answers; start it, or run this as root"
  say "starting dockerd"
  # A session of its own, and not the lock: it outlives this script.
  setsid nohup dockerd --pidfile "$run_dir/dockerd.pid" </dev/null >"$run_dir/dockerd.log" 2>&1 9>&- &
  if ! wait_for 60 daemon_answers; then
    tail -n 20 "$run_dir/dockerd.log" >&2
    die "dockerd does not answer"
  fi
}

# Stops the daemon that a testbed started, when no testbed is left.
stop_daemon() {
  [ -s "$run_dir/dockerd.pid" ] || return 0
  local pid
  pid=$(cat "$run_dir/dockerd.pid")
  [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = dockerd ] || return 0
  [ -z "$(docker ps -aq --filter "label=$label")$(docker network ls -q --filter "label=$label")" ] || return 0
  say "stopping dockerd"
  kill "$pid"
  wait_for 60 test ! -e "/proc/$pid" || die "dockerd, process $pid, does not stop"
}

# digest WORD|PATH...: names an image by what it is made of.
digest() {
  local part
  for part in "$@"; do
    if [ -e "$part" ]; then
      (cd "$(dirname "$part")" && find "$(basename "$part")" -type f -print0 | sort -z | xargs -0 sha256sum)
    else
      echo "$part"
    fi
  done | sha256sum | cut -c1-12
}

have_image() { docker image inspect "$1" >/dev/null 2>&1; }

# build TAG CONTEXT [OPTION...]: the classic builder needs no more than the daemon.
build() {
  local tag=$1 context=$2
  shift 2
  ! have_image "$tag" || return 0
  say "building $tag"
  local log
  log=$(mktemp)
  if ! DOCKER_BUILDKIT=0 docker build --network host --label "$label" --tag "$tag" "$@" "$context" >"$log" 2>&1; then
    tail -n 40 "$log" >&2
    rm -f "$log"
    die "$tag was not built"
  fi
  rm -f "$log"
}

build_base() {
  have_image "$base_image" || { say "building $base_image" && "$here/images/base/build" "$base_image"; }
}

# build_api VERSION NEWEST_TABLE MIGRATIONS: the first MIGRATIONS of them, and from version 2 on the seeds.
build_api() {
  ! have_image "$api_image-$1" || return 0
  local context=$work/api-$1 registry=()
  cp -r "$here/images/api" "$context"
  cp -L /etc/ssl/certs/ca-certificates.crt "$context/certificates.crt"
  find "$context/prisma/migrations" -mindepth 1 -type d | sort | tail -n "+$(($3 + 1))" | xargs -r rm -r
  [ "$1" != 1 ] || rm -r "$context/prisma/seeds"
  # The machine's own choice of registry, where it has made one.
  [ -z "${npm_config_registry:-}" ] || registry=(--build-arg npm_config_registry)
  build "$api_image-$1" "$context" --build-arg "BASE=$base_image" --build-arg "VERSION=$1" \
    --build-arg "NEWEST_TABLE=$2" "${registry[@]}"
}

build_apis() {
  build_api 1 ballots 2
  build_api 2 email_templates 4
  build "$api_image-3" "$here/broken" -f "$here/broken/Dockerfile.broken" --build-arg "VERSION_2=$api_image-2"
  build "$api_image-4" "$here/broken" -f "$here/broken/Dockerfile.sick" --build-arg "VERSION_2=$api_image-2"
}

build_host() {
  ! have_image "$host_image" || return 0
  cp -r "$here/images/host" "$work/host"
  cp -r "$here/etally" "$work/host/etally-files"
  mkdir -p "$work/host/etally/deployment"
  mv "$work/host/etally-files"/* "$work/host/etally/deployment/"
  rmdir "$work/host/etally-files"
  build "$host_image" "$work/host" --build-arg "BASE=$base_image"
}

# Flags that give a container an engine of its own. Not --privileged: it asks for CAP_SYS_RESOURCE, which a machine may lack.
droplet_flags=(--cap-add ALL --cap-drop SYS_RESOURCE --security-opt seccomp=unconfined --security-opt apparmor=unconfined
  --cgroupns host --volume /sys/fs/cgroup:/sys/fs/cgroup:rw)

# The control groups of a droplet's containers are the machine's; the engine that made them is gone before it removes them.
remove_cgroups() {
  find /sys/fs/cgroup -depth -type d \( -path "*$1" -o -path "*$1/*" \) -exec rmdir {} + 2>/dev/null || true
  # The group above them all, when this was the last: rmdir refuses another's.
  find /sys/fs/cgroup -maxdepth 2 -type d -path "*${1%/*}" -exec rmdir {} + 2>/dev/null || true
}

# Runs one droplet until it is a living production, and keeps its engine's store in the image: a start then unpacks it
# instead of loading images, filling a registry and making a database.
prepare() {
  ! have_image "$droplet_image" || return 0
  say "preparing $droplet_image"
  local cgroup id
  cgroup=/landfall-testbed/prepare-$$
  id=$(docker run --detach --label "$label" --env "TESTBED_CGROUP=$cgroup" --network none "${droplet_flags[@]}" "$host_image")
  prepared=$id prepared_cgroup=$cgroup
  if ! wait_for 60 docker exec "$id" test -e /run/booted; then
    docker logs "$id" >&2
    die "the engine of a droplet does not start"
  fi
  docker save "$postgres_image" "$api_image"-{1,2,3,4} | docker exec -i "$id" docker load >/dev/null
  # Not over standard input, which the commands in it would read.
  docker exec "$id" bash -c "$(cat "$here/images/prepare")" prepare "$postgres_image" "$api_image" >"$work/prepare.log" 2>&1 || {
    tail -n 40 "$work/prepare.log" >&2
    die "the droplet image was not prepared"
  }
  docker commit --change 'ENV TESTBED_CGROUP=' "$id" "$droplet_image" >/dev/null
  drop_prepared
}

prepared='' prepared_cgroup=''
drop_prepared() {
  [ -n "$prepared" ] || return 0
  docker rm --force --volumes "$prepared" >/dev/null
  remove_cgroups "$prepared_cgroup"
  prepared=''
}

# Every image's tag says what it is made of: a changed file makes a new one, and an unchanged one is found.
name_images() {
  local base postgres api host
  base=$(digest "$here/images/base")
  postgres=$(digest "$base" "$here/images/postgres")
  api=$(digest "$base" "$here/images/api" "$here/broken")
  host=$(digest "$base" "$here/images/host" "$here/etally")
  base_image=landfall-testbed/base:$base
  postgres_image=landfall-testbed/postgres:$postgres
  api_image=landfall-testbed/api:$api
  host_image=landfall-testbed/host:$host
  mariadb_image=landfall-testbed/mariadb:$(digest "$base" "$here/images/mariadb")
  pgbouncer_image=landfall-testbed/pgbouncer:$(digest "$base" "$here/images/pgbouncer")
  droplet_image=landfall-testbed/droplet:$(digest "$postgres" "$api" "$host" "$here/images/prepare")
}

build_images() {
  name_images
  ! have_image "$droplet_image" || return 0
  say "building the images: this takes some minutes, once"
  work=$(mktemp -d)
  build_base
  local jobs=() job
  build_host & jobs+=($!)
  build "$postgres_image" "$here/images/postgres" --build-arg "BASE=$base_image" & jobs+=($!)
  build_apis & jobs+=($!)
  for job in "${jobs[@]}"; do wait "$job"; done
  prepare
  rm -rf "$work"
}
