// What a verdict is called, and its colour (`--lt-…`).
export const VERDICTS = {
  language: { ink: "language-ink", text: "language right" },
  tracker: { ink: "tracker-ink", text: "tracker right" },
  both: { ink: "good", text: "both right" },
  neither: { ink: "ink", text: "neither right" },
  absent: { ink: "soft", text: "absent" },
};

export function verdictText(entry) {
  if (!entry) return "";
  return " · judged: " + (entry.verdict ? VERDICTS[entry.verdict].text : "note") + (entry.stale ? ", before a correction" : "") + (entry.note ? " (" + entry.note + ")" : "");
}
