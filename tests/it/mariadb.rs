//! A real MariaDB on a droplet: a compose project of its own, with passwords of its own, gone with its test.

use std::cell::RefCell;

use crate::droplet::{Droplet, Droplets};
use crate::project::Project;

/// Where its compose project is.
const DIR: &str = "/tmp/it-maria";

/// It, while it is kept.
pub(crate) struct Maria<'a> {
    droplet: &'a Droplet,
    image: String,
    /// Others that were given its image and files, and may have used them.
    lent: RefCell<Vec<&'a Droplet>>,
}

impl<'a> Maria<'a> {
    /// Starts one that has an empty database `shop`, whose owner is `shop`.
    pub(crate) fn on(droplet: &'a Droplet) -> Self {
        let maria = Self { droplet, image: droplet.extra_image("mariadb"), lent: RefCell::default() };
        maria.remove();
        droplet.sh(&format!(
            "set -e
             mkdir -m 0700 {DIR} && cd {DIR} && umask 077
             random() {{ head -c 18 /dev/urandom | od -An -v -tx1 | tr -d ' \\n'; }}
             printf 'MARIADB_PASSWORD=%s\\nMARIADB_ROOT_PASSWORD=%s\\n' \"$(random)\" \"$(random)\" >.env
             password=$(sed -n s/^MARIADB_PASSWORD=//p .env)
             printf '%s_URL=mysql://shop:%s@%s:3306/shop\\n' FAR $password {} NEAR $password maria >>.env
             cat >compose.yml <<'END'
services:
  maria:
    image: {}
    environment:
      MARIADB_DATABASE: shop
      MARIADB_USER: shop
      MARIADB_PASSWORD: ${{MARIADB_PASSWORD}}
      MARIADB_ROOT_PASSWORD: ${{MARIADB_ROOT_PASSWORD}}
    ports: [\"3306:3306\"]
    volumes: [\"data:/var/lib/mysql\"]
    healthcheck:
      test: [\"CMD\", \"mariadb-admin\", \"--silent\", \"ping\"]
      interval: 500ms
      retries: 120
volumes:
  data:
END
             docker compose up --detach --wait </dev/null",
            droplet.address(),
            maria.image
        ));
        maria
    }

    /// A project whose database is the one of its droplet, reached as these lines of `[database]` say.
    pub(crate) fn project(droplets: &Droplets, database: &str) -> Project {
        let project = Project::on(droplets);
        let inventory = std::fs::read_to_string(project.path("landfall.toml")).expect("landfall.toml");
        let (_, rest) = inventory.split_once("\n[ssh]").expect("[ssh]");
        let (ssh, rest) = rest.split_once("\n[groups").expect("[groups]");
        let (_, hosts) = rest.split_once("\n[hosts").expect("[hosts]");
        project.write(
            "landfall.toml",
            &format!(
                "project = \"etally\"\n\n[compose]\ndir = \"{DIR}\"\nfiles = [\"compose.yml\"]\nservice = \"maria\"\n\n[database]\n{database}\n\
                 [secrets]\nfiles = [\".env\"]\n\n[ssh]{ssh}\n[groups.droplets]\nproduction = false\n\n[hosts{hosts}"
            ),
        );
        project
    }

    /// The lines for its own service.
    pub(crate) const SERVICE: &'static str = "service = \"maria\"\nengine = \"mariadb\"\n";

    /// The lines for a client in a container of its own: on any host (`FAR_URL`), or in the project's network (`NEAR_URL`).
    pub(crate) fn by_url(&self, secret: &str) -> String {
        format!("url = {{ secret = {secret:?} }}\nclient_image = \"{}\"\nengine = \"mariadb\"\n", self.image)
    }

    /// Another droplet gets its image and its files, but no server.
    pub(crate) fn lend(&self, to: &'a Droplet) {
        self.lent.borrow_mut().push(to);
        to.load(&self.image);
        let read = |file: &str| self.droplet.sh(&format!("cat {DIR}/{file}"));
        let (env, compose) = (read(".env"), read("compose.yml"));
        to.sh(&format!(
            "mkdir -m 0700 {DIR} && cd {DIR} && umask 077 && cat >.env <<'END'\n{env}\nEND\ncat >compose.yml <<'END'\n{compose}\nEND"
        ));
    }

    fn ask(&self, user: &str, password: &str, query: &str) -> String {
        self.droplet.sh(&format!(
            "docker exec -i it-maria-maria-1 sh -c 'MYSQL_PWD=${password} exec mariadb --user={user} --default-character-set=utf8mb4 --batch --skip-column-names --raw shop' <<'END'\n{query}\nEND"
        ))
    }

    /// Asks it as the owner of the database.
    pub(crate) fn sql(&self, query: &str) -> String {
        self.ask("shop", "MARIADB_PASSWORD", query)
    }

    /// Asks it as who may do everything.
    pub(crate) fn root(&self, query: &str) -> String {
        self.ask("root", "MARIADB_ROOT_PASSWORD", query)
    }

    /// Whether a table is there.
    pub(crate) fn has(&self, table: &str) -> bool {
        self.sql(&format!(
            "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = 'shop' AND table_name = '{table}'"
        )) == "1"
    }

    /// How many statements are under way that begin so.
    pub(crate) fn works_on(&self, statement: &str) -> bool {
        self.root(&format!("SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE '{statement}%'")) != "0"
    }

    /// Its passwords.
    pub(crate) fn secrets(&self) -> Vec<String> {
        let text = self.droplet.sh(&format!("sed -n 's/^MARIADB_[A-Z_]*=//p' {DIR}/.env"));
        text.lines().map(str::to_owned).collect()
    }

    fn remove(&self) {
        for droplet in std::iter::once(self.droplet).chain(self.lent.borrow().iter().copied()) {
            // What the last of these lists is left; the others may have nothing to remove.
            let left = droplet.sh(
                "own() { docker $1 ls ${2:-} --quiet --filter label=com.docker.compose.project=it-maria; }
                 { docker rm --force --volumes $(own container --all); docker network rm $(own network); docker volume rm $(own volume); } >/dev/null 2>&1
                 own container --all; own network; own volume",
            );
            assert!(left.is_empty() || std::thread::panicking(), "left: {left}");
        }
    }
}

impl Drop for Maria<'_> {
    fn drop(&mut self) {
        self.remove();
    }
}
