import { readFileSync } from "node:fs"
import ts from "typescript"

/** A TypeScript file as a module that any Node can import in a worker: types are dropped, nothing is written. */
export const moduleUrl = (file: URL): URL => {
  const { outputText } = ts.transpileModule(readFileSync(file, "utf8"), {
    compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 }
  })
  return new URL(`data:text/javascript,${encodeURIComponent(outputText)}`)
}
