"""The data set: its cases, their files and what preparation makes of them."""
