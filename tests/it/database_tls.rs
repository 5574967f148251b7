//! A database that is reached over TLS: where the inventory names a CA its server must prove that it is who the URL says, and without that
//! nothing is asked of it. Certificates are made here, for a day.

use std::process::Command;

use crate::droplet::{Droplet, droplet, eventually};
use crate::mariadb::Maria;
use crate::project::Project;

/// Whose word counts for certificates.
struct Authority {
    dir: tempfile::TempDir,
}

impl Authority {
    fn new() -> Self {
        let authority = Self { dir: tempfile::tempdir().expect("folder") };
        authority.make("ca", "authority", &[]);
        authority
    }

    /// The certificate of a server of this name, and its key.
    fn certify(&self, name: &str) -> [String; 2] {
        let names = format!("subjectAltName=DNS:{name}");
        self.make("server", name, &["-CA", "ca.crt", "-CAkey", "ca.key", "-addext", &names]);
        [self.read("server.crt"), self.read("server.key")]
    }

    fn make(&self, file: &str, name: &str, more: &[&str]) {
        let (key, certificate, subject) = (format!("{file}.key"), format!("{file}.crt"), format!("/CN={name}"));
        let own = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"];
        let files = ["-keyout", &key, "-out", &certificate, "-subj", &subject];
        let made = Command::new("openssl").args(own).args(files).args(more).current_dir(&self.dir).output().expect("openssl");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }

    fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.dir.path().join(file)).expect("file")
    }
}

/// The droplet's PostgreSQL, speaking TLS; plain again when this is gone.
struct Speaking<'d>(&'d Droplet);

impl Speaking<'_> {
    fn shows(&self, [certificate, key]: &[String; 2]) {
        let put = |file: &str, text: &str| {
            let inside = format!("umask 077; cat >/tmp/it.{file}");
            self.0.sh(&format!("docker exec -i -u postgres deployment-postgres-1 sh -c '{inside}' <<'END'\n{text}END"));
        };
        put("crt", certificate);
        put("key", key);
        for setting in ["ssl_cert_file = '/tmp/it.crt'", "ssl_key_file = '/tmp/it.key'", "ssl = on"] {
            self.0.sql(&format!("ALTER SYSTEM SET {setting}"));
        }
        self.0.sql("SELECT pg_reload_conf()");
        eventually("it speaks TLS", || self.0.sql("SHOW ssl") == "on");
    }
}

impl Drop for Speaking<'_> {
    fn drop(&mut self) {
        let plain = "for name in ssl ssl_cert_file ssl_key_file; do
               docker exec deployment-postgres-1 psql -qXU etally etally -c \"ALTER SYSTEM RESET $name\" </dev/null
             done
             docker exec deployment-postgres-1 psql -qXAtU etally etally -c 'SELECT pg_reload_conf()' </dev/null
             docker exec deployment-postgres-1 rm -f /tmp/it.crt /tmp/it.key";
        let (code, _, said) = self.0.try_sh(plain);
        assert!(code == 0 || std::thread::panicking(), "{said}");
    }
}

fn asks(project: &Project, query: &str) {
    project.playbook("rows", &format!("[[steps]]\nkind = \"database\"\nquery = \"{query}\"\nexpect.eq = 1\n"));
}

const BACKUP: &str = "[[steps]]\nkind = \"backup\"\n";

