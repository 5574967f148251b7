//! Migrations of Django's applications: `APP/migrations/NAME.py`, where the history knows an application by its label. That is the name of
//! its folder, unless the `apps.py` in there says another.

use std::collections::BTreeMap;

use regex_lite::Regex;

use super::{File, Known, Model, of};

/// The migrations of all applications.
pub(super) fn apps(model: &Model, files: &[File]) -> Result<Vec<Known>, String> {
    let mut labels: BTreeMap<&str, String> = BTreeMap::new();
    let mut found = Vec::new();
    for file in files {
        let Some((folder, name)) = migration(&file.path) else { continue };
        if !labels.contains_key(folder) {
            labels.insert(folder, label(folder, files)?);
        }
        let key = format!("{}.{name}", labels[folder]);
        found.push(Known { replaces: replaces(&file.bytes), ..of(model, key.clone(), &key, file) });
    }
    Ok(found)
}

/// Whether a file tells something of an application's migrations.
pub fn is_of_app(path: &str) -> bool {
    migration(path).is_some() || path == CONFIG || path.ends_with("/apps.py")
}

const CONFIG: &str = "apps.py";

/// The application's folder and the migration's name, of a file that is one.
fn migration(path: &str) -> Option<(&str, &str)> {
    let (folder, file) = path.rsplit_once("/migrations/")?;
    let name = file.strip_suffix(".py").filter(|name| !name.contains('/') && !name.starts_with('_'))?;
    Some((folder, name))
}

/// What the history calls the application of a folder; the error is that this cannot be known.
fn label(folder: &str, files: &[File]) -> Result<String, String> {
    let usual = folder.rsplit('/').next().unwrap_or(folder).to_owned();
    let path = format!("{folder}/{CONFIG}");
    let Some(config) = files.iter().find(|file| file.path == path) else { return Ok(usual) };
    let text = String::from_utf8_lossy(&config.bytes);
    let Ok(assigned) = Regex::new(r"(?m)^[ \t]+label[ \t]*(?::[^=\n]*)?=[ \t]*([^\n]*)$") else { return Ok(usual) };
    let mut said: Vec<&str> =
        assigned.captures_iter(&text).filter_map(|found| found.get(1)).map(|value| value.as_str()).collect();
    said.sort_unstable();
    said.dedup();
    match said.as_slice() {
        [] => Ok(usual),
        [one] => literal(one).ok_or_else(|| {
            format!(
                "{path} says the label of its application by `{}`, which is read only where it is one text in quotes",
                one.trim()
            )
        }),
        several => Err(format!(
            "{path} says several labels of applications, and which of them counts is not known: {}",
            several.join(", ")
        )),
    }
}

/// The value of a text in quotes, with a remark behind it or not.
fn literal(value: &str) -> Option<String> {
    let regex = Regex::new(r#"^(?:"([^"\\]+)"|'([^'\\]+)')\s*(?:#.*)?$"#).ok()?;
    let found = regex.captures(value.trim())?;
    Some(found.get(1).or_else(|| found.get(2))?.as_str().to_owned())
}

/// The keys in `replaces = [("APP", "NAME"), …]`.
fn replaces(text: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(text);
    let list =
        Regex::new(r"(?m)^\s*replaces\s*=\s*\[([^\]]*)\]").ok().and_then(|regex| Some(regex.captures(&text)?[1].to_owned()));
    let (Some(list), Ok(pair)) = (list, Regex::new(r#"["']([^"']+)["']\s*,\s*["']([^"']+)["']"#)) else { return Vec::new() };
    pair.captures_iter(&list).map(|found| format!("{}.{}", &found[1], &found[2])).collect()
}

/// A file without its place among the others, and without what it stands for: both change when migrations are made into one and the old
/// files go, as Django's documentation has it, and neither is what it does.
pub(super) fn without_places(text: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(text);
    let places = Regex::new(r"(?m)^[ \t]*(replaces|dependencies)[ \t]*=[ \t]*\[[^\]]*\][ \t]*(?:\r?\n)*");
    places.map_or_else(|_| text.to_string(), |places| places.replace_all(&text, "").into_owned()).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_migration_stands_is_not_what_it_does() {
        let text = |places: &str| format!("class Migration(migrations.Migration):\n{places}    operations = [RunSQL('x')]\n");
        let of = |places: &str| without_places(text(places).as_bytes());
        let all =
            "    replaces = [('shop', '0001_a'), ('shop', '0002_b')]\n    dependencies = [\n        ('auth', '0001'),\n    ]\n\n";
        assert_eq!(of(all), text("").into_bytes());
        assert_eq!(of("    dependencies = []\n\n"), of(all));
        assert_ne!(of("    atomic = False\n"), of(""));
    }

    #[test]
    fn a_label_is_read_where_it_stands_plainly() {
        let of = |config: &str| label("src/shop", &[File { path: "src/shop/apps.py".into(), bytes: config.as_bytes().to_vec() }]);
        let class = "from django.apps import AppConfig\n\n\nclass ShopConfig(AppConfig):\n    name = 'src.shop'\n";
        assert_eq!(label("src/shop", &[]).as_deref(), Ok("shop"));
        assert_eq!(of(class).as_deref(), Ok("shop"));
        assert_eq!(of("# label = 'no'\nlabel = 'no class'\n").as_deref(), Ok("shop"));
        for said in ["'goods'", "\"goods\"", "'goods'  # as it was called before", "\"goods\"\n    verbose_name = 'Goods'"] {
            assert_eq!(of(&format!("{class}    label = {said}\n")).as_deref(), Ok("goods"), "{said}");
        }
        assert_eq!(of(&format!("{class}    label: str = 'goods'\n")).as_deref(), Ok("goods"));
        for said in ["LABEL", "'goods' if NEW else 'shop'", "f'goods'", "'go' 'ods'"] {
            let error = of(&format!("{class}    label = {said}\n")).expect_err(said);
            assert!(error.starts_with(&format!("src/shop/apps.py says the label of its application by `{said}`")), "{error}");
        }
        let two = format!("{class}    label = 'goods'\n\n\nclass Old(AppConfig):\n    label = 'wares'\n");
        assert!(of(&two).expect_err("two").ends_with("'goods', 'wares'"));
    }
}
