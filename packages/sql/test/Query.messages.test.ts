/** What the compiler says of a misspelt key: which it is, and nothing of how schemas are made. */
import { fileURLToPath } from "node:url"
import { assert, it } from "@effect/vitest"
import ts from "typescript"

const path = fileURLToPath(new URL("Query.misspelt.ts", import.meta.url))

const complaints = (definition: string): string => {
  const text = `import { Query } from "@sluice/sql"
import { Schema } from "effect"
const S = Schema.Struct({ n: Schema.Number })
${definition}`
  const options: ts.CompilerOptions = {
    ...{ strict: true, noEmit: true, skipLibCheck: true, types: ["node"] },
    ...{ target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.NodeNext, moduleDetection: ts.ModuleDetectionKind.Force }
  }
  const host = ts.createCompilerHost(options)
  const { fileExists, getSourceFile } = host
  host.fileExists = (name) => name === path || fileExists.call(host, name)
  host.getSourceFile = (name, language, ...more) =>
    name === path ? ts.createSourceFile(name, text, language) : getSourceFile.call(host, name, language, ...more)
  const program = ts.createProgram([path], options, host)
  return program
    .getSemanticDiagnostics(program.getSourceFile(path))
    .map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, "\n"))
    .join("\n")
}

it("a misspelt key is named", { timeout: 240_000 }, () => {
  const said = complaints(`
Query.all({ nam: "a", Result: S, execute: (sql) => sql\`select 1\` })
Query.one({ name: "b", Request: Schema.Number, Reslt: S, execute: (sql, n) => sql\`select \${n}\` })
Query.stream({ name: "c", Reqest: S, Result: S, execute: (sql, { n }) => sql\`select \${n}\` })
`)
  for (const [misspelt, key] of [
    ["nam", "name"],
    ["Reslt", "Result"],
    ["Reqest", "Request"]
  ]) {
    assert.include(said, `'${misspelt}' does not exist`)
    assert.include(said, `Did you mean to write '${key}'?`)
  }
  assert.notInclude(said, "annotations")
})
