"""What the services that this project writes itself have in common; each reaches it by a link in its `src`."""
