"""The data set: its cases, their files, their split and the prepared cases."""
