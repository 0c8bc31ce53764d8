//! `netduel-packaging`: writes the shell completions and man pages of every program into a folder.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};
use clap::{Command, CommandFactory, Parser, ValueEnum};
use clap_complete::Shell;

/// Write the shell completions and man pages of every program
#[derive(Parser)]
#[command(
    name = "netduel-packaging",
    version,
    after_help = "FOLDER/completions holds one file per program and shell.\n\
                  FOLDER/man holds one page per program and subcommand."
)]
struct Cli {
    /// Folder to write into; created if missing
    folder: PathBuf,
}

fn main() -> Result<()> {
    let Cli { folder } = Cli::parse();
    let (completions, pages) = (folder.join("completions"), folder.join("man"));
    for folder in [&completions, &pages] {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    for mut program in programs() {
        let name = program.get_name().to_owned();
        for shell in Shell::value_variants() {
            clap_complete::generate_to(*shell, &mut program, &name, &completions)
                .with_context(|| format!("cannot write the completions of {name} for {shell}"))?;
        }
        clap_mangen::generate_to(without_help(program), &pages)
            .with_context(|| format!("cannot write the man pages of {name}"))?;
    }
    Ok(())
}

/// Removes every `help` subcommand, which would otherwise get a man page.
fn without_help(command: Command) -> Command {
    command.disable_help_subcommand(true).mut_subcommands(without_help)
}

/// Returns the command line of every program, under the program's name.
fn programs() -> Vec<Command> {
    vec![
        netduel_client_egui::cli::Cli::command().name("netduel"),
        netduel_server::cli::Cli::command().name("netduel-server"),
        netduel_client::cli::BotCli::command().name("netduel-bot"),
        netduel_reports::cli::Cli::command().name("netduel-reports"),
        netduel_link::cli::Cli::command().name("netduel-link"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_lines_are_consistent() {
        for program in programs() {
            program.debug_assert();
        }
    }

    #[test]
    fn every_program_has_an_about() {
        for program in programs() {
            assert!(program.get_about().is_some(), "{}", program.get_name());
        }
    }
}
