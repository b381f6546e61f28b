"""Plans, starts, follows, ends, resumes and finds runs."""
