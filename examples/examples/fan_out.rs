//! A phase for each element of a list. What an element returned is kept, also if another one fails.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use stepwell::{Ctx, Job, Phase, PhaseResult, Plan, Retry, Stepwell, Worker};

#[derive(Serialize, Deserialize)]
struct Album {
    pictures: Vec<String>,
}

impl Job for Album {
    const KIND: &'static str = "album";
    type Output = String;
}

#[derive(Default)]
struct Studio {
    has_failed: AtomicBool,
}

impl Worker for Studio {
    type Job = Album;

    fn plan(plan: &Plan<Self>) -> Phase<'_, String> {
        let pictures = plan.phase("list", (), Self::list);
        // One at a time, so that the output of this program is always the same.
        let sizes = plan.each("develop", pictures, Self::develop).at_once(1);
        let sizes = sizes.retry(Retry::fixed(3, Duration::from_millis(1)));
        plan.phase("bind", sizes, Self::bind)
    }
}

impl Studio {
    async fn list(&self, cx: &Ctx<Album>) -> PhaseResult<Vec<String>> {
        Ok(cx.job().pictures.clone())
    }

    async fn develop(&self, cx: &Ctx<Album>, picture: String) -> PhaseResult<usize> {
        println!("developing {picture}, try {}", cx.attempt());
        if picture == "dunes" && !self.has_failed.swap(true, Ordering::Relaxed) {
            return Err("the bath is too cold".into());
        }
        Ok(picture.len())
    }

    async fn bind(&self, _: &Ctx<Album>, sizes: Vec<usize>) -> PhaseResult<String> {
        Ok(format!("{} pictures of sizes {sizes:?}", sizes.len()))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let home = tempfile::tempdir()?;
    let stepwell = Stepwell::sqlite(home.path().join("app.db")).worker(Studio::default()).open().await?;
    let workers = stepwell.start();

    let pictures = ["harbour", "dunes", "mill"].map(str::to_owned).into();
    let album = stepwell.enqueue(Album { pictures }).await?;
    println!("{}", album.result().await?);

    workers.shutdown(Duration::from_secs(5)).await?;
    Ok(())
}

// Output:
// developing harbour, try 1
// developing dunes, try 1
// developing dunes, try 2
// developing mill, try 2
// 3 pictures of sizes [7, 5, 4]
