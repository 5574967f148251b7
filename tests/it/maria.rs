//! Checks, backups, the lock and the masking of secrets on a real MariaDB.

use crate::droplet::{Droplet, droplet, droplets, eventually};
use crate::mariadb::Maria;

const BACKUP: &str = "[[steps]]\nkind = \"backup\"\nper_host = true\n";
const RESTORE: &str = "[[steps]]\nkind = \"restore\"\nper_host = true\ndatabase = \"shop\"\n";
const KEPT: &str = "/var/lib/landfall/etally/backups";

/// What a dump may get wrong: characters, bytes, NULL, moments, and what is no table.
const SHOP: &str = "
CREATE TABLE goods (id bigint AUTO_INCREMENT PRIMARY KEY, name varchar(80), photo blob, weight double, made timestamp NULL);
CREATE TABLE empty (id int PRIMARY KEY);
INSERT INTO goods (name, photo, weight, made) VALUES
  ('caf\u{e9} \u{1f600} it''s \\\\ -- Dump completed', X'00ff0a0d27', 0.1, '2026-01-02 03:04:05'), (NULL, NULL, NULL, NULL), ('', '', -1e300, NULL);
CREATE VIEW names AS SELECT name FROM goods;
CREATE PROCEDURE one() SELECT 1;
CREATE TRIGGER lower_names BEFORE INSERT ON goods FOR EACH ROW SET NEW.name = LOWER(NEW.name);
CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY DO DELETE FROM empty;";

/// Tables with their definitions and rows, and what else is there.
fn all(maria: &Maria<'_>) -> String {
    maria.sql(
        "SET NAMES utf8mb4; SHOW CREATE TABLE goods; SHOW CREATE TABLE empty; CHECKSUM TABLE goods, empty;
         SELECT id, HEX(name), HEX(photo), weight, UNIX_TIMESTAMP(made) FROM goods; SELECT HEX(name) FROM names;
         SELECT 'table', table_name, table_type FROM information_schema.tables WHERE table_schema = 'shop' ORDER BY 2;
         SELECT routine_name, routine_definition FROM information_schema.routines WHERE routine_schema = 'shop';
         SELECT trigger_name, action_statement FROM information_schema.triggers WHERE trigger_schema = 'shop';
         SELECT event_name, event_definition, status FROM information_schema.events WHERE event_schema = 'shop';",
    )
}

#[test]
fn a_check_asks_it() {
    let droplets = droplet();
    let maria = Maria::on(&droplets[0]);
    maria.sql(SHOP);
    let project = Maria::project(&droplets, Maria::SERVICE);
    project.playbook(
        "checks",
        "[[steps]]\nkind = \"database\"\nname = \"tables\"\ntables = [\"goods\", \"shop.empty\"]\n\n\
         [[steps]]\nkind = \"database\"\nname = \"rows\"\nquery = \"SELECT COUNT(*) FROM goods\"\nexpect.eq = 3\n\n\
         [[steps]]\nkind = \"database\"\nname = \"text\"\nquery = \"SELECT name FROM goods WHERE id = 3\"\nexpect.eq = \"\"\n",
    );
    project.landfall(&["validate", "checks"]).expect(0, &["tables", "rows", "text"]);
    project.playbook(
        "wrong",
        "[[steps]]\nkind = \"database\"\nname = \"tables\"\ntables = [\"carts\"]\n\n\
         [[steps]]\nkind = \"database\"\nname = \"writes\"\nquery = \"DELETE FROM goods\"\n\n\
         [[steps]]\nkind = \"database\"\nname = \"unknown\"\nquery = \"SELECT 'connection refused' FROM nope\"\n",
    );
    let told = ["no table carts", "READ ONLY transaction", "Table 'shop.nope' doesn't exist"];
    project.landfall(&["validate", "wrong"]).expect(4, &told);
    assert_eq!(maria.sql("SELECT COUNT(*) FROM goods"), "3");
    droplets[0].sh("docker stop -t 20 it-maria-maria-1 </dev/null");
    project.landfall(&["validate", "checks"]).expect(4, &["the database's service maria is not running"]);
}

