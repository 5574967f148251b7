//! `backup`, `restore` and `require_backup` on a real PostgreSQL: what is kept, what comes back, what is refused.

use crate::droplet::{Droplet, droplet};
use crate::project::Project;

const BACKUP: &str = "[[steps]]\nkind = \"backup\"\nper_host = true\n";
const RESTORE: &str = "[[steps]]\nkind = \"restore\"\nper_host = true\ndatabase = \"etally\"\n";

/// Every row of every table, as one digest.
fn rows(droplet: &Droplet) -> String {
    droplet.sql(
        "SELECT string_agg(format('%s %s', t, md5(query_to_xml(format('SELECT * FROM %I ORDER BY 1', t), true, true, '')::text)), E'\\n' ORDER BY t) \
         FROM (SELECT tablename::text AS t FROM pg_tables WHERE schemaname = 'public') AS tables",
    )
}

fn released(project: &Project) {
    project.landfall(&["run", "release", "--yes"]).expect(0, &[]);
}

/// Removes what a restore kept, and the backups.
fn forget(droplet: &Droplet) {
    let kept = droplet.sql("SELECT datname FROM pg_database WHERE datname LIKE 'etally\\_%'");
    for name in kept.lines() {
        droplet.sql(&format!("DROP DATABASE {name}"));
    }
    droplet.sh("rm -rf /var/lib/landfall/etally/backups");
}

#[test]
fn a_backup_brings_the_same_tables_and_rows_back() {
    let droplets = droplet();
    let droplet = &droplets[0];
    let project = Project::on(&droplets);
    released(&project);
    project.playbook("backup", BACKUP);
    project.playbook("restore", RESTORE);
    // What belongs to the database and is in no dump of it.
    droplet.sql(
        "CREATE ROLE it_reader; ALTER DATABASE etally SET work_mem = '7MB'; ALTER DATABASE etally SET search_path = \\\"Odd\\\", public; \
         ALTER ROLE it_reader IN DATABASE etally SET statement_timeout = '3s'; ALTER DATABASE etally CONNECTION LIMIT 77; \
         REVOKE CONNECT ON DATABASE etally FROM PUBLIC; GRANT CONNECT ON DATABASE etally TO it_reader WITH GRANT OPTION",
    );
    let around = "SELECT datconnlimit, datlocprovider, datcollate, (SELECT string_agg(a::text, ' ' ORDER BY a::text) FROM unnest(datacl) a), (SELECT string_agg(setrole::regrole || ' ' || setconfig::text, ' ' ORDER BY setrole) \
                  FROM pg_db_role_setting s WHERE s.setdatabase = d.oid) FROM pg_database d WHERE datname = 'etally'";
    let before_around = droplet.sql(around);
    let before = rows(droplet);
    assert!(before.contains("_prisma_migrations") && before_around.contains("work_mem=7MB"), "{before} {before_around}");
    let out = project.events(&["run", "backup", "--yes"]);
    out.expect(0, &[]);
    let dir = "/var/lib/landfall/etally/backups";
    assert_eq!(
        droplet.sh(&format!("stat -c '%a %n' {dir} {dir}/* | sed 's/-.*\\././' | sort")),
        format!("600 {dir}/etally.dump\n600 {dir}/etally.json\n700 {dir}")
    );
    assert_eq!(
        droplet.sh(&format!("cd {dir} && sha256sum *.dump | cut -d' ' -f1")),
        droplet.sh(&format!("cd {dir} && sed -n 's/.*\"sha256\": \"\\(.*\\)\".*/\\1/p' *.json"))
    );

    droplet.sql("DROP TABLE email_templates CASCADE; CREATE TABLE later (id int); DELETE FROM configurations");
    assert_ne!(rows(droplet), before);
    project.landfall(&["run", "restore", "--yes"]).expect(7, &["replaces database etally", "--confirm-restore etally"]);
    let out = project.events(&["run", "restore", "--yes", "--confirm-restore", "etally"]);
    out.expect(0, &[]);
    assert_eq!((rows(droplet), droplet.sql(around)), (before, before_around));
    let kept = droplet.sql("SELECT datname FROM pg_database WHERE datname LIKE 'etally\\_%'");
    assert_eq!(kept, format!("etally_before_{}", out.run()), "what was replaced is kept, and nothing else");
    assert_eq!(droplet.sh("curl -sf -o /dev/null -w '%{http_code}' http://127.0.0.1:3000/health"), "200", "the api is back");
    for secret in droplet.secrets() {
        assert!(!out.said().contains(&secret.1), "{}", secret.0);
    }
    forget(droplet);
    droplet.sql(
        "ALTER DATABASE etally RESET ALL; ALTER DATABASE etally CONNECTION LIMIT -1; GRANT CONNECT ON DATABASE etally TO PUBLIC; \
         REVOKE ALL ON DATABASE etally FROM it_reader; ALTER ROLE it_reader IN DATABASE etally RESET ALL; DROP ROLE it_reader",
    );
}

