//! What push notifications cost a refresh: instructions under callgrind, with them on and off, for contacts that have
//! `pn-` parameters and for those that have none.

use crate::error::Error;
use crate::refresh_cost::{RefreshCostArgs, each};

/// What switches them on.
const ON: &str = "loadmodule \"event_routing.so\"\nmodparam(\"registrar\", \"pn_enable\", 1)\n\
                  modparam(\"registrar\", \"pn_providers\", \"apns, fcm\")\n";

/// The parameters of a phone that is woken by FCM: a token of 130 characters, about as long as those of FCM.
const PARAMS: &str = ";pn-provider=fcm;pn-param=my-project;pn-prid=fcmtoken-{user}\
                      -APA91bHun4MxP5egoKMwt2KZFBaFUH-1RYqxTW2SIqPFMFhZNHyTiBXv3ZyHfs8AbuYxNzTKYfVhJ9Xc\
                      -3wMDbV1Kz0T7dQGgUYi4vW2aNcRkLm5";

/// Measures and prints a table.
///
/// # Errors
/// [`Error::Server`] when the server does not start or requests were lost, [`Error::System`] when the machine refuses
/// something.
pub fn cli(args: &RefreshCostArgs) -> Result<(), Error> {
    println!("| contact | off | on | difference |\n|---|--:|--:|--:|");
    for (name, params) in [("without pn- parameters", ""), ("with pn- parameters", PARAMS)] {
        let (off, on) = (each(args, "", params)?, each(args, ON, params)?);
        println!("| {name} | {off:.0} | {on:.0} | {:+.2} % |", (on / off.max(1.0) - 1.0) * 100.0);
    }
    Ok(())
}
