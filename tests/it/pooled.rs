//! A database behind its connection pool, PgBouncer in transaction mode, as managed databases offer it. What a session is told there stays
//! on the server's connection, for whoever comes next: the server's connections are asked what they were left with, not Landfall.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::droplet::{Droplet, Droplets, droplet, eventually};
use crate::project::Project;

/// A pool of so many connections on a droplet, whose database is called `pool` there; gone with its test.
struct Pool<'a> {
    droplet: &'a Droplet,
}

/// How to be its client.
const CLIENT: &str = "PW=$(cat /opt/etally/secrets/db_password.txt)
    client() { docker exec -i -e PGAPPNAME= -e PGPASSWORD=$PW deployment-postgres-1 psql -XAtq -h it-pool -p 6432 -U etally pool -c \"$1\" </dev/null; }
    ";

impl<'a> Pool<'a> {
    /// What it `ignores` of a client's startup parameters it does not refuse.
    fn of(connections: u32, ignores: &str, droplet: &'a Droplet) -> Self {
        let image = droplet.extra_image("pgbouncer");
        let pool = Self { droplet };
        pool.remove();
        droplet.sh(&format!(
            "PW=$(cat /opt/etally/secrets/db_password.txt)
             SERVER=postgres DATABASE=etally DATABASE_USER=etally DATABASE_PASSWORD=$PW POOL_SIZE={connections} IGNORED={ignores} \
             docker run --detach --name it-pool --network deployment_default --publish 6432:6432 \
               --env SERVER --env DATABASE --env DATABASE_USER --env DATABASE_PASSWORD --env POOL_SIZE --env IGNORED {image} </dev/null >/dev/null
             echo POOL_URL=postgresql://etally:$PW@{}:6432/pool >>/opt/etally/.env",
            droplet.address()
        ));
        eventually("the pool answers", || droplet.try_sh(&format!("{CLIENT}client 'SELECT 1'")).0 == 0);
        pool
    }

    /// A project that reaches its database through it.
    fn project(&self, droplets: &Droplets) -> Project {
        let project = Project::on(droplets);
        project.edit("landfall.toml", "service = \"postgres\"\n", &self.by_url());
        project
    }

    /// The lines of `[database]` for it.
    fn by_url(&self) -> String {
        let image = self.droplet.sh("docker inspect --format '{{.Config.Image}}' deployment-postgres-1");
        format!("url = {{ secret = \"POOL_URL\" }}\nclient_image = \"{image}\"\n")
    }

    /// Asserts that its two connections were left with nothing that a new one would not have.
    fn assert_untouched(&self) {
        let settings = "SELECT concat_ws(' ', 'connection', pg_backend_pid(), string_agg(name || '=' || setting, ' ')) \
                        FROM pg_settings, pg_sleep(1) WHERE source = 'session' AND setting IS DISTINCT FROM reset_val";
        // While one is busy the next client gets the other.
        let both = self.droplet.sh(&format!("{CLIENT}client \"{settings}\" & client \"{settings}\"; wait"));
        let connections: BTreeSet<&str> = both.lines().collect();
        assert_eq!(connections.len(), 2, "{both}");
        assert!(connections.iter().all(|line| line.split(' ').count() == 2), "{both}");
        let named = "SELECT string_agg(name || '=' || setting, ' ' ORDER BY name) FROM pg_settings WHERE name IN ('statement_timeout', \
                     'lock_timeout', 'default_transaction_read_only', 'idle_in_transaction_session_timeout')";
        let usual = "default_transaction_read_only=off idle_in_transaction_session_timeout=0 lock_timeout=0 statement_timeout=0";
        assert_eq!(self.sql(named), usual);
        assert_eq!(self.droplet.sql(LOCKS), "0", "locks that nobody would release");
    }

    /// Asks through it.
    fn sql(&self, query: &str) -> String {
        self.droplet.sh(&format!("{CLIENT}client \"{query}\""))
    }

    fn remove(&self) {
        self.droplet.sh("docker rm --force it-pool >/dev/null 2>&1 || true");
    }
}

impl Drop for Pool<'_> {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Locks in the database that somebody holds.
const LOCKS: &str = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'";
const SQL: &str =
    "[[steps]]\nkind = \"migrate\"\nname = \"sql\"\ntool = \"sql\"\nmigrations = \"db/migrations\"\nper_host = true\n";
const SEED: &str = "[[steps]]\nkind = \"seed\"\nseeds = [\"rows\"]\nper_host = true\n";
/// It begins as dumps do.
const VOTERS: &str = "-- 2026-03-01: who may vote\nSELECT pg_catalog.set_config('search_path', '', false);\nSET statement_timeout = 0;\n\
                      SET lock_timeout = '3s';\nCREATE TABLE public.voters (id bigint PRIMARY KEY, name text NOT NULL);\n";

/// Runs JavaScript of the api that has a client `c` of the pool.
fn command(script: &str) -> String {
    let script = format!(
        "import pg from 'pg'; const c = new pg.Client({{ connectionString: process.env.POOL_URL }}); await c.connect(); \
         {script}; await c.end()"
    );
    format!("[\"node\", \"--input-type=module\", \"--eval\", {script:?}]")
}

/// A seed that leaves a row of its own each time that it runs.
fn seed(project: &Project, droplet: &Droplet) {
    let command = command("await c.query('INSERT INTO it_seeded DEFAULT VALUES')");
    let rows = format!("[seeds.rows]\ncommand = {command}\nfiles = [\"package.json\"]\n\n[seeds.configurations]");
    project.edit("landfall.toml", "[seeds.configurations]", &rows);
    droplet.sql("CREATE TABLE it_seeded (n serial)");
}

#[test]
fn nothing_of_a_run_stays_on_its_connections() {
    let droplets = droplet();
    let droplet = &droplets[0];
    let pool = Pool::of(2, "", droplet);
    let project = pool.project(&droplets);
    seed(&project, droplet);
    let check = "[[steps]]\nkind = \"database\"\ntables = [\"voters\"]\n";
    project.playbook("all", &format!("{SQL}lock_timeout = \"7s\"\n{SEED}{check}"));
    project.write("db/migrations/001_voters.sql", VOTERS);

    project.landfall(&["doctor", "--on", &droplet.name]).expect(0, &[]);
    project.landfall(&["plan", "all"]).expect(0, &["as etally, through a connection pool", "001_voters.sql"]);
    pool.assert_untouched();
    project.landfall(&["run", "all", "--yes"]).expect(0, &["1 migration applied, nothing pending"]);
    pool.assert_untouched();

    // The database itself is the same one, and knows what was done through its pool.
    project.edit("landfall.toml", &pool.by_url(), "service = \"postgres\"\n");
    let direct = project.landfall(&["run", "all", "--yes"]);
    direct.expect(0, &["as etally\n", "nothing pending", "ran before: in run "]);
    assert_eq!(droplet.sql("SELECT count(*) FROM it_seeded"), "1");
}

#[test]
fn what_a_lost_run_left_at_work_is_seen_on_connections_that_are_older_than_it() {
    let droplets = droplet();
    let droplet = &droplets[0];
    let pool = Pool::of(2, "", droplet);
    let project = pool.project(&droplets);
    pool.assert_untouched();
    project.playbook("sql", SQL);
    let slow = "-- 2026-03-01: slow\nCREATE TABLE slow (id int PRIMARY KEY);\nSELECT pg_sleep(600);\n";
    project.write("db/migrations/001_slow.sql", slow);
    let running = project.start(&["run", "sql", "--yes", "--output", "json"]);
    let run = running.run();
    let asleep = "FROM pg_stat_activity WHERE application_name = 'migration of '";
    let sleeps = || droplet.sql(&format!("SELECT count(*) {asleep} || '{run}' AND wait_event = 'PgSleep'")) == "1";
    eventually("it sleeps", sleeps);
    let (supervisor, clients) = droplet.processes_of(&run);
    droplet.sh(&format!("kill -9 {supervisor} {clients}"));
    droplet.remove_containers_of(&run);
    running.finish().expect(6, &["its database still works: backend ", "pg_sleep(600)"]);
    droplet.sql(&format!("SELECT pg_terminate_backend(pid) {asleep} || '{run}'"));
    project.landfall(&["resolve", &run, "--as", "not-done", "--note", "it was killed", "--yes"]).expect(0, &[]);
    pool.assert_untouched();
}

#[test]
fn what_does_not_go_through_it_is_refused_or_told() {
    let droplets = droplet();
    let droplet = &droplets[0];
    let pool = Pool::of(2, "", droplet);
    let project = pool.project(&droplets);
    let direct = "give the URL of the database itself, not of its pool, to [database]";

    project.playbook("backup", "[[steps]]\nkind = \"backup\"\nper_host = true\n");
    project.playbook("restore", "[[steps]]\nkind = \"restore\"\nper_host = true\ndatabase = \"etally\"\n");
    for playbook in ["backup", "restore"] {
        project.landfall(&["plan", playbook]).expect(7, &["backup and restore do not go through a connection pool", direct]);
    }
    project.playbook("sql", SQL);
    let index = "-- 2026-03-01: by name\n-- landfall: no-transaction\nCREATE TABLE voters (id int PRIMARY KEY);\n";
    project.write("db/migrations/001_voters.sql", index);
    project.landfall(&["run", "sql", "--yes"]).expect(7, &["sql: 001_voters.sql runs in no transaction", direct]);
    pool.assert_untouched();

    // A tool whose driver sends PGOPTIONS, as libpq and node-postgres do.
    let tool = format!(
        "[[steps]]\nkind = \"migrate\"\nname = \"tool\"\nper_host = true\nstatus = {}\npending = 'waits: (.+)'\nup_to_date = 'none'\napply = {}\n",
        command(
            "const { made } = (await c.query(`SELECT to_regclass('it_made')::text AS made`)).rows[0]; \
             console.log(made ? 'none' : 'waits: one'); process.exitCode = made ? 0 : 1",
        ),
        command("await c.query('CREATE TABLE it_made (n int)')"),
    );
    project.playbook("tool", &tool);
    let warning = "tool: a connection pool stands before the database: the tool's own lock does not hold there";
    project.landfall(&["run", "tool", "--yes"]).expect(0, &[warning, "all applied, nothing pending"]);

    // Where Landfall goes directly it cannot know which way the tool goes.
    droplet.sql("DROP TABLE it_made");
    project.edit("landfall.toml", &pool.by_url(), "service = \"postgres\"\n");
    let said = ["unsupported startup parameter: options", "lock_timeout = \"off\""];
    project.landfall(&["run", "tool", "--yes"]).expect(1, &said);
    project.playbook("tool", &format!("{tool}lock_timeout = \"off\"\n"));
    project.landfall(&["run", "tool", "--yes"]).expect(0, &["all applied, nothing pending"]);
}

#[test]
fn one_connection_is_told_to_be_too_few() {
    let droplets = droplet();
    let droplet = &droplets[0];
    let pool = Pool::of(1, "options", droplet);
    let project = pool.project(&droplets);
    seed(&project, droplet);
    project.playbook("seed", SEED);
    let full = "its connection pool gives no second connection while one holds the lock: make it larger";
    let out = project.landfall(&["run", "seed", "--yes"]);
    out.expect(1, &["nothing was begun", full]);
    assert!(out.took < Duration::from_mins(1), "{:?}", out.took);
    assert_eq!(droplet.sql("SELECT count(*) FROM it_seeded"), "0");
}
