// Verdicts: which branch was right, per frame or range.
const VERDICTS = Object.fromEntries(
  [["language", "lgm"], ["tracker", "siam"], ["both", "good"], ["neither", "ink"], ["absent", "nobody"]].map(([name, ink]) => [
    name,
    { colour: () => getComputedStyle(root).getPropertyValue("--lt-" + ink).trim() },
  ]),
);

function verdictAt(place) {
  return null;
}
function verdictText(place) {
  return "";
}
function describeJudge(place) {}
function judge(verdict) {}
function nextDisagreement() {}
function changedAt(place) {
  return false;
}
function truthOn(context) {}
