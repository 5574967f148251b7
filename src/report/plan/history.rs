//! What a plan shows of migrations: name, state and SQL of each that is not simply applied, and who vouches for it.

use super::{Tone, label, markdown, paragraph, text};
use crate::facts::{History, Migration, MigrationState as State, Preview};
use crate::plan::{PlannedStep, Will};
use crate::report::style::Paint;

/// So many lines of a migration are shown; JSON has them all.
const LINES: usize = 25;

/// Below a step of a plan for a person.
pub(super) fn lines(step: &PlannedStep, paint: Paint) -> Vec<String> {
    let names = |names: &[String]| -> Vec<String> {
        names.iter().map(|name| format!("       {} {}", paint.paint(Tone::Warn, "+"), label(name))).collect()
    };
    let Some(history) = &step.history else {
        return if let Will::Apply { names: pending } = &step.will { names(pending) } else { Vec::new() };
    };
    if let Some(why) = &history.not_known {
        let said = paint.paint(Tone::Faint, format!("guarded by the tool's own word only: {}", label(why)));
        let pending = if let Will::Apply { names: pending } = &step.will { names(pending) } else { Vec::new() };
        let printed = history.previews.iter().flat_map(|preview| printed(preview, paint));
        return pending.into_iter().chain(printed).chain([format!("       {said}")]).collect();
    }
    let mut lines = Vec::new();
    for migration in open(history) {
        let (mark, tone) = match migration.state {
            State::Pending => ("+", Tone::Warn),
            State::Aside | State::Along => ("·", Tone::Faint),
            _ => ("!", Tone::Bad),
        };
        let said = paint.paint(if tone == Tone::Bad { tone } else { Tone::Faint }, said(migration));
        lines.push(format!("       {} {}  {said}", paint.paint(tone, mark), label(&migration.name)));
        let preview = history.previews.iter().find(|preview| preview.of.as_ref() == Some(&migration.name));
        lines.extend(preview.into_iter().flat_map(|preview| printed(preview, paint)));
        // Where its tool prints all of it, a program itself tells no more.
        if preview.is_none_or(|preview| preview.lacks.is_some()) {
            lines.extend(below(sql(migration), paint));
        }
    }
    for name in foreign(step, history) {
        let said = paint.paint(Tone::Faint, FOREIGN);
        lines.push(format!("       {} {}  {said}", paint.paint(Tone::Warn, "+"), label(name)));
        let preview = history.previews.iter().find(|preview| preview.of.as_ref() == Some(name));
        lines.extend(preview.into_iter().flat_map(|preview| printed(preview, paint)));
    }
    lines.extend(history.previews.iter().filter(|preview| preview.of.is_none()).flat_map(|preview| printed(preview, paint)));
    lines
}

fn below(lines: Vec<String>, paint: Paint) -> impl Iterator<Item = String> {
    lines.into_iter().map(move |line| format!("           {}", paint.paint(Tone::Faint, line)))
}

/// What a tool prints of programs.
fn printed(preview: &Preview, paint: Paint) -> Vec<String> {
    let lacks =
        preview.lacks.iter().map(|why| format!("           {} {}", paint.paint(Tone::Warn, "not all of it:"), label(why)));
    below(folded(&preview.sql, preview.cut), paint).chain(lacks).collect()
}

/// Below a step of a runbook.
pub(super) fn markdown_of(out: &mut String, step: &PlannedStep) {
    let Some(history) = step.history.as_ref().filter(|history| history.not_known.is_none()) else {
        if let Will::Apply { names } = &step.will {
            let names: Vec<String> = names.iter().map(|name| format!("   - {}", markdown(name))).collect();
            paragraph(out, &names.join("\n"));
        }
        return;
    };
    let own = open(history).map(|migration| (&migration.name, said(migration)));
    let each = own.chain(foreign(step, history).map(|name| (name, FOREIGN.to_owned())));
    let each: Vec<String> = each.map(|(name, said)| format!("   - {}: {}", markdown(name), markdown(&said))).collect();
    paragraph(out, &each.join("\n"));
}

