"""Every picture: the only folder that knows matplotlib."""
