"""One person's way from a browser to the model on the desktop: it passes everything on and keeps nothing."""
