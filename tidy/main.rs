//! The program `netduel-tidy`: runs the checks and prints every finding with its place.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use netduel_tidy::{ALLOWANCE_FILE, Check, Tree, diagram, lower};

/// Checks prose, commits, layout, names, links and the map of the crates.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Checks to run [default: all]
    checks: Vec<Check>,

    /// Write counts that have fallen into tidy/allowance.toml, and check nothing
    #[arg(long, conflicts_with = "checks")]
    lower: bool,

    /// List every finding, also those that tidy/allowance.toml tolerates
    #[arg(long, conflicts_with = "lower")]
    strict: bool,

    /// Folder of the repository
    #[arg(long, default_value = ".")]
    root: PathBuf,
}

fn main() -> Result<ExitCode> {
    let Args { checks, lower: write, strict, root } = Args::parse();
    let root = root.canonicalize().with_context(|| format!("{} is not a folder", root.display()))?;
    let tree = Tree::open(root)?;
    let tree = if strict { tree.strict() } else { tree };
    if write {
        println!("{} allowances lowered in {ALLOWANCE_FILE}", lower(&tree)?);
        return Ok(ExitCode::SUCCESS);
    }
    if checks == [Check::Map] {
        print!("{}", diagram(&tree)?);
    }
    let checks = if checks.is_empty() { Check::ALL.to_vec() } else { checks };
    let mut failed = false;
    for check in checks {
        for finding in check.run(&tree)? {
            println!("{finding}");
            failed = true;
        }
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
