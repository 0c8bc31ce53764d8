//! `netduel-reports`: compares transports and writes reports.

use std::process::ExitCode;

fn main() -> ExitCode {
    netduel_reports::main()
}
