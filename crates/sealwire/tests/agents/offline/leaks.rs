//! What `Debug` and errors show: no key, no message, no mailbox.

use sealwire::{Draft, store::Table};
use sealwire_testkit::leak::shows;

use crate::offline::{
    common::{World, refused, say, sync},
    relay::Fate,
};

// attack T34
#[tokio::test]
async fn nothing_shows_a_message_a_mailbox_or_a_key() {
    let (world, alice, bob) = World::talking().await;
    let secret: Vec<u8> = (33..97).collect();
    // The control: this is what a leak looks like.
    assert!(shows(&format!("{secret:?}"), &secret));
    let draft = Draft::new(&secret).once(&secret);
    let mut texts = vec![format!("{draft:?} {draft:#?}")];
    alice.send(bob.id(), draft.clone()).await.expect("send");
    texts.push(format!("{alice:?} {alice:#?} {:?}", world.alice.builder()));
    texts.push(format!("{:?}", sync(&alice).await));
    texts.push(format!("{:?}", sync(&bob).await));
    let inbox = bob.inbox().expect("inbox");
    let message = inbox.next().await.expect("read").expect("a message");
    assert_eq!(message.payload(), secret);
    texts.push(format!("{inbox:?} {inbox:#?} {message:?} {message:#?}"));
    texts.push(format!("{:?}", bob.sessions().await.expect("sessions")));
    let other = Draft::new(b"another").once(&secret);
    let mut errors = vec![refused(alice.send(bob.id(), other).await)];
    world.relay.on_deposit(|_| Fate::Away);
    alice.send(bob.id(), Draft::new(&secret)).await.expect("send");
    errors.push(refused(alice.sync().await));
    world.alice.disk.fail_after(0);
    errors.push(refused(alice.send(bob.id(), Draft::new(&secret)).await));
    texts.extend(errors.iter().map(|error| format!("{error:?} {error:#?} {error}")));

    let mut secrets = vec![secret];
    for table in [Table::Session, Table::Prekey, Table::Outbox] {
        let rows = world.bob.disk.table(table).into_iter().chain(world.alice.disk.table(table));
        // Rows begin with what is no secret.
        secrets.extend(rows.map(|(_, value)| value[value.len() - 64..].to_vec()));
    }
    for (address, _) in world.relay.firsts() {
        secrets.extend([address.mailbox().to_vec(), address.capability().to_vec()]);
    }
    for text in &texts {
        assert!(secrets.iter().all(|secret| !shows(text, secret)), "{text}");
    }
    world.alice.disk.heal();
    world.relay.honest();
    say(&bob, &alice, b"done").await;
}
