//! Dependency cycles within a package: files that need each other's items.
//!
//! A path is followed through imports and re-exports to the file that defines its item. A file that
//! only declares or re-exports a module does not need that module. Test code is left out.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use petgraph::algo::tarjan_scc;
use petgraph::graphmap::DiGraphMap;

use crate::module_tree::{Definition, ModuleTree};
use crate::workspace::Package;
use crate::{Finding, Tree};

/// Imports that one path may lead through. A cycle of imports would have no end.
const IMPORTS_MAX: usize = 16;

/// The first place at which one file needs another.
struct Need {
    line: usize,
    path: String,
}

/// Needs by file and needed file.
type Needs = BTreeMap<(usize, usize), Need>;

/// The end of a path.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Target {
    /// An item that the file defines.
    File(usize),
    Module(usize),
}

/// Returns the findings of each cycle in `package`, one list for each cycle.
pub(crate) fn of_package(tree: &Tree, package: &Package) -> Result<Vec<Vec<Finding>>> {
    let mut cycles = BTreeMap::new();
    for target in package.targets.iter().filter(|target| !target.is_test()) {
        let root = target.src_path.to_string_lossy().replace('\\', "/");
        let modules = ModuleTree::parse(tree, &root)?;
        let needs = needs(&modules);
        for cycle in cycle_sets(&needs) {
            // Two targets may share files, and so a cycle.
            let files: BTreeSet<_> = cycle.iter().map(|file| modules.files[*file].clone()).collect();
            cycles.entry(files).or_insert_with(|| findings(&package.name, &modules, &needs, &cycle));
        }
    }
    Ok(cycles.into_values().collect())
}

/// Returns the sets of at least two files that reach each other.
fn cycle_sets(needs: &Needs) -> Vec<BTreeSet<usize>> {
    let graph: DiGraphMap<usize, ()> = needs.keys().copied().collect();
    let sets = tarjan_scc(&graph).into_iter().filter(|set| set.len() > 1);
    sets.map(|set| set.into_iter().collect()).collect()
}

/// Returns one finding for each arrow within `cycle`.
fn findings(package: &str, modules: &ModuleTree, needs: &Needs, cycle: &BTreeSet<usize>) -> Vec<Finding> {
    let inner = needs.iter().filter(|((from, to), _)| cycle.contains(from) && cycle.contains(to));
    let finding = |((from, to), need): (&(usize, usize), &Need)| {
        let (size, to) = (cycle.len(), &modules.files[*to]);
        let text = format!(
            "needs {to} for `{}`: part of a dependency cycle of {size} files in {package}",
            need.path
        );
        Finding::new(modules.files[*from].clone(), need.line, text)
    };
    inner.map(finding).collect()
}

/// Returns which files need which others.
fn needs(modules: &ModuleTree) -> Needs {
    let mut needs = Needs::new();
    for (id, module) in modules.modules.iter().enumerate() {
        for mention in &module.mentions {
            let mut targets = resolve(modules, id, &mention.path, 0).unwrap_or_default();
            if let ([name], true) = (&mention.path[..], mention.is_macro) {
                targets.extend(modules.macros.get(name).map(|file| Target::File(*file)));
            }
            for target in targets {
                let Target::File(file) = target else { continue };
                if file != module.file && !(mention.face && below(modules, id, &mention.path)) {
                    let need = Need { line: mention.line, path: mention.path.join("::") };
                    needs.entry((module.file, file)).or_insert(need);
                }
            }
        }
    }
    needs
}

/// Whether `path` begins with a child module of `id`.
fn below(modules: &ModuleTree, id: usize, path: &[String]) -> bool {
    let first = path.iter().find(|segment| *segment != "self");
    let definitions = first.and_then(|name| modules.modules[id].names.get(name));
    let root = path.first().is_some_and(|it| it == "crate") && modules.modules[id].parent.is_none();
    root || definitions.is_some_and(|it| it.iter().any(|it| matches!(it, Definition::Module(_))))
}

/// Follows `path` from module `from`. Returns `None` where it begins with an unknown name, as of
/// another crate.
fn resolve(modules: &ModuleTree, from: usize, path: &[String], imports: usize) -> Option<Vec<Target>> {
    let (first, mut rest) = path.split_first()?;
    if imports > IMPORTS_MAX {
        return None;
    }
    let starts = match first.as_str() {
        "crate" => vec![Target::Module(0)],
        "self" => vec![Target::Module(from)],
        "super" => {
            let mut module = modules.modules[from].parent?;
            while let Some((_, further)) = rest.split_first().filter(|(name, _)| *name == "super") {
                module = modules.modules[module].parent?;
                rest = further;
            }
            vec![Target::Module(module)]
        }
        name => lookup(modules, from, name, imports)?,
    };
    Some(starts.into_iter().flat_map(|start| walk(modules, start, rest, imports)).collect())
}

/// Follows `path` down from `start`. The rest of a path behind an item names its variants and
/// functions.
fn walk(modules: &ModuleTree, start: Target, path: &[String], imports: usize) -> Vec<Target> {
    let (Target::Module(module), Some((name, rest))) = (start, path.split_first()) else {
        return vec![start];
    };
    match lookup(modules, module, name, imports) {
        Some(found) => found.into_iter().flat_map(|target| walk(modules, target, rest, imports)).collect(),
        // A macro defines it, or a glob import brings it from another crate.
        None if modules.modules[module].globs.is_empty() => vec![Target::File(modules.modules[module].file)],
        None => Vec::new(),
    }
}

/// Returns the meanings of `name` in `module`, or `None` for an unknown name.
fn lookup(modules: &ModuleTree, module: usize, name: &str, imports: usize) -> Option<Vec<Target>> {
    let it = &modules.modules[module];
    if let Some(definitions) = it.names.get(name) {
        let targets = definitions.iter().flat_map(|definition| match definition {
            Definition::Item => vec![Target::File(it.file)],
            Definition::Module(child) => vec![Target::Module(*child)],
            // `use bytes;` and a path that begins with its own name mean another crate.
            Definition::Import(path) if path.first().is_some_and(|first| first == name) => {
                own(modules, module, path)
            }
            Definition::Import(path) => resolve(modules, module, path, imports + 1).unwrap_or_default(),
        });
        return Some(targets.collect());
    }
    it.globs.iter().find_map(|path| {
        let found = resolve(modules, module, path, imports + 1)?;
        found.into_iter().find_map(|target| match target {
            Target::Module(inner) if inner != module => lookup(modules, inner, name, imports + 1),
            _ => None,
        })
    })
}

/// Follows an import whose first segment is the name that it imports, as in `use run::run;`.
fn own(modules: &ModuleTree, module: usize, path: &[String]) -> Vec<Target> {
    let definitions = path.first().and_then(|name| modules.modules[module].names.get(name));
    let child = definitions.into_iter().flatten().find_map(|it| match it {
        Definition::Module(child) => Some(*child),
        _ => None,
    });
    child.map(|child| walk(modules, Target::Module(child), &path[1..], IMPORTS_MAX)).unwrap_or_default()
}
