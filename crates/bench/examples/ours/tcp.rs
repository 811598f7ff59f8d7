//! A channel between two agents over TCP loopback.

use std::sync::Arc;

use sealwire::{Agent, AllowAnyAuthenticated, Peer, core::MemoryKeyStore, custody::system_rng};
use sealwire_bench::{Failure, Request, tcp::throughput};

pub(crate) fn measure(request: &Request) -> Result<f64, Failure> {
    let agent = || -> Result<Agent, Failure> {
        let keys = Arc::new(MemoryKeyStore::generate(&mut system_rng())?);
        Ok(Agent::builder(keys).inbound(AllowAnyAuthenticated).build()?)
    };
    let (alice, bob) = (agent()?, agent()?);
    throughput(
        request.bytes,
        async move |stream| Ok(alice.connect(stream, Peer::Stranger).await?),
        async move |stream| {
            let source = stream.peer_addr()?;
            Ok(bob.accept(stream, source).await?)
        },
    )
}
