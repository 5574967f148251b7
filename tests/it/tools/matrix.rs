//! The states, one after the other: each begins where the one before left the database.

use std::fmt::Write as _;

use super::files::{self, Files};
use super::{Late, Tool};
use crate::droplet::{Droplet, droplet, eventually};
use crate::project::Project;

const BROKEN: &str = "CREATE TABLE half (id int PRIMARY KEY); ALTER TABLE nope ADD COLUMN x int";
const SLOW: &str = "CREATE TABLE half (id int PRIMARY KEY); SELECT pg_sleep(600)";
const WHOLE: &str = "CREATE TABLE third (id int PRIMARY KEY)";

/// A tool on a droplet, and the client's folder beside it.
pub(super) struct Bench<'d> {
    tool: &'static Tool,
    pub(super) droplet: &'d Droplet,
    pub(super) project: Project,
    image: String,
}

/// Puts a tool into every state.
pub(super) fn of(tool: &'static Tool) {
    let droplets = droplet();
    let bench = Bench::new(tool, &droplets[0], Project::on(&droplets));
    bench.pending();
    bench.applied();
    bench.failed();
    bench.killed();
    bench.edited();
    bench.deleted();
    bench.late();
    bench.unreachable();
}

/// The two migrations of the image, applied, and then one in their place.
pub(super) fn made_into_one(tool: &'static Tool) {
    let droplets = droplet();
    let bench = Bench::new(tool, &droplets[0], Project::on(&droplets));
    bench.applied();
    let mut files = files::of_image(tool);
    files::into_one(&mut files);
    bench.put(&files);
    bench.up_to_date(3);
    for gone in tool.first {
        files::delete(&mut files, gone);
    }
    bench.put(&files);
    bench.up_to_date(1);
}

/// One that the way to the image's contract does not lead through, and then one that drops something.
pub(super) fn aside_and_dropped(tool: &'static Tool) {
    let droplets = droplet();
    let bench = Bench::new(tool, &droplets[0], Project::on(&droplets));
    bench.applied();
    let mut files = files::of_image(tool);
    let contract = files["contract.json"].clone();
    (tool.write)(&mut files, &tool.late, WHOLE);
    files.insert("contract.json".to_owned(), contract);
    bench.put(&files);
    bench.project.landfall(&["plan", "tool"]).expect(0, &[tool.late.name, "aside", "nothing is pending"]);
    bench.up_to_date(2);

    (tool.write)(&mut files, &tool.third, &format!("DROP TABLE IF EXISTS old; {WHOLE}"));
    bench.put(&files);
    bench.project.landfall(&["run", "tool", "--yes"]).expect(7, &["drop-table", "/ops.json:", tool.third.name]);
    assert_eq!(bench.count(), "2");
    let waiver = format!("drop-table@app/{}/ops.json", tool.third.name);
    let run = bench.project.landfall(&["run", "tool", "--yes", "--approve", &waiver, "--note", "nobody reads it"]);
    run.expect(0, &["1 migration applied, nothing pending"]);
    assert!(bench.there("third"));

    // Changed after it was made: it waits, and nobody knows what it was.
    let mut files = files::of_image(tool);
    (tool.write)(&mut files, &tool.third, WHOLE);
    files::edit(&mut files, tool.third.name);
    bench.droplet.sql("DROP TABLE third; DELETE FROM prisma_contract.ledger WHERE migration_name LIKE '%third'");
    bench.droplet.sql("UPDATE prisma_contract.marker SET core_hash = (SELECT destination_core_hash FROM prisma_contract.ledger ORDER BY id DESC LIMIT 1)");
    bench.put(&files);
    bench.project.landfall(&["run", "tool", "--yes"]).expect(7, &[tool.third.name, "was changed after it was made"]);
}

