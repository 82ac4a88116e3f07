"""Commands that are not stages: import, segment, export, look after."""
