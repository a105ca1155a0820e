//! How webhooks are sent, as it is said on the command line.

use stepwell::webhook::WebhookOptions;

/// What can be set of webhooks, for every command that sends them.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct WebhookArguments {
    /// A network that webhooks may go to although it is not public, on any port and without TLS: 10.20.0.0/16, or one
    /// address. May be given several times. Whoever sends them must be told, and with --store whoever names them, too.
    #[arg(long = "webhook-allow", global = true, value_name = "CIDR", value_parser = network)]
    allow: Vec<String>,
}

impl WebhookArguments {
    pub(crate) fn options(&self) -> WebhookOptions {
        self.allow.iter().fold(WebhookOptions::new(), |options, network| options.allow(network))
    }
}

fn network(text: &str) -> Result<String, String> {
    match WebhookOptions::new().allow(text).check() {
        Ok(()) => Ok(text.to_owned()),
        Err(_) => Err("it is a network, such as 10.20.0.0/16 or fd00::/8, or one address".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_and_addresses_are_taken_and_nothing_else() {
        for text in ["10.0.0.0/8", "127.0.0.1", "::1", "fd00::/8"] {
            assert_eq!(network(text).as_deref(), Ok(text));
        }
        for text in ["", "10.0.0.0/33", "localhost", "*", "10.0.0.0/8,::1"] {
            network(text).unwrap_err();
        }
    }
}
