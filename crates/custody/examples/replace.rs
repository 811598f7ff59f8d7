//! Rotates the exchange keys of the key file at the given path, which is made if it is not
//! there: `SEALWIRE_PASSPHRASE=… replace PATH`.

use std::{env, error::Error, path::PathBuf};

use sealwire_custody::{FileKeyStore, Passphrase, system_rng};

fn main() -> Result<(), Box<dyn Error>> {
    let path = PathBuf::from(env::args_os().nth(1).ok_or("usage: replace PATH")?);
    let passphrase = Passphrase::from_string(env::var("SEALWIRE_PASSPHRASE")?)?;
    if path.try_exists()? {
        let mut keys = FileKeyStore::open(&path, &passphrase)?;
        keys.rotate_exchange_keys(&passphrase, &mut system_rng())?;
    } else {
        FileKeyStore::create(&path, &passphrase, &mut system_rng())?;
    }
    Ok(())
}
