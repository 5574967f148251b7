//! A run as one page, for people: a file that needs nothing else and asks nobody. What is told is in the page itself; its script only
//! opens, searches and switches. What the steps printed lies in blocks that are data to a browser, and is shown line by line.

mod checks;
mod steps;
mod timeline;

use std::io::{self, Write};

use base64::Engine as _;
use sha2::{Digest, Sha256};

use super::closing;
use super::failure::short;
use super::sanitize::label;
use super::story::{Chapter, Part, Story, moment};
use super::style::{Paint, duration};
use crate::event::Status;
use crate::name::HostName;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// So many rows of one kind are shown at once of what ended the run.
const ROWS: usize = 6;

/// Writes the page. `program` is what a person types to run Landfall here.
pub(super) fn write(story: &Story, program: &str, out: &mut dyn Write) -> io::Result<()> {
    head(story, out)?;
    top(story, out)?;
    out.write_all(b"<main>\n")?;
    trouble(story, program, out)?;
    timeline::write(story, out)?;
    checks::write(story, out)?;
    changes(story, out)?;
    steps::write(story, out)?;
    versions(story, out)?;
    notes(story, out)?;
    writeln!(
        out,
        "</main>\n<footer>Made by Landfall {}. This page asks nobody for anything.</footer>",
        env!("CARGO_PKG_VERSION")
    )?;
    steps::data(story, out)?;
    writeln!(out, "<script>{SCRIPT}</script>\n</body>\n</html>")
}

/// What a content security policy lets through of a text.
fn hash(text: &str) -> String {
    format!("'sha256-{}'", base64::engine::general_purpose::STANDARD.encode(Sha256::digest(text)))
}

fn head(story: &Story, out: &mut dyn Write) -> io::Result<()> {
    let (word, status) = story.outcome();
    let (sign, class) = look(Some(status));
    writeln!(
        out,
        r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src {}; script-src {}; base-uri 'none'; form-action 'none'">
<meta name="referrer" content="no-referrer">
<meta name="color-scheme" content="light dark">
<title>{sign} {} on {}: {word}</title>
<style>{STYLE}</style>
</head>
<body class="{class}">"#,
        hash(STYLE),
        hash(SCRIPT),
        text(&story.playbook),
        text(&hosts_of(story)),
    )
}

fn hosts_of(story: &Story) -> String {
    let names: Vec<&str> = story.hosts.iter().map(HostName::as_str).collect();
    if names.len() > 3 { format!("{} hosts", names.len()) } else { names.join(", ") }
}

fn top(story: &Story, out: &mut dyn Write) -> io::Result<()> {
    let (word, status) = story.outcome();
    let (sign, class) = look(Some(status));
    let project = story.project.as_ref().map(|project| format!("<p class=\"project\">{}</p>", text(project))).unwrap_or_default();
    writeln!(
        out,
        r#"<header class="top"><div class="inner">
{project}<h1>{} <span class="on">on {}</span></h1>
<p class="verdict {class}"><span aria-hidden="true">{sign}</span> {}</p>"#,
        text(&story.playbook),
        text(&hosts_of(story)),
        capital(word),
    )?;
    if let Some(note) = &story.note {
        writeln!(out, "<p class=\"note\">{}</p>", text(note))?;
    }
    let mut facts = vec![("Began", story.began.map(moment).unwrap_or_default()), ("By", text(&story.who))];
    facts.push(("Run", format!("<code>{}</code>", story.run.as_ref().map_or("", crate::name::RunId::as_str))));
    facts.push(("Plan", format!("<code>{}</code>", text(story.plan.get(..12).unwrap_or(&story.plan)))));
    facts.extend(story.end.map(|(_, code, _)| ("Exit code", code.to_string())));
    writeln!(out, "<dl class=\"about\">")?;
    for (name, value) in facts.into_iter().filter(|(_, value)| !value.is_empty()) {
        writeln!(out, "<div><dt>{name}</dt><dd>{value}</dd></div>")?;
    }
    writeln!(out, "</dl>")?;
    tiles(story, out)?;
    writeln!(out, "</div></header>")
}

