//! The states, one after the other: each begins where the one before left the database.

use std::fmt::Write as _;

use super::database::Database;
use super::files::{self, Files};
use super::{Late, Tool};
use crate::droplet::{Droplet, droplet, eventually};
use crate::program::Output;
use crate::project::Project;

const BROKEN: &str = "CREATE TABLE half (id int PRIMARY KEY); ALTER TABLE nope ADD COLUMN x int";
/// In the droplet's own project.
const COMPOSE: &str = "cd /opt/etally/deployment && \
     docker compose --env-file ../.env --file docker-compose.prod.yml --file /tmp/it-tools/compose.yml";
const WHOLE: &str = "CREATE TABLE third (id int PRIMARY KEY)";

/// A tool on a droplet, and the client's folder beside it.
pub(super) struct Bench<'d> {
    tool: &'static Tool,
    pub(super) droplet: &'d Droplet,
    pub(super) database: Database<'d>,
    pub(super) project: Project,
    image: String,
    /// The tool runs in the container of its service, which is there all the time.
    exec: bool,
}

/// Puts a tool into every state on PostgreSQL.
pub(super) fn of(tool: &'static Tool) {
    let droplets = droplet();
    Bench::new(tool, &droplets[0], Database::postgres(&droplets)).in_every_state();
}

/// The same on MariaDB.
pub(super) fn of_maria(tool: &'static Tool) {
    let droplets = droplet();
    Bench::new(tool, &droplets[0], Database::maria(&droplets)).in_every_state();
}

/// A tool in the running container of its service, in the states that this makes different.
pub(super) fn in_its_container(tool: &'static Tool) {
    let droplets = droplet();
    let mut bench = Bench::new(tool, &droplets[0], Database::postgres(&droplets));
    bench.exec = true;
    for playbook in ["tool", "status"] {
        let service = "service = \"tools\"\n";
        bench.project.edit(&format!("playbooks/{playbook}.toml"), service, &format!("{service}via = \"exec\"\n"));
    }
    bench.compose("");
    bench.pending();
    bench.applied();
    bench.failed();
    bench.killed();
    bench.unreachable();
    bench.droplet.sh(&format!("{COMPOSE} rm --stop --force tools </dev/null"));
}

/// A history in a table of another name and schema, which the tool was told by `variable`.
pub(super) fn kept_elsewhere(tool: &'static Tool, variable: &str) {
    let droplets = droplet();
    let bench = Bench::new(tool, &droplets[0], Database::postgres(&droplets));
    let told = format!("service = \"tools\"\nenv = {{ {variable} = \"kept.by_tool\" }}\n");
    for playbook in ["tool", "status"] {
        let playbook = format!("playbooks/{playbook}.toml");
        bench.project.edit(&playbook, "service = \"tools\"\n", &format!("{told}history = \"kept.by_tool\"\n"));
    }
    bench.pending();
    bench.run().expect(0, &["2 migrations applied, nothing pending"]);
    assert_eq!(bench.database.sql("SELECT count(*) FROM kept.by_tool"), "2");
    bench.up_to_date(2);
    bench.project.landfall(&["validate", "status"]).expect(0, &["nothing pending"]);
}

/// Numbers with zeros before them, in a folder below too, and a variable VERSION: to Rails that is where to migrate to, and what is newer
/// it would take back.
pub(super) fn by_number(tool: &'static Tool) {
    let droplets = droplet();
    let bench = Bench::new(tool, &droplets[0], Database::postgres(&droplets));
    for playbook in ["tool", "status"] {
        let service = "service = \"tools\"\n";
        bench.project.edit(&format!("playbooks/{playbook}.toml"), service, &format!("{service}env = {{ VERSION = \"1\" }}\n"));
    }
    bench.applied();
    let mut files = files::of_image(tool);
    for (path, class, table) in [("001_old.rb", "Old", "old"), ("sub/0002_older.rb", "Older", "older")] {
        let text = format!("class {class} < ActiveRecord::Migration[6.1]\n  def change\n    create_table :{table}\n  end\nend\n");
        files.insert(path.to_owned(), text);
    }
    bench.put(&files);
    bench.run().expect(0, &["2 migrations pending (1, 2)", "2 migrations applied, nothing pending"]);
    assert!(["voters", "old", "older"].iter().all(|table| bench.database.has(table)));
    assert_eq!(
        bench.database.sql("SELECT string_agg(version, ' ' ORDER BY version) FROM schema_migrations WHERE version < '20'"),
        "1 2"
    );
    assert_eq!(bench.count(), "4");
    bench.up_to_date(4);
    files.remove("sub/0002_older.rb");
    bench.put(&files);
    bench.run().expect(7, &["not among the files", "2"]);
}

