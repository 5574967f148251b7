# Brings a droplet back to what it was when the testbed started it. Runs on the droplet; the first time it keeps what that was.
set -euo pipefail
keep=/var/lib/testbed/initial
state=/var/lib/landfall
compose() { docker compose --env-file ../.env -f docker-compose.prod.yml "$@" </dev/null; }
database() { docker exec -i deployment-postgres-1 psql --quiet --username etally --set ON_ERROR_STOP=1 etally; }

# What tests put over the droplet's own.
for place in /root /home/deploy /var/lib/landfall/etally /var/lib/landfall /var/tmp; do
  while mountpoint -q "$place"; do umount -l "$place"; done
done
rm -rf /etc/landfall /root/.docker
rm -f /opt/etally/{odd,long,other}.env /opt/etally/secrets/key.pem
umount /tmp/it-small 2>/dev/null || true
rm -rf /tmp/it-* /etc/ssh/sshd_config.d/it.conf /etc/sudoers.d/it
if [ -e /run/it-sshd ]; then
  kill -HUP "$(cat /run/sshd.pid)"
  rm /run/it-sshd
fi
# A test that failed may have left no server to log in to; one that was told to read its settings again is away for a moment only.
answers() { (exec 3<>/dev/tcp/127.0.0.1/22) 2>/dev/null; }
tries=0
until answers; do
  tries=$((tries + 1))
  [ $tries -lt 200 ] || { echo "sshd does not start" >&2; exit 1; }
  if [ $tries = 40 ]; then
    rm -f /run/sshd.pid
    setsid /usr/sbin/sshd -D </dev/null >/dev/null 2>&1 &
  fi
  sleep 0.05
done
/usr/local/sbin/service status docker || /usr/local/sbin/service start docker
cd /opt/etally/deployment

if [ ! -e "$keep/complete" ]; then
  mkdir -p "$keep"
  version=$(docker exec deployment-api-1 printenv APP_VERSION)
  [ "$version" = 1 ] || { echo "this testbed was used before: version $version serves; start a new one" >&2; exit 1; }
  cp -a /opt/etally /root/.bashrc "$keep/"
  docker inspect --format '{{.Image}}' deployment-api-1 >"$keep/image"
  if docker inspect deployment-postgres-1 >/dev/null 2>&1; then
    docker exec deployment-postgres-1 pg_dump --username etally etally >"$keep/database.sql"
  fi
  touch "$keep/complete"
fi

# What a run may have left.
for exe in /proc/[0-9]*/exe; do
  case $(readlink "$exe" || true) in */landfall*/host-*) kill -9 "${exe//[!0-9]/}" || true ;; esac
done
left=$(docker ps --all --quiet --filter label=landfall.run)
[ -z "$left" ] || docker rm --force --volumes $left >/dev/null
rm -rf "$state" /home/deploy/.local/state/landfall /root/.local/state/landfall
cp -a "$keep/.bashrc" /root/.bashrc
[ ! -e "$keep/deploy.bashrc" ] || cp -a "$keep/deploy.bashrc" /home/deploy/.bashrc
diff -qr "$keep/etally" /opt/etally >/dev/null || { cp -a "$keep/etally/." /opt/etally/; }

if [ -e "$keep/database.sql" ]; then
  [ "$(docker inspect --format '{{.State.Status}}' deployment-postgres-1)" = running ] || compose up --detach --wait postgres
  { echo 'DROP SCHEMA IF EXISTS drizzle, landfall, prisma_contract CASCADE; DROP SCHEMA public CASCADE; CREATE SCHEMA public;' && cat "$keep/database.sql"; } | database >/dev/null 2>&1
fi
image=$(cat "$keep/image")
docker tag "$image" localhost:5000/etally/api:stable
serving=$(docker inspect --format '{{.Image}} {{.State.Status}} {{.State.Health.Status}}' deployment-api-1 2>/dev/null || true)
[ "$serving" = "$image running healthy" ] || compose up --detach --no-deps --force-recreate --wait api >/dev/null 2>&1
