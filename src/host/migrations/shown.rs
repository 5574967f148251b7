//! What of a history may leave the host: masked, and so little that it fits into a record. Must not know how it was found out.

use crate::facts::{History, Migration, MigrationState as State, Migrations, Preview};

/// The longest text of one migration.
const ONE: usize = 64 << 10;
/// All texts together: they stand in one line of the record.
const ALL: usize = 320 << 10;

/// A history as it may leave; without what is applied and sound, where only the rest matters.
pub(in crate::host) fn history(found: &History, all: bool, mask: &dyn Fn(&str) -> String) -> History {
    let mut left = ALL;
    // The SQL of a program tells more than the program.
    let previews = found.previews.iter().map(|preview| printed(preview, mask, &mut left)).collect();
    let each = found.migrations.iter().filter(|migration| all || migration.state != State::Applied);
    History {
        not_known: found.not_known.as_deref().map(mask),
        folder: mask(&found.folder),
        model: found.model,
        migrations: each.map(|migration| one(migration, mask, &mut left)).collect(),
        previews,
        no_preview: found.no_preview.as_deref().map(|why| plain(&mask(why))),
    }
}

fn printed(preview: &Preview, mask: &dyn Fn(&str) -> String, left: &mut usize) -> Preview {
    let whole = plain(&mask(&preview.sql));
    let sql = upto(&whole, ONE.min(*left)).to_owned();
    *left -= sql.len();
    Preview {
        of: preview.of.as_deref().map(mask),
        cut: sql.len() < whole.len(),
        sql,
        lacks: preview.lacks.as_deref().map(|why| plain(&mask(why))),
        ..*preview
    }
}

fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && !matches!(c, '\n' | '\t') { '\u{fffd}' } else { c }).collect()
}

fn one(migration: &Migration, mask: &dyn Fn(&str) -> String, left: &mut usize) -> Migration {
    // Cut behind the mask: half a secret is none that it knows.
    let whole = migration.text.as_deref().map(|text| plain(&mask(&text.replace("\r\n", "\n"))));
    let text = whole.as_deref().map(|text| upto(text, ONE.min(*left)).to_owned());
    *left -= text.as_ref().map_or(0, String::len);
    Migration {
        name: mask(&migration.name),
        file: migration.file.as_deref().map(mask),
        cut: whole.as_ref().map(String::len) != text.as_ref().map(String::len),
        text,
        told: migration.told.as_deref().map(|told| upto(&plain(&mask(told)), 2000).to_owned()),
        ..migration.clone()
    }
}

fn upto(text: &str, length: usize) -> &str {
    &text[..text.floor_char_boundary(length)]
}

/// What a status may say outside.
pub(in crate::host) fn migrations(found: Migrations, mask: &dyn Fn(&str) -> String) -> Migrations {
    match found {
        Migrations::UpToDate => Migrations::UpToDate,
        Migrations::Pending { names } => Migrations::Pending { names: names.iter().map(|name| mask(name)).collect() },
        Migrations::Failed { why, remedy } => Migrations::Failed { why: mask(&why), remedy: remedy.as_deref().map(mask) },
        Migrations::NotKnown { why } => Migrations::NotKnown { why: mask(&why) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_masked_before_they_are_cut() {
        let secret = "pw-of-the-test";
        let of = |name: &str, text: String, state| Migration {
            name: name.into(),
            key: None,
            state,
            late: false,
            sha256: None,
            file: None,
            recorded: None,
            text: Some(text),
            cut: false,
            told: Some(secret.into()),
            begun: false,
        };
        let long = format!("{}{secret}", "é".repeat(ONE / 2 - 3));
        let many = (0..9).map(|n| of(&n.to_string(), "x".repeat(ONE + 1), State::Pending));
        let migrations =
            [of("a", "fine".into(), State::Applied), of("b", long, State::Pending)].into_iter().chain(many).collect();
        let preview = |sql: String| Preview { of: Some(secret.into()), sql, lacks: Some(secret.into()), ..Preview::default() };
        let previews = vec![preview(format!("SELECT '{secret}'")), preview("x".repeat(ONE + 1))];
        let found = History { migrations, previews, no_preview: Some(secret.into()), ..History::default() };
        let shown = history(&found, false, &|text| text.replace(secret, "[masked:PW]"));
        assert_eq!(shown.migrations[0].name, "b");
        let text = shown.migrations[0].text.as_deref().expect("text");
        assert!(shown.migrations[0].cut && text.ends_with("[maske") && text.len() == ONE, "{}", &text[text.len() - 20..]);
        assert_eq!(shown.migrations[0].told.as_deref(), Some("[masked:PW]"));
        assert!(serde_json::to_string(&shown).expect("json").len() < crate::record::MAX_FRAME / 2);
        assert_eq!(shown.previews[0].sql, "SELECT '[masked:PW]'");
        assert!(!shown.previews[0].cut && shown.previews[1].cut);
        assert!(!serde_json::to_string(&shown).expect("json").contains(secret));
        assert_eq!(history(&found, true, &str::to_owned).migrations.len(), 11);
    }
}
