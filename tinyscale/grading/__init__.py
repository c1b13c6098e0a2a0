"""Stories and their judge: a measuring instrument, with its own tests of itself."""
