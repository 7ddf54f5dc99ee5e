"""A miniature MS MARCO as it is published, and a server that it is downloaded from."""
