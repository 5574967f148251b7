//! A plan as people and programs read it: text, JSON, or a runbook in markdown with the exact commands. Pure: values in, text out.

mod history;

use std::fmt::Write as _;

use super::failure::short;
use super::sanitize::{label, text};
use super::style::{Paint, Tone};
use crate::facts::{Refusal, Story, size};
use crate::name::{GroupName, HostName};
use crate::plan::{HostPlan, ImageChange, Plan, PlannedStep, Will};
use crate::playbook::{LocalStep, Serial};
use crate::protocol::When;

/// A plan for a person at a terminal.
pub fn plan_text(plan: &Plan, paint: Paint) -> String {
    let mut lines = head(plan, paint);
    for step in &plan.before {
        lines.extend(local(step, paint));
    }
    for host in &plan.hosts {
        lines.push(String::new());
        lines.extend(host_lines(host, paint));
    }
    if !plan.refusals.is_empty() {
        lines.push(String::new());
        lines.extend(plan.refusals.iter().flat_map(|refusal| refused(refusal, "", paint)));
    }
    lines.push(String::new());
    lines.push(verdict(plan.refusals().count(), paint));
    lines.join("\n") + "\n"
}

/// A plan for a program.
pub fn plan_json(plan: &Plan) -> String {
    // A value of our own types always has a JSON form.
    serde_json::to_string_pretty(plan).unwrap_or_default() + "\n"
}

/// A plan as a runbook: the exact commands, to be typed by hand in this order.
pub fn plan_markdown(plan: &Plan) -> String {
    let mut out = format!("# {} of {}\n", plan.playbook, plan.project);
    if let Some(description) = &plan.description {
        paragraph(&mut out, &text(description));
    }
    paragraph(&mut out, &format!("Plan `{}`. {}", plan.digest, sentence(plan.production.as_ref(), plan.serial)));
    for (host, refusal) in plan.refusals() {
        let place = host.map(|host| format!(" on {host}")).unwrap_or_default();
        paragraph(&mut out, &format!("> **Refused{place}**: {}", markdown(&refusal.message)));
    }
    if !plan.before.is_empty() {
        out.push_str("\n## On this machine, before anything else\n");
        for (n, step) in plan.before.iter().enumerate() {
            numbered(&mut out, n + 1, step.name.as_str(), "", &step.shown);
        }
    }
    for host in &plan.hosts {
        host_markdown(&mut out, host);
    }
    out
}

fn head(plan: &Plan, paint: Paint) -> Vec<String> {
    let hosts: Vec<&str> = plan.hosts.iter().map(|host| host.host.as_str()).collect();
    let digest = paint.paint(Tone::Faint, format!("plan {}", plan.digest.get(..12).unwrap_or(&plan.digest)));
    let name = paint.paint(Tone::Strong, plan.playbook.as_str());
    let mut lines = vec![format!("{name} of {} on {}  {digest}", plan.project, hosts.join(", "))];
    lines.extend(plan.description.iter().map(|description| format!("  {}", label(description))));
    if let Some(group) = &plan.production {
        lines.push(format!("  {} of the group {group}", paint.paint(Tone::Warn, "production")));
    }
    lines.extend(plan.serial.map(|serial| format!("  {}", batches(serial))));
    lines
}

fn batches(serial: Serial) -> String {
    match serial {
        Serial::Hosts(1) => "one host at a time".to_owned(),
        Serial::Hosts(count) => format!("{count} hosts at a time"),
        Serial::Percent(percent) => format!("{percent} % of the hosts at a time"),
    }
}

