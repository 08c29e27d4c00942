"""The profile table: variants, checkpoints, platforms, releases, images and published cells."""