/// Diesel 2.3 with the libmariadb of Debian 12 reads the first row of its history only, and would apply again what stands in the others.
pub(super) fn overlooking(tool: &'static Tool) {
    let droplets = droplet();
    let bench = Bench::new(tool, &droplets[0], Database::maria(&droplets));
    bench.pending();
    bench.run().expect(0, &["2 migrations applied, nothing pending"]);
    let both = format!("the tool says that pending is {}, but by files and history nothing is pending", tool.first[1]);
    bench.project.landfall(&["plan", "tool"]).expect(7, &[&both]);
    bench.run().expect(7, &[&both]);
    bench.project.landfall(&["validate", "status"]).expect(4, &[&both]);
    assert_eq!(bench.count(), "2");
}

/// Files that were reformatted or cleared away, by somebody who knows what they do.
pub(super) fn parted_on_purpose(tool: &'static Tool) {
    let droplets = droplet();
    Bench::new(tool, &droplets[0], Database::postgres(&droplets)).parts_on_purpose();
}

/// The same on MariaDB, where one that breaks off later must be told all the same.
pub(super) fn parted_on_purpose_on_maria(tool: &'static Tool) {
    let droplets = droplet();
    let bench = Bench::new(tool, &droplets[0], Database::maria(&droplets));
    bench.parts_on_purpose();
    let mut files = files::of_image(tool);
    files::delete(&mut files, tool.first[0]);
    (tool.write)(&mut files, &tool.third, BROKEN);
    bench.put(&files);
    for code in [1, 7] {
        let left = format!("{} seems to have begun and not finished (by the history it waits, but table half", tool.third.name);
        bench.run().expect(code, &[&left]);
    }
    // Somebody may know better; then the tool says what it makes of that.
    let waiver = format!("begun@{}", tool.third.name);
    let words = ["run", "tool", "--yes", "--approve", &waiver, "--note", "it was there before"];
    bench.project.landfall(&words).expect(1, &["1 migration pending", "it was there before", "already exists"]);
}

/// Of what a run that failed had applied before, a later edit is seen.
pub(super) fn edited_after_a_failure(tool: &'static Tool) {
    let droplets = droplet();
    let bench = Bench::new(tool, &droplets[0], Database::postgres(&droplets));
    let mut files = files::of_image(tool);
    (tool.write)(&mut files, &tool.third, BROKEN);
    bench.put(&files);
    bench.run().expect(1, &[&format!("still pending: {}", tool.third.name)]);
    assert_eq!(bench.count(), "2");
    (tool.write)(&mut files, &tool.third, WHOLE);
    files::edit(&mut files, tool.first[1]);
    bench.put(&files);
    bench.run().expect(7, &["drift", tool.first[1]]);
    bench.verify().expect(7, &[tool.first[1], "edited"]);
}

