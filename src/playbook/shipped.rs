//! The files that `landfall init` writes, and the JSON Schemas of inventory and playbook.

use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Value, json};

use crate::steps::{self, Seed};

/// The commented inventory.
pub const INVENTORY: &str = include_str!("template.toml");

/// The playbooks, by file name under `playbooks/`.
pub const PLAYBOOKS: [(&str, &str); 3] = [
    ("release.toml", include_str!("../../playbooks/release.toml")),
    ("seed.toml", include_str!("../../playbooks/seed.toml")),
    ("validate.toml", include_str!("../../playbooks/validate.toml")),
];

/// The JSON Schema of a playbook.
pub fn playbook_schema() -> Value {
    let mut generator = SchemaGenerator::default();
    let step = steps::schema(&mut generator).to_value();
    let list = |about: &str| json!({ "description": about, "type": "array", "items": { "$ref": "#/$defs/Step" } });
    let mut definitions = generator.take_definitions(true);
    definitions.insert("Step".to_owned(), step);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Landfall playbook",
        "type": "object",
        "additionalProperties": false,
        "required": ["steps"],
        "properties": {
            "description": { "description": "For people.", "type": "string" },
            "hosts": { "description": "Names of hosts and groups; without it --on says them.", "$ref": "#/$defs/Names" },
            "serial": {
                "description": "How many hosts go at once: a number, or a share such as \"25%\". After a failed host no further batch starts.",
                "oneOf": [{ "type": "integer", "minimum": 1 }, { "type": "string", "pattern": "^[0-9]{1,3}%$" }],
            },
            "vars": {
                "description": "Vars: a value, or a table with `default` and `description`. Without a value it must be given.",
                "type": "object",
                "additionalProperties": { "oneOf": [
                    { "$ref": "#/$defs/VarValue" },
                    {
                        "type": "object",
                        "additionalProperties": false,
                        "properties": { "default": { "$ref": "#/$defs/VarValue" }, "description": { "type": "string" } },
                    },
                ] },
            },
            "steps": list("The steps, in order."),
            "on_failure": list("Steps for after a proven failure: short for `when = \"failure\"`."),
            "always": list("Steps that run in any case: short for `when = \"always\"`."),
        },
        "$defs": with_common(definitions),
    })
}

fn with_common(mut definitions: serde_json::Map<String, Value>) -> Value {
    let texts = json!({ "type": "array", "items": { "type": "string" } });
    definitions.insert("Names".to_owned(), json!({ "oneOf": [{ "type": "string" }, texts] }));
    definitions.insert("VarValue".to_owned(), json!({ "type": ["string", "integer", "boolean"] }));
    definitions.into()
}

/// `[compose]`: the compose project. Any host may override any of it. Paths are on the host, relative to `dir`.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[allow(dead_code)]
struct Compose {
    /// The folder, absolute.
    dir: Option<String>,
    /// Compose files, in order.
    files: Option<Vec<String>>,
    /// Passed as `--env-file`.
    env_file: Option<String>,
    /// The service of steps that name none.
    service: Option<String>,
    /// Handed to compose itself, for interpolation. Not for secrets.
    env: Option<std::collections::BTreeMap<String, String>>,
}

/// `[hosts.NAME]`.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[allow(dead_code, clippy::struct_field_names)]
struct Host {
    /// An address, or a `Host` alias of ~/.ssh/config; default: the name.
    address: Option<String>,
    /// The login; default: what `ssh -G` says.
    user: Option<String>,
    /// The port; default: what `ssh -G` says.
    port: Option<u16>,
    /// Pinned host keys; else known_hosts.
    host_keys: Option<Vec<String>>,
    /// Whether Landfall's program there runs as root, by sudo; above [ssh].
    r#become: Option<bool>,
    /// The groups it is in.
    groups: Option<Vec<String>>,
    /// Above [compose].
    compose: Option<Compose>,
    /// Where the state is, in place of /var/lib/landfall/PROJECT.
    state_dir: Option<String>,
    /// Above those of its groups.
    vars: Option<Vars>,
}

type Vars = std::collections::BTreeMap<String, Value>;

