//! Sealing and opening records, without a transport in between.

use sealwire::noise::record::{CONTENT_LEN, Opened};
use sealwire_bench::{Failure, KIB, Request, rate};

use crate::handshake::session;

pub(crate) fn measure(request: &Request) -> Result<f64, Failure> {
    let size: u32 = match request.name.as_str() {
        "seal+open 1KiB" => 1,
        "seal+open 16KiB" => 16,
        "seal+open 64KiB" => 64,
        _ => return Err(request.unknown()),
    };
    let content = vec![0xA5; usize::try_from(size)? * KIB];
    let [sender, receiver] = session()?;
    let (mut sealer, mut opener) = (sender.into_parts().0, receiver.into_parts().1);
    let mut sealed = Vec::new();
    let rate = rate(request.time, || {
        let mut opened = 0;
        for piece in content.chunks(CONTENT_LEN) {
            sealed.clear();
            sealer.seal_data(piece, &mut sealed)?;
            let mut rest = &mut sealed[..];
            // A rekey record may stand before the record.
            while let Some((length, after)) = rest.split_first_chunk_mut::<2>() {
                let length = usize::from(u16::from_be_bytes(*length));
                let (record, next) = after.split_at_mut_checked(length).ok_or("a cut record")?;
                if let Opened::Data(content) = opener.open(record)? {
                    opened += content.len();
                }
                rest = next;
            }
        }
        Ok(opened)
    })?;
    Ok(rate * f64::from(size) * 1024.0)
}
