"""The project: its folders, its params and the documents that stages exchange."""
