"""A net as a picture: boxes for its layers, blocks for what repeats, laid out in rows and lanes."""
