"""The steps by which an older database becomes the present one."""
