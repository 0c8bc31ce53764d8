//! Differences between the settings of the two sides of a run. Pure.

use netduel_transport::PathStats;

/// Returns the settings that differ: the name, the players' value and the server's value. A setting
/// that one side does not report is no difference.
pub(crate) fn differences(players: &PathStats, server: &PathStats) -> Vec<(String, String, String)> {
    let congestion = [players, server].map(|side| side.congestion.as_ref().map(ToString::to_string));
    let tls = [players, server].map(|side| side.tls.as_ref().map(ToString::to_string));
    let read_back = [("congestion control", congestion), ("TLS", tls)];
    let mut differences: Vec<(String, String, String)> = (read_back.into_iter())
        .filter_map(|(name, [one, other])| Some((name.to_owned(), one?, other?)))
        .collect();
    for setting in players.settings.iter().filter(|setting| !setting.adjusts_itself()) {
        let other = server.settings.iter().find(|other| other.name() == setting.name());
        differences.extend(other.map(|other| (setting.name().to_owned(), setting.value(), other.value())));
    }
    differences.retain(|(_, one, other)| one != other);
    differences
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_differing_settings_alone() {
        let side = |congestion: Option<&str>, nodelay: &str, buffer: &str| PathStats {
            congestion: congestion.map(|name| name.to_owned().into()),
            settings: [("TCP_NODELAY", nodelay), ("send buffer B", buffer)]
                .map(|(name, value)| (name.to_owned(), value.to_owned()).into())
                .to_vec(),
            ..PathStats::default()
        };
        let players = side(Some("cubic"), "on", "1");
        assert!(differences(&players, &side(Some("cubic"), "on", "2")).is_empty(), "buffers grow by need");
        assert!(
            differences(&players, &side(None, "on", "1")).is_empty(),
            "an unreported setting is no difference"
        );
        let told: Vec<String> =
            differences(&players, &side(Some("bbr"), "off", "1")).into_iter().map(|it| it.0).collect();
        assert_eq!(told, ["congestion control", "TCP_NODELAY"]);
    }
}