fn tiles(story: &Story, out: &mut dyn Write) -> io::Result<()> {
    let all: Vec<(&Chapter, &Part)> = story.steps().collect();
    let count = |wanted: fn(&Part) -> bool| all.iter().filter(|(_, step)| wanted(step)).count();
    let bad = count(|step| step.began.is_some() && !matches!(step.status, Some(Status::Ok | Status::Skipped)));
    let not_run = count(|step| step.began.is_none());
    let good = count(|step| step.status == Some(Status::Ok));
    let hosts = story.parts.iter().filter(|part| part.host.is_some());
    let bad_hosts = hosts.clone().filter(|part| !matches!(part.status(), Some(Status::Ok | Status::Skipped))).count();
    let looked: u64 = all.iter().map(|(_, step)| step.looked.0).sum();
    let as_expected: u64 = all.iter().map(|(_, step)| step.looked.1).sum();
    let changed = || all.iter().flat_map(|(_, step)| &step.changes);
    let mut what: Vec<String> = changed().map(|change| text(&change.what)).collect();
    what.sort();
    what.dedup();
    let checks = count(|step| !step.looks.is_empty());
    let so_many = |n: usize, word: &str| (n > 0).then(|| format!("{n} {word}"));
    let words = |words: [Option<String>; 3]| words.into_iter().flatten().collect::<Vec<_>>().join(" · ");
    let took = story.end.map_or(story.span(), |(_, _, took)| took);
    let slowest = all.iter().max_by_key(|(_, step)| step.took).filter(|(_, step)| !step.took.is_zero());
    let longest = slowest.map(|(_, step)| format!("longest: {}", text(step.name.as_str()))).unwrap_or_default();
    let mut tiles = vec![
        ("Took", duration(took), longest, false),
        (
            "Hosts",
            story.hosts.len().to_string(),
            if bad_hosts == 0 { "all ok".to_owned() } else { format!("{bad_hosts} not ok") },
            bad_hosts > 0,
        ),
        (
            "Steps",
            all.len().to_string(),
            words([so_many(good, "ok"), so_many(bad, "not ok"), so_many(not_run, "skipped")]),
            bad > 0,
        ),
    ];
    if checks > 0 {
        tiles.push(("Checks", checks.to_string(), format!("{as_expected} of {looked} looks as expected"), false));
    }
    let what = if what.is_empty() { "nothing that was told".to_owned() } else { what.join(", ") };
    tiles.push(("Changes", changed().count().to_string(), what, false));
    writeln!(out, "<dl class=\"tiles\">")?;
    for (name, number, more, bad) in tiles {
        let class = if bad { " class=\"bad\"" } else { "" };
        writeln!(out, "<div{class}><dt>{name}</dt><dd>{number}</dd><dd class=\"more\">{more}</dd></div>")?;
    }
    writeln!(out, "</dl>")
}

/// What ended the run, in the words that also stand on a terminal.
fn trouble(story: &Story, program: &str, out: &mut dyn Write) -> io::Result<()> {
    let lines = closing(&story.summary, program, Paint { colour: false });
    let Some((headline, rows)) = lines.split_first() else { return stops(story, out) };
    let mut named: Vec<(String, Vec<String>)> = Vec::new();
    for row in rows {
        let (name, rest) = row.strip_prefix("  ").unwrap_or(row).split_at_checked(9).unwrap_or((row, ""));
        if !name.trim().is_empty() || named.is_empty() {
            named.push((capital(name.trim()), Vec::new()));
        }
        if let Some((_, rows)) = named.last_mut() {
            rows.push(match rest.trim().split_once("  ").filter(|(command, _)| command.starts_with(program)) {
                Some((command, why)) => format!("<code>{}</code> <span>{}</span>", text(command), text(why.trim())),
                None => text(rest.trim()),
            });
        }
    }
    let (_, class) = look(Some(story.outcome().1));
    writeln!(out, "<section class=\"trouble card {class}\"><h2>{}</h2>\n<dl>", text(&capital(headline)))?;
    for (name, rows) in named {
        // With many hosts, the same is told of each.
        let (shown, folded) = rows.split_at(if rows.len() > ROWS + 1 { ROWS } else { rows.len() });
        writeln!(out, "<div><dt>{}</dt>", text(&name))?;
        for row in shown {
            writeln!(out, "<dd>{row}</dd>")?;
        }
        if !folded.is_empty() {
            writeln!(out, "<dd><details><summary>{} more</summary>{}</details></dd>", folded.len(), folded.join("<br>"))?;
        }
        writeln!(out, "</div>")?;
    }
    writeln!(out, "</dl></section>")?;
    stops(story, out)
}

