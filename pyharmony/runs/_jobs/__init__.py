"""Jobs on image files: calls that are checked, and the runner that reads, computes and writes them.

`task` checks a request, `lists` the rows of a table or the images of a folder; `runner` reads, computes by `functions`
and writes; `failures` defines the errors. The command line is built on this package, and so is everything else that
takes jobs. Messages name the options of a task in its style, as flags or as fields.
"""
