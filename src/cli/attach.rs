//! `landfall attach`: watches a run from its first byte, from any machine, with the same exit code.

use super::args::AttachArgs;
use super::{Context, Failure, found, reach};
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
        if known.is_empty() {
            let code = stops.first().map_or(7, |stop| stop.code);
            return Ok(run::Finished { code, stops });
        }
        let (run, of) = found::choose(known, args.run.as_deref())?;
        let of = of.into_iter().map(|host| (host.at, host.contact)).collect();
        Ok::<_, Failure>(run::attach(&reach, &run, of, args.reconnect.reconnect_for, &mut reporters).await)
    })??;
    reporters.finish();
    Ok(context.end(finished))
}