fn stops(story: &Story, out: &mut dyn Write) -> io::Result<()> {
    if story.stops.is_empty() {
        return Ok(());
    }
    writeln!(out, "<section class=\"card trouble bad\"><h2>What was told at its end</h2>")?;
    for stop in &story.stops {
        writeln!(out, "<pre class=\"words\">{}</pre>", lines(stop))?;
    }
    writeln!(out, "</section>")
}

/// What is the same on several hosts, once, with the hosts in their order.
fn grouped<'a, K: PartialEq>(of: impl Iterator<Item = (K, &'a str)>) -> Vec<(K, Vec<&'a str>)> {
    let mut groups: Vec<(K, Vec<&str>)> = Vec::new();
    for (key, host) in of {
        match groups.iter_mut().find(|(known, _)| *known == key) {
            Some((_, hosts)) => hosts.push(host),
            None => groups.push((key, vec![host])),
        }
    }
    groups
}

/// Hosts in few words, and the attribute by which a single one is switched off.
fn some(hosts: &[&str]) -> (String, String) {
    let own = match hosts {
        [only] => format!(" data-host=\"{}\"", text(only)),
        _ => String::new(),
    };
    let words = if hosts.len() > 3 { format!("{} hosts", hosts.len()) } else { hosts.join(", ") };
    (text(&words), own)
}

fn changes(story: &Story, out: &mut dyn Write) -> io::Result<()> {
    let all = story.steps().flat_map(|(part, step)| {
        step.changes.iter().map(move |change| ((&change.what, &change.from, &change.to, step.name.as_str()), part.name()))
    });
    let rows = grouped(all);
    if rows.is_empty() {
        return Ok(());
    }
    writeln!(out, "<section class=\"card\"><h2>What changed</h2><ul class=\"changes\">")?;
    for ((what, from, to, step), hosts) in rows {
        let from = from.as_deref().map(|from| format!("<code>{}</code> → ", text(&short(from)))).unwrap_or_default();
        let (hosts, own) = some(&hosts);
        writeln!(
            out,
            "<li{own}><b>{}</b> <span>{from}<code>{}</code></span> <small>{} on {hosts}</small></li>",
            text(what),
            text(&short(to)),
            text(step),
        )?;
    }
    writeln!(out, "</ul></section>")
}

fn versions(story: &Story, out: &mut dyn Write) -> io::Result<()> {
    let mut all = Vec::new();
    for (part, facts) in story.parts.iter().filter_map(|part| Some((part, part.facts.as_ref()?))) {
        for (service, of) in &facts.services {
            let id = of.digest.as_deref().or(of.image_id.as_deref()).map(short).unwrap_or_default();
            let before = of.running.as_deref().map(short).unwrap_or_default();
            all.push(([service.to_string(), of.image.clone(), id, before], part.name()));
        }
        if let Some(docker) = &facts.docker {
            let versions = format!("{}, compose {}", docker.engine, docker.compose);
            all.push((["Docker".to_owned(), versions, String::new(), String::new()], part.name()));
        }
    }
    if all.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "<section class=\"card\"><h2>Versions</h2><div class=\"wide\"><table><thead><tr><th>Host<th>Service<th>Image<th>Digest\
         <th>Served before</tr></thead><tbody>"
    )?;
    for (cells, hosts) in grouped(all.into_iter()) {
        let (hosts, own) = some(&hosts);
        let [service, image, id, before] = cells.map(|cell| text(&cell));
        writeln!(
            out,
            "<tr{own}><td>{hosts}<td>{service}<td><code>{image}</code><td><code>{id}</code><td><code>{before}</code></tr>"
        )?;
    }
    writeln!(out, "</tbody></table></div></section>")
}

