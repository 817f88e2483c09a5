"""One module per schema revision, oldest first. A revision that has been released is never edited."""