/// What is said of those that the tool alone names, as it does of a framework's own applications.
const FOREIGN: &str = "pending, by the tool's word: its file is not among those of the project";

fn foreign<'s>(step: &'s PlannedStep, history: &'s History) -> impl Iterator<Item = &'s String> {
    let named: &[String] = if let Will::Apply { names } = &step.will { names } else { &[] };
    named.iter().filter(|name| !history.migrations.iter().any(|migration| migration.name == **name))
}

/// Those that a person must know of.
fn open(history: &History) -> impl Iterator<Item = &Migration> {
    history.migrations.iter().filter(|migration| migration.state != State::Applied)
}

fn said(migration: &Migration) -> String {
    let more = match migration.state {
        State::Pending if migration.late => ", older than the newest that is applied",
        State::Edited => ": applied, and its file is another one now; what was applied is not known here",
        State::Missing => ": applied, and its file is gone",
        State::Skipped => ": never applied, and the tool passes it over",
        State::Aside => ": not applied, and the way on from here does not lead through it",
        State::Along => ": no migration, it runs whenever one is applied",
        _ => "",
    };
    let told = migration.told.as_deref().map(|told| format!(" ({})", label(told))).unwrap_or_default();
    format!("{}{more}{told}", migration.state.as_str())
}

fn sql(migration: &Migration) -> Vec<String> {
    let Some(whole) = migration.text.as_deref().filter(|_| migration.state != State::Edited) else { return Vec::new() };
    folded(whole, migration.cut)
}

fn folded(whole: &str, cut: bool) -> Vec<String> {
    let shown = text(whole);
    let all: Vec<&str> = shown.lines().filter(|line| !line.trim().is_empty()).collect();
    let mut lines: Vec<String> = all.iter().take(LINES).map(ToString::to_string).collect();
    match (all.len().saturating_sub(LINES), cut) {
        (0, false) => {}
        (0, true) => lines.push("… and more than can be shown".to_owned()),
        (more, cut) => lines.push(format!("… {more} more lines{}", if cut { ", and more than can be shown" } else { "" })),
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_is_told() {
        let of = |name: &str, state, text: Option<&str>| Migration {
            name: name.into(),
            key: None,
            state,
            late: name == "2_late",
            sha256: None,
            file: None,
            recorded: None,
            text: text.map(str::to_owned),
            cut: false,
            told: (state == State::Failed).then(|| "it began at noon".to_owned()),
            begun: false,
        };
        let migrations = vec![
            of("1_a", State::Applied, None),
            of("2_late", State::Pending, Some("CREATE TABLE a (\n  id int\n);\n")),
            of("3_c", State::Failed, None),
            of("4_d", State::Edited, Some("DROP TABLE x;")),
            of("5_e", State::Missing, None),
            of("6_f", State::Pending, Some(&"SELECT 1;\n".repeat(27))),
        ];
        let history = History { migrations, ..History::default() };
        let mut step = PlannedStep {
            name: "migrate".parse().unwrap(),
            kind: "migrate".into(),
            shown: String::new(),
            when: crate::protocol::When::Success,
            check: false,
            will: Will::Apply { names: vec!["2_late".into()] },
            history: Some(history),
            approved: Vec::new(),
            host_only: None,
        };
        let shown = lines(&step, Paint { colour: false });
        insta::assert_snapshot!(shown[..8].join("\n"), @r"
        + 2_late  pending, older than the newest that is applied
            CREATE TABLE a (
              id int
            );
        ! 3_c  failed (it began at noon)
        ! 4_d  edited: applied, and its file is another one now; what was applied is not known here
        ! 5_e  missing: applied, and its file is gone
        + 6_f  pending
        ");
        assert_eq!(shown.last().unwrap().trim(), "… 2 more lines");
        step.history = Some(History { not_known: Some("landfall.toml names no [database]".into()), ..History::default() });
        let shown = lines(&step, Paint { colour: false });
        insta::assert_snapshot!(shown.join("\n"), @r"
        + 2_late
        guarded by the tool's own word only: landfall.toml names no [database]
        ");
    }
}
