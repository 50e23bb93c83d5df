"""Evaluation, from one branch on one clip to a benchmark under its protocol.

command        the whole tracker over a data set, resumable: `evaluate --data … --kind … --init … --out …`
protocol       what is measured: sequences, sentences, and what the tracker gets on the first frame
runner         follows a sequence, with all branches or with one, and keeps the predictions beside the truth
results        result folders on disk, a file for each sequence; different protocols never mix
scores         figures of each branch from these predictions
tables         result folders as text, Markdown, CSV and JSON
external       result files of other trackers
single_branch  one branch alone on the dev sets: `evaluate language`, `evaluate tracker`
probes         single photos, absent objects, contrasting sentences
"""
