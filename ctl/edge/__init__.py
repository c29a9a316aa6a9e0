"""Where the program meets the world: sockets, files, the environment."""
