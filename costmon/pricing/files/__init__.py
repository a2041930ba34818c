"""Price files: TOML that corrects or adds to the catalogue, read whole or refused in one sentence."""