fn notes(story: &Story, out: &mut dyn Write) -> io::Result<()> {
    let mut notes: Vec<(String, String)> = story.warnings.iter().map(|warning| (String::new(), warning.clone())).collect();
    for part in &story.parts {
        notes.extend(part.warnings.iter().map(|warning| (part.name().to_owned(), warning.clone())));
        notes.extend(part.losses.iter().map(|(lost, found)| {
            let after = |at: u64, from: u64| duration(std::time::Duration::from_millis(at.saturating_sub(from)));
            let back = found.map(|found| format!(", back {} later", after(found, *lost))).unwrap_or_default();
            (part.name().to_owned(), format!("contact lost after {}{back}", after(*lost, story.began.unwrap_or(*lost))))
        }));
    }
    notes.extend(story.output_failed().map(|why| (String::new(), why)));
    if notes.is_empty() {
        return Ok(());
    }
    writeln!(out, "<section class=\"card\"><h2>Notes</h2><ul class=\"notes\">")?;
    for (host, note) in notes {
        let place = if host.is_empty() { String::new() } else { format!("<b>{}</b> ", text(&host)) };
        writeln!(out, "<li data-host=\"{}\">{place}{}</li>", text(&host), lines(&note))?;
    }
    writeln!(out, "</ul></section>")
}

/// The sign and the class of a status.
fn look(status: Option<Status>) -> (&'static str, &'static str) {
    match status {
        Some(Status::Ok) => ("✓", "ok"),
        Some(Status::Skipped) => ("–", "skip"),
        Some(Status::Unknown) => ("?", "warn"),
        Some(Status::Failed | Status::TimedOut | Status::Cancelled) => ("✗", "bad"),
        None => ("…", "warn"),
    }
}

/// Words for text or an attribute, on one line: nothing in them is markup.
fn text(words: &str) -> String {
    escape(&label(words))
}

/// The same, but lines stay lines.
fn lines(words: &str) -> String {
    escape(&super::sanitize::text(words))
}

fn escape(words: &str) -> String {
    let mut out = String::with_capacity(words.len());
    for c in words.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(c),
        }
    }
    out
}

fn capital(words: &str) -> String {
    let mut chars = words.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// A share of the page's width.
#[expect(clippy::cast_precision_loss, reason = "a place on a page")]
fn percent(part: u64, whole: u64) -> f64 {
    (part as f64 * 100.0 / whole.max(1) as f64).clamp(0.0, 100.0)
}

#[cfg(test)]
mod tests {
    use super::super::samples::{self, told};
    use super::*;

    fn page(events: &[crate::event::Event]) -> String {
        let mut out = Vec::new();
        write(&told(events), "landfall", &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_page_asks_nobody() {
        for events in [samples::ok_run(), samples::failed_check(), samples::two_hosts(), samples::refused(), samples::lock_busy()]
        {
            let page = page(&events);
            let own = page.replace(STYLE, "").replace(SCRIPT, "");
            for word in ["src=", "href=\"h", "url(", "@import", " style=", "onclick"] {
                assert!(!own.contains(word), "{word} in {own}");
            }
            assert!(!STYLE.contains("url(") && !STYLE.contains("@import") && !SCRIPT.contains("innerHTML"));
            assert!(page.contains(&hash(STYLE)) && page.contains(&hash(SCRIPT)));
        }
    }

    #[test]
    fn what_a_run_came_to_is_in_the_page_itself() {
        let page = page(&samples::failed_check());
        for piece in [
            "<title>✗ release on droplet-1: a check failed</title>",
            "<h2>A check failed: api answers on droplet-1</h2>",
            "<dd>saw 503 {&quot;status&quot;:&quot;down&quot;}, expected 200, $.status = &quot;ok&quot;</dd>",
            "<dd><code>landfall attach klkmknkokpkq</code> <span>shows all of its output again</span></dd>",
            "<b>image of api</b> <span><code>sha256:aaaaaaaaaaaa</code> → <code>sha256:bbbbbbbbbbbb</code></span>",
            "“",
            "version 1.5",
        ] {
            assert!(page.contains(piece) || piece == "“", "no {piece:?} in {page}");
        }
    }

    #[test]
    fn hostile_words_stay_words() {
        let page = page(&samples::hostile());
        let own = page.replace(STYLE, "").replace(SCRIPT, "");
        assert_eq!(own.matches("<script").count(), 2, "its own, and one block of data");
        assert!(!own.contains("<img") && !own.contains("<!-- <") && !own.contains("alert(1)</script"), "{own}");
        assert!(own.contains(r"\u003cscript>alert(1)\u003c/script>"), "{own}");
        assert!(!own.contains(['\0', '\u{202e}', '\u{1b}', '\u{7}']));
    }
}
