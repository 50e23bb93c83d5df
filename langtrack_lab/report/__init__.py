"""A report on result folders: one HTML page that needs no other file, tables, and pictures.

command       `report RESULTS… --out report.html`
page          the HTML page; page.css and page.js go into it
charts        curves as SVG
pictures      worst and best frames
significance  sentences about differences that are larger than chance
"""