fn sentence(production: Option<&GroupName>, serial: Option<Serial>) -> String {
    let production = production.map(|group| format!("Touches the production group `{group}`.")).unwrap_or_default();
    let serial = serial.map(|serial| format!("Goes {}.", batches(serial))).unwrap_or_default();
    [production, serial].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

fn local(step: &LocalStep, paint: Paint) -> Vec<String> {
    let hosts = step.hosts.iter().map(HostName::as_str).collect::<Vec<_>>().join(", ");
    let more = paint.paint(Tone::Faint, format!("on this machine, before anything else, for {hosts}"));
    let mut lines = vec![String::new(), format!("  {}  {more}", paint.paint(Tone::Strong, label(step.name.as_str())))];
    lines.extend(command(&step.shown));
    lines
}

/// One host: what is there, then what will happen, then what is in the way.
fn host_lines(host: &HostPlan, paint: Paint) -> Vec<String> {
    let name = paint.paint(Tone::Strong, host.host.as_str());
    let mut lines = vec![format!("{name}  {}", paint.paint(Tone::Faint, label(&host.address)))];
    for image in &host.images {
        lines.push(format!("  image      {}", image_story(image)));
        // Whole, because it is compared with what a registry or another tool tells.
        lines.extend(image.digest.as_deref().map(|digest| format!("             {}", paint.paint(Tone::Faint, label(digest)))));
    }
    let lock = match &host.lock {
        Some(holder) => {
            let story = format!("held by run {} of {} since {}", holder.run, label(&holder.who), label(&holder.since));
            paint.paint(Tone::Bad, story)
        }
        None if host.effects => "free".to_owned(),
        None => "not needed: nothing of it has effects".to_owned(),
    };
    lines.push(format!("  lock       {lock}"));
    lines.extend(host.disk_free.map(|bytes| format!("  disk       {} free", size(bytes))));
    lines.extend(host.database.iter().map(|found| {
        let pool = if found.pooled { ", through a connection pool" } else { "" };
        format!("  database   {} of {}, as {}{pool}", label(&found.name), label(&found.server), label(&found.user))
    }));
    for pull in &host.pulls {
        lines.push(format!("  {PULLED}"));
        lines.extend(command(pull));
    }
    for (n, step) in host.steps.iter().enumerate() {
        let number = paint.paint(Tone::Faint, format!("{:>3}.", n + 1));
        let (will, tone) = will(&step.will);
        let when = condition(step.when).map(|when| format!(", {when}")).unwrap_or_default();
        let kind = paint.paint(Tone::Faint, label(&step.kind));
        let name = paint.paint(Tone::Strong, label(step.name.as_str()));
        let will = tone.map_or_else(|| will.clone(), |tone| paint.paint(tone, &will));
        lines.push(format!("{number} {name}  {kind}  {will}{when}"));
        lines.extend(command(&step.shown));
        lines.extend(step.host_only.iter().map(|why| format!("       {} {}", paint.paint(Tone::Warn, HOST_ONLY), label(why))));
        lines.extend(history::lines(step, paint));
        lines.extend(
            step.approved.iter().map(|of| format!("       {} {}", paint.paint(Tone::Warn, "approved:"), label(&of.to_string()))),
        );
    }
    for warning in &host.warnings {
        lines.push(format!("  {} {}", paint.paint(Tone::Warn, "warning:"), label(warning)));
    }
    lines.extend(host.refusals.iter().flat_map(|refusal| refused(refusal, "  ", paint)));
    lines
}

/// What a leading pull means for what stands below it.
const PULLED: &str = "pulled while a run is prepared; images and what is pending are then looked at again, and shown";

/// That a database which several hosts may share is guarded on this one alone.
const HOST_ONLY: &str = "guarded on this host only:";

fn command(shown: &str) -> Vec<String> {
    text(shown).lines().enumerate().map(|(n, line)| format!("       {} {line}", if n == 0 { "$" } else { " " })).collect()
}

fn image_story(image: &ImageChange) -> String {
    let known = |id: &Option<String>| id.as_deref().map_or_else(|| "nothing".to_owned(), short);
    let name = format!("{}: {}", image.service, label(&image.image));
    match (&image.to, image.replaced) {
        (None, _) => format!("{name}: not on this host yet; {} serves", known(&image.from)),
        (to, _) if *to == image.from => format!("{name} ({}) serves, and stays", known(to)),
        (to, true) => format!("{name}: {} → {}", known(&image.from), known(to)),
        (to, false) => format!("{name} ({}) is here; {} serves, and stays", known(to), known(&image.from)),
    }
}

fn will(will: &Will) -> (String, Option<Tone>) {
    match will {
        Will::Run => ("runs".to_owned(), None),
        Will::RunHere => ("runs on this machine".to_owned(), None),
        Will::Skip { story } => (format!("is skipped: {}", told(story)), Some(Tone::Faint)),
        Will::Refuse { story } => (format!("is refused: {}", told(story)), Some(Tone::Bad)),
        Will::WaitFor { host } => (format!("waits for {host}, which does it once for all"), None),
        Will::NothingPending => ("nothing is pending".to_owned(), Some(Tone::Faint)),
        Will::Apply { names } if names.is_empty() => {
            ("applies what is pending (not named by the tool)".to_owned(), Some(Tone::Warn))
        }
        Will::Apply { names } if names.len() == 1 => ("applies 1 migration".to_owned(), Some(Tone::Warn)),
        Will::Apply { names } => (format!("applies {} migrations", names.len()), Some(Tone::Warn)),
        Will::NotKnown { why } => (format!("not known: {}", label(why)), Some(Tone::Warn)),
    }
}

/// The story of a step that ran before.
fn told(story: &Story) -> String {
    let end = match story.ok {
        Some(true) => "ran",
        Some(false) => "failed",
        None => "began (how it ended is not known)",
    };
    let image = story.image.as_deref().map(|image| format!(" from {}", short(image))).unwrap_or_default();
    let host = story.host.as_ref().map(|host| format!(" on {host}")).unwrap_or_default();
    format!("{end} on {} by {} in run {}{host}{image}", label(&story.when), label(&story.who), story.run)
}

fn condition(when: When) -> Option<&'static str> {
    match when {
        When::Success => None,
        When::Failure => Some("only after a failure"),
        When::Always => Some("in any case"),
        When::Unknown => Some("only after an unknown outcome"),
    }
}

