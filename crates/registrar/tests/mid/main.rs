//! The mid-registrar's core on a virtual clock (behaviour §7): each sentence has its test.

mod absorb;
mod answers;
mod crossing;
mod crowd;
mod deregister;
mod echoes;
mod familiar;
mod forms;
mod harness;
mod kept;
mod lookup;
mod model;
mod outage;
mod passed;
mod push;