#[test]
fn a_backup_brings_the_same_tables_and_rows_back() {
    let droplets = droplet();
    let droplet = &droplets[0];
    let maria = Maria::on(droplet);
    maria.sql(SHOP);
    let project = Maria::project(&droplets, Maria::SERVICE);
    project.playbook("backup", &format!("{BACKUP}keep = 2\n"));
    project.playbook("restore", RESTORE);
    let before = all(&maria);
    assert!(before.contains("VIEW") && before.contains("lower_names") && before.contains("nightly"), "{before}");
    project.landfall(&["run", "restore", "--yes", "--confirm-restore", "shop"]).expect(7, &["there is no backup"]);
    for _ in 0..3 {
        project.landfall(&["run", "backup", "--yes"]).expect(0, &["backup of shop", "2 tables, sha256"]);
    }
    assert_eq!(droplet.sh(&format!("ls {KEPT}/*.sql {KEPT}/*.json | wc -l")), "4", "two, and what is written down of them");
    assert_eq!(droplet.sh(&format!("stat -c %a {KEPT}/*.sql | sort -u")), "600");
    assert!(droplet.sh(&format!("tail -n 1 {KEPT}/*.sql")).contains("-- Dump completed on"));

    // Into a server that has never heard of it.
    droplet.sh("cd /tmp/it-maria && docker compose down --volumes </dev/null && docker compose up --detach --wait </dev/null");
    assert!(!maria.has("goods"));
    droplet.sh(&format!("sed -i '/\"identity\"/d' {KEPT}/*.json"));
    project
        .landfall(&["run", "restore", "--yes", "--confirm-restore", "shop"])
        .expect(0, &["(2 tables); what it replaced is in"]);
    assert_eq!(all(&maria), before);
    maria.sql("DROP TABLE empty; CREATE TABLE later (id int PRIMARY KEY); DELETE FROM goods");
    project.landfall(&["run", "restore", "--yes"]).expect(7, &["replaces database shop", "--confirm-restore shop"]);
    let newest = droplet.sh(&format!("cd {KEPT} && grep -l '\"tables\": 2' *.json | tail -n 1"));
    let from = format!("{RESTORE}from = \"{}\"\n", newest.trim_end_matches(".json"));
    project.playbook("restore", &from);
    project.landfall(&["run", "restore", "--yes", "--confirm-restore", "shop"]).expect(0, &[]);
    assert_eq!(all(&maria), before);
}

#[test]
fn a_backup_that_cannot_come_back_leaves_the_database_as_it_is() {
    let droplets = droplet();
    let droplet = &droplets[0];
    let maria = Maria::on(droplet);
    maria.sql(SHOP);
    let project = Maria::project(&droplets, Maria::SERVICE);
    project.playbook("backup", BACKUP);
    project.playbook("restore", RESTORE);
    project.landfall(&["run", "backup", "--yes"]).expect(0, &[]);
    let before = all(&maria);
    let restore = ["run", "restore", "--yes", "--confirm-restore", "shop"];
    // Another byte, the same length; and then one that was damaged before it was written down.
    droplet.sh(&format!("sed -i 's/INSERT INTO `goods`/INSERT INTO `goodz`/' {KEPT}/*.sql"));
    project.landfall(&restore).expect(1, &["its SHA-256 is another"]);
    droplet.sh(&format!(
        "cd {KEPT} && new=$(sha256sum *.sql | cut -d' ' -f1) && sed -i \"s/\\\"sha256\\\": .*\\\",/\\\"sha256\\\": \\\"$new\\\",/\" *.json"
    ));
    let out = project.landfall(&restore);
    assert!(!out.said().contains("-1e300"), "rows were shown: {}", out.said());
    out.expect(1, &["Table 'goodz' was not locked", "the database is as it was"]);
    assert_eq!(all(&maria), before);
    // What belongs to somebody else could not be made again.
    maria.root("CREATE TRIGGER theirs BEFORE UPDATE ON goods FOR EACH ROW SET NEW.weight = 1");
    project.landfall(&["run", "backup", "--yes"]).expect(0, &[]);
    project.landfall(&restore).expect(1, &["nothing was touched", "root@localhost's, and this login"]);
    let before = all(&maria);
    project.edit("landfall.toml", "engine = \"mariadb\"\n", "engine = \"mariadb\"\nuser = \"root\"\n");
    project.landfall(&restore).expect(0, &[]);
    assert_eq!(all(&maria), before);
    project.playbook("restore", &RESTORE.replace("shop", "another"));
    project.landfall(&["run", "restore", "--yes", "--confirm-restore", "another"]).expect(7, &["is \"shop\""]);
}

