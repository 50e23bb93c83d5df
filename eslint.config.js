import js from "@eslint/js";
import globals from "globals";

const rules = {
  ...js.configs.recommended.rules,
  eqeqeq: "error",
  "no-implicit-globals": "error",
  "no-shadow": "error",
  "no-use-before-define": ["error", { functions: false, variables: false }],
  "no-var": "error",
  "prefer-const": "error",
};

export default [
  { files: ["demo/page/*.js"], languageOptions: { sourceType: "module", globals: globals.browser }, rules },
  { files: ["langtrack_lab/report/page.js"], languageOptions: { sourceType: "script", globals: globals.browser }, rules },
];
