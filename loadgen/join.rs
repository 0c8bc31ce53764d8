//! Connects players of ours and pairs them.

use std::sync::Arc;

use anyhow::bail;
use netduel_client::{Event, PlayError, Player, PlayerConfig};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::plan::LoadPlan;

/// Pairs that connect at once. A server's UDP socket holds 90 of QUIC's first packets by the system's default, and a loss
/// among them costs a second: 300 at once did not all get through in the five that a handshake may take.
const PAIRS_JOINING_MAX: usize = 32;
/// How often a player tries to connect: on a lossy link all first packets of a handshake may meet bad periods.
const CONNECT_ATTEMPTS_MAX: u32 = 3;

/// Many connect at once: one after another, the handshakes of a link with a long round trip would take minutes.
pub(crate) async fn pair_all(plan: &LoadPlan) -> anyhow::Result<Vec<Player>> {
    let mut joining = tokio::task::JoinSet::new();
    let room = Arc::new(tokio::sync::Semaphore::new(PAIRS_JOINING_MAX));
    for [first, second] in plan.configs()? {
        let room = room.clone();
        joining.spawn(async move {
            let _place = room.acquire().await?;
            tokio::try_join!(join_match(&first), join_match(&second))
        });
    }
    let mut players = Vec::with_capacity(2 * joining.len());
    while let Some(pair) = joining.join_next().await {
        let (first, second) = pair??;
        players.extend([first, second]);
    }
    // In the order of their matches, not of their luck.
    players
        .sort_by_key(|player| player.current().map(|current| (current.started.game, current.started.player)));
    // Bytes that do not repeat, should anything under way compress.
    let mut payload = vec![0; plan.payload_bytes as usize];
    ChaCha8Rng::seed_from_u64(plan.seed).fill_bytes(&mut payload);
    for player in &mut players {
        player.set_payload(&payload)?;
    }
    Ok(players)
}

/// Connects, and meets the other player of the same name.
pub async fn join_match(config: &PlayerConfig) -> anyhow::Result<Player> {
    let mut attempt = 1;
    let mut player = loop {
        match Player::connect(config).await {
            Ok(player) => break player,
            // The server refuses for a reason that another attempt does not change.
            Err(error @ (PlayError::Refused { .. } | PlayError::BadServer(_))) => return Err(error.into()),
            Err(error) if attempt == CONNECT_ATTEMPTS_MAX => return Err(error.into()),
            Err(_) => attempt += 1,
        }
    };
    // A connection that is lost spoils what is measured.
    player.set_reconnect_targets(Vec::new());
    player.join(Some(&config.name))?;
    loop {
        match player.next_event().await? {
            Event::Started(_) => return Ok(player),
            Event::Waiting => {}
            other => bail!("{other:?} before the start"),
        }
    }
}