#[test]
fn a_backup_that_cannot_come_back_leaves_the_database_and_its_services_as_they_are() {
    let droplets = droplet();
    let droplet = &droplets[0];
    let project = Project::on(&droplets);
    released(&project);
    project.playbook("backup", BACKUP);
    project.playbook("restore", RESTORE);
    project.landfall(&["run", "restore", "--yes", "--confirm-restore", "etally"]).expect(7, &["there is no backup"]);
    project.landfall(&["run", "backup", "--yes"]).expect(0, &["backup of etally", "tables, sha256"]);
    let before = rows(droplet);
    // Another byte, the same length.
    let dir = "/var/lib/landfall/etally/backups";
    droplet.sh(&format!("printf X | dd of=$(echo {dir}/*.dump) bs=1 seek=2000 conv=notrunc 2>/dev/null"));
    let out = project.landfall(&["run", "restore", "--yes", "--confirm-restore", "etally"]);
    out.expect(1, &["its SHA-256 is another"]);
    // One that was damaged before it was written down: the database's own tool finds it.
    droplet.sh(&format!("cd {dir} && new=$(sha256sum *.dump | cut -d' ' -f1) && sed -i \"s/\\\"sha256\\\": .*\\\",/\\\"sha256\\\": \\\"$new\\\",/\" *.json && truncate -s 3000 *.dump && new=$(sha256sum *.dump | cut -d' ' -f1) && sed -i \"s/\\\"sha256\\\": .*\\\",/\\\"sha256\\\": \\\"$new\\\",/; s/\\\"bytes\\\": .*/\\\"bytes\\\": 3000,/\" *.json"));
    let out = project.landfall(&["run", "restore", "--yes", "--confirm-restore", "etally"]);
    out.expect(1, &["the database is as it was"]);
    assert_eq!(rows(droplet), before);
    assert_eq!(droplet.sql("SELECT count(*) FROM pg_database WHERE datname LIKE 'etally\\_%'"), "0");
    assert_eq!(droplet.sh("curl -sf -o /dev/null -w '%{http_code}' http://127.0.0.1:3000/health"), "200", "the api is back");
    project.playbook("restore", &RESTORE.replace("etally", "another"));
    project.landfall(&["run", "restore", "--yes", "--confirm-restore", "another"]).expect(7, &["is \"etally\""]);
    forget(droplet);
}

#[test]
fn a_restore_counts_the_backup_that_its_own_run_takes_before_it() {
    let droplets = droplet();
    let droplet = &droplets[0];
    let project = Project::on(&droplets);
    released(&project);
    droplet.sh("rm -rf /var/lib/landfall/etally/backups");
    let before = rows(droplet);
    let run = |steps: &[&str]| {
        project.playbook("both", &steps.concat());
        project.landfall(&["run", "both", "--yes", "--confirm-restore", "etally"])
    };
    let encrypted = &format!("{BACKUP}encrypt_to = \"age1qqqq\"\n");
    let failed = &format!("[[steps]]\nkind = \"shell\"\ncommand = \"true\"\n{BACKUP}when = \"failure\"\n");
    run(&[RESTORE, BACKUP]).expect(7, &["there is no backup"]);
    run(&[failed, RESTORE]).expect(7, &["there is no backup"]);
    run(&[BACKUP, RESTORE, "from = \"etally-old.dump\"\n"]).expect(7, &["there is no backup", "etally-old.dump"]);
    run(&[encrypted, RESTORE]).expect(7, &["the backup that the step before takes is encrypted"]);
    assert_eq!(rows(droplet), before);
    run(&[BACKUP, RESTORE]).expect(0, &["what it replaced is database etally_before_"]);
    assert_eq!(rows(droplet), before);
    forget(droplet);
}

