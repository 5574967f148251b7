//! `[tools.NAME]`: migration tools that an inventory declares.

use super::{INVENTORY, on, resolved, wrong_inventory};
use crate::action::{Action, NameList, Pattern};

const TOOL: &str = r#"
[tools.flyby]
status = ["flyby", "status", "--env={{ vars.stage }}"]
apply = ["flyby", "up"]
pending_code = 3
pending_name = '^waits: (\S+)$'
failure = "^gave up"

[groups.staging.vars]
stage = "staging"
public_url = "https://staging.example.com"
"#;

fn inventory() -> String {
    INVENTORY.replace("vars = { public_url = \"https://staging.example.com\" }\n", "") + TOOL
}

#[test]
fn a_step_names_one_and_it_is_filled_for_its_host() {
    let playbook = "[[steps]]\nkind = \"migrate\"\ntool = \"flyby\"\nper_host = true\n";
    let resolved = resolved(&inventory(), playbook, &on("stage")).expect("a playbook");
    let [Action::Migrate(migrate)] = resolved.hosts[0].steps[0].step.actions.as_slice() else { panic!("no migration") };
    assert_eq!((migrate.tool.as_str(), migrate.own_status), ("flyby", true));
    assert_eq!(migrate.status, ["flyby", "status", "--env=staging"]);
    assert_eq!(migrate.apply, ["flyby", "up"]);
    assert_eq!(migrate.reading.names, Some(NameList { begin: String::new(), item: r"^waits: (\S+)$".into() }));
    assert_eq!(migrate.reading.pending.codes, [3]);
    let told = Pattern { regex: "^gave up".into(), means: "a line that tells of a failure".into() };
    assert_eq!(migrate.applied.forbid, [told]);
}

#[test]
fn what_cannot_be_is_told() {
    let playbook = "[[steps]]\nkind = \"migrate\"\ntool = \"flyby\"\nsuccess = \"x\"\nmigrations = \"db\"\nper_host = true\n";
    let wrong = resolved(&inventory(), playbook, &on("stage")).expect_err("wrong").to_string();
    for told in
        ["`success` cannot go with `tool`: what flyby prints is known", "`migrations` goes with a tool that Landfall knows"]
    {
        assert!(wrong.contains(told), "{wrong}");
    }
    let wrong =
        wrong_inventory(&format!("{INVENTORY}[tools.prisma]\nstatus = [\"x\"]\napply = [\"x\"]\nreset = true\n[tools.mine]\n"));
    for told in [
        "Landfall knows a tool \"prisma\", and this would be another one",
        "unknown key `reset` in [tools.prisma]",
        "[tools.mine] needs `status`",
        "[tools.mine] needs `apply`",
    ] {
        assert!(wrong.contains(told), "{wrong}");
    }
    let unknown = "[[steps]]\nkind = \"migrate\"\ntool = \"flybi\"\nper_host = true\n";
    let wrong = resolved(&inventory(), unknown, &on("stage")).expect_err("wrong").to_string();
    assert!(wrong.contains("did you mean \"flyby\"?"), "{wrong}");
}
