"""Jobs on image files: the options of blend, edit and harmonize, tasks that are checked, and the worker that runs them.

`options` declares each option once; `task` checks a request, `lists` the rows of a table or the images of a folder;
`worker` reads, computes and writes; `failures` defines the errors. The command line is built on this package, and
so is everything else that takes jobs. Messages name an option as the command line writes it, such as --color-weight.
"""
