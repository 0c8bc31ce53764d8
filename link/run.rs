//! tmp
use super::*;
#[derive(Args)]
pub(crate) struct RunArgs {}
pub(crate) fn run(_: &RunArgs) -> Result<ExitCode> {
    Ok(ExitCode::SUCCESS)
}
