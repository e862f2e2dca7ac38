"""Jobs on image files: the options of blend, edit and harmonize, tasks that are checked, and the worker that runs them.

`options` declares each option once; `task` checks a request, `lists` the rows of a table or the images of a folder;
`worker` reads, computes and writes; `failures` defines the errors. The command line is built on this package, and
so is everything else that takes jobs. Messages name the options of a task in its style, as flags or as fields.
"""
