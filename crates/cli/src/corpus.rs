//! What holds for every text in the files of this command's own. The fuzz target `command_files`
//! includes this file, and the test at its foot replays the target's corpus.

use std::fmt::Debug;

use sealwire::core::Timestamp;

use super::{
    books::{Addresses, Book, Sends},
    cards::file as cards,
};

/// In the life of some cards among the seeds, and beyond that of others.
const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

/// What was read and is written reads the same, and is written the same once more. The first byte
/// picks the file. Says whether it was read.
pub(crate) fn command_files(bytes: &[u8]) -> bool {
    let Some((first, bytes)) = bytes.split_first() else { return false };
    match first {
        0 => book::<Addresses>(bytes),
        1 => book::<Sends>(bytes),
        2 => own_cards(&String::from_utf8_lossy(bytes)),
        _ => false,
    }
}

fn book<T: Book + PartialEq + Debug>(bytes: &[u8]) -> bool {
    let Ok(read) = T::read(bytes) else { return false };
    let text = read.to_text().expect("JSON");
    let again = T::read(text.as_bytes()).expect("its own text");
    assert_eq!(again, read);
    assert_eq!(again.to_text().expect("JSON"), text);
    true
}

fn own_cards(text: &str) -> bool {
    let Ok(read) = cards::read(text, NOW) else { return false };
    assert!(read.is_sorted_by_key(|card| card.sequence()));
    let text = cards::to_text(&read);
    let again = cards::read(&text, NOW).expect("its own text");
    assert_eq!(again, read);
    assert_eq!(cards::to_text(&again), text);
    true
}

#[cfg(test)]
mod replay {
    // attack T32
    #[test]
    fn files_of_the_command() {
        sealwire_testkit::corpus::replay("command_files", super::command_files);
    }
}
