"""Are a clip's lips and sound together? A frozen network measures it (`scorer`), `verdict` decides what follows."""