#[test]
fn a_postgres_must_prove_who_it_is() {
    let droplets = droplet();
    let droplet = &droplets[0];
    let (ours, other) = (Authority::new(), Authority::new());
    let speaking = Speaking(droplet);
    speaking.shows(&ours.certify("postgres"));
    let image = droplet.sh("docker inspect --format '{{.Config.Image}}' deployment-postgres-1");
    droplet.sh(
        "echo TLS_URL=postgresql://etally:$(cat /opt/etally/secrets/db_password.txt)@postgres:5432/etally >>/opt/etally/.env",
    );
    let project = Project::on(&droplets);
    let way = format!("url = {{ secret = \"TLS_URL\" }}\nclient_image = \"{}\"\nca = \"/opt/etally/it-ca.crt\"\n", image.trim());
    project.edit("landfall.toml", "service = \"postgres\"\n", &way);
    asks(&project, "SELECT count(*) FROM pg_stat_ssl WHERE ssl AND pid = pg_backend_pid()");
    let trust = |authority: &Authority| {
        droplet.sh(&format!("cat >/opt/etally/it-ca.crt <<'END'\n{}END", authority.read("ca.crt")));
    };

    trust(&ours);
    project.landfall(&["validate", "rows"]).expect(0, &[]);
    project.playbook("backup", BACKUP);
    project.landfall(&["run", "backup", "--yes"]).expect(0, &[]);
    trust(&other);
    project.landfall(&["validate", "rows"]).expect(4, &["certificate verify failed"]);
    project.landfall(&["run", "backup", "--yes"]).expect(7, &["does not answer", "certificate verify failed"]);
    trust(&ours);
    speaking.shows(&ours.certify("elsewhere.example.com"));
    let another = "does not match host name";
    eventually("it shows the other one", || project.landfall(&["validate", "rows"]).said().contains(another));
    droplet.sql("ALTER SYSTEM SET ssl = off");
    droplet.sql("SELECT pg_reload_conf()");
    eventually("it is plain again", || droplet.sql("SHOW ssl") == "off");
    project.landfall(&["validate", "rows"]).expect(4, &["does not support SSL"]);
    droplet.sh("rm -rf /opt/etally/it-ca.crt /var/lib/landfall/etally/backups");
}

#[test]
fn a_mariadb_must_prove_who_it_is() {
    let droplets = droplet();
    let droplet = &droplets[0];
    let maria = Maria::on(droplet);
    let (ours, other) = (Authority::new(), Authority::new());
    let shows = |[certificate, key]: &[String; 2]| {
        droplet.sh(&format!(
            "mkdir -p /tmp/it-maria/tls && cd /tmp/it-maria && cat >tls/server.crt <<'END'\n{certificate}END\ncat >tls/server.key <<'END'\n{key}END
             chmod -R a+rX tls
             cat >tls.yml <<'END'
services:
  maria:
    command: [\"--ssl-cert=/tls/server.crt\", \"--ssl-key=/tls/server.key\"]
    volumes: [\"./tls:/tls:ro\"]
END
             docker compose -f compose.yml -f tls.yml up --detach --wait --force-recreate </dev/null"
        ));
    };
    shows(&ours.certify("maria"));
    maria.root("ALTER USER shop REQUIRE SSL");
    let project = Maria::project(&droplets, &format!("{}ca = \"ca.crt\"\n", maria.by_url("NEAR_URL")));
    project.edit("landfall.toml", "files = [\"compose.yml\"]", "files = [\"compose.yml\", \"tls.yml\"]");
    asks(
        &project,
        "SELECT COUNT(*) FROM information_schema.session_status WHERE variable_name = 'Ssl_cipher' AND variable_value <> ''",
    );
    let trust = |authority: &Authority| {
        droplet.sh(&format!("cat >/tmp/it-maria/ca.crt <<'END'\n{}END", authority.read("ca.crt")));
    };

    trust(&ours);
    project.landfall(&["validate", "rows"]).expect(0, &[]);
    project.write("migrations/001_a.sql", "-- 2026-03-01: one\nCREATE TABLE one (id int PRIMARY KEY);\n");
    project.playbook("all", &format!("{BACKUP}[[steps]]\nkind = \"migrate\"\ntool = \"sql\"\nper_host = true\n"));
    project.landfall(&["run", "all", "--yes"]).expect(0, &["1 migration applied, nothing pending"]);
    trust(&other);
    project.landfall(&["validate", "rows"]).expect(4, &["certificate"]);
    trust(&ours);
    shows(&ours.certify("elsewhere.example.com"));
    project.landfall(&["validate", "rows"]).expect(4, &["certificate"]);
}
