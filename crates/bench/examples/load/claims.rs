//! Claims of one-time prekeys.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use sealwire_bench::Failure;
use sealwire_relay::{
    Nonce,
    wire::{Body as _, Claim, Claimed, Operation},
};

use crate::{
    drive::{Connections, Traffic},
    http::Answer,
    people::{self, Key},
    plan::{Phase, Plan, Report},
};

/// Agents who claim.
const CALLERS: u32 = 64;

/// Claims that are signed for each millisecond of a phase: more than a relay can answer.
const PER_MILLISECOND: u32 = 15;

/// A load of claims.
pub(crate) struct Claims {
    plan: Plan,
    agents: u32,
    callers: Vec<Key>,
    connections: Connections,
    /// How many were signed so far.
    signed: u32,
}

/// Requests, signed before they are due: what signing costs is not the server's.
#[derive(Debug, Default)]
struct Signed {
    requests: RefCell<Vec<Vec<u8>>>,
    /// Answers without a key of each kind.
    drained: Cell<u64>,
}

impl Claims {
    pub(crate) async fn new(plan: &Plan, agents: u32) -> Result<Self, Failure> {
        let connections = Connections::open(plan.address, plan.connections).await?;
        let callers = (0..CALLERS).map(Key::of_caller).collect();
        Ok(Self { plan: plan.clone(), agents, callers, connections, signed: 0 })
    }

    /// Signs as many as are due, and claims for a time.
    pub(crate) async fn run(&mut self, phase: &Phase) -> Result<Report, Failure> {
        let signed = Rc::new(Signed::default());
        for _ in 0..most(phase.time)? {
            let request = self.next()?;
            signed.requests.borrow_mut().push(request);
        }
        let seed = self.signed.into();
        let report = self.connections.drive(&signed, phase, seed).await?;
        match signed.drained.get() {
            0 => Ok(report),
            drained => Err(format!("{drained} claims found no key of one kind").into()),
        }
    }

    fn next(&mut self) -> Result<Vec<u8>, Failure> {
        // No other process claims under this number.
        let number = self.signed.saturating_mul(self.plan.of).saturating_add(self.plan.number);
        self.signed = self.signed.saturating_add(1);
        let device = people::device(people::claimed_agent(number, self.agents));
        let caller = self.callers.get(usize::try_from(number % CALLERS)?).ok_or("no callers")?;
        let nonce = people::nonce("claim", number);
        let body = Claim { nonce: Nonce::from_bytes(nonce) }.to_bytes();
        let host = self.plan.address.to_string();
        caller.request(&host, &Operation::Claim(device), &body, nonce)
    }
}

/// The most claims of one process in a phase.
pub(crate) fn most(time: Duration) -> Result<u32, Failure> {
    Ok(u32::try_from(time.as_millis())?.saturating_mul(PER_MILLISECOND))
}

impl Traffic for Signed {
    type Ticket = ();

    fn write(&self, _: Duration, request: &mut Vec<u8>) -> Result<Option<()>, Failure> {
        let Some(next) = self.requests.borrow_mut().pop() else { return Ok(None) };
        *request = next;
        Ok(Some(()))
    }

    fn answered(&self, (): (), answer: &Answer<'_>) -> bool {
        let claimed = Claimed::from_bytes(answer.body).ok().filter(|_| answer.status == 200);
        let Some(claimed) = claimed else { return false };
        if claimed.x25519.is_none() || claimed.kem.is_none() {
            self.drained.set(self.drained.get().saturating_add(1));
        }
        true
    }
}
