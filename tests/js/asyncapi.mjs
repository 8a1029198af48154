// Reads AsyncAPI documents from stdin, one a line; says of each on a line of its own, as JSON, whether
// the official parser can read it and what it has against it.
import { readFileSync } from "node:fs";
import asyncapi from "@asyncapi/parser";

for (const line of readFileSync(0, "utf8").trim().split("\n")) {
  const { document, diagnostics } = await new asyncapi.Parser().parse(line);
  const found = diagnostics.map(({ severity, code, message, path }) => ({
    severity,
    code,
    message,
    path: path.join("."),
  }));
  console.log(JSON.stringify({ read: document !== undefined, found }));
}
