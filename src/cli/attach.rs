//! `landfall attach`: watches a run from its first byte, from any machine, with the same exit code.

use super::args::AttachArgs;
use super::{Context, Failure, exit, found, reach};
use crate::report::{Reporter, Reporters};
use crate::run;

pub(super) fn run(context: &Context, args: &AttachArgs) -> Result<u8, Failure> {
    let hosts = found::hosts(context, &args.on)?;
    let mut display = context.display.clone();
    display.replay = true;
    let mut reporters = Reporters::for_display(&display);
    let finished = reach::block_on(async {
        let reach = reach::reach();
        let (known, stops) = found::ask(&reach, &hosts).await;
        let found = found::choose(known, stops, args.run.as_deref())?;
        let of = found.of.into_iter().map(|host| (host.at, host.contact)).collect();
        let mut finished = run::attach(&reach, &found.run, of, args.reconnect.reconnect_for, &mut reporters).await;
        if !found.unasked.is_empty() {
            finished.code = exit::UNKNOWN;
            finished.stops.extend(found.unasked);
        }
        Ok::<_, Failure>(finished)
    })??;
    reporters.finish();
    Ok(context.end(finished))
}
