//! The results of criterion's last `cargo bench`, if any, for the report.

use std::path::Path;

use serde::{Deserialize, Serialize};

/// The folder of criterion's results below the checkout, in which `cargo bench` and `cargo compare`
/// run.
pub(crate) const CRITERION: &str = "target/criterion";
/// The largest number of benches read. It exceeds the number of existing benches and bounds the
/// effect of a foreign folder.
const BENCHES_MAX: usize = 200;

/// A bench with criterion's estimates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bench {
    /// The group.
    pub group: String,
    /// The name within the group; empty for a group of one bench.
    pub name: String,
    /// The mean time of one iteration, in ns.
    pub mean_ns: f64,
    /// The lower end of the 95 % confidence interval, in ns.
    pub low_ns: f64,
    /// The upper end of the 95 % confidence interval, in ns.
    pub high_ns: f64,
}

/// Reads the benches of criterion's folder (`target/criterion`), sorted by group and name; empty
/// without such a folder.
pub(crate) fn collect(folder: &Path) -> Vec<Bench> {
    let mut benches = Vec::new();
    // The paths are GROUP/new or GROUP/NAME/new.
    for group in folders(folder) {
        benches.extend(read(&group.join("new")));
        for name in folders(&group) {
            benches.extend(read(&name.join("new")));
        }
    }
    benches.sort_by(|a, b| (&a.group, &a.name).cmp(&(&b.group, &b.name)));
    benches.truncate(BENCHES_MAX);
    benches
}

fn folders(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

/// Reads criterion's files of one bench; `None` for any other folder.
fn read(folder: &Path) -> Option<Bench> {
    #[derive(Deserialize)]
    struct Id {
        group_id: String,
        function_id: Option<String>,
        value_str: Option<String>,
    }
    #[derive(Deserialize)]
    struct Estimates {
        mean: Estimate,
    }
    #[derive(Deserialize)]
    struct Estimate {
        point_estimate: f64,
        confidence_interval: Interval,
    }
    #[derive(Deserialize)]
    struct Interval {
        lower_bound: f64,
        upper_bound: f64,
    }
    let text = |name: &str| std::fs::read_to_string(folder.join(name)).ok();
    let id: Id = serde_json::from_str(&text("benchmark.json")?).ok()?;
    let Estimates { mean } = serde_json::from_str(&text("estimates.json")?).ok()?;
    let name = [id.function_id, id.value_str].into_iter().flatten().collect::<Vec<_>>().join(" ");
    Some(Bench {
        group: id.group_id,
        name,
        mean_ns: mean.point_estimate,
        low_ns: mean.confidence_interval.lower_bound,
        high_ns: mean.confidence_interval.upper_bound,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_criterion_files_alone() {
        let folder = tempfile::tempdir().expect("folder");
        let bench = folder.path().join("relay").join("tcp").join("new");
        std::fs::create_dir_all(&bench).expect("created");
        let id = r#"{"group_id":"relay","function_id":"tcp","value_str":null,"throughput":null}"#;
        std::fs::write(bench.join("benchmark.json"), id).expect("written");
        let estimates = r#"{"mean":{"confidence_interval":{"confidence_level":0.95,"lower_bound":7.0,"upper_bound":9.0},"point_estimate":8.0,"standard_error":0.5}}"#;
        std::fs::write(bench.join("estimates.json"), estimates).expect("written");
        std::fs::create_dir_all(folder.path().join("report")).expect("created");
        std::fs::write(folder.path().join("report").join("index.html"), "").expect("written");
        let (group, name) = ("relay".into(), "tcp".into());
        let wanted = Bench { group, name, mean_ns: 8.0, low_ns: 7.0, high_ns: 9.0 };
        assert_eq!(collect(folder.path()), [wanted]);
        assert!(collect(&folder.path().join("nowhere")).is_empty());
    }
}