/// `[secrets]`: what is read on the host, masked there, and never sent.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[allow(dead_code)]
struct Secrets {
    /// Files and globs on the host, relative to `compose.dir`. A glob that matches nothing is refused.
    files: Option<Vec<String>>,
    /// Keys whose values may be shown.
    public: Option<Vec<String>>,
    /// Secrets that are too short to mask, accepted as they are.
    accept_short: Option<Vec<String>>,
}

/// `[mask]`: personal data in what steps print.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[allow(dead_code)]
struct Mask {
    /// `email`, or a regular expression that is matched within a line. `["email"]` unless said otherwise.
    patterns: Option<Vec<String>>,
}

/// `[ssh]`: above what `ssh -G` says. Paths are relative to the inventory.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[allow(dead_code)]
struct Ssh {
    /// A private key's file.
    identity_file: Option<String>,
    /// A known-hosts file.
    known_hosts: Option<String>,
    /// How long connecting may take: "10s".
    connect_timeout: Option<String>,
    /// Whether Landfall's program on the hosts runs as root, by sudo.
    r#become: Option<bool>,
}

/// `[groups.NAME]`.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[allow(dead_code)]
struct Group {
    /// Whether a run on it is confirmed by its name; default true.
    production: Option<bool>,
    /// Above those of all hosts.
    vars: Option<Vars>,
}

/// `[database]`.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[allow(dead_code)]
struct Database {
    /// The service in whose container psql and pg_dump run, by that container's own environment.
    service: Option<String>,
    /// In its place, a database elsewhere: `{ secret = "DATABASE_URL" }`, a secret of the host.
    url: Option<DatabaseUrl>,
    /// With `url`: the image whose psql and pg_dump, or mysql and mysqldump, are used. It must be on the host.
    client_image: Option<String>,
    /// "postgres" or "mysql" (MariaDB too); default: it is found out. `tool = "sql"` reads its files as PostgreSQL's unless it is said.
    engine: Option<String>,
    /// The database's name; default: what the container or the URL says.
    name: Option<String>,
    /// The login; default: what the container or the URL says.
    user: Option<String>,
    /// With `url`: a file on the host with the certificates that the server's is checked with.
    ca: Option<String>,
    /// The folder on the host where `backup` puts its files; default: beside the project's state.
    backups: Option<String>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[allow(dead_code)]
struct DatabaseUrl {
    /// A key of one of the host's env files, or the name of a secrets file without its ending.
    secret: String,
}

/// `[state]`.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[allow(dead_code)]
struct State {
    /// Where the shared folder cannot be made: use one of the user's own, which locks out only oneself.
    private: Option<bool>,
    /// How many records of ended runs a host keeps, the newest; default 200.
    keep_runs: Option<u32>,
    /// For how long it keeps them: "90d", which is the default.
    keep_for: Option<String>,
}

/// landfall.toml.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[allow(dead_code)]
struct Inventory {
    /// Names the lock and the state on the hosts.
    project: String,
    compose: Option<Compose>,
    database: Option<Database>,
    secrets: Option<Secrets>,
    mask: Option<Mask>,
    ssh: Option<Ssh>,
    /// The hosts, by name.
    hosts: std::collections::BTreeMap<String, Host>,
    /// Groups of hosts, by name.
    groups: Option<std::collections::BTreeMap<String, Group>>,
    /// Seeds, by name.
    seeds: Option<std::collections::BTreeMap<String, Seed>>,
    /// Migration tools of your own, by name.
    tools: Option<std::collections::BTreeMap<String, crate::steps::OwnToolWords>>,
    state: Option<State>,
    /// Who is told of runs, by name.
    notify: Option<std::collections::BTreeMap<String, super::notify::NotifyWords>>,
    metrics: Option<super::notify::MetricsWords>,
    /// Vars of all hosts; those of groups, hosts and --var are above them.
    vars: Option<Vars>,
}

/// The JSON Schema of an inventory.
pub fn inventory_schema() -> Value {
    let mut schema = schemars::schema_for!(Inventory);
    schema.insert("title".to_owned(), "Landfall inventory".into());
    schema.to_value()
}