impl Bench<'_> {
    fn parts_on_purpose(&self) {
        let (bench, tool) = (self, self.tool);
        bench.applied();
        let [first, second] = tool.first;
        let waived =
            |waiver: &str| bench.project.landfall(&["run", "tool", "--yes", "--approve", waiver, "--note", "reformatted"]);

        // Once, for what was seen applied is then remembered as it is now.
        let mut files = files::of_image(tool);
        files::edit(&mut files, first);
        bench.put(&files);
        let way = format!("--approve edited@{first} --note TEXT");
        bench.run().expect(7, &["drift", &way]);
        waived(&format!("edited@{second}")).expect(7, &["drift", &way]);
        waived(&format!("edited@{first}")).expect(0, &["nothing pending"]);
        bench.project.landfall(&["report"]).expect(0, &["edited", first, "reformatted"]);
        bench.up_to_date(2);

        // A row without a file stays one: an entry of the repository speaks for it.
        files::delete(&mut files, first);
        bench.put(&files);
        let gone = format!("missing@{}", tool.recorded[0]);
        bench.run().expect(7, &["not among the files", &format!("--approve {gone} --note TEXT")]);
        waived(&gone).expect(0, &["nothing pending"]);
        bench.run().expect(7, &["not among the files"]);
        bench.verify().expect(7, &[tool.recorded[0], "missing"]);
        let write = |waiver: &str| {
            bench.project.landfall(&["verify", "tool", "--write-approval", waiver, "--by", "Ann", "--reason", "made into one"])
        };
        write(&format!("edited@{second}")).expect(2, &["nothing was found"]);
        write(&gone).expect(0, &["wrote one entry"]);
        bench.verify().expect(0, &["Ann took that upon themselves: made into one", "READY TO MERGE"]);
        bench.run().expect(0, &["nothing pending"]);
        bench.project.landfall(&["validate", "status"]).expect(0, &["nothing pending"]);
        bench.project.landfall(&["lint", "--strict"]);
        files::delete(&mut files, second);
        bench.put(&files);
        bench.run().expect(7, &[&format!("not among the files of the image: {}", &tool.first[1][..14])]);
    }
}

