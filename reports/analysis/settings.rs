//! Settings that the two sides of a run did not have alike. Pure.

use netduel_transport::PathStats;

/// What the kernel sets by need, so that both sides may differ in it: TCP's buffers grow with the path.
const SET_BY_NEED: &str = "buffer B";
/// What a run's two sides do not have alike: the setting, the players' value and the server's. Nothing where a side does
/// not say.
pub(crate) fn differences(players: &PathStats, server: &PathStats) -> Vec<(String, String, String)> {
    let read_back =
        [("congestion control", &players.congestion, &server.congestion), ("TLS", &players.tls, &server.tls)];
    let mut differences: Vec<(String, String, String)> = (read_back.into_iter())
        .filter_map(|(name, one, other)| Some((name.to_owned(), one.clone()?, other.clone()?)))
        .collect();
    for (name, value) in players.settings.iter().filter(|(name, _)| !name.ends_with(SET_BY_NEED)) {
        let other = server.settings.iter().find(|(other, _)| other == name);
        differences.extend(other.map(|(_, other)| (name.clone(), value.clone(), other.clone())));
    }
    differences.retain(|(_, one, other)| one != other);
    differences
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_both_say_and_do_not_have_alike_is_told() {
        let side = |congestion: Option<&str>, nodelay: &str, buffer: &str| PathStats {
            congestion: congestion.map(str::to_owned),
            settings: [("TCP_NODELAY", nodelay), ("send buffer B", buffer)]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .to_vec(),
            ..PathStats::default()
        };
        let players = side(Some("cubic"), "on", "1");
        assert!(differences(&players, &side(Some("cubic"), "on", "2")).is_empty(), "buffers grow by need");
        assert!(
            differences(&players, &side(None, "on", "1")).is_empty(),
            "what is not said is no difference"
        );
        let told: Vec<String> =
            differences(&players, &side(Some("bbr"), "off", "1")).into_iter().map(|it| it.0).collect();
        assert_eq!(told, ["congestion control", "TCP_NODELAY"]);
    }
}
