"""The words for arithmetic in a study: what is left to a measurement, and which tasks it is measured for."""

AUTO = "auto"
ENCODE, TRAIN = "encode", "train"