#[test]
fn no_room_is_told_before_anything_is_written() {
    let droplets = droplet();
    let droplet = &droplets[0];
    let _maria = Maria::on(droplet);
    droplet.sh("mkdir -m 700 -p /tmp/it-small && mount -t tmpfs -o size=8m,mode=700 tmpfs /tmp/it-small");
    let project = Maria::project(&droplets, &format!("{}backups = \"/tmp/it-small\"\n", Maria::SERVICE));
    project.playbook("backup", BACKUP);
    let out = project.landfall(&["run", "backup", "--yes"]);
    let left = droplet.sh("ls /tmp/it-small");
    droplet.sh("umount /tmp/it-small && rmdir /tmp/it-small");
    out.expect(1, &["no room for a backup"]);
    assert_eq!(left, "");
}

/// A folder of files that travel.
const MIGRATE: &str = "[[steps]]\nkind = \"migrate\"\nname = \"sql\"\ntool = \"sql\"\nper_host = true\n";

#[test]
fn two_hosts_do_not_migrate_one_database_at_once() {
    let droplets = droplets(2);
    let maria = Maria::on(&droplets[0]);
    maria.lend(&droplets[1]);
    let project = Maria::project(&droplets, &maria.by_url("FAR_URL"));
    project.playbook("sql", MIGRATE);
    project.write(
        "migrations/001_slow.sql",
        "-- 2026-03-01: takes its time\nCREATE TABLE slow (id int PRIMARY KEY);\nSELECT SLEEP(600);\n",
    );
    let running = project.start(&["run", "sql", "--yes", "--on", &droplets[0].name]);
    eventually("it sleeps", || maria.works_on("SELECT SLEEP"));
    let out = project.landfall(&["run", "sql", "--yes", "--on", &droplets[1].name]);
    out.expect(7, &["did not finish"]);
    project.write("migrations/001_slow.sql", "-- 2026-03-01: takes its time\nCREATE TABLE slow (id int PRIMARY KEY);\n");
    maria.root("DELETE FROM landfall_migrations");
    let out = project.landfall(&["run", "sql", "--yes", "--on", &droplets[1].name]);
    out.expect(1, &["nothing was begun: this database is worked on already, by connection ", "(shop from ", ", since 20"]);
    project.landfall(&["cancel", "--yes", "--on", &droplets[0].name]).expect(0, &[]);
    running.finish().expect(130, &[]);
    assert!(!maria.works_on("SELECT SLEEP"));
    maria.sql("DROP TABLE slow");
    project.landfall(&["run", "sql", "--yes", "--on", &droplets[1].name]).expect(0, &["1 migration applied"]);
}

#[test]
fn a_seed_is_remembered_by_the_database_for_all_its_hosts() {
    let droplets = droplets(2);
    let maria = Maria::on(&droplets[0]);
    maria.lend(&droplets[1]);
    maria.sql("CREATE TABLE seeded (id bigint AUTO_INCREMENT PRIMARY KEY)");
    let project = Maria::project(&droplets, &maria.by_url("FAR_URL"));
    let command = format!(
        "MYSQL_PWD=$MARIADB_PASSWORD exec mariadb -h {} -u shop shop -e 'INSERT INTO seeded VALUES (); SELECT SLEEP(2)'",
        droplets[0].address()
    );
    project.edit(
        "landfall.toml",
        "[groups.droplets]",
        &format!("[seeds.rows]\ncommand = [\"sh\", \"-c\", {command:?}]\n\n[groups.droplets]"),
    );
    project.playbook("seeds", "[[steps]]\nkind = \"seed\"\nname = \"seed\"\nseeds = [\"rows\"]\nper_host = true\n");
    project.landfall(&["plan", "seeds", "--on", "droplets"]).expect(0, &[]);
    assert!(!maria.has("landfall_ledger"), "a look makes nothing");
    let out = project.events(&["run", "seeds", "--on", "droplets", "--yes"]);
    out.expect(0, &["waiting for the database: ", ", in this very run"]);
    assert_eq!(maria.sql("SELECT COUNT(*) FROM seeded"), "1");
    assert_eq!(maria.sql("SELECT run, outcome FROM landfall_ledger"), format!("{}\tok", out.run()));
    let did = maria.sql("SELECT host FROM landfall_ledger");
    let other = droplets.iter().find(|droplet| droplet.name != did).expect("another");
    let on = format!(" on {did}");
    project.landfall(&["run", "seeds", "--on", &other.name, "--yes"]).expect(0, &["ran before: in run ", &on]);
    // A server that is made anew around the same data is the same.
    droplets[0].sh("cd /tmp/it-maria && docker compose up --detach --wait --force-recreate </dev/null");
    project.landfall(&["plan", "seeds", "--on", "droplets"]).expect(0, &["is skipped: ran on "]);
    assert_eq!(maria.sql("SELECT COUNT(*) FROM seeded"), "1");
}

