"""Contrast of the texts and controls that a browser shows, by WCAG 2.2 (1.4.3 and 1.4.11)."""

from __future__ import annotations

from playwright.sync_api import Page

FIND_PALE = """(theme) => {
  const still = document.head.appendChild(document.createElement("style"));
  still.textContent = "* { transition: none !important; }";
  document.body.classList.toggle("dark", theme === "dark");
  const canvas = Object.assign(document.createElement("canvas"), { width: 1, height: 1 });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const seen = new Map();
  function rgba(colour) {
    if (!seen.has(colour)) {
      context.clearRect(0, 0, 1, 1);
      context.fillStyle = colour;
      context.fillRect(0, 0, 1, 1);
      const [r, g, b, a] = context.getImageData(0, 0, 1, 1).data;
      seen.set(colour, [r, g, b, a / 255]);
    }
    return seen.get(colour);
  }
  const over = ([r, g, b, a], below) => [...[r, g, b].map((value, k) => value * a + below[k] * (1 - a)), 1];
  const linear = (value) => (value <= 10.31 ? value / 3294.6 : ((value / 255 + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  function ratio(one, other) {
    const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  }
  function ground(element) {
    const chain = [];
    for (let at = element; at; at = at.parentElement) chain.push(at);
    let colour = [255, 255, 255, 1];
    for (const at of chain.reverse()) colour = over(rgba(getComputedStyle(at).backgroundColor), colour);
    return colour;
  }
  function opacity(element) {
    let product = 1;
    for (let at = element; at; at = at.parentElement) product *= Number(getComputedStyle(at).opacity);
    return product;
  }
  const faded = (colour, share, back) => over([...colour.slice(0, 3), colour[3] * share], back);
  const shown = (element) => element.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true });
  const off = (element) => element.closest(":disabled, [aria-disabled=true], label:has(:disabled)");
  const found = [];
  function check(what, element, colour, back, least) {
    const value = ratio(faded(colour, opacity(element), back), back);
    if (value < least) found.push(`${value.toFixed(2)} of ${least}: ${what}`);
  }
  for (const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT); walker.nextNode(); ) {
    const text = walker.currentNode.textContent.trim();
    const element = walker.currentNode.parentElement;
    if (!text || element.closest("svg, script, style, noscript") || !shown(element) || off(element)) continue;
    const style = getComputedStyle(element);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const what = `“${text.slice(0, 40)}” ${element.tagName}.${element.className}`;
    check(what, element, rgba(style.color), ground(element), large ? 3 : 4.5);
  }
  for (const field of document.querySelectorAll("input[placeholder], textarea[placeholder]")) {
    if (!shown(field) || off(field)) continue;
    const { color, opacity: share } = getComputedStyle(field, "::placeholder");
    const back = ground(field);
    const what = `placeholder “${field.placeholder.slice(0, 40)}”`;
    check(what, field, faded(rgba(color), share, back), back, 4.5);
  }
  for (const icon of document.querySelectorAll("button svg")) {
    const button = icon.closest("button");
    if (!shown(icon) || off(button) || button.textContent.trim()) continue;
    const path = icon.querySelector("path, rect, polyline, line, circle, polygon") || icon;
    const style = getComputedStyle(path);
    const colours = [style.stroke, style.fill].filter((colour) => colour !== "none").map(rgba);
    const back = ground(button);
    const best = Math.max(...colours.map((colour) => ratio(faded(colour, opacity(path), back), back)));
    if (best < 3) found.push(`${best.toFixed(2)} of 3: icon of “${button.ariaLabel || button.title}”`);
  }
  document.body.classList.remove("dark");
  still.remove();
  return [...new Set(found)].sort();
}"""
"""JavaScript that returns a line for each text under 4.5:1 (large ones: 3:1) and each icon under 3:1."""


def pale(page: Page) -> list[str]:
    """What has too little contrast on the page as it stands, which is a light one, in light and in dark."""
    return [f"{theme}: {line}" for theme in ("light", "dark") for line in page.evaluate(FIND_PALE, theme)]
