"""Data engine: video–pose–action–prompt quadruplets from rendered worlds, a game, recordings and captures."""
