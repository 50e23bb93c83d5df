"""Result folders side by side: one HTML page without any other file, tables, pictures.

command   `report RESULTS… --out report.html`
page      the page; page.css and page.js go into it
charts    curves as SVG
pictures  worst and best frames
verdicts  what differs by more than chance, in words
"""
