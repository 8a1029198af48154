// Reads an AsyncAPI document from stdin; says what the official parser has against it, as JSON lines.
import { readFileSync } from "node:fs";
import asyncapi from "@asyncapi/parser";

const { document, diagnostics } = await new asyncapi.Parser().parse(readFileSync(0, "utf8"));
for (const { severity, code, message, path } of diagnostics) {
  console.log(JSON.stringify({ severity, code, message, path: path.join(".") }));
}
process.exitCode = document ? 0 : 1;