impl<'d> Bench<'d> {
    pub(super) fn new(tool: &'static Tool, droplet: &'d Droplet, project: Project) -> Self {
        let files = r#"files = ["docker-compose.prod.yml"]"#;
        project.edit("landfall.toml", files, r#"files = ["docker-compose.prod.yml", "/tmp/it-tools/compose.yml"]"#);
        let name = tool.name;
        let step = format!(
            "[[steps]]\nkind = \"migrate\"\nname = \"{name}\"\ntool = \"{name}\"\nservice = \"tools\"\nper_host = true\n"
        );
        project.playbook("tool", &step);
        let bench = Self { tool, droplet, project, image: droplet.extra_image("tools") };
        bench.compose("");
        bench.keep(&files::of_image(tool));
        bench
    }

    /// The service, as the image is or with something mounted.
    fn compose(&self, more: &str) {
        let Self { tool: Tool { project, .. }, image, .. } = self;
        let text =
            format!("services:\n  tools:\n    image: {image}\n    working_dir: /app/{project}\n    env_file: ../.env\n{more}");
        self.droplet.sh(&format!("mkdir -p /tmp/it-tools && cat >/tmp/it-tools/compose.yml <<'EOF'\n{text}EOF"));
    }

    /// These are the files in the client's folder.
    fn keep(&self, files: &Files) {
        let folder = self.tool.folder;
        // There may be none yet.
        let _ = std::fs::remove_dir_all(self.project.path(folder));
        for (path, text) in files {
            self.project.write(&format!("{folder}/{path}"), text);
        }
    }

    /// These are, and take the place of the image's.
    pub(super) fn put(&self, files: &Files) {
        let mut script = "rm -rf /tmp/it-tools/files\n".to_owned();
        for (path, text) in files {
            let path = format!("/tmp/it-tools/files/{path}");
            write!(script, "mkdir -p $(dirname {path})\ncat >{path} <<'EOF'\n{text}EOF\n").unwrap();
        }
        self.droplet.sh(&script);
        let Tool { project, folder, .. } = self.tool;
        self.compose(&format!("    volumes: [\"/tmp/it-tools/files:/app/{project}/{folder}:ro\"]\n"));
        self.keep(files);
    }

    /// The image's files, and the third with this in it.
    fn with_third(&self, sql: &str) -> Files {
        let mut files = files::of_image(self.tool);
        (self.tool.write)(&mut files, &self.tool.third, sql);
        files
    }

    /// So many are applied, by the tool's own history.
    fn count(&self) -> String {
        self.droplet.sql(self.tool.count)
    }

    pub(super) fn there(&self, relation: &str) -> bool {
        !self.droplet.sql(&format!("SELECT to_regclass('{relation}')")).is_empty()
    }

    fn sleeps(&self) -> bool {
        self.droplet.sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") == "1"
    }

    /// Ends what sleeps in the server, as an administrator or a restart would.
    fn wake(&self) {
        self.droplet.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'");
    }

    fn pending(&self) {
        let [one, two] = self.tool.first;
        self.project.landfall(&["plan", "tool"]).expect(0, &[one, two]);
        self.project.landfall(&["verify", "tool"]).expect(0, &["0 applied", one, two, "pending", "READY TO MERGE"]);
        assert!(!self.there("voters"), "a look makes nothing");
    }

    fn applied(&self) {
        let done = format!("{} migrations applied, nothing pending", 2 + self.tool.framework);
        self.project.landfall(&["run", "tool", "--yes"]).expect(0, &[&done]);
        assert!(self.there("voters"));
        assert_eq!(self.count(), "2");
        self.project.landfall(&["plan", "tool"]).expect(0, &["nothing is pending"]);
        self.up_to_date(2);
    }

    /// Nothing waits, by everybody's word.
    fn up_to_date(&self, applied: usize) {
        self.project.landfall(&["run", "tool", "--yes"]).expect(0, &["nothing pending"]);
        self.project.landfall(&["verify", "tool"]).expect(0, &[&format!("{applied} applied, "), "READY TO MERGE"]);
    }

    /// A run saw that the third waits, and it alone; it still does, and nothing of it is there.
    fn is_left_pending(&self, run: &crate::program::Output, more: &[&str]) {
        let third = self.tool.third.name;
        let told = [format!("1 migration pending ({third})"), format!("still pending: {third}")];
        run.expect(1, &[&told[0], &told[1]]).expect(1, more);
        assert_eq!(self.count(), "2");
        assert!(!self.there("half"));
    }

    fn failed(&self) {
        self.put(&self.with_third(BROKEN));
        self.is_left_pending(&self.project.landfall(&["run", "tool", "--yes"]), &[self.tool.reason]);
    }

    fn killed(&self) {
        self.put(&self.with_third(SLOW));
        let running = self.project.start(&["run", "tool", "--yes"]);
        eventually("it sleeps", || self.sleeps());
        self.wake();
        self.is_left_pending(&running.finish(), &[]);

        let running = self.project.start(&["run", "tool", "--yes"]);
        eventually("it sleeps", || self.sleeps());
        self.droplet.sh("docker kill $(docker ps --quiet --filter label=landfall.run)");
        running.until("the database still works on it");
        self.wake();
        self.is_left_pending(&running.finish(), &[]);

        self.put(&self.with_third(WHOLE));
        self.project.landfall(&["run", "tool", "--yes"]).expect(0, &["1 migration applied, nothing pending"]);
        assert_eq!(self.count(), "3");
        assert!(self.there("third"));
    }

    fn edited(&self) {
        let mut files = self.with_third(WHOLE);
        files::edit(&mut files, self.tool.first[0]);
        self.put(&files);
        if self.tool.digests {
            self.project.landfall(&["run", "tool", "--yes"]).expect(7, &["drift", self.tool.first[0]]);
            self.project.landfall(&["verify", "tool"]).expect(7, &[self.tool.first[0], "edited", "NOT READY"]);
        } else {
            self.project.landfall(&["run", "tool", "--yes"]).expect(0, &["nothing pending"]);
            let told = ["3 applied, as in the image; whether one was edited since cannot be known", "READY TO MERGE"];
            self.project.landfall(&["verify", "tool"]).expect(0, &told);
        }
    }

    fn deleted(&self) {
        for (gone, recorded) in [self.tool.first[0], self.tool.third.name].into_iter().zip(self.tool.recorded) {
            let mut files = self.with_third(WHOLE);
            files::delete(&mut files, gone);
            self.put(&files);
            self.project.landfall(&["run", "tool", "--yes"]).expect(7, &["not among the files", recorded]);
        }
        self.project.landfall(&["verify", "tool"]).expect(7, &[self.tool.recorded[1], "missing", "NOT READY"]);
        // The journal may still name it, and then the tool itself cannot go on.
        let mut files = self.with_third(WHOLE);
        if files.remove("0002_third.sql").is_some() {
            self.put(&files);
            self.project.landfall(&["run", "tool", "--yes"]).expect(1, &["0002_third.sql is not there"]);
        }
        assert_eq!(self.count(), "3");
    }

    fn late(&self) {
        let mut files = self.with_third(WHOLE);
        (self.tool.write)(&mut files, &self.tool.late, "CREATE TABLE late (id int PRIMARY KEY)");
        self.put(&files);
        let run = self.project.landfall(&["run", "tool", "--yes"]);
        match self.tool.when_late {
            Late::Applied => {
                let waits = format!("1 migration pending ({})", self.tool.late.name);
                run.expect(0, &[&waits, "1 migration applied, nothing pending"]);
                assert_eq!((self.count(), self.there("late")), ("4".to_owned(), true));
            }
            Late::Refused(code, why) => {
                run.expect(code, &[why]);
                assert_eq!((self.count(), self.there("late")), ("3".to_owned(), false));
            }
        }
    }

    fn unreachable(&self) {
        self.put(&self.with_third(WHOLE));
        self.droplet.sh("docker stop --time 3 deployment-postgres-1");
        for (words, code) in [(&["plan", "tool"][..], 0), (&["verify", "tool"], 7), (&["run", "tool", "--yes"], 1)] {
            let told = self.project.landfall(words);
            told.expect(code, &["not known"]);
            for good in ["nothing is pending", "nothing pending", "READY TO MERGE"] {
                assert!(!told.said().contains(good), "{words:?} {}", told.said());
            }
        }
        self.droplet.sh("docker start deployment-postgres-1");
        eventually("the database is back", || self.droplet.try_sh("docker exec deployment-postgres-1 pg_isready").0 == 0);
    }
}