/// The two migrations of the image, applied, and then one in their place.
pub(super) fn made_into_one(tool: &'static Tool) {
    let droplets = droplet();
    let bench = Bench::new(tool, &droplets[0], Database::postgres(&droplets));
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
    let bench = Bench::new(tool, &droplets[0], Database::postgres(&droplets));
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
    assert!(bench.database.has("third"));

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
    pub(super) fn new(tool: &'static Tool, droplet: &'d Droplet, (database, project): (Database<'d>, Project)) -> Self {
        let files = database.files();
        project.edit("landfall.toml", files, &format!("{files}, \"/tmp/it-tools/compose.yml\""));
        let name = tool.name;
        let step = format!(
            "[[steps]]\nkind = \"migrate\"\nname = \"{name}\"\ntool = \"{name}\"\nservice = \"tools\"\nper_host = true\n"
        );
        project.playbook("tool", &step);
        project.playbook("status", &step.replace("per_host = true\n", "mode = \"status\"\n"));
        let bench = Self { tool, droplet, database, project, image: droplet.extra_image(tool.image), exec: false };
        bench.compose("");
        bench.keep(&files::of_image(tool));
        bench
    }

    fn in_every_state(&self) {
        self.pending();
        self.applied();
        self.failed();
        self.breaks_off_in_its_own_words();
        self.killed();
        self.edited();
        self.deleted();
        self.late();
        self.unreachable();
    }

    /// The service, as the image is or with something mounted.
    fn compose(&self, more: &str) {
        let Self { tool: Tool { project, .. }, image, .. } = self;
        let env = self.database.environment();
        let text = format!("services:\n  tools:\n    image: {image}\n    working_dir: /app/{project}\n    {env}\n{more}");
        self.droplet.sh(&format!("mkdir -p /tmp/it-tools && cat >/tmp/it-tools/compose.yml <<'EOF'\n{text}EOF"));
        if self.exec {
            self.droplet.sh(&format!("{COMPOSE} up --detach --no-deps --force-recreate --wait tools </dev/null"));
        }
    }

    /// These are the files in the client's folder.
    fn keep(&self, files: &Files) {
        let folder = self.tool.folder;
        // There may be none yet.
        let _ = std::fs::remove_dir_all(self.project.path(folder));
        for (path, text) in files {
            self.project.write(&format!("{folder}/{path}"), text);
        }
        if let Some((path, text)) = files::beside(self.tool) {
            self.project.write(&path, &text);
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
        self.database.sql(self.tool.count)
    }

    fn run(&self) -> Output {
        self.project.landfall(&["run", "tool", "--yes"])
    }

    fn verify(&self) -> Output {
        self.project.landfall(&["verify", "tool"])
    }

    fn pending(&self) {
        let [one, two] = self.tool.first;
        self.project.landfall(&["plan", "tool"]).expect(0, &[one, two]);
        self.verify().expect(0, &["0 applied", one, two, "pending", "READY TO MERGE"]);
        // Those of a framework come first, and leave no room for the names of others.
        let waits = format!("{} pending: ", 2 + self.tool.framework);
        let named: &[&str] = if self.tool.framework == 0 { &[one, two] } else { &[] };
        self.project.landfall(&["validate", "status"]).expect(4, &[&waits]).expect(4, named);
        assert!(!self.database.has("voters"), "a look makes nothing");
    }

    fn applied(&self) {
        let done = format!("{} migrations applied, nothing pending", 2 + self.tool.framework);
        self.run().expect(0, &[&done]);
        assert!(self.database.has("voters"));
        assert_eq!(self.count(), "2");
        self.project.landfall(&["plan", "tool"]).expect(0, &["nothing is pending"]);
        self.project.landfall(&["validate", "status"]).expect(0, &["nothing pending"]);
        self.up_to_date(2);
    }

    /// Nothing waits, by everybody's word.
    fn up_to_date(&self, applied: usize) {
        self.run().expect(0, &["nothing pending"]);
        self.verify().expect(0, &[&format!("{applied} applied, "), "READY TO MERGE"]);
    }

    /// A run saw that the third waits, and it alone, and it broke off: where the server takes back what came before, it still waits,
    /// and else what is left is told, and nothing is applied until somebody has settled it.
    fn breaks_off(&self, run: &Output, more: &[&str]) {
        let third = self.tool.third.name;
        run.expect(1, &[&format!("1 migration pending ({third})")]).expect(1, more);
        assert_eq!(self.count(), "2");
        let whole = self.database.has("whole");
        if self.database.takes_back() {
            run.expect(1, &[&format!("still pending: {third}")]);
            assert!(!self.database.has("half") && !whole);
            return;
        }
        let left = match self.tool.settles {
            Some(_) => format!("{third} began and did not finish"),
            None => format!("{third} seems to have begun and not finished (by the history it waits, but table half"),
        };
        let half = if whole {
            ["all that it makes is in the database (table half, table whole)", "so it seems done"]
        } else {
            ["half-way: table half is in the database", "take back what is there"]
        };
        run.expect(1, &[&left]).expect(1, &half);
        self.run().expect(7, &[&left]).expect(7, &half);
        self.project.landfall(&["plan", "tool"]).expect(7, &[&left]).expect(7, &half);
        self.verify().expect(7, &[third, "failed", "NOT READY"]);
        assert_eq!(self.count(), "2");
        self.database.sql("DROP TABLE IF EXISTS half, whole");
        if let Some(settles) = self.tool.settles {
            self.database.sql(settles);
        }
        self.locked();
    }

    fn failed(&self) {
        self.put(&self.with_third(BROKEN));
        self.breaks_off(&self.run(), &[self.tool.reason]);
    }

    /// The same, where no SQL stands in the file: what it makes is told by its framework's own calls.
    fn breaks_off_in_its_own_words(&self) {
        let Some(write) = self.tool.calls.filter(|_| !self.database.takes_back()) else { return };
        let mut files = files::of_image(self.tool);
        write(&mut files, &self.tool.third);
        self.put(&files);
        self.breaks_off(&self.run(), &[]);
    }

    fn killed(&self) {
        let sleep = self.database.sleep();
        self.put(
            &self
                .with_third(&format!("CREATE TABLE half (id int PRIMARY KEY); {sleep}; CREATE TABLE whole (id int PRIMARY KEY)")),
        );
        let running = self.project.start(&["run", "tool", "--yes"]);
        eventually("it sleeps", || self.database.sleeps());
        self.database.wake();
        self.breaks_off(&running.finish(), &[]);

        let running = self.project.start(&["run", "tool", "--yes"]);
        eventually("it sleeps", || self.database.sleeps());
        self.kill();
        // MariaDB ends what sleeps for a client that is gone; and then goes on with what it was given in one piece with it.
        if self.database.takes_back() {
            running.until("the database still works on it");
            self.database.wake();
        }
        self.breaks_off(&running.finish(), &[]);

        self.put(&self.with_third(WHOLE));
        self.run().expect(0, &["1 migration applied, nothing pending"]);
        assert_eq!(self.count(), "3");
        assert!(self.database.has("third"));
    }

    /// Kills the tool's process: with the container that is its own, or alone.
    fn kill(&self) {
        self.droplet.sh(if self.exec {
            "for p in $(grep -lsz '^LANDFALL_RUN=' /proc/[0-9]*/environ); do
               case $(readlink ${p%/environ}/exe) in /usr/local/bin/dbmate) kill -9 ${p//[!0-9]/} ;; esac
             done"
        } else {
            "docker kill $(docker ps --quiet --filter label=landfall.run)"
        });
    }

    /// A lock of the tool's own that outlived it: it is told, with what frees it.
    fn locked(&self) {
        let Some(lock) = self.tool.lock.as_ref().filter(|lock| self.database.sql(lock.held) == "1") else { return };
        self.run().expect(7, &[lock.told, lock.remedy]);
        self.droplet.sh(&format!(
            "cd /tmp/it-maria && docker compose -f compose.yml -f /tmp/it-tools/compose.yml run --rm -T tools {} </dev/null",
            lock.remedy
        ));
    }

    fn edited(&self) {
        let mut files = self.with_third(WHOLE);
        files::edit(&mut files, self.tool.first[0]);
        self.put(&files);
        let known = || {
            self.run().expect(7, &["drift", self.tool.first[0]]);
            self.project.landfall(&["validate", "status"]).expect(4, &["drift", self.tool.first[0]]);
            self.verify().expect(7, &[self.tool.first[0], "edited", "NOT READY"]);
        };
        known();
        if self.tool.digests {
            return;
        }
        // Without what the runs remembered nobody can know; and one that finds all applied remembers it as it is then.
        self.database.forget();
        let told = ["3 applied, as in the image; whether one was edited since cannot be known", "READY TO MERGE"];
        self.verify().expect(0, &told);
        self.project.landfall(&["plan", "tool"]).expect(0, &["nothing is pending"]);
        self.put(&self.with_third(WHOLE));
        self.run().expect(0, &["nothing pending"]);
        self.verify().expect(0, &["3 applied, unchanged", "READY TO MERGE"]);
        self.put(&files);
        known();
    }

    fn deleted(&self) {
        for (gone, recorded) in [self.tool.first[0], self.tool.third.name].into_iter().zip(self.tool.recorded) {
            let mut files = self.with_third(WHOLE);
            files::delete(&mut files, gone);
            self.put(&files);
            self.run().expect(7, &["not among the files", recorded]);
        }
        self.verify().expect(7, &[self.tool.recorded[1], "missing", "NOT READY"]);
        // The journal may still name it, and then the tool itself cannot go on.
        let mut files = self.with_third(WHOLE);
        if files.remove("0002_third.sql").is_some() {
            self.put(&files);
            self.run().expect(1, &["0002_third.sql is not there"]);
        }
        assert_eq!(self.count(), "3");
    }

    fn late(&self) {
        let mut files = self.with_third(WHOLE);
        (self.tool.write)(&mut files, &self.tool.late, "CREATE TABLE late (id int PRIMARY KEY)");
        self.put(&files);
        let run = self.run();
        match self.tool.when_late {
            Late::Applied => {
                let waits = format!("1 migration pending ({})", self.tool.late.name);
                run.expect(0, &[&waits, "1 migration applied, nothing pending"]);
                assert_eq!((self.count(), self.database.has("late")), ("4".to_owned(), true));
            }
            Late::Refused(code, why) => {
                run.expect(code, &[why]);
                assert_eq!((self.count(), self.database.has("late")), ("3".to_owned(), false));
            }
        }
    }

    fn unreachable(&self) {
        self.put(&self.with_third(WHOLE));
        self.database.without(|| {
            for (words, code) in [(&["plan", "tool"][..], 0), (&["verify", "tool"], 7), (&["run", "tool", "--yes"], 1)] {
                let told = self.project.landfall(words);
                told.expect(code, &["not known"]);
                for good in ["nothing is pending", "nothing pending", "READY TO MERGE"] {
                    assert!(!told.said().contains(good), "{words:?} {}", told.said());
                }
            }
        });
    }
}