fn refused(refusal: &Refusal, indent: &str, paint: Paint) -> Vec<String> {
    let mut lines = vec![format!("{indent}{} {}", paint.paint(Tone::Bad, "refused:"), label(&refusal.message))];
    lines
        .extend(refusal.remedy.iter().map(|remedy| format!("{indent}   {} {}", paint.paint(Tone::Help, "help:"), label(remedy))));
    lines
}

fn verdict(refusals: usize, paint: Paint) -> String {
    match refusals {
        0 => "Nothing is in the way.".to_owned(),
        1 => paint.paint(Tone::Bad, "A run would be refused, for 1 reason."),
        count => paint.paint(Tone::Bad, format!("A run would be refused, for {count} reasons.")),
    }
}

fn host_markdown(out: &mut String, host: &HostPlan) {
    // Writing to a string does not fail.
    _ = write!(out, "\n## On {} (`{}`)\n", host.host, label(&host.address));
    for image in &host.images {
        let digest = image.digest.as_deref().map(|digest| format!(", `{}`", label(digest))).unwrap_or_default();
        paragraph(out, &format!("- {}{digest}", markdown(&image_story(image))));
    }
    for warning in &host.warnings {
        paragraph(out, &format!("> **Warning**: {}", markdown(warning)));
    }
    for pull in &host.pulls {
        let pull = text(pull).replace('\n', "\n  ");
        _ = write!(out, "\n- {}\n\n  ```sh\n  {pull}\n  ```\n", markdown(PULLED));
    }
    for (n, step) in host.steps.iter().enumerate() {
        let PlannedStep { name, kind, shown, when, will: fate, .. } = step;
        let when = condition(*when).map(|when| format!(", {when}")).unwrap_or_default();
        numbered(out, n + 1, name.as_str(), &format!(" ({}{when}): {}", label(kind), will(fate).0), shown);
        if let Some(why) = &step.host_only {
            paragraph(out, &format!("   > **Guarded on this host only**: {}", markdown(why)));
        }
        history::markdown_of(out, step);
        for approved in &step.approved {
            paragraph(out, &format!("   > **Approved**: {}", markdown(&approved.to_string())));
        }
    }
}

