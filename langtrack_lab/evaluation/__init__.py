"""Measuring, from one branch on one clip to a benchmark under its protocol.

branches    one branch alone on the dev sets: `evaluate language`, `evaluate tracker`
command     the whole tracker over a data set, resumable: `evaluate --data … --kind … --init … --out …`
protocol    what is asked: sequence, sentence, what is given at the start
record      what the tracker answered on one sequence, with the truth beside it
folder      records on disk, one file a sequence, never mixed
scores      records to figures, by branch
others      result files of other trackers
small_sets  single pictures, absent objects, contrasting sentences
"""
