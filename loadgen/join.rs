//! Connects and pairs Netduel's own players.

use std::sync::Arc;

use anyhow::bail;
use netduel_client::{Event, PlayError, Player, PlayerConfig, stats::ClockSync};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::plan::LoadPlan;

/// The number of pairs that connect at once. A server's UDP socket holds 90 of QUIC's first packets
/// by the system's default, and a loss among them costs a second: of 300 at once, not all finished
/// within the five seconds of a handshake.
const PAIRS_JOINING_MAX: usize = 32;
/// The number of times that a player tries to connect: on a lossy link all first packets of a
/// handshake may meet bad periods.
const CONNECT_ATTEMPTS_MAX: u32 = 3;

/// Connects and pairs all players of a plan, many at once: one after another, handshakes over a
/// long round trip would take minutes.
pub(crate) async fn pair_all(plan: &LoadPlan) -> anyhow::Result<Vec<Player>> {
    let mut joining = tokio::task::JoinSet::new();
    let room = Arc::new(tokio::sync::Semaphore::new(PAIRS_JOINING_MAX));
    for [first, second] in plan.configs()? {
        let room = room.clone();
        joining.spawn(async move {
            let _place = room.acquire().await?;
            let (mut first, mut second) = tokio::try_join!(join_match(&first), join_match(&second))?;
            tokio::try_join!(know_clock(&mut first), know_clock(&mut second))?;
            anyhow::Ok((first, second))
        });
    }
    let mut players = Vec::with_capacity(2 * joining.len());
    while let Some(pair) = joining.join_next().await {
        let (first, second) = pair??;
        players.extend([first, second]);
    }
    agree_on_clock(&mut players);
    // The order of the matches, not of the arrivals.
    players.sort_by_key(|player| {
        player.current().map(|current| (current.started.match_id, current.started.player))
    });
    // Bytes that do not repeat, in case something on the path compresses.
    let mut payload = vec![0; plan.payload_bytes as usize];
    ChaCha8Rng::seed_from_u64(plan.seed).fill_bytes(&mut payload);
    for player in &mut players {
        player.set_payload(&payload)?;
    }
    Ok(players)
}

/// Pings until the offset of the server's clock is known, if it is another clock than this
/// host's.
async fn know_clock(player: &mut Player) -> anyhow::Result<()> {
    while player.clock().offset_us().is_none() {
        player.ping()?;
        while !matches!(player.next_event().await?, Event::Pong { .. }) {}
    }
    Ok(())
}

/// Lets all players use the best estimate of the server's clock. They read one clock, so the delay
/// from one to another is then exact, whatever the estimate's error.
fn agree_on_clock(players: &mut [Player]) {
    let known = players.iter().map(Player::clock).min_by_key(|clock| clock.error_us().unwrap_or(u32::MAX));
    if let Some(offset_us) = known.and_then(ClockSync::offset_us) {
        players.iter_mut().for_each(|player| player.agree_on_clock(offset_us));
    }
}

/// A player that joined its match.
pub(crate) struct Joined {
    pub(crate) player: Player,
    /// The attempts to connect that failed before.
    pub(crate) retries: u32,
}

/// Connects a player and joins the match with its partner of the same match code.
pub async fn join_match(config: &PlayerConfig) -> anyhow::Result<Player> {
    Ok(join_counting(config).await?.player)
}

/// Does the same as [`join_match`], and counts the attempts.
pub(crate) async fn join_counting(config: &PlayerConfig) -> anyhow::Result<Joined> {
    let mut attempt = 1;
    let mut player = loop {
        match Player::connect(config).await {
            Ok(player) => break player,
            // Another attempt does not change the reason for which a server refuses.
            Err(error @ (PlayError::Refused { .. } | PlayError::BadServer(_))) => return Err(error.into()),
            Err(error) if attempt == CONNECT_ATTEMPTS_MAX => return Err(error.into()),
            Err(_) => attempt += 1,
        }
    };
    // A lost connection spoils what is measured, so no player reconnects.
    player.set_reconnect_targets(Vec::new());
    player.join(Some(&config.name))?;
    loop {
        match player.next_event().await? {
            Event::Started(_) => return Ok(Joined { player, retries: attempt - 1 }),
            Event::Waiting => {}
            other => bail!("received {other:?} before the match started"),
        }
    }
}
