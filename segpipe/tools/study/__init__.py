"""Study: begin a folder for one data set, and bring it to a newer segpipe."""
