//! A throw-away PostgreSQL by hand: prints its URL, and is gone with its data when the input ends or Ctrl-C is pressed.

use std::{
    io::{self, Read},
    process::ExitCode,
};

use stepwell_postgres_rig::{Cluster, Settings};

fn main() -> ExitCode {
    match Cluster::start(&Settings::fast()) {
        Ok(cluster) => {
            println!("{}", cluster.address().url("postgres"));
            // An input that cannot be read has ended.
            _ = io::stdin().read_to_end(&mut Vec::new());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
