//! The diagram of the crates in ARCHITECTURE.md, compared with the dependencies that cargo sees.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use crate::{Finding, Tree, workspace};

/// The page that holds the diagram.
const PAGE: &str = "ARCHITECTURE.md";
/// The first line of the diagram.
const HEAD: &str = "flowchart TD";

/// Nodes and arrows of a diagram.
#[derive(Default, PartialEq, Eq)]
struct Graph {
    nodes: BTreeSet<String>,
    edges: BTreeSet<(String, String)>,
}

/// Compares the first mermaid diagram of ARCHITECTURE.md with the workspace.
pub(crate) fn check(tree: &Tree) -> Result<Vec<Finding>> {
    let is = graph(tree)?;
    let Some((line, drawn)) =
        tree.contains(PAGE).then(|| tree.read(PAGE)).transpose()?.and_then(|page| parse(&page))
    else {
        let text =
            format!("no mermaid block begins with `{HEAD}`: add the one that `netduel-tidy map` prints");
        return Ok(vec![Finding::new(PAGE, 0, text)]);
    };
    let arrow = |(from, to): &(String, String)| format!("`{from} --> {to}`");
    let missing =
        is.edges.difference(&drawn.edges).map(|edge| format!("the diagram lacks {}: add it", arrow(edge)));
    let extra = drawn.edges.difference(&is.edges);
    let extra = extra
        .map(|edge| format!("the diagram has {}, which is no direct dependency: remove it", arrow(edge)));
    let absent =
        is.nodes.difference(&drawn.nodes).map(|node| format!("the diagram lacks the crate `{node}`: add it"));
    let unknown = drawn.nodes.difference(&is.nodes).map(|node| format!("`{node}` is not a crate: remove it"));
    let texts = missing.chain(extra).chain(absent).chain(unknown);
    Ok(texts.map(|text| Finding::new(PAGE, line, text)).collect())
}

/// Returns the right diagram as a fenced block. Arrows that follow from others are left out.
///
/// # Errors
/// `cargo metadata` fails.
pub fn diagram(tree: &Tree) -> Result<String> {
    let Graph { nodes, edges } = graph(tree)?;
    let linked: BTreeSet<_> = edges.iter().flat_map(|(from, to)| [from, to]).collect();
    let alone = nodes.iter().filter(|node| !linked.contains(node)).map(|node| format!("    {node}\n"));
    let arrows = edges.iter().map(|(from, to)| format!("    {from} --> {to}\n"));
    let body: String = arrows.chain(alone).collect();
    Ok(format!("```mermaid\n{HEAD}\n{body}```\n"))
}

/// Returns the folders of the workspace's packages and the transitive reduction of their
/// dependencies.
fn graph(tree: &Tree) -> Result<Graph> {
    let packages = workspace::packages(tree)?;
    let folders: BTreeMap<_, _> = packages.iter().map(|it| (it.name.as_str(), it.folder.as_str())).collect();
    let needs: BTreeMap<_, BTreeSet<_>> = packages
        .iter()
        .map(|it| (it.folder.as_str(), it.needs().filter_map(|name| folders.get(name).copied()).collect()))
        .collect();
    let mut graph = Graph { nodes: needs.keys().map(|it| (*it).to_owned()).collect(), ..Graph::default() };
    for (from, direct) in &needs {
        for to in direct {
            if !direct.iter().any(|other| other != to && reaches(&needs, other, to)) {
                graph.edges.insert(((*from).to_owned(), (*to).to_owned()));
            }
        }
    }
    Ok(graph)
}

/// Whether `from` needs `to`, directly or through others. cargo allows no dependency cycle.
fn reaches(needs: &BTreeMap<&str, BTreeSet<&str>>, from: &str, to: &str) -> bool {
    needs.get(from).is_some_and(|direct| direct.iter().any(|it| *it == to || reaches(needs, it, to)))
}

/// Returns the line and the content of the first mermaid flowchart of `page`.
fn parse(page: &str) -> Option<(usize, Graph)> {
    let lines: Vec<_> = page.lines().map(str::trim).collect();
    let start = lines.windows(2).position(|pair| pair == ["```mermaid", HEAD])?;
    let mut graph = Graph::default();
    for line in lines[start + 2..].iter().take_while(|line| !line.starts_with("```")) {
        if let Some((from, to)) = line.split_once("-->") {
            let edge = (from.trim().to_owned(), to.trim().to_owned());
            graph.nodes.extend([edge.0.clone(), edge.1.clone()]);
            graph.edges.insert(edge);
        } else if !line.is_empty() && !line.starts_with("%%") {
            graph.nodes.insert((*line).to_owned());
        }
    }
    Some((start + 1, graph))
}