#[test]
fn a_url_that_asks_for_tls_does_not_go_without() {
    let droplets = droplet();
    let maria = Maria::on(&droplets[0]);
    droplets[0].sh("cd /tmp/it-maria && sed -n 's/^NEAR_URL=\\(.*\\)/TLS_URL=\\1?ssl-mode=REQUIRED/p' .env >>.env");
    let project = Maria::project(&droplets, &maria.by_url("TLS_URL"));
    project.playbook("rows", "[[steps]]\nkind = \"database\"\nquery = \"SELECT 1\"\nexpect.eq = 1\n");
    project.landfall(&["validate", "rows"]).expect(4, &["its URL asks for TLS, and the server does not speak it"]);
}

/// Looks at every process of the droplet, those in containers too, until it is told to stop; what is looked for is in no command line.
fn sample(droplet: &Droplet) {
    droplet.sh(r#"cat >/tmp/it-sampler <<'END'
mapfile -t values < <(sed -n 's/^MARIADB_[A-Z_]*=//p' /tmp/it-maria/.env)
while [ ! -e /tmp/it-stop ]; do
  for file in /proc/[0-9]*/cmdline; do
    { mapfile -d '' -t words <$file; } 2>/dev/null || continue
    for value in "${values[@]}"; do case "${words[*]}" in *"$value"*) echo "${words[*]:0:4}" ;; esac; done
    case "${words[0]}" in *mariadb | *mariadb-dump | *mysql | *docker) echo "${words[0]##*/}" >>/tmp/it-seen ;; esac
  done
done
END
setsid bash /tmp/it-sampler >/tmp/it-found 2>&1 </dev/null &"#);
}

#[test]
fn no_password_is_in_a_command_line_or_in_what_is_kept() {
    let droplets = droplet();
    let droplet = &droplets[0];
    let maria = Maria::on(droplet);
    maria.sql(SHOP);
    for way in [Maria::SERVICE.to_owned(), maria.by_url("NEAR_URL")] {
        let project = Maria::project(&droplets, &way);
        project.write("migrations/001_a.sql", "-- 2026-03-01: one\nCREATE TABLE one (id int PRIMARY KEY);\nSELECT SLEEP(1);\n");
        project.playbook("all", &format!("{BACKUP}\n{MIGRATE}"));
        project.playbook("restore", RESTORE);
        droplet.sh("rm -f /tmp/it-stop /tmp/it-seen");
        sample(droplet);
        let done = project.events(&["run", "all", "--yes"]);
        let restored = project.events(&["run", "restore", "--yes", "--confirm-restore", "shop"]);
        droplet.sh("touch /tmp/it-stop");
        done.expect(0, &[]);
        restored.expect(0, &[]);
        let seen = droplet.sh("sort -u /tmp/it-seen | tr '\\n' ' '");
        assert!(seen.contains("mariadb ") && seen.contains("docker"), "the sampler saw too little: {seen}");
        assert_eq!(droplet.sh("sort /tmp/it-found | uniq -c"), "", "a password was seen in /proc");
        for secret in maria.secrets() {
            assert!(!done.said().contains(&secret) && !restored.said().contains(&secret), "it was shown");
        }
        let kept = "sed -n 's/^MARIADB_[A-Z_]*=//p' /tmp/it-maria/.env >/tmp/it-values
                    grep -rlFf /tmp/it-values /var/lib/landfall /root/.cache /root/.local /var/log 2>/dev/null; rm /tmp/it-values";
        assert_eq!(droplet.sh(kept), "", "a password is on the droplet's disk");
    }
}