fn numbered(out: &mut String, n: usize, name: &str, more: &str, shown: &str) {
    let shown = text(shown);
    // A command that holds a fence must not end its own.
    let longest = shown.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    let body = shown.lines().collect::<Vec<_>>().join("\n   ");
    _ = write!(out, "\n{n}. **{}**{}\n\n   {fence}sh\n   {body}\n   {fence}\n", markdown(name), markdown(more));
}

fn paragraph(out: &mut String, paragraph: &str) {
    if !paragraph.is_empty() {
        _ = write!(out, "\n{}\n", paragraph.trim_end());
    }
}

/// Text in which no character means anything to markdown.
fn markdown(text: &str) -> String {
    label(text).chars().fold(String::new(), |mut out, c| {
        if "\\`*_[]<>#|".contains(c) {
            out.push('\\');
        }
        out.push(c);
        out
    })
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    fn host() -> HostPlan {
        let id = |c: &str| Some(format!("sha256:{}", c.repeat(64)));
        let step = |name: &str, kind: &str, shown: &str, when, will| PlannedStep {
            name: name.parse().unwrap(),
            kind: kind.into(),
            shown: shown.into(),
            when,
            check: kind == "health",
            will,
            history: None,
            approved: Vec::new(),
            host_only: (kind == "migrate").then(|| "the login may not make the schema landfall in it".to_owned()),
        };
        let story = Story {
            run: "kkkkllllmmmm".parse().unwrap(),
            when: "2026-05-04T10:00:00Z".into(),
            who: "bob@ci".into(),
            host: Some("droplet-2".parse().unwrap()),
            image: id("c"),
            ok: Some(true),
        };
        HostPlan {
            host: "droplet-1".parse().unwrap(),
            address: "203.0.113.10".into(),
            effects: true,
            images: vec![ImageChange {
                service: "api".parse().unwrap(),
                image: "registry.example/api:1.5".into(),
                from: id("a"),
                to: id("b"),
                digest: id("d"),
                replaced: true,
            }],
            pulls: Vec::new(),
            steps: vec![
                step(
                    "migrate",
                    "migrate",
                    "npx prisma migrate deploy",
                    When::Success,
                    Will::Apply { names: vec!["20260101_orders".into(), "20260102_index".into()] },
                ),
                step(
                    "seed configurations",
                    "seed",
                    "npx tsx prisma/seeds/configurations.seed.ts",
                    When::Success,
                    Will::Skip { story },
                ),
                step("up", "up", "docker compose up --detach --no-deps --wait api", When::Success, Will::Run),
                step("api answers", "health", "GET http://127.0.0.1:3000/health", When::Success, Will::RunHere),
                step("logs", "shell", "docker compose logs --tail 50 api\necho ```", When::Failure, Will::Run),
            ],
            lock: None,
            disk_free: Some(12_345_678_901),
            database: Some(crate::facts::DatabaseFacts {
                server: "PostgreSQL 15.8".into(),
                name: "etally".into(),
                user: "etally".into(),
                ..Default::default()
            }),
            warnings: vec!["the disk is nearly full".into()],
            refusals: vec![Refusal::unfit("the network etally_default is missing", "docker compose up --no-start")],
        }
    }

    #[test]
    fn a_host_as_text() {
        assert_snapshot!(host_lines(&host(), Paint { colour: false }).join("\n"), @r"
        droplet-1  203.0.113.10
          image      api: registry.example/api:1.5: sha256:aaaaaaaaaaaa → sha256:bbbbbbbbbbbb
                     sha256:dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd
          lock       free
          disk       11.4 GiB free
          database   etally of PostgreSQL 15.8, as etally
          1. migrate  migrate  applies 2 migrations
               $ npx prisma migrate deploy
               guarded on this host only: the login may not make the schema landfall in it
               + 20260101_orders
               + 20260102_index
          2. seed configurations  seed  is skipped: ran on 2026-05-04T10:00:00Z by bob@ci in run kkkkllllmmmm on droplet-2 from sha256:cccccccccccc
               $ npx tsx prisma/seeds/configurations.seed.ts
          3. up  up  runs
               $ docker compose up --detach --no-deps --wait api
          4. api answers  health  runs on this machine
               $ GET http://127.0.0.1:3000/health
          5. logs  shell  runs, only after a failure
               $ docker compose logs --tail 50 api
                 echo ```
          warning: the disk is nearly full
          refused: the network etally_default is missing
             help: docker compose up --no-start
        ");
    }

    #[test]
    fn a_host_as_markdown() {
        let mut out = String::new();
        host_markdown(&mut out, &host());
        assert_snapshot!(out, @r"
        ## On droplet-1 (`203.0.113.10`)

        - api: registry.example/api:1.5: sha256:aaaaaaaaaaaa → sha256:bbbbbbbbbbbb, `sha256:dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd`

        > **Warning**: the disk is nearly full

        1. **migrate** (migrate): applies 2 migrations

           ```sh
           npx prisma migrate deploy
           ```

           > **Guarded on this host only**: the login may not make the schema landfall in it

           - 20260101\_orders
           - 20260102\_index

        2. **seed configurations** (seed): is skipped: ran on 2026-05-04T10:00:00Z by bob@ci in run kkkkllllmmmm on droplet-2 from sha256:cccccccccccc

           ```sh
           npx tsx prisma/seeds/configurations.seed.ts
           ```

        3. **up** (up): runs

           ```sh
           docker compose up --detach --no-deps --wait api
           ```

        4. **api answers** (health): runs on this machine

           ```sh
           GET http://127.0.0.1:3000/health
           ```

        5. **logs** (shell, only after a failure): runs

           ````sh
           docker compose logs --tail 50 api
           echo ```
           ````
        ");
    }

    /// The plan of a shipped playbook for a host of which nothing is known.
    fn whole() -> Plan {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("landfall.toml"), crate::playbook::INVENTORY).unwrap();
        std::fs::write(at("validate.toml"), "[[steps]]\nkind = \"health\"\nurl = \"http://127.0.0.1/\"\nfrom = \"host\"\n")
            .unwrap();
        let inventory = crate::playbook::Inventory::read(&at("landfall.toml")).unwrap();
        let playbook = crate::playbook::open(&inventory, &at("validate.toml"), &crate::playbook::Options::default()).unwrap();
        let facts = playbook.hosts.iter().map(|host| (host.name.clone(), crate::facts::Facts::default())).collect();
        let mut plan = Plan::new(&playbook, facts);
        plan.digest = "ab".repeat(32);
        plan
    }

    #[test]
    fn a_whole_plan_as_text() {
        assert_snapshot!(plan_text(&whole(), Paint { colour: false }), @r"
        validate of example on prod-1  plan abababababab
          production of the group prod

        prod-1  203.0.113.10
          lock       not needed: nothing of it has effects
          disk       0 bytes free
          1. health  health  runs
               $ curl -sS http://127.0.0.1/  # expects 200

        Nothing is in the way.
        ");
    }

    #[test]
    fn a_whole_plan_as_markdown() {
        assert_snapshot!(plan_markdown(&whole()), @r"
        # validate of example

        Plan `abababababababababababababababababababababababababababababababab`. Touches the production group `prod`.

        ## On prod-1 (`203.0.113.10`)

        1. **health** (health): runs

           ```sh
           curl -sS http://127.0.0.1/  # expects 200
           ```
        ");
    }

    #[test]
    fn a_whole_plan_as_json() {
        let value: serde_json::Value = serde_json::from_str(&plan_json(&whole())).unwrap();
        assert_eq!(value["playbook"], "validate");
        assert_eq!(value["hosts"][0]["steps"][0]["will"]["will"], "run");
    }
}
