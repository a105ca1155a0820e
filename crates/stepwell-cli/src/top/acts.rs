//! What is asked for on the way.

use serde_json::json;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use super::{board::Act, keys::Wish, run::Told};
use crate::{
    client::{Client, segment},
    failure::Failure,
};

/// Does what is wished, one after the other, beside what is shown.
pub(super) async fn perform(
    client: &Client,
    mut wishes: UnboundedReceiver<Wish>,
    told: &UnboundedSender<Told>,
) {
    while let Some(wish) = wishes.recv().await {
        let outcome = match &wish {
            Wish::Nothing | Wish::Leave => continue,
            Wish::Read(id) => read(client, id).await,
            Wish::Do(act) => {
                act_on(client, act).await.map(|()| Told::Words(format!("done: {}", act.words())))
            }
        };
        told.send(outcome.unwrap_or_else(|failure| Told::Words(failure.to_string()))).ok();
    }
    std::future::pending::<()>().await;
}

async fn read(client: &Client, id: &str) -> Result<Told, Failure> {
    let answer = client.get("read the job", &format!("/api/v1/jobs/{}", segment(id))).await?;
    Ok(Told::Detail(answer.value()?))
}

async fn act_on(client: &Client, act: &Act) -> Result<(), Failure> {
    let what = act.words();
    let done = match act {
        Act::Retry(id) => client.act(&what, &format!("/api/v1/jobs/{}/retry", segment(id))).await,
        Act::Cancel(id) => client.act(&what, &format!("/api/v1/jobs/{}/cancel", segment(id))).await,
        Act::Pause(queue) => {
            let body = json!({ "reason": "paused in stepwell top" });
            client.post(&what, &format!("/api/v1/queues/{}/pause", segment(queue)), &body).await
        }
        Act::Resume(queue) => client.act(&what, &format!("/api/v1/queues/{}/resume", segment(queue))).await,
    };
    done.map(drop)
}
