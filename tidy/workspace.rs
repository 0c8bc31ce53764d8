//! Packages of the workspace, their targets and their dependencies, by `cargo metadata`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::Tree;

/// The part of `cargo metadata` that the checks read.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_root: PathBuf,
}

/// A package of the workspace.
#[derive(Deserialize)]
pub(crate) struct Package {
    /// The name.
    pub(crate) name: String,
    /// The folder below the root. `cargo metadata` does not have this field.
    #[serde(skip)]
    pub(crate) folder: String,
    manifest_path: PathBuf,
    dependencies: Vec<Dependency>,
    /// Libraries, programs, tests, examples and benches.
    pub(crate) targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    kind: Option<String>,
    path: Option<PathBuf>,
}

/// Something that cargo compiles.
#[derive(Deserialize)]
pub(crate) struct Target {
    /// The first source file. Below the root once [`packages`] has returned.
    pub(crate) src_path: PathBuf,
    kind: Vec<String>,
}

impl Target {
    /// Whether this target is an integration test.
    pub(crate) fn is_test(&self) -> bool {
        self.kind.iter().any(|kind| kind == "test")
    }
}

impl Package {
    /// Iterates over the names of the packages in the workspace that this one needs outside of its
    /// tests.
    pub(crate) fn needs(&self) -> impl Iterator<Item = &str> {
        let normal = self.dependencies.iter().filter(|it| it.kind.is_none() && it.path.is_some());
        normal.map(|it| it.name.as_str())
    }
}

/// Returns the packages of the workspace at the root of `tree`.
pub(crate) fn packages(tree: &Tree) -> Result<Vec<Package>> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(tree.root())
        .output()
        .context("cannot run cargo")?;
    if !output.status.success() {
        bail!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let Metadata { mut packages, workspace_root } = serde_json::from_slice(&output.stdout)?;
    let below = |path: &Path| path.strip_prefix(&workspace_root).unwrap_or(path).to_owned();
    for package in &mut packages {
        let folder = below(&package.manifest_path);
        package.folder =
            folder.parent().map(|it| it.to_string_lossy().replace('\\', "/")).unwrap_or_default();
        for target in &mut package.targets {
            target.src_path = below(&target.src_path);
        }
    }
    Ok(packages)
}
