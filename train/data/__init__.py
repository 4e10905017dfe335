"""Data engine: video–pose–action–prompt quadruplets from rendered worlds, a game, recorded video and engine captures."""