#[test]
fn a_gate_asks_for_a_backup_that_is_young_enough() {
    let droplets = droplet();
    let droplet = &droplets[0];
    let project = Project::on(&droplets);
    // As it is where nothing ever ran.
    droplet.sh("rm -rf /var/lib/landfall/etally");
    let gate = "[[steps]]\nkind = \"shell\"\nname = \"risky\"\nrequire_backup = \"24h\"\ncommand = \"touch /tmp/it-risky\"\n";
    project.playbook("gated", gate);
    project.landfall(&["plan", "gated"]).expect(7, &["there is no backup of etally", "`backup` step before it"]);
    droplet.sh("test ! -e /var/lib/landfall/etally");
    project.landfall(&["run", "gated", "--yes"]).expect(7, &["there is no backup of etally", "`backup` step before it"]);
    droplet.sh("test ! -e /tmp/it-risky");
    project.playbook("both", &format!("{BACKUP}keep = 2\n{gate}"));
    for _ in 0..3 {
        project.landfall(&["run", "both", "--yes"]).expect(0, &[]);
    }
    assert_eq!(droplet.sh("ls /var/lib/landfall/etally/backups | wc -l"), "4", "two, and what is written down of them");
    project.landfall(&["run", "gated", "--yes"]).expect(0, &[]);
    droplet.sh("sed -i 's/\"taken\": \"20../\"taken\": \"2020/' /var/lib/landfall/etally/backups/*.json");
    project.landfall(&["run", "gated", "--yes"]).expect(7, &["the newest backup of etally is"]);
    forget(droplet);
}

#[test]
fn no_room_is_told_before_anything_is_written() {
    let droplets = droplet();
    let droplet = &droplets[0];
    let project = Project::on(&droplets);
    droplet.sh("mkdir -m 700 -p /tmp/it-small && mount -t tmpfs -o size=8m,mode=700 tmpfs /tmp/it-small");
    project.edit("landfall.toml", "service = \"postgres\"\n", "service = \"postgres\"\nbackups = \"/tmp/it-small\"\n");
    project.playbook("backup", BACKUP);
    let out = project.landfall(&["run", "backup", "--yes"]);
    let left = droplet.sh("ls /tmp/it-small");
    droplet.sh("umount /tmp/it-small && rmdir /tmp/it-small");
    out.expect(1, &["no room for a backup"]);
    assert_eq!(left, "");
}

#[test]
fn a_pg_dump_that_is_older_than_the_server_is_refused_before_anything_is_done() {
    let droplets = droplet();
    let droplet = &droplets[0];
    let project = Project::on(&droplets);
    project.playbook("backup", BACKUP);
    // Debian has one PostgreSQL; this says of itself what that of an older one says, and does no more.
    let own = droplet.sh("docker inspect --format '{{.Config.Image}}' deployment-postgres-1");
    droplet.sh(
        "printf '#!/bin/sh\\necho \"pg_dump (PostgreSQL) 14.11 (Debian 14.11-1.pgdg120+2)\"\\n' >/tmp/it-pg_dump && chmod 755 /tmp/it-pg_dump",
    );
    let program = droplet.sh("docker exec deployment-postgres-1 sh -c 'command -v pg_dump' </dev/null");
    droplet.image_with(&own, "/tmp/it-pg_dump", &program, "etally/old-client:1");
    let by_url = "url = { secret = \"DATABASE_URL\" }\nclient_image = \"etally/old-client:1\"\n";
    project.edit("landfall.toml", "service = \"postgres\"\n", by_url);
    let told = [
        "the pg_dump of etally/old-client:1 is of PostgreSQL 14.11 (Debian",
        "and the server is 15.",
        "name a `client_image` of PostgreSQL 15 or later",
    ];
    project.landfall(&["plan", "backup"]).expect(7, &told);
    project.landfall(&["run", "backup", "--yes"]).expect(7, &told);
    project.edit("landfall.toml", "etally/old-client:1", &own);
    project.landfall(&["run", "backup", "--yes"]).expect(0, &[]);
    droplet.sh("docker rmi etally/old-client:1 >/dev/null");
    forget(droplet);
}
